//! GitHub's own verdicts on files: accept or reject, the first error's line, jobs and steps.

use crate::conformance_expressions::conformance;
use crate::harness::Project;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tidegate_lang::source::{Diagnostic, MergeKeys, Severity, Sources, in_order, load_with};
use tidegate_lang::workflow::{Dialect, Grants, JobKind, LinkRules, Workflow, link_with, parse};

/// Reads and parses one text; the workflow, and line and message of each error in order.
fn read(path: &str, text: &str) -> (Option<Workflow>, Vec<(usize, String)>) {
    read_into(&mut Sources::default(), path, text)
}

fn read_into(sources: &mut Sources, path: &str, text: &str) -> (Option<Workflow>, Vec<(usize, String)>) {
    let file = sources.add(path, text);
    let (node, mut findings) = load_with(file, text, MergeKeys::Keep);
    let workflow = node.map(|node| {
        let (workflow, more) = parse(&node, text, file, Dialect::Github);
        findings.extend(more);
        workflow
    });
    (workflow, errors_of(sources, &findings))
}

fn errors_of(sources: &Sources, findings: &[Diagnostic]) -> Vec<(usize, String)> {
    let mut findings = findings.to_vec();
    in_order(&mut findings);
    findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(|f| (sources.line_column(f.span.file, f.span.start).0, f.message.clone()))
        .collect()
}

/// A case's options that are settings of a repository.
fn rules_of(options: &str) -> LinkRules {
    let mut rules = LinkRules::default();
    for line in options.lines() {
        match line.split_once(": ") {
            Some(("permissions-policy", "LimitedRead")) => rules.default_grants = Some(Grants::restricted()),
            Some(("permissions-policy", "Write")) => rules.default_grants = Some(Grants::permissive()),
            Some(("max-nested-reusable-workflows-depth", n)) => {
                rules.depth = n.trim().parse::<usize>().unwrap() + 1;
            }
            _ => {}
        }
    }
    rules
}

/// Links a root workflow with the files of its case, as `check` does.
fn linked(
    root: &str,
    text: &str,
    others: &BTreeMap<String, String>,
    rules: LinkRules,
) -> Vec<(usize, String)> {
    let mut sources = Sources::default();
    let (workflow, errors) = read_into(&mut sources, root, text);
    let Some(workflow) = workflow.filter(|_| errors.is_empty()) else { return errors };
    let sources = RefCell::new(sources);
    let mut first = Vec::new();
    let called = RefCell::new(&mut first);
    let load = |path: &str| {
        let text = others.get(path)?;
        let (workflow, errors) = read_into(&mut sources.borrow_mut(), path, text);
        called.borrow_mut().extend(errors);
        workflow.map(Arc::new)
    };
    let (_, findings) = link_with(Arc::new(workflow), &load, rules);
    let mut errors = errors_of(&sources.borrow(), &findings);
    errors.extend(first);
    errors
}

fn line_of(message: &str) -> Option<usize> {
    message.split("(Line: ").nth(1)?.split(',').next()?.parse().ok()
}

#[test]
fn parser_cases() {
    let dir = conformance("actions+languageservices/workflow-parser/testdata/reader");
    let (mut right, mut total, mut lines, mut rejected) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let parts: Vec<&str> = text.split("\n---\n").collect();
        let name = format!(".github/workflows/{}", path.file_name().unwrap().to_str().unwrap());
        // Options, workflow, then names and contents of called workflows in turn, expected JSON.
        let (Some(workflow), Some(expected)) = (parts.get(1), parts.last()) else { continue };
        let Ok(expected) = serde_json::from_str::<Value>(expected) else { continue };
        // Limits that a host lowers for one case have no meaning in a command line.
        if parts[0].contains("max-file-size:") || parts[0].contains("max-result-size:") {
            continue;
        }
        let others: BTreeMap<String, String> = parts[2..parts.len() - 1]
            .chunks_exact(2)
            .map(|pair| (pair[0].trim().trim_start_matches("./").to_owned(), pair[1].to_owned()))
            .collect();
        let errors = linked(&name, workflow, &others, rules_of(parts.first().unwrap_or(&"")));
        let messages: Vec<&str> = expected["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|e| e["Message"].as_str())
            .collect();
        total += 1;
        if messages.is_empty() == errors.is_empty() {
            right += 1;
        } else {
            wrong.push(format!("{name}: GitHub {messages:?}, here {errors:?}"));
        }
        if let Some(line) = messages.first().and_then(|m| line_of(m)) {
            rejected += 1;
            if errors.first().is_some_and(|(l, _)| *l == line) {
                lines += 1;
            } else {
                wrong.push(format!("{name}: line {line} ({}), here {:?}", messages[0], errors.first()));
            }
        }
    }
    println!(
        "parser cases: {right} of {total} accepted or rejected alike; first line right in {lines} of {rejected}"
    );
    println!("{}", wrong.join("\n"));
    assert!(total > 100 && right * 100 >= total * 97, "{}", wrong.join("\n"));
    assert!(lines * 100 >= rejected * 90, "{}", wrong.join("\n"));
}

#[test]
fn verdicts_of_githubs_parser() {
    let root = conformance("VERDICTS.jsonl");
    let dir = root.parent().unwrap().to_owned();
    let (mut right, mut total, mut lines, mut rejected) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    let verdicts: Vec<Value> = fs::read_to_string(&root)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|v: &Value| dir.join(v["path"].as_str().unwrap()).is_file())
        .collect();
    let mut checked = checked(&dir, &verdicts);
    for verdict in &verdicts {
        let path = verdict["path"].as_str().unwrap();
        let text = fs::read_to_string(dir.join(path)).unwrap();
        total += 1;
        let (workflow, _) = read(path, &text);
        let errors = checked.remove(path).unwrap_or_default();
        let rejects = verdict["parser_rejects"].as_bool().unwrap();
        let same =
            rejects != errors.is_empty() && (rejects || same_jobs(workflow.as_ref(), &verdict["jobs"]));
        if same {
            right += 1;
        } else {
            wrong.push(format!("{path}: rejects={rejects} {} / {:?}", verdict["errors"], errors.first()));
        }
        let first = verdict["errors"].as_array().into_iter().flatten().find_map(|e| {
            line_of(e.as_str().or_else(|| e["Message"].as_str()).or_else(|| e["message"].as_str())?)
        });
        if let Some(line) = first.filter(|_| rejects) {
            rejected += 1;
            let same = errors.first().is_some_and(|(l, _)| *l == line);
            lines += usize::from(same);
            if !same {
                wrong.push(format!("{path}: line {line} ({}), here {:?}", verdict["errors"], errors.first()));
            }
        }
    }
    println!("verdicts: {right} of {total} files alike; first line right in {lines} of {rejected}");
    println!("{}", wrong.join("\n"));
    assert!(total > 100 && right * 100 >= total * 97, "{}", wrong.join("\n"));
    assert!(lines * 100 >= rejected * 90, "{}", wrong.join("\n"));
}

/// What `tidegate check` says of each file: line and message of each error, in its order.
fn checked(dir: &Path, verdicts: &[Value]) -> BTreeMap<String, Vec<(usize, String)>> {
    let paths = verdicts.iter().map(|v| v["path"].as_str().unwrap().to_owned());
    let words = ["check", "--dialect", "github", "--format", "json", "-C", dir.to_str().unwrap()];
    let done = Project::new().tidegate(words.into_iter().map(str::to_owned).chain(paths));
    let answer: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {}", done.stderr));
    let mut found: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    for finding in answer["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == "error") {
        let line = usize::try_from(finding["line"].as_u64().unwrap()).unwrap();
        let message = finding["message"].as_str().unwrap().to_owned();
        found.entry(finding["path"].as_str().unwrap().to_owned()).or_default().push((line, message));
    }
    found
}

/// Ids, needs and step counts as GitHub's parser lists them.
fn same_jobs(workflow: Option<&Workflow>, listed: &Value) -> bool {
    let Some(workflow) = workflow else { return false };
    let listed = listed.as_array().map_or(&[][..], Vec::as_slice);
    listed.len() == workflow.jobs.len()
        && listed.iter().zip(&workflow.jobs).all(|(listed, job)| {
            let needs: Vec<&str> =
                listed["needs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let steps = match &job.kind {
                JobKind::Steps(steps) => steps.len(),
                JobKind::Call(_) => 0,
            };
            listed["id"] == job.id.value.as_str()
                && needs == job.needs.iter().map(|n| n.value.as_str()).collect::<Vec<_>>()
                && listed["steps"].as_u64() == u64::try_from(steps).ok()
        })
}

#[test]
fn schemastore_files_are_read() {
    let dir = conformance("SchemaStore+schemastore");
    assert!(walk(&dir) > 0, "no files below {}", dir.display());
}

/// Reads every file below a folder: none may panic, whatever it holds.
fn walk(dir: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += walk(&path);
        } else if let Ok(text) = fs::read_to_string(&path) {
            count += 1;
            let _ = read(&path.display().to_string(), &text);
        }
    }
    count
}
