//! The command line itself: help, version, wrong arguments, formats, exit codes, closed pipes.

use crate::harness::{Project, binary};
use serde_json::Value as Json;
use std::process::{Command, Stdio};

/// Every command that people call.
const COMMANDS: [&[&str]; 17] = [
    &["check"],
    &["plan"],
    &["run"],
    &["runs"],
    &["runs", "list"],
    &["runs", "show"],
    &["runs", "logs"],
    &["runs", "watch"],
    &["runs", "cancel"],
    &["runs", "rerun"],
    &["runs", "diff"],
    &["runs", "download"],
    &["why"],
    &["eval"],
    &["schema"],
    &["init"],
    &["completions"],
];

#[test]
fn version_and_help_go_to_standard_output() {
    let project = Project::new();
    project.tidegate(["--version"]).code(0).stdout(concat!("tidegate ", env!("CARGO_PKG_VERSION")));
    project.tidegate(["--help"]).code(0).stdout("Exit codes").stdout("Examples").nowhere("agent");
}

#[test]
fn every_command_has_examples_and_says_how_it_answers() {
    let project = Project::new();
    for command in COMMANDS {
        let help = project.tidegate(command.iter().chain(&["--help"])).code(0);
        let help = help.stdout("Examples:").stdout(&format!("tidegate {}", command.join(" ")));
        if command != ["runs"] {
            help.stdout("--format").stdout("json");
        }
    }
}

/// The examples of the help are commands that exist, with options that exist.
#[test]
fn examples_of_the_help_are_understood() {
    let project = Project::new();
    let mut seen = 0;
    for command in COMMANDS {
        let help = project.tidegate(command.iter().chain(&["--help"])).code(0).stdout;
        let examples = help.split("Examples:").nth(1).unwrap();
        for line in examples.lines().filter(|line| line.trim_start().starts_with("tidegate ")) {
            if line.contains("tidegate eval") {
                // Its argument may start with a hyphen: nothing is an unknown option.
                continue;
            }
            // What is behind two spaces explains; what is behind `<` or `>` is the shell's.
            let line = line.trim_start().trim_start_matches("tidegate ");
            let line = line.split("  ").next().unwrap().split(['<', '>', '\'']).next().unwrap();
            let words = line.split_whitespace().chain(["--nonsense"]);
            let done = project.tidegate(words).code(2);
            let done = done.stderr("unexpected argument '--nonsense'");
            assert!(!done.stderr.contains("unrecognized"), "{line}: {}", done.stderr);
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} examples");
}

#[test]
fn wrong_arguments_end_with_2() {
    let project = Project::new();
    project.tidegate(["rnu"]).code(2).stderr("run");
    project.tidegate(["run", "--nonsense"]).code(2).stderr("--nonsense");
    project.tidegate(["-C", "/nowhere/at/all", "schema"]).code(2).stderr("cannot work in /nowhere/at/all");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        Project::new().tidegate(["completions", shell]).code(0).stdout("tidegate").stdout("why");
    }
}

#[test]
fn bash_takes_its_completions() {
    let project = Project::new();
    let script = project.tidegate(["completions", "bash"]).code(0).stdout;
    project.write("complete.bash", &script);
    project.sh("bash -n complete.bash");
}

const GOOD: &str = "\
on: workflow_dispatch
jobs:
  a:
    strategy: { matrix: { m: [1, 2] } }
    steps: [{ run: 'echo said ${{ matrix.m }}' }]
";

#[test]
fn every_command_answers_in_json() {
    let project = Project::workflow(GOOD);
    let one = |args: &[&str]| -> Json {
        let done = project.tidegate(args.iter().chain(&["--format", "json"])).code(0);
        serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", done.stdout))
    };
    let lines = |args: &[&str]| -> Vec<Json> {
        let done = project.tidegate(args.iter().chain(&["--format", "json"])).code(0);
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(one(&["check"])["errors"], 0);
    assert_eq!(one(&["plan"])[0]["jobs"][0]["id"], "a");
    let events = lines(&["run"]);
    assert!(events[0]["kind"]["run-created"].is_object(), "{}", events[0]);
    assert!(events.last().unwrap()["kind"]["run-ended"].is_object());
    assert_eq!(lines(&["runs", "watch", "1"]), events);
    assert_eq!(one(&["runs", "list"])[0]["state"], "passed");
    assert_eq!(one(&["runs", "show", "1"])["jobs"][0]["instances"][1]["matrix"]["m"], 2);
    assert_eq!(lines(&["runs", "logs", "1", "a", "--matrix", "m=2"])[0]["line"], "said 2");
    assert!(lines(&["runs", "rerun", "1"]).last().unwrap()["kind"]["run-ended"].is_object());
    assert_eq!(one(&["runs", "diff", "1", "2"])["runs"], serde_json::json!([1, 2]));
    assert_eq!(one(&["why", "a"])["instances"][0]["origin"], "uncached");
    assert_eq!(one(&["eval", "1"])["value"], 1);
    assert!(one(&["schema"])["properties"]["jobs"].is_object());
    assert_eq!(one(&["completions", "zsh"])["shell"], "zsh");
    assert_eq!(one(&["init", "--name", "more"])["wrote"], ".ml/workflows/more.yml");
}

#[test]
fn exit_codes() {
    let job = |steps: &str| format!("on: workflow_dispatch\njobs:\n  a:\n    steps:\n{steps}");
    let gate = "      - run: echo '{\"x\":1}' > m.json\n      - gate: { metrics: { x: { min: 2 } } }\n    metrics: m.json\n";
    let table: [(String, &[&str], i32); 6] = [
        (job("      - run: 'true'\n"), &["run"], 0),
        (job("      - run: exit 9\n"), &["run"], 1),
        (job("      - rum: 'true'\n"), &["run"], 2),
        (job("      - rum: 'true'\n"), &["check"], 2),
        (job(gate), &["run"], 3),
        (job("      - run: 'true'\n"), &["run", "--store", "file/store"], 4),
    ];
    for (text, args, code) in table {
        let project = Project::workflow(&text).file("file", "not a folder");
        project.tidegate(args).code(code);
        if code == 1 || code == 3 {
            project.tidegate(["runs", "watch", "1"]).code(code);
            project.tidegate(["runs", "rerun", "1"]).code(code);
        }
    }
    // 5 and 6 have tests of their own: `watch::…`.
}

#[test]
fn a_closed_pipe_is_no_error() {
    let project = Project::workflow(GOOD);
    project.tidegate(["run"]).code(0);
    let commands: [&[&str]; 8] = [
        &["completions", "bash"],
        &["schema"],
        &["check"],
        &["plan"],
        &["runs", "list"],
        &["runs", "show", "1"],
        &["runs", "logs", "1"],
        &["run"],
    ];
    for args in commands {
        let mut child = Command::new(binary())
            .args(args)
            .current_dir(project.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!((done.status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn colour_is_only_where_it_is_wanted() {
    let project = Project::workflow(GOOD);
    project.tidegate(["run"]).code(0).nowhere("\x1b[");
    project.tidegate(["run", "--color", "always"]).code(0).stdout("\x1b[32m✓\x1b[0m a");
    let done = project.tidegate_with(["run", "--color", "always"], &[("NO_COLOR", "1")]).code(0);
    done.stdout("\x1b[32m");
    project.tidegate(["rnu", "--color", "never"]).code(2).nowhere("\x1b[");
}

/// Next commands work from where the person stands.
#[test]
fn next_commands_lead_to_the_project() {
    let project = Project::new().file("team/model/.ml/workflows/test.yml", GOOD);
    project
        .tidegate(["run", "team/model/.ml/workflows/test.yml"])
        .code(0)
        .stdout("tidegate -C team/model runs show 1\n");
    project
        .tidegate(["-C", "team/model", "runs", "show", "1"])
        .code(0)
        .stdout("tidegate -C team/model runs show 1");
    let inside = Project::workflow(GOOD);
    inside.tidegate(["run"]).code(0).stdout("\ntidegate runs show 1\n");
    inside.tidegate(["run", "--store", "kept"]).code(0).stdout("tidegate --store [PROJECT]/kept runs show 1");
}
