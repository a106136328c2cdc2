//! The command line itself: help, version, wrong arguments, exit codes, closed pipes.

use crate::harness::{Project, binary};
use std::process::{Command, Stdio};

#[test]
fn version_and_help_go_to_standard_output() {
    let project = Project::new();
    project.tidegate(["--version"]).code(0).stdout(concat!("tidegate ", env!("CARGO_PKG_VERSION")));
    project.tidegate(["--help"]).code(0).stdout("Exit codes").stdout("Examples").nowhere("agent");
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
    Project::new().tidegate(["completions", "bash"]).code(0).stdout("tidegate").stdout("why");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Command::new(binary())
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
}
