//! What lies in a job's work folder, through the binary: every kind of tree, and nothing of earlier jobs.

use crate::harness::Project;

fn one(steps: &str) -> String {
    format!("on: workflow_dispatch\njobs:\n  a:\n    steps:\n{steps}")
}

/// The first line of a run that says which tree it works in.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[test]
fn the_tree_of_the_commit_or_of_the_working_copy_and_the_run_says_which() {
    let project = Project::workflow(&one("      - run: cat a; ls\n"))
        .file("a", "committed\n")
        .file(".gitignore", "ignored\n")
        .file("ignored", "x")
        .git();
    let clean = project.tidegate(["run"]).code(0);
    assert!(first_line(&clean.stdout).contains("main at "), "{}", clean.stdout);
    project.write("a", "changed\n");
    project.write("new", "");
    project.sh("rm .gitignore; git rm -q --cached .gitignore; echo ignored > .git/info/exclude");
    let dirty = project.tidegate(["run"]).code(0);
    assert!(first_line(&dirty.stdout).contains("working tree (3 files changed"), "{}", dirty.stdout);
    assert_eq!(project.tidegate(["runs", "logs", "1"]).stdout, "committed\na\n");
    assert_eq!(project.tidegate(["runs", "logs", "2"]).stdout, "changed\na\nnew\n");
}

#[test]
fn names_links_modes_and_big_files_come_as_they_are() {
    let project = Project::workflow(&one(
        "      - run: |\n          test -x tool && test ! -x data && ./tool\n          test -L inside && test \"$(readlink inside)\" = 'sub/f' && cat inside\n          test -L outside && test \"$(readlink outside)\" = /etc/hostname\n          test -L nowhere\n          python3 -c \"import os; print(sorted(n for n in os.listdir(b'names')))\"\n          wc -c < big; sha256sum < big\n",
    ));
    project.sh(
        "mkdir sub names; echo f > sub/f; printf '#!/bin/sh\\necho ran\\n' > tool; chmod 755 tool; echo d > data; ln -s sub/f inside; ln -s /etc/hostname outside; ln -s gone nowhere; head -c 70000000 /dev/zero > big; touch 'names/a b' \"names/$(printf 'new\\nline')\" \"names/$(printf '\\377\\376')\"; git init -q . ; git add -A; git commit -qm x",
    );
    project.tidegate(["run"]).code(0);
    let log = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    assert!(log.starts_with("ran\nf\n[b'a b', b'new\\nline', b'\\xff\\xfe']\n70000000\n"), "{log}");
}

#[test]
fn submodules_are_left_out_and_said() {
    let project = Project::workflow(&one("      - run: ls; ls lib\n")).git().file("lib.git/readme", "");
    project.sh("git init -q lib.git && git -C lib.git add -A && git -C lib.git commit -q -m x && git -c protocol.file.allow=always submodule --quiet add ./lib.git lib && git commit -qm sub");
    let ran = project.tidegate(["run"]).code(0);
    let said = ran.stdout.clone() + &ran.stderr;
    assert!(said.contains("the submodule lib is not part of the tree"), "{ran:?}");
    let log = project.tidegate(["runs", "logs", "1"]).stdout;
    assert_eq!(log, "lib\n", "its folder is there, and empty");
    assert!(said.contains("lib.git is a repository of its own"), "{said}");
}

#[test]
fn a_folder_without_a_repository_and_a_repository_without_a_commit() {
    let project = Project::workflow(&one("      - run: cat a; echo \"[$GITHUB_SHA] [$GITHUB_REF]\"\n"))
        .file("a", "A\n");
    project.tidegate(["run"]).code(0);
    assert_eq!(project.tidegate(["runs", "logs", "1"]).stdout, "A\n[] []\n");
    project.sh("git init -q -b trunk .");
    project.tidegate(["run"]).code(0);
    assert_eq!(project.tidegate(["runs", "logs", "2"]).stdout, "A\n[] [refs/heads/trunk]\n");
}

#[test]
fn a_later_job_sees_nothing_of_an_earlier_one() {
    // One job at a time, so all use one folder.
    let project = Project::workflow(
        r"on: workflow_dispatch
jobs:
  mess:
    steps:
      - run: |
          echo leak > ../beside; echo leak > leak; mkdir -p out/deep; echo leak > out/deep/x; echo leak > ignored
          echo changed > kept; touch -d 2001-01-01 kept; chmod 777 tool; rm -rf dir; ln -s /tmp dir
          mkdir -m 000 locked; chmod 2777 other; ln other/f ../../second-name
          nohup setsid sh -c 'sleep 0.4; echo late > late' >/dev/null 2>&1 &
  look:
    needs: mess
    steps:
      - run: |
          ls -A .. ; find . -path ./.ml -prune -o -printf '%P %y %m\n' | LC_ALL=C sort; cat kept; sleep 0.6; test ! -e late
          echo written-by-the-second >> other/f
          exit 0
  again:
    needs: look
    steps:
      - run: cat other/f kept; ls
",
    )
    .file("kept", "kept\n")
    .file("dir/f", "")
    .file("other/f", "f\n")
    .file(".gitignore", "ignored\nout\n");
    project.sh("echo > tool; chmod 755 tool; umask 022; git init -q .; git add -A; git commit -qm x");
    project.tidegate(["run", "--jobs", "1"]).code(0);
    let log = project.tidegate(["runs", "logs", "1", "look"]).code(0).stdout;
    assert_eq!(
        log,
        "tree\n d 755\n.gitignore f 644\ndir d 755\ndir/f f 644\nkept f 644\nother d 755\nother/f f 644\ntool f 755\nkept\n",
    );
    assert_eq!(project.tidegate(["runs", "logs", "1", "again"]).stdout, "f\nkept\ndir\nkept\nother\ntool\n");
}

#[test]
fn a_hidden_daemon_cannot_write_into_a_later_jobs_folder() {
    // Two attempts at once: an orphan that threw its environment away could be of either.
    let over = tempfile::tempdir().unwrap();
    let project = Project::workflow(
        &r#"on: workflow_dispatch
jobs:
  long: { steps: [{ run: "for i in $(seq 3000); do test ! -e OVER/over || exit 0; sleep 0.1; done; exit 1" }] }
  hides:
    steps:
      - run: env -i PATH="$PATH" setsid sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo late > late; sleep 0.1; done' >/dev/null 2>&1 &
  after:
    needs: hides
    steps: [{ run: "for i in 1 2 3 4 5 6 7 8; do test ! -e late || exit 1; sleep 0.1; done; touch OVER/over" }]
"#
        .replace("OVER", over.path().to_str().unwrap()),
    );
    project.tidegate(["run", "--jobs", "2"]).code(0);
}

#[test]
fn in_place_works_in_the_tree_itself_and_removes_nothing_of_yours() {
    let project = Project::workflow(
        r#"on: workflow_dispatch
data: { raw: { uri: source } }
jobs:
  a:
    consumes: { raw/: "${{ data.raw }}" }
    checkpoint: ckpt
    steps: [{ run: "cat raw/f mine; echo done > made" }]
"#,
    )
    .file("source/f", "pinned\n")
    .file("mine", "mine\n")
    .file("ckpt/state", "old");
    project.tidegate(["run", "--in-place"]).code(0);
    project.sh("test -f made && test ! -L ckpt && test \"$(cat ckpt/state)\" = old && test -f raw/f");
    // Again, with other data: what the first run laid in gives way.
    project.write("source/f", "newer\n");
    project.tidegate(["run", "--in-place"]).code(0);
    project.sh("grep -q newer raw/f");
    // Changed by its owner: not touched.
    project.write("raw/notes", "precious");
    project.write("source/f", "newest\n");
    project.tidegate(["run", "--in-place"]).code(1).stdout("it is not what an earlier run put there");
    project.sh("test -f raw/notes && grep -q newer raw/f");
}

#[test]
fn what_a_job_consumes_stays_inside() {
    for place in ["../outside", "/tmp/tidegate-outside", "link/data", "."] {
        let project = Project::workflow(&format!(
            "on: workflow_dispatch\ndata: {{ raw: {{ uri: source }} }}\njobs:\n  a:\n    consumes: {{ \"{place}\": \"${{{{ data.raw }}}}\" }}\n    steps: [{{ run: \"true\" }}]\n"
        ))
        .file("source/f", "x");
        project.sh("mkdir ../$$-keep 2>/dev/null; ln -s /tmp link");
        let ran = project.tidegate(["run"]);
        assert!(ran.code == Some(1) || ran.code == Some(2), "{place}: {ran:?}");
    }
}

#[test]
fn a_checkpoint_is_kept_across_attempts_and_reruns_and_for_no_other_run() {
    let project = Project::workflow(
        r#"on: workflow_dispatch
jobs:
  a:
    retry: { attempts: 2 }
    checkpoint: { path: ckpt, grace: 1s }
    steps:
      - run: |
          n=$(cat ckpt/n 2>/dev/null || echo 0); echo "at $n"; echo $((n+1)) > ckpt/n
          cp ckpt/n model; test $((n+1)) -ge 3
    produces: { model: ckpt/n }
"#,
    );
    project.tidegate(["run"]).code(1);
    assert_eq!(project.tidegate(["runs", "logs", "1"]).stdout, "at 1\n");
    project.tidegate(["runs", "rerun", "1", "--failed"]).code(0);
    assert_eq!(project.tidegate(["runs", "logs", "2"]).stdout, "at 2\n");
    project.tidegate(["run"]).code(1);
    assert_eq!(
        project.tidegate(["runs", "logs", "3"]).stdout,
        "at 1\n",
        "a new run starts at 0, retries once"
    );
}

#[test]
fn a_source_tells_what_changed_since_the_last_run() {
    let project = Project::workflow(
        r#"on: workflow_dispatch
data: { raw: { uri: source, include: ["**.csv"] } }
jobs:
  a:
    steps: [{ run: "echo '${{ join(data.raw.added) }} ${{ join(data.raw.changed) }} ${{ join(data.raw.removed) }}'" }]
"#,
    )
    .file("source/a.csv", "1")
    .file("source/sub/b.csv", "1")
    .file("source/notes.txt", "1");
    project.tidegate(["run"]).code(0);
    project.write("source/a.csv", "2");
    project.write("source/c.csv", "1");
    project.sh("rm source/sub/b.csv");
    project.tidegate(["run"]).code(0);
    project.tidegate(["run"]).code(0);
    let log = |run: &str| project.tidegate(["runs", "logs", run]).code(0).stdout;
    assert_eq!((log("1").as_str(), log("2").as_str()), ("a.csv,sub/b.csv  \n", "c.csv a.csv sub/b.csv\n"));
    assert_eq!(log("3"), "  \n");
}
