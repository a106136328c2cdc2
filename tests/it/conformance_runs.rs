//! Whole runs of other projects' cases: success or failure as they expect it.

use crate::conformance_expressions::conformance;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Cases that end otherwise here, each explained on `docs/deviations.md`; at most three.
pub const DEVIATIONS: &[&str] = &["workflow_call_inputs", "uses-github-noref"];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let ok = Command::new("git").args(arguments).current_dir(folder).status().unwrap().success();
    assert!(ok, "git {arguments:?}");
}

/// Copies a folder of cases into a repository of its own: its default branch is `main`.
fn repository(from: &Path) -> tempfile::TempDir {
    changed_repository(from, |_| ())
}

/// The same, with a change to the files before they are committed.
pub fn changed_repository(from: &Path, change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(from, folder.path());
    change(folder.path());
    for entry in
        ["init -q -b main", "add -A", "-c user.name=t -c user.email=t@t commit -q --allow-empty -m cases"]
    {
        git(folder.path(), &entry.split(' ').collect::<Vec<_>>());
    }
    folder
}

/// One workflow of another project, and how it should end.
pub struct Case {
    /// As its project calls it.
    pub name: String,
    /// `success`, `failure`, or what else a file that is refused is called.
    pub expected: String,
    /// A repository that holds it.
    pub folder: PathBuf,
    /// Arguments of `tidegate run`.
    pub arguments: Vec<String>,
}

/// Cases, and the folders that they are in.
pub struct Cases {
    /// In the order of their table.
    pub cases: Vec<Case>,
    _folders: Vec<tempfile::TempDir>,
}

impl Cases {
    /// Keeps the folders as long as the cases.
    pub fn new(cases: Vec<Case>, folders: Vec<tempfile::TempDir>) -> Self {
        Self { cases, _folders: folders }
    }
}

impl Case {
    /// Runs it; its exit code, its standard output and its standard error.
    pub fn run(&self, more: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
        let store = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("run")
            .args(&self.arguments)
            .args(more)
            .args(["--dialect", "github", "--store"])
            .arg(store.path().join("store"))
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", store.path())
            .env("CI", "true")
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}

struct Counts {
    right: usize,
    total: usize,
    wrong: Vec<String>,
}

impl Counts {
    fn add(&mut self, case: &str, expected: &str, code: i32, text: &str) {
        self.total += 1;
        let right = match expected {
            "success" => code == 0,
            "failure" => code != 0 && code != 4,
            _ => code == 2,
        };
        if right {
            self.right += 1;
        } else if !DEVIATIONS.contains(&case) {
            let tail: Vec<&str> = text.lines().rev().take(12).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            self.wrong.push(format!("{case}: expected {expected}, exit {code}\n    {}", tail.join("\n    ")));
        }
    }
}

/// The cases of act that need nothing but this machine.
pub fn act() -> Cases {
    let root = conformance("nektos+act");
    let runner = repository(&root.join("pkg/runner/testdata"));
    let model = repository(&root.join("pkg/model/testdata"));
    let mut cases = Vec::new();
    let table = fs::read_to_string(root.join("EXPECTED.tsv")).unwrap();
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [case, event, expected, _, local, ..] = columns[..] else { continue };
        let file = columns.last().unwrap().split(';').next().unwrap();
        if !matches!(local, "yes" | "yes-with-setup") {
            continue;
        }
        let (folder, file) = match file.strip_prefix("pkg/runner/testdata/") {
            Some(file) => (runner.path(), file),
            None => (model.path(), file.strip_prefix("pkg/model/testdata/").unwrap()),
        };
        let mut arguments: Vec<String> = vec![file.into(), "--event".into(), event.into()];
        arguments.extend(setup(case, folder, file));
        // Three cases are about plans: GitHub refuses such a file.
        let expected = if matches!(expected, "success" | "failure") { expected } else { "rejected" };
        cases.push(Case { name: case.into(), expected: expected.into(), folder: folder.into(), arguments });
    }
    Cases::new(cases, vec![runner, model])
}

#[test]
fn act_cases() {
    let all = act();
    let mut counts = Counts { right: 0, total: 0, wrong: Vec::new() };
    for case in &all.cases {
        let (code, out, err) = case.run(&[], &[]);
        let text = out + &err;
        counts.add(&case.name, &case.expected, code, &text);
        if case.name == "job-status-check" {
            assert!(text.contains("next") && text.contains("skipped"), "`next` must be skipped:\n{text}");
        }
    }
    println!("act: {} of {} local cases end as expected", counts.right, counts.total);
    assert!(counts.total >= 40, "only {} cases were found", counts.total);
    assert!(counts.wrong.is_empty(), "{}", counts.wrong.join("\n"));
}

/// What a case needs besides its file, as the `note` column of the table says.
fn setup(case: &str, folder: &Path, file: &str) -> Vec<String> {
    let beside = |name: &str| folder.join(file).with_file_name(name).display().to_string();
    match case {
        "matrix-with-user-inclusions" => {
            ["--matrix", "node:8", "--matrix", "node:8.x", "--matrix", "os:ubuntu-18.04"]
                .map(Into::into)
                .to_vec()
        }
        "runs-on" => vec!["--actor".into(), "nektos/act".into()],
        "secrets" => {
            let (secrets, variables) = (beside(".secrets"), beside(".env"));
            fs::write(&secrets, "MY_SECRET=top-secret\nMULTILINE_SECRET=\"foo\\nbar\\nbaz\"\nJSON_SECRET={\"foo\": \"bar\"}\n").unwrap();
            fs::write(&variables, "HELLO=WORLD\nMULTILINE_ENV=\"foo\\nbar\\nbaz\"\n").unwrap();
            vec!["--secret-file".into(), secrets, "--env-file".into(), variables]
        }
        "workflow_call_inputs" | "pull-request" => vec!["--event-path".into(), beside("event.json")],
        _ => Vec::new(),
    }
}

/// Actions that are built in.
const BUILT_IN: [&str; 6] = [
    "checkout",
    "remote:actions/cache@",
    "remote:actions/cache/restore@",
    "remote:actions/cache/save@",
    "remote:actions/download-artifact@",
    "remote:actions/upload-artifact@",
];

/// Tells whether all that a case of runner.server needs is here: this machine's shell, or actions that are built in.
fn is_here(local: &str, needs: &str) -> bool {
    let built_in = |need: &str| BUILT_IN.iter().any(|action| need.starts_with(action));
    local == "yes" || !needs.is_empty() && needs.split(' ').all(built_in)
}

/// The cases of runner.server that need nothing but this machine.
pub fn runner_server() -> Cases {
    let root = conformance("ChristopherHX+runner.server");
    let mut cases = Vec::new();
    let mut folders = Vec::new();
    let table = fs::read_to_string(root.join("EXPECTED.tsv")).unwrap();
    let all = repository(&root);
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [expected, local, needs, upstream] = columns[..] else { continue };
        if !is_here(local, needs) {
            continue;
        }
        let words: Vec<String> = words(upstream);
        let mut folder = all.path().to_path_buf();
        let (mut files, mut event, mut arguments) = (Vec::new(), "push".to_owned(), Vec::new());
        let mut rest = words.into_iter();
        while let Some(word) = rest.next() {
            let mut next = || rest.next().unwrap_or_default();
            match word.as_str() {
                "-W" => files.push(next()),
                "-C" => {
                    let case = repository(&root.join(next()));
                    folder = case.path().to_path_buf();
                    folders.push(case);
                }
                "-e" => arguments.extend(["--event-path".to_owned(), next()]),
                "-s" => arguments.extend(["--secret".to_owned(), next()]),
                "-i" => arguments.extend(["--input".to_owned(), next()]),
                "-j" => arguments.extend(["--job".to_owned(), next()]),
                "-m" => arguments.extend(["--matrix".to_owned(), next()]),
                "--var" => arguments.extend(["--var".to_owned(), next()]),
                "--env" => arguments.extend(["--env".to_owned(), next()]),
                // Labels are local, and listing is not running.
                "-P" | "--parallel" => drop(next()),
                "--list" => {}
                name => name.clone_into(&mut event),
            }
        }
        if files.is_empty() {
            let found = fs::read_dir(folder.join(".github/workflows")).unwrap();
            let mut found: Vec<String> = found
                .map(|e| format!(".github/workflows/{}", e.unwrap().file_name().to_str().unwrap()))
                .filter(|f| starts_on(&folder.join(f), &event))
                .collect();
            found.sort();
            files.extend(found);
        } else if files.len() > 1 {
            files.retain(|f| starts_on(&folder.join(f), &event));
        }
        for file in &files {
            let several = files.len() > 1;
            let name = if several { format!("{upstream}: {file}") } else { upstream.to_owned() };
            let all = [&[file.clone(), "--event".into(), event.clone()], &arguments[..]].concat();
            let (folder, expected) = (folder.clone(), expected.to_owned());
            cases.push(Case { name, expected, folder, arguments: all });
        }
    }
    folders.push(all);
    Cases::new(cases, folders)
}

#[test]
fn runner_server_cases() {
    let all = runner_server();
    let mut counts = Counts { right: 0, total: 0, wrong: Vec::new() };
    for case in &all.cases {
        let (code, out, err) = case.run(&[], &[]);
        counts.add(&case.name, &case.expected, code, &(out + &err));
    }
    println!("runner.server: {} of {} local cases end as expected", counts.right, counts.total);
    assert!(counts.total > 15, "only {} cases were found", counts.total);
    assert!(counts.wrong.is_empty(), "{}", counts.wrong.join("\n"));
}

/// Tells whether a workflow names the event at the start of a word: enough for these cases.
fn starts_on(file: &Path, event: &str) -> bool {
    fs::read_to_string(file).unwrap().split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == event)
}

/// Splits a command line at blanks, double quotes kept together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
