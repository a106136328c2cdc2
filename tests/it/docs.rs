//! The documentation tells the truth: its examples pass `check`, its commands are understood, its
//! links lead somewhere.

use crate::harness::Project;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page people read.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".mlflow-examples/README.md"]
            .iter()
            .map(|page| root().join(page))
            .collect();
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|e| e == "md")));
    pages
}

/// Fenced blocks with their info string.
fn blocks(text: &str) -> Vec<(String, String)> {
    let (mut found, mut open) = (Vec::new(), None::<(String, String)>);
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, inside)), None) => {
                inside.push_str(line);
                inside.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[test]
fn the_examples_of_the_language_pass_check() {
    let text = fs::read_to_string(root().join("docs/language.md")).unwrap();
    let mut seen = 0;
    for (info, inside) in blocks(&text) {
        let workflow = match info.as_str() {
            "yaml" => inside.clone(),
            "yaml job" => {
                let lines: Vec<String> = inside.lines().map(|line| format!("  {line}")).collect();
                format!("on: workflow_dispatch\njobs:\n{}\n", lines.join("\n"))
            }
            "yaml config" => {
                let project = Project::workflow("on: push\njobs: { a: { steps: [{ run: 'true' }] } }\n");
                project.write(".ml/config.yaml", &inside);
                project.tidegate(["plan"]).code(0);
                continue;
            }
            other => panic!("a block of kind {other:?}"),
        };
        let done = Project::workflow(&workflow).tidegate(["check", "--strict"]);
        assert_eq!(done.code, Some(0), "{inside}\n{}{}", done.stdout, done.stderr);
        seen += 1;
    }
    assert!(seen >= 12, "{seen} examples");
}

/// Every key of Tidegate's own has a section or a line.
#[test]
fn every_key_of_tidegate_is_on_the_page() {
    let text = fs::read_to_string(root().join("docs/language.md")).unwrap();
    let keys = [
        "data",
        "python",
        "resources",
        "retry",
        "checkpoint",
        "produces",
        "consumes",
        "metrics",
        "params",
        "cache",
        "gate",
        "validate",
        "nodes",
        "queue",
        "spot",
        "pod-template",
        "container",
        "notebook",
        "register",
        "deploy",
        "on.data",
        "on.model",
    ];
    for key in keys {
        assert!(text.contains(&format!("`{key}")), "docs/language.md does not speak of `{key}`");
    }
    for class in
        ["failure", "timeout", "oom", "preempted", "lost", "disk", "image", "unschedulable", "data", "gate"]
    {
        assert!(text.contains(&format!("`{class}`")), "no class `{class}`");
    }
}

#[test]
fn commands_of_the_docs_are_understood() {
    let project = Project::new();
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let inline = text.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n'));
        let lines = text.lines().map(str::trim);
        let commands =
            inline.chain(lines.filter(|line| line.starts_with("tidegate ") && !line.contains('·')));
        for command in commands.filter_map(|code| code.strip_prefix("tidegate ")) {
            let command = command.split(['#', '>', '<', ';', '…', '|']).next().unwrap();
            let command = command.split("  ").next().unwrap();
            let words: Vec<&str> = command.split_whitespace().collect();
            if words.is_empty()
                || words.contains(&"eval")
                || words == ["agent"]
                || words.contains(&"--version")
            {
                continue;
            }
            let done = project.tidegate(words.iter().copied().chain(["--nonsense"]));
            assert!(
                done.code == Some(2) && done.stderr.contains("unexpected argument '--nonsense'"),
                "{}: tidegate {command}\n{}",
                page.display(),
                done.stderr
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} commands");
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if link.contains("://") || link.contains(' ') || link.contains("${{") {
                continue;
            }
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            if let Some((_, anchor)) = link.split_once('#') {
                let target = fs::read_to_string(target).unwrap();
                let anchors = target.lines().filter(|line| line.starts_with('#')).map(slug);
                let named = format!("name=\"{anchor}\"");
                assert!(
                    anchors.into_iter().any(|a| a == anchor) || target.contains(&named),
                    "{}: {link}",
                    page.display()
                );
            }
        }
    }
}

/// A heading as GitHub links to it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_two_commands_of_the_readme_name_what_is_there() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(text.contains("cargo run --release -- run .mlflow-examples/digits/.ml/workflows/digits.yml"));
    assert!(text.contains("bash tests/all"));
    assert!(root().join(".mlflow-examples/digits/.ml/workflows/digits.yml").is_file());
    assert!(root().join("tests/all").is_file());
    assert!(text.contains("docs/run.svg"));
}

/// The tables of docs/kubernetes.md against the Roles that `install --print` prints.
#[test]
fn the_rights_on_the_page_are_those_of_the_roles() {
    let text = fs::read_to_string(root().join("docs/kubernetes.md")).unwrap();
    let tables: Vec<&str> = text.split("| resources | verbs | why |").skip(1).collect();
    assert_eq!(tables.len(), 2, "of an engine outside of the cluster, then of one in it");
    for (table, whom) in tables.into_iter().zip(["runner", "engine"]) {
        assert_eq!(rights_of_table(table), rights_of_role(whom), "of --for {whom}");
    }
}

/// Verbs by resource.
type Rights = std::collections::BTreeMap<String, std::collections::BTreeSet<String>>;

fn rights_of_table(table: &str) -> Rights {
    const VERBS: [&str; 8] =
        ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let mut rights = Rights::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        let verbs = cells[2].split([' ', ';']).filter(|word| VERBS.contains(word)).map(str::to_owned);
        let verbs: Vec<String> = verbs.collect();
        assert!(!verbs.is_empty(), "{row}");
        let named = cells[1].split('`').skip(1).step_by(2);
        // A group, or the name of the only object.
        for resource in named.filter(|name| !name.contains(['.', '-'])) {
            rights.entry(resource.to_owned()).or_default().extend(verbs.iter().cloned());
        }
    }
    rights
}

fn rights_of_role(whom: &str) -> Rights {
    let args = ["install", "--for", whom, "--print", "--hub-volume", "1Gi"];
    let printed = Project::new().tidegate(args).code(0).stdout;
    let role = printed.split("---\n").find(|document| document.contains("\nkind: Role\n")).unwrap();
    let role: serde_json::Value = serde_yaml::from_str(role).unwrap();
    let texts = |list: &serde_json::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Rights::new();
    for rule in role["rules"].as_array().unwrap() {
        for resource in texts(&rule["resources"]) {
            rights.entry(resource).or_default().extend(texts(&rule["verbs"]));
        }
    }
    rights
}

#[test]
fn the_threat_model_names_tests_that_are_there() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 2);
    let mut named = 0;
    for row in rows.filter(|row| row.contains('`')) {
        let shown = row.rsplit(" | ").next().unwrap();
        for name in shown.split('`').skip(1).step_by(2) {
            named += 1;
            let places = ["tests/it", "src", "."];
            let found = places.iter().map(|place| root().join(place).join(name)).find(|path| path.exists());
            let Some(found) = found else { panic!("{name} is nowhere: {row}") };
            let tested = |file: &Path| {
                fs::read_to_string(file).is_ok_and(|text| {
                    ["#[test]", "#[tokio::test", "fuzz_target!"].iter().any(|mark| text.contains(mark))
                })
            };
            let files = if found.is_dir() { walk(&found) } else { vec![found] };
            assert!(files.iter().any(|file| tested(file)), "no test in {name}");
        }
    }
    assert!(named > 25, "the table was read: {named}");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
