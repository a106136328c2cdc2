//! The house's walls: which room may see which, held against the code's own `use` lines.
//!
//! Cargo holds the floors (a crate each); this table holds the rooms inside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, the rooms it may see on its own floor, and why it is a room.
const ROOMS: &[(&str, &[&str], &str)] = &[
    ("lang/source", &["value"], "text and places in it; numbers are read as values are"),
    ("lang/value", &[], "dynamic values"),
    ("lang/expr", &["source", "value"], "expressions over values"),
    ("lang/workflow", &["expr", "source", "value"], "the typed workflow"),
    ("lang/check", &["expr", "source", "value", "workflow"], "rules over the typed workflow"),
    ("flow/gate", &[], "metrics and thresholds give a verdict"),
    ("flow/trigger", &[], "does this event start this workflow"),
    ("flow/job", &["gate"], "one attempt as the agent sees it; its receipt carries verdicts"),
    ("flow/run", &["gate", "job"], "the state machine of one run"),
    ("flow/queue", &["job", "run"], "the state machine over all runs; asks with the run's words"),
    (
        "flow/plan",
        &["gate", "job", "run", "trigger"],
        "what would run; speaks the run's words so that plan and run cannot differ",
    ),
    ("flow/wire", &["gate", "job", "run"], "stored and sent forms of the others"),
    ("edge/store", &[], "log, objects, cache, leases"),
    ("edge/git", &["store"], "a snapshot's tree is an object"),
    ("edge/workspace", &["git", "store"], "work folders are laid out from objects"),
    ("edge/python", &[], "environments"),
    ("edge/data", &["store"], "pinned files become objects"),
    ("edge/agent", &["data", "git", "python", "store", "workspace"], "runs steps where it stands"),
    ("edge/hub", &["agent", "store"], "messages and objects between agents and an engine elsewhere"),
    ("edge/executor", &["agent", "hub", "python", "store"], "starts agents"),
    ("app/config", &[], "where things are"),
    ("app/report", &[], "events give text; strings only"),
    ("app/engine", &["config", "report"], "the only room that decides and acts"),
    ("app/cli", &["config", "engine", "report"], "arguments"),
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Code without comments and without what stands below `#[cfg(test)]`.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms of a floor that a file names: `crate::room` (and `crate::app::room` upstairs).
fn rooms_seen(floor: &str, code: &str) -> BTreeSet<String> {
    let prefix = if floor == "app" { "crate::app::" } else { "crate::" };
    let mut seen = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => word.clear(),
                    c if depth == 0 && (c.is_alphanumeric() || c == '_') => word.push(c),
                    ':' if depth == 0 && !word.is_empty() => {
                        seen.insert(std::mem::take(&mut word));
                    }
                    _ => {}
                }
            }
        } else {
            seen.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    seen
}

#[test]
fn every_room_sees_only_what_the_table_allows() {
    let mut allowed: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (room, sees, reason) in ROOMS {
        assert!(!reason.is_empty(), "{room} has no reason");
        let (floor, name) = room.split_once('/').unwrap();
        allowed.insert((floor, name), sees.iter().copied().collect());
    }
    let mut wrong = Vec::new();
    for floor in ["lang", "flow", "edge", "app"] {
        for entry in fs::read_dir(src().join(floor)).unwrap() {
            let dir = entry.unwrap().path();
            if !dir.is_dir() {
                continue;
            }
            let room = dir.file_name().unwrap().to_str().unwrap().to_owned();
            let mut files = Vec::new();
            rust_files(&dir, &mut files);
            if files.is_empty() {
                continue;
            }
            let Some(sees) = allowed.get(&(floor, room.as_str())) else {
                wrong.push(format!("{floor}/{room} is not in the table: add it with a reason"));
                continue;
            };
            for file in files {
                let text = fs::read_to_string(&file).unwrap();
                for seen in rooms_seen(floor, &code(&text)) {
                    let is_room = allowed.contains_key(&(floor, seen.as_str()));
                    if is_room && seen != room && !sees.contains(seen.as_str()) {
                        wrong.push(format!(
                            "{} sees {floor}/{seen}",
                            file.strip_prefix(src()).unwrap().display()
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_lower_floors_have_no_crate_to_reach_for() {
    for floor in ["lang", "flow"] {
        let manifest = fs::read_to_string(src().join(floor).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for banned in [
            "tokio",
            "kube",
            "rusqlite",
            "git2",
            "rustix",
            "tempfile",
            "reqwest",
            "rand",
            "indicatif",
            "clap",
        ] {
            assert!(
                !dependencies.lines().any(|l| l.starts_with(banned)),
                "tidegate-{floor} depends on {banned}: effects live on the edge"
            );
        }
        let clippy = fs::read_to_string(src().join(floor).join("clippy.toml")).unwrap();
        for method in ["SystemTime::now", "env::var", "fs::read", "Command::new", "thread::spawn"] {
            assert!(clippy.contains(method), "{floor}/clippy.toml does not ban {method}");
        }
    }
}

#[test]
fn imports_go_down() {
    let below: &[(&str, &[&str])] = &[
        ("lang", &["tidegate_flow", "tidegate_edge", "tidegate::"]),
        ("flow", &["tidegate_edge", "tidegate::"]),
        ("edge", &["tidegate::"]),
    ];
    for (floor, banned) in below {
        let mut files = Vec::new();
        rust_files(&src().join(floor), &mut files);
        for file in files {
            let text = code(&fs::read_to_string(&file).unwrap());
            for name in *banned {
                assert!(!text.contains(&format!("use {name}")), "{} imports {name}", file.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_lives_in_it() {
    let mut files = Vec::new();
    rust_files(&src(), &mut files);
    rust_files(&src().join("../tests"), &mut files);
    let silent: Vec<_> = files
        .iter()
        .filter(|f| !fs::read_to_string(f).unwrap().starts_with("//!"))
        .map(|f| f.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no //! at the top of {silent:?}");
}

#[test]
fn names_say_what_things_are() {
    let mut files = Vec::new();
    rust_files(&src(), &mut files);
    for file in files {
        let path = file.strip_prefix(src()).unwrap().display().to_string();
        for vague in ["util", "helper", "common", "manager", "handler", "misc"] {
            assert!(!path.contains(vague), "{path}: a name that says nothing");
        }
    }
}

/// A test file that no `mod` line names would never run.
#[test]
fn no_test_file_is_forgotten() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = fs::read_to_string(dir.join("main.rs")).unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|e| e == "rs") && name != "main" {
            assert!(main.contains(&format!("mod {name};")), "tests/it/{name}.rs is not in main.rs");
        }
    }
}
