//! `python:`, through the binary, with an interpreter that stands in for a real one: what is built when, and
//! what is said when it cannot be. (The examples' tests build real environments.)

use crate::harness::{Project, binary};

const FAKE: &str = r#"#!/bin/sh
case "$*" in
  *"import sys"*) echo "a warning" >&2; echo "python:$0"; echo python:3.9.9; echo python:linux-any ;;
  *"-m venv"*)
    for last; do :; done
    echo built >> "$ROOT/built"
    if [ -n "$SLOW" ]; then exec sleep "$SLOW"; fi
    mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *"-m pip"*) echo "$PIP"; test -z "$PIP" ;;
  *) echo "fake python $*" ;;
esac
"#;

struct Fake {
    project: Project,
    path: String,
    root: String,
}

fn fake(python: &str) -> Fake {
    let project = Project::workflow(&format!(
        "on: workflow_dispatch\njobs:\n  a:\n    strategy: {{ matrix: {{ n: [1, 2, 3] }} }}\n    python: {python}\n    timeout-minutes: 5\n    steps: [{{ run: 'python hello; test \"${{PATH%%:*}}\" = \"$VIRTUAL_ENV/bin\"' }}]\n"
    ))
    .program("bin/python3", FAKE)
    .file("req.txt", "numpy\n");
    let bin = project.path().join("bin");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let root = project.path().to_string_lossy().into_owned();
    Fake { project, path, root }
}

impl Fake {
    fn run(&self, more: (&str, &str)) -> crate::harness::Done {
        let env = [("PATH", self.path.as_str()), ("ROOT", self.root.as_str()), more];
        self.project.tidegate_with(["run", "--jobs", "3"], &env)
    }

    /// How often an environment was begun.
    fn built(&self) -> usize {
        std::fs::read_to_string(self.project.path().join("built")).unwrap_or_default().lines().count()
    }
}

#[test]
fn an_environment_is_built_once_for_all_jobs_and_runs() {
    let fake = fake("{ requirements: req.txt }");
    fake.run(("X", "")).code(0);
    assert_eq!(fake.built(), 1, "three jobs at once, one builder");
    fake.run(("X", "")).code(0);
    assert_eq!(fake.built(), 1);
    // Other requirements are another environment.
    fake.project.write("req.txt", "numpy<2\n");
    fake.run(("X", "")).code(0);
    assert_eq!(fake.built(), 2);
}

#[test]
fn what_fails_is_explained_and_leaves_nothing() {
    let pip = "WARNING: Retrying after NewConnectionError('[Errno -3]')\nERROR: No matching distribution found for numpy";
    let offline = fake("{ requirements: req.txt }");
    let done = offline.run(("PIP", pip)).code(1);
    for words in
        ["installing req.txt failed (the package index cannot be reached", "No matching distribution"]
    {
        assert!(done.stdout.contains(words), "no {words:?} in {done:?}");
    }
    offline.project.sh("! ls -d .cache/tidegate/python/*/ 2>/dev/null");
    // The next time it is tried anew.
    offline.run(("PIP", "")).code(0);
    let missing = fake("{ requirements: gone.txt }").run(("X", ""));
    assert!(
        missing.code != Some(0) && (missing.stdout.clone() + &missing.stderr).contains("gone.txt"),
        "{missing:?}"
    );
    fake("{ version: '3.99' }").run(("X", "")).code(1).stdout("no Python 3.99 is on PATH");
}

#[test]
fn a_cancel_ends_the_builder() {
    let fake = fake("{ requirements: req.txt }");
    // Nobody else of this machine sleeps as long.
    let own = std::process::id();
    let line = format!(
        "'{}' run --jobs 1 & run=$!; until [ -s built ]; do sleep 0.05; done; kill -TERM $run; wait $run; test $? -eq 5 && ! pgrep -f 'sleep 617[.]{own}'",
        binary().display()
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).current_dir(fake.project.path()).env("HOME", fake.project.path());
    shell.env_remove("XDG_CACHE_HOME").env("PATH", &fake.path).env("ROOT", &fake.root);
    shell.env("SLOW", format!("617.{own}"));
    let done = shell.output().unwrap();
    assert!(done.status.success(), "{done:?}");
}
