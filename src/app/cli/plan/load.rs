//! A workflow file with all it calls, read, linked and checked.

use crate::app::cli::Failure;
use crate::app::config::Project;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use tidegate_lang::check::{CheckContext, LocalAction, check_one};
use tidegate_lang::source::{self, Diagnostic, FileId, MergeKeys, Sources};
use tidegate_lang::workflow::{self, Dialect, Linked, Workflow};

/// A loaded workflow.
pub(super) struct Loaded {
    pub(super) sources: Sources,
    pub(super) linked: Linked,
    /// As the project names it.
    pub(super) path: String,
    pub(super) findings: Vec<Diagnostic>,
}

/// Loads a file. A file that gives no workflow at all is an empty one with findings.
pub(super) fn load(project: &Project, file: &Path, dialect: Dialect) -> Result<Loaded, Failure> {
    let bytes = std::fs::read(file)
        .map_err(|error| Failure::wrong(format!("cannot read {}", file.display())).caused_by(&error))?;
    let path = project.relative(file);
    let reading = RefCell::new((Sources::default(), Vec::new()));
    let Some(root) = parse(&mut reading.borrow_mut(), &path, &bytes, dialect) else {
        let (sources, findings) = reading.into_inner();
        let style = source::Style { color: false, width: 100 };
        return Err(Failure::wrong(source::render(&sources, &findings, style).trim_end().to_owned()));
    };
    let loader = |called: &str| -> Option<Arc<Workflow>> {
        let bytes = std::fs::read(project.root.join(called)).ok()?;
        parse(&mut reading.borrow_mut(), called, &bytes, dialect)
    };
    let (linked, found) = workflow::link(root, &loader);
    let (sources, mut findings) = reading.into_inner();
    findings.extend(found);
    let actions = |uses: &str| action(&project.root, uses);
    let context = CheckContext { sources: &sources, actions: &actions };
    findings.extend(check_one(&linked.root, &linked.called, &context));
    findings.sort_by_key(|finding| (finding.span.file, finding.span.start));
    findings.dedup();
    Ok(Loaded { sources, linked, path, findings })
}

fn parse(
    (sources, findings): &mut (Sources, Vec<Diagnostic>),
    path: &str,
    bytes: &[u8],
    dialect: Dialect,
) -> Option<Arc<Workflow>> {
    let file = sources.add(path, String::from_utf8_lossy(bytes).as_ref());
    let text = source::decode(file, bytes).map_err(|finding| findings.push(finding)).ok()?;
    let merge = match dialect {
        Dialect::Github => MergeKeys::Keep,
        Dialect::Tidegate => MergeKeys::Apply,
    };
    let (node, found) = source::load_with(file, text, merge);
    findings.extend(found);
    let (workflow, found) = workflow::parse(&node?, text, file, dialect);
    findings.extend(found);
    Some(Arc::new(workflow))
}

/// Reads a local action.
fn action(root: &Path, uses: &str) -> LocalAction {
    let folder = root.join(uses.trim_start_matches("./"));
    let Some(file) =
        ["action.yml", "action.yaml"].iter().map(|name| folder.join(name)).find(|path| path.is_file())
    else {
        return LocalAction::Missing;
    };
    let id = FileId(u32::MAX);
    let Ok(text) = std::fs::read_to_string(file) else { return LocalAction::Unknown };
    let (Some(node), _) = source::load(id, &text) else { return LocalAction::Unknown };
    LocalAction::Found(Arc::new(workflow::parse_action(&node, &text, id).0))
}
