//! Bad input of every kind, each with a clear message and the right exit code.

use crate::harness::{Project, binary};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

const GOOD: &str = "on: workflow_dispatch\njobs: { a: { steps: [{ run: 'echo fine' }] } }\n";

fn one(steps: &str) -> Project {
    Project::workflow(&format!("on: workflow_dispatch\njobs:\n  a:\n    steps:\n{steps}"))
}

fn log(project: &Project) -> String {
    project.tidegate(["runs", "logs", "1"]).code(0).stdout
}

#[test]
fn no_file_and_no_folder() {
    let project = Project::new();
    for command in ["run", "plan"] {
        project.tidegate([command, "gone.yml"]).code(2).stderr("gone.yml");
        project.tidegate([command]).code(2).stderr("tidegate init");
    }
    project.tidegate(["check", "gone.yml"]).code(2).stderr("`gone.yml` does not exist");
    project.tidegate(["check"]).code(2).stderr("tidegate init");
    project.tidegate(["-C", "/no/such/folder", "run"]).code(2).stderr("/no/such/folder");
    project.sh("mkdir -p .ml/workflows");
    project.tidegate(["run"]).code(2).stderr("there is no workflow");
    project.tidegate(["run", ".ml/workflows"]).code(2).stderr("is a folder; one file is run");
    project.write("good.yml", GOOD);
    project.tidegate(["run", "--event-path", "gone.json", "good.yml"]).code(2).stderr("gone.json");
    project.tidegate(["run", "--secret-file", "gone.env", "good.yml"]).code(2);
}

#[test]
fn not_a_repository_is_no_mistake() {
    let project = Project::workflow(GOOD);
    project.tidegate(["run"]).code(0);
    assert_eq!(log(&project), "fine\n");
    project.sh("mkdir -p broken/.ml/workflows broken/.git && cp .ml/workflows/test.yml broken/.ml/workflows");
    project.tidegate(["-C", "broken", "run"]).code(0);
}

#[test]
fn empty_files_and_files_that_are_no_workflows() {
    for (text, words) in [
        ("", "the file is empty"),
        ("\n# nothing\n", "empty"),
        ("- a\n- b\n", "expected a map"),
        ("on: push\n", "jobs"),
        ("on: push\njobs: {}\n", "jobs"),
        ("\u{0}", "test.yml"),
        ("on: push\n---\non: push\n", "document"),
        ("a: &a [*a]\n", "alias"),
    ] {
        let project = Project::workflow(text);
        for command in ["check", "run", "plan"] {
            let done = project.tidegate([command]).code(2);
            assert!((done.stdout.clone() + &done.stderr).contains(words), "{text:?} {command}: {done:?}");
        }
    }
    let project = Project::workflow(GOOD);
    std::fs::write(project.path().join(".ml/workflows/test.yml"), b"on: \xff\xfe\n").unwrap();
    project.tidegate(["check"]).code(2).stdout("UTF-8");
}

#[test]
fn a_folder_with_a_thousand_files() {
    let mut project = Project::new();
    for n in 0..1000 {
        project = project.file(&format!(".ml/workflows/w{n:04}.yml"), GOOD);
    }
    project.write(".ml/workflows/w0500.yml", "on: push\njobs: { a: { steps: [{ rnu: x }] } }\n");
    project.tidegate(["check"]).code(2).stdout("w0500.yml").stdout("2 errors in 1 of 1000 files");
    let listed = project.tidegate(["run"]).code(2).stderr("there are 1000 workflows; which one?");
    assert!(listed.stderr.lines().count() < 60, "a thousand lines help nobody:\n{}", listed.stderr);
    project.tidegate(["run", ".ml/workflows/w0999.yml"]).code(0);
}

#[test]
fn links_out_of_the_tree() {
    let outside = Project::new().file("w.yml", GOOD);
    let project = Project::workflow(GOOD);
    project.sh(&format!(
        "ln -s {}/w.yml .ml/workflows/out.yml; ln -s /nowhere .ml/workflows/dead.yml",
        outside.path().display()
    ));
    let done = project.tidegate(["check"]).code(2);
    assert!(done.stdout.contains("out.yml") && done.stdout.contains("dead.yml"), "{done:?}");
    // A product that is a link out of the folder is refused, and says so.
    let project = Project::workflow(
        "on: workflow_dispatch\njobs:\n  a:\n    produces: { o: out }\n    steps: [{ run: 'mkdir out && ln -s /etc/hostname out/l' }]\n",
    );
    project.tidegate(["run"]).code(1).stdout("a link to /etc/hostname, which is outside of the folder");
}

#[test]
fn names_with_spaces_newlines_and_other_bytes() {
    let names: [&[u8]; 3] = [b"a b.yml", b"new\nline.yml", b"\xff\xfe.yml"];
    for name in names {
        let project = Project::new();
        let file = project.path().join(".ml/workflows").join(OsStr::from_bytes(name));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, GOOD).unwrap();
        project.tidegate(["check"]).code(0);
        if name[0] == 0xff {
            let refused = project.tidegate([OsStr::new("run"), file.as_os_str()]).code(2);
            refused.stderr("its name is not UTF-8");
            project.tidegate(["run"]).code(2).stderr("its name is not UTF-8");
            continue;
        }
        project.tidegate([OsStr::new("run"), file.as_os_str()]).code(0);
        project.tidegate(["run"]).code(0);
        project.tidegate(["runs", "list"]).code(0);
        project.tidegate(["runs", "rerun", "1"]).code(0);
        std::fs::write(&file, "on: [").unwrap();
        project.tidegate(["check"]).code(2);
    }
}

#[test]
fn a_missing_shell() {
    one("      - { shell: 'no-such-shell {0}', run: x }\n")
        .tidegate(["run"])
        .code(1)
        .stdout("the shell `no-such-shell` is not installed");
    one("      - { shell: fish, run: x }\n").tidegate(["run"]).code(2).stderr("fish");
    one("      - { working-directory: nowhere, run: x }\n")
        .tidegate(["run"])
        .code(1)
        .stdout("does not exist");
}

#[test]
fn a_line_without_end_and_a_closed_output() {
    // The amount that fits a test; gigabytes were run by hand (docs/performance.md).
    let project =
        one("      - run: head -c 60000000 /dev/zero | tr '\\0' x; exec >&- 2>&-; sleep 0.1; exit 7\n");
    project.tidegate(["run"]).code(1).stdout("exit 7");
    let log = project.path().join(".tidegate/runs");
    project.sh(&format!("test $(cat {}/*/*.log | tr -d '\\n' | wc -c) -eq 60000000", log.display()));
    project.tidegate(["runs", "show", "1"]).code(0);
}

#[test]
fn a_daemon_ends_with_its_job_and_holds_up_nothing() {
    let started = Instant::now();
    let project = one(
        "      - run: (setsid sh -c 'echo $$ > $ROOT/pid; exec sleep 1000' &) ; while [ ! -s $ROOT/pid ]; do sleep 0.01; done\n      - run: yes & true\n      - run: echo next\n",
    );
    let root = project.path().to_string_lossy().into_owned();
    project.tidegate_with(["run"], &[("ROOT", &root)]).code(0);
    assert!(started.elapsed() < Duration::from_mins(10));
    project.sh("! kill -0 $(cat pid) 2>/dev/null");
    let text = log(&project);
    assert!(
        text.contains("next\n") && text.contains("ended what the steps left running: "),
        "{}",
        &text[text.len().saturating_sub(300)..]
    );
}

#[test]
fn a_background_writer_of_command_files_is_too_late() {
    let project = one(
        "      - id: s\n        run: |\n          f=$GITHUB_OUTPUT; echo early=1 >> $f\n          (until [ -e $ROOT/go ]; do sleep 0.01; done; echo late=1 >> $f; echo LATE=1 >> $GITHUB_ENV; touch $ROOT/written) &\n      - run: touch $ROOT/go; until [ -e $ROOT/written ]; do sleep 0.01; done\n      - run: echo \"[${{ steps.s.outputs.early }}][${{ steps.s.outputs.late }}][$LATE]\"\n",
    );
    let root = project.path().to_string_lossy().into_owned();
    project.tidegate_with(["run"], &[("ROOT", &root)]).code(0);
    assert!(log(&project).starts_with("[1][][]\n"));
}

/// A small file system, unmounted at the end.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(&at)
            .output();
        done.is_ok_and(|d| d.status.success()).then_some(Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What a step does that fills the disk of the store, once by its files and once by its output, and
/// then goes on for a while with nothing left, each tenth of which is an event.
const FILLS: [&str; 3] = [
    "head -c 40000000 /dev/zero > fill",
    "head -c 40000000 /dev/zero | tr '\\0' x",
    "cat /dev/zero > fill; for i in $(seq 10); do echo \"::notice::$i\"; cat /dev/zero >> fill || true; done; exit 1",
];

const FILL: &str = "on: { workflow_dispatch: { inputs: { what: { type: string } } } }\njobs:\n  a:\n    steps:\n      - run: ${{ inputs.what }}\n";

/// The log's own room sees the run through to its end, and is there again for the next run.
#[test]
fn a_full_disk() {
    let project = Project::workflow(FILL);
    let Some(_small) = Small::mount(project.path().join(".tidegate")) else {
        eprintln!("NOT TESTED: a full disk needs the right to mount a tmpfs");
        return;
    };
    for (number, what) in (1..).step_by(2).zip(FILLS) {
        let done = project.tidegate(["run", "--input", &format!("what={what}")]);
        assert_eq!(done.code, Some(1), "{what}: {done:?}");
        assert!(done.stdout.contains("disk"), "{what}: {done:?}");
        let show = project.tidegate(["runs", "show", &number.to_string(), "--format", "json"]).code(0);
        show.stdout("\"class\":\"disk\"");
        project.sh("rm -rf .tidegate/runs/*");
        // The next run takes back what was given up.
        project.tidegate(["run", "--input", "what=true"]).code(0);
        project.sh("test $(stat -c %b .tidegate/ballast) -ge 2048");
    }
}

/// Another process takes every byte there is while the run goes on.
#[test]
fn a_disk_that_others_keep_full() {
    let project = Project::workflow(FILL);
    let Some(_small) = Small::mount(project.path().join(".tidegate")) else {
        eprintln!("NOT TESTED: a full disk needs the right to mount a tmpfs");
        return;
    };
    let filler = "until [ -e go ]; do sleep 0.01; done
        while [ ! -e stop ]; do cat /dev/zero >> .tidegate/fill; touch filled; done 2> /dev/null";
    let mut filler =
        std::process::Command::new("sh").current_dir(project.path()).args(["-c", filler]).spawn().unwrap();
    let root = project.path().display();
    // What the log gives up to be written may be the step's for a moment.
    let what = format!(
        "touch {root}/go; until [ -e {root}/filled ]; do sleep 0.01; done; while echo 1 > more; do sleep 0.01; done; exit 1"
    );
    let done = project.tidegate(["run", "--input", &format!("what={what}")]);
    project.write("stop", "");
    filler.wait().unwrap();
    let done = done.code(1).stdout("disk");
    assert!(!done.stderr.contains("store"), "{done:?}");
    project.sh("rm .tidegate/fill");
    project.tidegate(["runs", "show", "1", "--format", "json"]).code(0).stdout("\"class\":\"disk\"");
    project.tidegate(["run", "--input", "what=true"]).code(0);
}

#[test]
fn a_store_that_cannot_be_written_is_the_tools_failure() {
    let project = Project::workflow(GOOD);
    project.write("file", "");
    project.tidegate(["--store", "file/store", "run"]).code(4).stderr("file/store");
    let done = std::process::Command::new(binary())
        .current_dir(project.path())
        .args(["--store", "/proc/store", "run"])
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(4), "{done:?}");
}
