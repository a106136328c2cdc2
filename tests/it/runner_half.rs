//! The runner's half of the language, through the binary: variables, command files, workflow commands,
//! shells, built-in actions.

use crate::harness::Project;
use serde_json::Value as Json;

/// Runs a workflow of one job `a` with these steps, and returns its log.
fn log_of(steps: &str, code: i32) -> String {
    let project = Project::workflow(&format!("on: workflow_dispatch\njobs:\n  a:\n    steps:\n{steps}"));
    project.tidegate(["run"]).code(code);
    project.tidegate(["runs", "logs", "1"]).code(0).stdout
}

fn shown(project: &Project) -> Json {
    serde_json::from_str(&project.tidegate(["runs", "show", "1", "--format", "json"]).code(0).stdout).unwrap()
}

/// GitHub, "Variables reference": every default variable of a step.
const VARIABLES: &[&str] = &[
    "CI",
    "GITHUB_ACTION",
    "GITHUB_ACTIONS",
    "GITHUB_ACTION_REPOSITORY",
    "GITHUB_ACTOR",
    "GITHUB_ACTOR_ID",
    "GITHUB_API_URL",
    "GITHUB_BASE_REF",
    "GITHUB_ENV",
    "GITHUB_EVENT_NAME",
    "GITHUB_EVENT_PATH",
    "GITHUB_GRAPHQL_URL",
    "GITHUB_HEAD_REF",
    "GITHUB_JOB",
    "GITHUB_OUTPUT",
    "GITHUB_PATH",
    "GITHUB_REF",
    "GITHUB_REF_NAME",
    "GITHUB_REF_PROTECTED",
    "GITHUB_REF_TYPE",
    "GITHUB_REPOSITORY",
    "GITHUB_REPOSITORY_ID",
    "GITHUB_REPOSITORY_OWNER",
    "GITHUB_REPOSITORY_OWNER_ID",
    "GITHUB_RETENTION_DAYS",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_NUMBER",
    "GITHUB_SERVER_URL",
    "GITHUB_SHA",
    "GITHUB_STEP_SUMMARY",
    "GITHUB_TRIGGERING_ACTOR",
    "GITHUB_WORKFLOW",
    "GITHUB_WORKFLOW_REF",
    "GITHUB_WORKFLOW_SHA",
    "GITHUB_WORKSPACE",
    "RUNNER_ARCH",
    "RUNNER_ENVIRONMENT",
    "RUNNER_NAME",
    "RUNNER_OS",
    "RUNNER_TEMP",
    "RUNNER_TOOL_CACHE",
];

#[test]
fn every_default_variable_is_set() {
    let project = Project::workflow(
        "name: vars\non: push\njobs:\n  a:\n    steps:\n      - id: here\n        run: |\n          env\n          test \"$PWD\" = \"$GITHUB_WORKSPACE\" && test -d \"$RUNNER_TEMP\" && test -d \"$RUNNER_TOOL_CACHE\"\n          grep -q hello \"$GITHUB_EVENT_PATH\"\n",
    )
    .file("event.json", r#"{"ref":"refs/heads/dev","head_commit":{"message":"hello"},"sender":{"login":"octocat","id":7},"repository":{"full_name":"o/r","id":42,"owner":{"id":9}}}"#)
    .git();
    project
        .tidegate_with(
            ["run", "--event", "push", "--event-path", "event.json"],
            &[("GITHUB_SHA", "of an outer runner"), ("RUNNER_NAME", "outer"), ("INPUT_X", "y")],
        )
        .code(0);
    let log = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    let value = |name: &str| {
        let line = log.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} is not set:\n{log}")).to_owned()
    };
    for name in VARIABLES {
        value(name);
    }
    for (name, want) in [
        ("CI", "true"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_ACTION", "here"),
        ("GITHUB_ACTOR", "octocat"),
        ("GITHUB_ACTOR_ID", "7"),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_JOB", "a"),
        ("GITHUB_REF", "refs/heads/dev"),
        ("GITHUB_REF_NAME", "dev"),
        ("GITHUB_REF_TYPE", "branch"),
        ("GITHUB_REF_PROTECTED", "false"),
        ("GITHUB_REPOSITORY", "o/r"),
        ("GITHUB_REPOSITORY_ID", "42"),
        ("GITHUB_REPOSITORY_OWNER", "o"),
        ("GITHUB_REPOSITORY_OWNER_ID", "9"),
        ("GITHUB_RUN_ATTEMPT", "1"),
        ("GITHUB_RUN_NUMBER", "1"),
        ("GITHUB_WORKFLOW", "vars"),
        ("GITHUB_WORKFLOW_REF", "o/r/.ml/workflows/test.yml@refs/heads/dev"),
        ("RUNNER_OS", "Linux"),
    ] {
        assert_eq!(value(name), want, "{name}");
    }
    assert_eq!(value("GITHUB_SHA").len(), 40);
    assert!(!log.contains("INPUT_X") && !log.contains("RUNNER_DEBUG"), "{log}");
}

#[test]
fn names_of_the_runners_own_cannot_be_taken() {
    let log = log_of(
        r#"      - run: |
          printf 'GITHUB_REF=stolen\nGITHUB_MINE=kept\nNODE_OPTIONS=--require x\nRUNNER_OS=stolen\nA=1\n' >> "$GITHUB_ENV"
      - env: { GITHUB_WORKFLOW: stolen, B: "2" }
        run: echo "[$GITHUB_REF] [$GITHUB_MINE] [$NODE_OPTIONS] [$RUNNER_OS] [$GITHUB_WORKFLOW] [$A$B]"
"#,
        0,
    );
    assert!(log.contains("Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command."), "{log}");
    assert!(log.ends_with("[] [kept] [] [Linux] [test] [12]\n"), "{log}");
}

#[test]
fn one_wrong_command_file_does_not_keep_the_others_from_counting() {
    let log = log_of(
        r#"      - id: w
        continue-on-error: true
        run: |
          printf 'first=1\nnonsense\nlast=2\n' >> "$GITHUB_OUTPUT"
          echo /opt/mine >> "$GITHUB_PATH"
          printf 'V<<EOF\ntwo\nlines\nEOF\n' >> "$GITHUB_ENV"
      - run: echo "[${{ steps.w.outputs.first }}${{ steps.w.outputs.last }}] [${{ steps.w.outcome }}] ${PATH%%:*} $V"
"#,
        0,
    );
    assert!(
        log.contains("Unable to process file command 'output' successfully. Invalid format 'nonsense'"),
        "{log}"
    );
    assert!(log.ends_with("[1] [failure] /opt/mine two\nlines\n"), "{log}");
}

#[test]
fn command_files_in_other_encodings_are_read() {
    let log = log_of(
        r#"      - id: w
        run: |
          printf '\xff\xfea\0=\0\xe9\0\n\0' > "$GITHUB_OUTPUT"
      - id: bom
        run: printf '\xef\xbb\xbfa=b' > "$GITHUB_OUTPUT"
      - run: echo "${{ steps.w.outputs.a }}-${{ steps.bom.outputs.a }}"
"#,
        0,
    );
    assert!(log.ends_with("é-b\n"), "{log}");
}

#[test]
fn workflow_commands_do_what_githubs_do() {
    let project = Project::workflow(
        r###"on: workflow_dispatch
jobs:
  a:
    steps:
      - run: |
          echo "::warning file=$GITHUB_WORKSPACE/src/a.py,line=3,endLine=4,title=T%3A%2C::m%0An"
          for i in $(seq 1 30); do echo "::error::e$i"; done
          echo "::group::G"; echo inside; echo "::endgroup::"
          echo "::debug::hidden"
          echo "::stop-commands::pause-abc"; echo "::error::stopped"; echo "::pause-abc::"
          echo "::echo::on"; echo "::set-output name=o::v"; echo "::echo::off"
          echo "::add-mask::topsecret"; echo "a topsecret b"
          echo "##[notice]old form"
          echo "::unknown::x"
"###,
    );
    project.tidegate(["run"]).code(0);
    let log = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    for line in [
        "##[warning]m\nn\n",
        "##[error]e30\n",
        "##[group]G\ninside\n##[endgroup]\n",
        "::error::stopped\n",
        "::set-output name=o::v\n",
        "a *** b\n",
        "##[notice]old form\n",
        "::unknown::x\n",
    ] {
        assert!(log.contains(line), "no {line:?} in:\n{log}");
    }
    assert!(!log.contains("hidden") && !log.contains("topsecret"), "{log}");
    let shown = shown(&project);
    let annotations = shown.pointer("/jobs/0/instances/0/annotations").unwrap().as_array().unwrap().clone();
    let of = |level: &str| annotations.iter().filter(|a| a["level"] == level).count();
    assert_eq!((of("error"), of("notice")), (10, 1), "GitHub's limit of ten of a level in a step");
    let first = &annotations[0];
    assert_eq!(
        (&first["file"], &first["line"], &first["end_line"]),
        (&"src/a.py".into(), &3.into(), &4.into())
    );
    assert_eq!((&first["title"], &first["message"]), (&"T:,".into(), &"m\nn".into()));
}

#[test]
fn disabled_commands_fail_their_step_unless_opted_in() {
    let log = log_of(
        r#"      - { id: x, continue-on-error: true, run: "echo '::set-env name=A::1'" }
      - { id: y, continue-on-error: true, run: "echo '::add-path::/opt/x'" }
      - { id: z, continue-on-error: true, run: "echo '::stop-commands::error'" }
      - run: echo "::set-env name=A::2"; echo "::add-path::/opt/y"
        env: { ACTIONS_ALLOW_UNSECURE_COMMANDS: "true" }
      - run: echo "$A ${PATH%%:*} ${{ steps.x.outcome }} ${{ steps.y.outcome }} ${{ steps.z.outcome }}"
"#,
        0,
    );
    assert!(log.ends_with("2 /opt/y failure failure failure\n"), "{log}");
}

#[test]
fn shells_have_githubs_flags() {
    // Unspecified: `bash -e`, without pipefail; `bash`: with it; custom: as written.
    let log = log_of(
        r#"      - run: false | true; shopt -qo pipefail && echo on || echo off; case $- in *e*) echo e;; esac
      - { shell: bash, run: 'shopt -qo pipefail && echo on || echo off; shopt -q login_shell || echo nologin' }
      - { shell: bash, continue-on-error: true, run: "false | true; echo never" }
      - { shell: sh, run: 'case $- in *e*) echo sh-e;; esac' }
      - { shell: python, run: "import sys; print('python', sys.argv[0].endswith('.py'))" }
      - { shell: "bash -c 'echo custom; . {0}' x", run: "echo script" }
      - { shell: "cat {0}", run: "just text" }
"#,
        0,
    );
    assert_eq!(
        log,
        "off\ne\non\nnologin\nsh-e\npython True\njust text\n".replace("just", "custom\nscript\njust")
    );
}

#[test]
fn directories_and_defaults_come_in_layers() {
    let project = Project::workflow(
        r#"on: workflow_dispatch
env: { L: workflow, W: w }
defaults: { run: { working-directory: one, shell: sh } }
jobs:
  a:
    env: { L: job, J: "j" }
    steps:
      - run: echo "${PWD##*/} ${BASH_VERSION:-no bash} $L $J"
      - { working-directory: two, shell: bash, env: { L: step }, run: 'echo "${PWD##*/} ${BASH_VERSION:+bash} $L"' }
  b:
    defaults: { run: { working-directory: two } }
    steps:
      - run: echo "${PWD##*/}"
"#,
    )
    .file("one/x", "")
    .file("two/x", "");
    project.tidegate(["run"]).code(0);
    let log = |job: &str| project.tidegate(["runs", "logs", "1", job]).code(0).stdout;
    assert_eq!(log("a"), "one no bash job j\ntwo bash step\n");
    assert_eq!(log("b"), "two\n");
}

#[test]
fn outcome_conclusion_and_a_steps_own_timeout() {
    let log = log_of(
        r#"      - { id: slow, timeout-minutes: 0.01, continue-on-error: "${{ true }}", run: sleep 60 }
      - { id: soft, continue-on-error: true, run: exit 3 }
      - { id: off, if: "false", run: echo no }
      - run: echo "${{ join(steps.*.outcome) }} ${{ join(steps.*.conclusion) }}"
"#,
        0,
    );
    assert!(log.ends_with("failure,failure,skipped success,success,skipped\n"), "{log}");
}

#[test]
fn built_in_actions_say_what_they_do_not_do() {
    let log = log_of(
        r#"      - uses: actions/checkout@v4
        with: { fetch-depth: 0, path: again, nonsense: x }
      - run: test -f again/.ml/workflows/test.yml
      - { id: ref, continue-on-error: true, uses: actions/checkout@v4, with: { ref: other } }
      - { id: repo, continue-on-error: true, uses: actions/checkout@v4, with: { repository: other/one } }
      - { id: out, continue-on-error: true, uses: actions/checkout@v4, with: { path: ../../out } }
      - run: echo "${{ steps.ref.outcome }} ${{ steps.repo.outcome }} ${{ steps.out.outcome }}"
"#,
        0,
    );
    assert!(log.contains("`fetch-depth` has no effect here"), "{log}");
    assert!(log.contains("Unexpected input(s) 'nonsense', valid inputs are ['repository'"), "{log}");
    assert!(log.ends_with("failure failure failure\n"), "{log}");
}

#[test]
fn artifacts_travel_between_jobs_by_githubs_rules() {
    let project = Project::workflow(
        r#"on: workflow_dispatch
jobs:
  make:
    steps:
      - run: mkdir -p out/deep logs; echo 1 > out/a.txt; echo 2 > out/deep/b.txt; echo 3 > out/.hidden; echo 4 > logs/c.log
      - { uses: actions/upload-artifact@v4, with: { name: tree, path: out } }
      - { uses: actions/upload-artifact@v4, with: { name: both, path: "out/**/*.txt\nlogs\n!out/a.txt\n" } }
      - { uses: actions/upload-artifact@v4, with: { name: single, path: out/a.txt } }
      - { uses: actions/upload-artifact@v4, with: { name: all, path: out, include-hidden-files: true } }
      - { uses: actions/upload-artifact@v4, with: { name: none, path: nowhere, if-no-files-found: ignore } }
      - { id: twice, continue-on-error: true, uses: actions/upload-artifact@v4, with: { name: single, path: out } }
      - { id: error, continue-on-error: true, uses: actions/upload-artifact@v4, with: { name: e, path: nowhere, if-no-files-found: error } }
      - { id: name, continue-on-error: true, uses: actions/upload-artifact@v4, with: { name: "a/b", path: out } }
      - run: echo "${{ steps.twice.outcome }} ${{ steps.error.outcome }} ${{ steps.name.outcome }}"
  take:
    needs: make
    steps:
      - { uses: actions/download-artifact@v4, with: { path: everything } }
      - { uses: actions/download-artifact@v4, with: { name: tree, path: one } }
      - { uses: actions/download-artifact@v4, with: { pattern: "[st]*", path: merged, merge-multiple: true } }
      - { id: missing, continue-on-error: true, uses: actions/download-artifact@v4, with: { name: nope } }
      - run: find everything one merged -type f | LC_ALL=C sort; echo "${{ steps.missing.outcome }}"
"#,
    );
    project.tidegate(["run"]).code(0);
    let made = project.tidegate(["runs", "logs", "1", "make"]).code(0).stdout;
    assert!(made.ends_with("failure failure failure\n"), "{made}");
    let log = project.tidegate(["runs", "logs", "1", "take"]).code(0).stdout;
    let want = "everything/all/.hidden\neverything/all/a.txt\neverything/all/deep/b.txt\neverything/both/logs/c.log\neverything/both/out/deep/b.txt\neverything/single/a.txt\neverything/tree/a.txt\neverything/tree/deep/b.txt\nmerged/a.txt\nmerged/deep/b.txt\none/a.txt\none/deep/b.txt\nfailure\n";
    assert!(log.ends_with(want), "{log}");
}

#[test]
fn caches_are_found_by_key_and_by_prefix() {
    let project = Project::workflow(
        r#"on: { workflow_dispatch: { inputs: { key: { type: string } } } }
jobs:
  a:
    steps:
      - id: c
        uses: actions/cache@v4
        with: { key: "${{ inputs.key }}", path: "deps\n**/*.bin\n!**/skip.bin", restore-keys: "k-" }
      - run: |
          echo "hit=[${{ steps.c.outputs.cache-hit }}] from=[${{ steps.c.outputs.cache-matched-key }}]"
          find . -name '*.bin' -o -path './deps/*' | LC_ALL=C sort
          mkdir -p deps/x sub; echo 1 > deps/x/y; echo 2 > sub/keep.bin; echo 3 > sub/skip.bin
"#,
    );
    for (number, key, want) in [
        ("1", "k-1", "hit=[] from=[]\n"),
        ("2", "k-1", "hit=[true] from=[k-1]\n./deps/x\n./deps/x/y\n./sub/keep.bin\n"),
        ("3", "k-2", "hit=[false] from=[k-1]\n./deps/x\n./deps/x/y\n./sub/keep.bin\n"),
        ("4", "other", "hit=[false] from=[k-2]\n./deps/x\n./deps/x/y\n./sub/keep.bin\n"),
    ] {
        project.tidegate(["run", "--input", &format!("key={key}")]).code(0);
        let log = project.tidegate(["runs", "logs", number]).code(0).stdout;
        assert!(log.contains(want), "run {number}: {want}\nin\n{log}");
    }
}

#[test]
fn a_failed_jobs_cache_is_not_saved_and_posts_run_backwards() {
    let log = log_of(
        r"      - { uses: actions/cache@v4, with: { key: first, path: x } }
      - { uses: actions/cache@v4, with: { key: second, path: x } }
      - run: echo 1 > x
",
        0,
    );
    let place = |what: &str| log.find(what).unwrap_or_else(|| panic!("no {what} in {log}"));
    assert!(place("saved with key: second") < place("saved with key: first"), "{log}");
    let log = log_of(
        "      - { uses: actions/cache@v4, with: { key: k, path: x } }\n      - run: echo 1 > x; exit 1\n",
        1,
    );
    assert!(!log.contains("saved"), "{log}");
}

#[test]
fn secrets_are_nowhere_in_what_is_stored() {
    let project = Project::workflow(
        r##"on: workflow_dispatch
jobs:
  a:
    outputs: { o: "${{ steps.s.outputs.o }}" }
    metrics: m.json
    params: p.json
    steps:
      - id: s
        name: "with ${{ secrets.KEY }}"
        env: { KEY: "${{ secrets.KEY }}" }
        run: |
          echo "{\"acc\": 1, \"note\": \"$KEY\"}" > m.json
          echo "{\"key $KEY\": [\"$KEY\"]}" > p.json
          echo "o=$KEY" >> $GITHUB_OUTPUT
          echo "# $KEY" >> $GITHUB_STEP_SUMMARY
          echo "::notice title=$KEY,file=$KEY::$KEY"
          printf '%s' "$KEY" | base64; printf 'x%s' "$KEY" | base64; printf 'xy%s' "$KEY" | base64
          printf '%s' "$KEY" | sed 's/ /%20/g; s/\//%2F/g; s/+/%2B/g'; echo
          printf '%s\n' "$KEY" | fold -w 3
          exit 4
"##,
    );
    let key = "very/secret+value 99";
    project
        .tidegate(["run", "--secret", &format!("KEY={key}"), "--junit", "j.xml", "--summary", "s.md"])
        .code(1)
        .nowhere(key);
    let all = project.tidegate(["runs", "show", "1", "--format", "json"]).code(0).nowhere(key);
    assert!(all.stdout.contains("\"acc\":1"), "{}", all.stdout);
    project
        .tidegate(["runs", "logs", "1"])
        .code(0)
        .nowhere(key)
        .nowhere("dmVyeS9zZWNyZXQrdmFsdWU")
        .nowhere("very%2Fsecret");
    // The job's own files stay in its work folder until the next job; all that is stored is clean.
    project.sh(&format!("! grep -rF --exclude-dir=work '{key}' .tidegate j.xml s.md"));
}
