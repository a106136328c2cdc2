//! Every rule has a section in `docs/rules.md`, and every example there is true.
//!
//! With `TIDEGATE_BLESS=1` the shown output is rewritten instead of compared.

use crate::harness::Project;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One section of the page.
#[derive(Default)]
struct Section {
    id: String,
    /// Where the example lies.
    path: String,
    /// Other files it needs.
    files: Vec<(String, String)>,
    bad: String,
    output: String,
    good: String,
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md")
}

fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut lines = text.lines();
    let mut with: Option<String> = None;
    while let Some(line) = lines.next() {
        if let Some(id) = line.strip_prefix("## ") {
            let path = ".ml/workflows/example.yml".to_owned();
            sections.push(Section { id: id.to_owned(), path, ..Section::default() });
            continue;
        }
        let Some(section) = sections.last_mut() else { continue };
        if let Some(rest) = line.strip_prefix("With `") {
            with = rest.split('`').next().map(str::to_owned);
        } else if line.starts_with('`') && line.ends_with("`:") {
            section.path = String::from(line.trim_matches(|c| "`:".contains(c)));
        } else if let Some(kind) = line.strip_prefix("```") {
            let mut block = String::new();
            for line in lines.by_ref().take_while(|l| *l != "```") {
                let _ = writeln!(block, "{line}");
            }
            match kind {
                "yaml" => section.files.push((with.take().expect("a file needs its name"), block)),
                "yaml bad" => section.bad = block,
                "yaml good" => section.good = block,
                "text" => section.output = block,
                other => panic!("{}: a block of {other:?}", section.id),
            }
        }
    }
    sections
}

fn check(section: &Section, example: &str) -> String {
    let mut project = Project::new();
    for (path, text) in &section.files {
        project = project.file(path, text);
    }
    let done = project.file(&section.path, example).tidegate(["check", &section.path]);
    assert!(matches!(done.code, Some(0 | 2)), "{}: {}", section.id, done.stderr);
    done.stdout
}

#[test]
fn the_examples_are_true() {
    let mut text = std::fs::read_to_string(page()).unwrap();
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    let mut wrong = String::new();
    for section in sections(&text) {
        let found = check(&section, &section.bad);
        let name = format!("[{}]", section.id);
        if !found.contains(&name) {
            let _ = writeln!(wrong, "## {}: the example shows another finding:\n{found}", section.id);
        } else if found != section.output && bless {
            text = text.replacen(&section.output, &found, 1);
        } else if found != section.output {
            let _ = writeln!(wrong, "## {}: expected\n{}found\n{found}", section.id, section.output);
        }
        let mended = check(&section, &section.good);
        if !mended.starts_with("nothing wrong") {
            let _ = writeln!(wrong, "## {}: the mended file is not:\n{mended}", section.id);
        }
    }
    if bless {
        std::fs::write(page(), text).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_rule_has_a_section_and_every_section_a_rule() {
    let text = std::fs::read_to_string(page()).unwrap();
    let described: BTreeSet<String> = sections(&text).into_iter().map(|s| s.id).collect();
    let introduction = text.split("\n## ").next().unwrap_or_default().to_owned();
    let mut rules: BTreeSet<String> = tidegate_lang::check::RULES.iter().map(|r| r.id.to_owned()).collect();
    ids_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lang/source"), &mut rules);
    ids_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lang/workflow"), &mut rules);
    rules.insert("file".to_owned());
    let missing: Vec<&String> = rules
        .iter()
        .filter(|id| !described.contains(*id) && !introduction.contains(&format!("`{id}`")))
        .collect();
    assert!(missing.is_empty(), "rules without a section in docs/rules.md: {missing:?}");
    let stale: Vec<&String> = described.iter().filter(|id| !rules.contains(*id)).collect();
    assert!(stale.is_empty(), "sections of docs/rules.md without a rule: {stale:?}");
}

#[test]
fn the_file_of_a_rule_is_its_id() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lang/check/rules");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().replace('_', "-"))
        .filter(|name| name != "mod")
        .collect();
    let rules: BTreeSet<String> = tidegate_lang::check::RULES.iter().map(|r| r.id.to_owned()).collect();
    assert_eq!(files, rules);
}

/// Collects the ids with which a room's code makes findings: the first text behind `error(` and
/// `warning(`, and constants of ids.
fn ids_in(folder: &Path, ids: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            ids_in(&path, ids);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let constants = code.split("pub(super) const ").skip(1).filter_map(|c| c.split_once(": &str = "));
            for rest in constants.map(|(_, v)| v) {
                ids.extend(quoted(rest));
            }
            // A rule chosen by what is wrong: `let rule = match … { … => "id", … };`
            for block in code.split("let rule = ").skip(1) {
                let block = block.split("};").next().unwrap_or_default();
                ids.extend(block.split("=> ").filter_map(quoted));
            }
            for mark in ["error(", "warning(", "report(", "meaning("] {
                for rest in code.split(mark).skip(1) {
                    ids.extend(quoted(rest));
                }
            }
        }
    }
}

/// The text in quotes with which something begins, if it looks like an id.
fn quoted(text: &str) -> Option<String> {
    let id = text.trim_start().strip_prefix('"')?.split('"').next()?;
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    plain.then(|| id.to_owned())
}
