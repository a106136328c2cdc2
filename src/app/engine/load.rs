//! Workflow files and the files they call, read, parsed, linked and checked.

use super::EngineError;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidegate_flow::plan::absent_action;
use tidegate_lang::check::{CheckContext, LocalAction, check_one, local_actions};
use tidegate_lang::source::{self, Diagnostic, MergeKeys, Severity, Sources};
use tidegate_lang::workflow::{self, ActionFile, Dialect, Linked, Workflow};

/// A workflow with all it calls.
#[derive(Debug)]
pub struct Loaded {
    /// All texts.
    pub sources: Sources,
    /// The workflow and the called ones by path.
    pub linked: Linked,
    /// The root file's path, as the project names it.
    pub path: String,
    /// Everything that is wrong, warnings too.
    pub findings: Vec<Diagnostic>,
    /// Text of every file by path.
    pub texts: BTreeMap<String, String>,
}

impl Loaded {
    /// Returns itself if nothing is an error.
    pub fn sound(self) -> Result<Self, EngineError> {
        if self.findings.iter().any(|f| f.severity == Severity::Error) {
            return Err(EngineError::Findings {
                path: self.path,
                findings: self.findings,
                sources: self.sources,
            });
        }
        Ok(self)
    }

    /// Returns a workflow by the path its jobs name.
    pub fn workflow(&self, path: &str) -> Option<&Arc<Workflow>> {
        if path == self.path { Some(&self.linked.root) } else { self.linked.called.get(path) }
    }
}

/// What reading gathers on the way.
#[derive(Default)]
struct Reading {
    sources: Sources,
    findings: Vec<Diagnostic>,
    texts: BTreeMap<String, String>,
}

/// Loads a workflow: `path` as the project names it, `read` gives the bytes of a path of the
/// project. Local actions are looked up below `root`.
pub fn load(
    root: &Path,
    path: &str,
    dialect: Dialect,
    read: &dyn Fn(&str) -> std::io::Result<Vec<u8>>,
) -> Result<Loaded, EngineError> {
    let reading = RefCell::new(Reading::default());
    let bytes = read(path).map_err(|source| EngineError::Read { path: path.to_owned(), source })?;
    let first = parse(&mut reading.borrow_mut(), path, &bytes, dialect);
    let loader = |called: &str| -> Option<Arc<Workflow>> {
        let bytes = read(called).ok()?;
        parse(&mut reading.borrow_mut(), called, &bytes, dialect)
    };
    let Some(first) = first else {
        let Reading { sources, findings, .. } = reading.into_inner();
        return Err(EngineError::Findings { path: path.to_owned(), findings, sources });
    };
    let (linked, found) = workflow::link(first, &loader);
    let Reading { sources, mut findings, texts } = reading.into_inner();
    findings.extend(found);
    let actions = |uses: &str| load_action(root, uses);
    let context = CheckContext { sources: &sources, actions: &actions };
    findings.extend(check_one(&linked.root, &linked.called, &context));
    for called in linked.called.values() {
        findings.extend(check_one(called, &linked.called, &context));
    }
    let used = local_actions(&linked, &actions);
    let mut sources = sources;
    for (path, text) in used.iter().filter_map(|uses| action_text(root, uses)) {
        let file = sources.add(path, text.as_str());
        let (action, found) = read_action(file, &text);
        findings.extend(found);
        // What the agent would refuse only once the job has begun.
        findings.extend(action.iter().flat_map(not_there));
    }
    findings.sort_by_key(|f| (f.span.file, f.span.start, f.severity));
    Ok(Loaded { sources, linked, path: path.to_owned(), findings, texts })
}

fn parse(reading: &mut Reading, path: &str, bytes: &[u8], dialect: Dialect) -> Option<Arc<Workflow>> {
    let lossy = String::from_utf8_lossy(bytes);
    let file = reading.sources.add(path, lossy.as_ref());
    let text = match source::decode(file, bytes) {
        Ok(text) => text,
        Err(finding) => {
            reading.findings.push(finding);
            return None;
        }
    };
    reading.texts.insert(path.to_owned(), text.to_owned());
    let (node, found) = match dialect {
        Dialect::Github => source::load_with(file, text, MergeKeys::Keep),
        Dialect::Tidegate => source::load(file, text),
    };
    reading.findings.extend(found);
    let (workflow, found) = workflow::parse(&node?, text, file, dialect);
    reading.findings.extend(found);
    Some(Arc::new(workflow))
}

/// What the steps of a local action ask for in vain.
pub fn not_there(action: &ActionFile) -> Vec<Diagnostic> {
    absent_action(action).into_iter().map(|part| part.finding(action.using.span)).collect()
}

/// Reads the local action that a `uses` names.
pub fn load_action(root: &Path, uses: &str) -> LocalAction {
    let folder = root.join(uses.trim_start_matches("./"));
    if !ACTION_FILES.iter().any(|name| folder.join(name).is_file()) {
        return LocalAction::Missing;
    }
    let action = action_text(root, uses).and_then(|(_, text)| read_action(source::FileId(u32::MAX), &text).0);
    action.map_or(LocalAction::Unknown, |action| LocalAction::Found(Arc::new(action)))
}

const ACTION_FILES: [&str; 2] = ["action.yml", "action.yaml"];

/// The file of a local action as the project names it, and its text.
fn action_text(root: &Path, uses: &str) -> Option<(String, String)> {
    let folder = uses.trim_start_matches("./").trim_end_matches('/');
    let paths = ACTION_FILES.iter().map(|name| Path::new(folder).join(name));
    let path = paths.into_iter().find(|path| root.join(path).is_file())?;
    let text = std::fs::read_to_string(root.join(&path)).ok()?;
    Some((path.to_string_lossy().into_owned(), text))
}

fn read_action(file: source::FileId, text: &str) -> (Option<ActionFile>, Vec<Diagnostic>) {
    let (node, mut findings) = source::load(file, text);
    let action = node.map(|node| {
        let (action, more) = workflow::parse_action(&node, text, file);
        findings.extend(more);
        action
    });
    (action, findings)
}
