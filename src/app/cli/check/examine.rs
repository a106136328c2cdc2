//! Reads and checks the files, on a few threads.

use super::inputs::{Input, shown};
use crate::app::config::{Project, dialect_of};
use crate::app::engine::not_there;
use crate::app::report::check::CheckedFile;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tidegate_flow::plan::{Place, absent, absent_triggers};
use tidegate_lang::check::{CheckContext, LocalAction, check_one, local_actions, mend};
use tidegate_lang::source::{
    Diagnostic, FileId, MergeKeys, Node, Sources, Span, decode, in_order, load_with,
};
use tidegate_lang::workflow::{ActionFile, Dialect, Job, Workflow, link, parse, parse_action};

/// What is found in any order, shared between threads.
#[derive(Default)]
struct Shared {
    /// The project's folder of each folder that holds workflow files.
    roots: Mutex<HashMap<PathBuf, PathBuf>>,
    /// Local actions by the path of their folder.
    actions: Mutex<HashMap<PathBuf, Known>>,
}

/// A local action, and its file where something is wrong with it or not there yet.
#[derive(Clone)]
struct Known {
    action: LocalAction,
    broken: Option<Arc<(PathBuf, String)>>,
}

/// Checks all files; the answers stand in the order of the inputs.
pub(super) fn examine(inputs: &[Input], dialect: Option<Dialect>, place: Option<Place>) -> Vec<CheckedFile> {
    let shared = Shared::default();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, input)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            inputs.get(index).map(|input| (index, input))
        } {
            done.push((index, one(input, dialect, place, &shared)));
        }
        done
    };
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(inputs.len() / 8 + 1).min(8);
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().unwrap_or_default());
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    let mut files: Vec<CheckedFile> = all.into_iter().map(|(_, file)| file).collect();
    once(&mut files);
    files
}

/// A called workflow that is checked itself says its findings there, and one that several files
/// call says them once.
fn once(files: &mut [CheckedFile]) {
    let mut seen: HashSet<(String, Span, &'static str, String)> = HashSet::new();
    let own: HashSet<String> = files.iter().map(|f| f.path.clone()).collect();
    for file in files {
        let path =
            |d: &Diagnostic| file.sources.get(d.span.file).map(|s| s.path.to_string()).unwrap_or_default();
        let mut kept = Vec::new();
        for finding in std::mem::take(&mut file.findings) {
            let path = path(&finding);
            if path != file.path {
                let span = Span { file: FileId(0), ..finding.span };
                if own.contains(&path) || !seen.insert((path, span, finding.rule, finding.message.clone())) {
                    continue;
                }
            }
            kept.push(finding);
        }
        file.findings = kept;
    }
}

fn one(input: &Input, dialect: Option<Dialect>, place: Option<Place>, shared: &Shared) -> CheckedFile {
    let path = shown(&input.path);
    let mut sources = Sources::default();
    let bytes = match read(input, shared) {
        Ok(bytes) => bytes,
        Err(message) => {
            let file = sources.add(path.clone(), "");
            let span = Span { file, start: 0, end: 0 };
            return CheckedFile { path, sources, findings: vec![Diagnostic::error("file", span, message)] };
        }
    };
    let dialect = dialect.unwrap_or_else(|| dialect_of(&input.path));
    let text = match decode(FileId(0), &bytes) {
        Ok(text) => text,
        Err(finding) => {
            sources.add(path.clone(), String::from_utf8_lossy(&bytes).into_owned());
            return CheckedFile { path, sources, findings: vec![finding] };
        }
    };
    let file = sources.add(path.clone(), text);
    let (root, mut findings) = workflow(file, text, dialect);
    if let Some(root) = root {
        let project = shared.root(&input.path);
        let cell = std::cell::RefCell::new((sources, Vec::new()));
        let (linked, more) = link(Arc::new(root), &|called| {
            let (sources, found) = &mut *cell.borrow_mut();
            called_workflow(&project, called, dialect, sources, found)
        });
        let (with_called, of_called) = cell.into_inner();
        sources = with_called;
        findings.extend(more);
        findings.extend(of_called);
        let context = CheckContext { sources: &sources, actions: &|uses| shared.action(&project, uses) };
        findings.extend(check_one(&linked.root, &linked.called, &context));
        let broken = local_actions(&linked, &|uses| shared.action(&project, uses));
        for (path, text) in
            broken.iter().filter_map(|uses| shared.known(&project, uses).broken).map(|b| (*b).clone())
        {
            let here = std::env::current_dir().unwrap_or_default();
            let file = sources.add(shown(path.strip_prefix(here).unwrap_or(&path)), text.as_str());
            let (action, found) = read_action(file, &text);
            findings.extend(found);
            findings.extend(action.iter().filter(|_| place.is_some()).flat_map(not_there));
        }
        findings.extend(place.into_iter().flat_map(|place| back_end(&linked.root, place)));
    }
    mend(&mut findings, &sources);
    in_order(&mut findings);
    findings.dedup();
    CheckedFile { path, sources, findings }
}

/// What the back end that jobs are meant for does not do, or none does yet: `plan` and `run` say the same.
fn back_end(workflow: &Workflow, place: Place) -> Vec<Diagnostic> {
    let of_job = |job: &Job| {
        let parts = absent(workflow, job, place).into_iter();
        parts.map(|part| part.finding(job.id.span)).collect::<Vec<_>>()
    };
    let triggers = absent_triggers(workflow)
        .into_iter()
        .map(|part| part.finding(Span { file: workflow.file, start: 0, end: 0 }));
    triggers.chain(workflow.jobs.iter().flat_map(of_job)).collect()
}

fn workflow(file: FileId, text: &str, dialect: Dialect) -> (Option<Workflow>, Vec<Diagnostic>) {
    let (node, mut findings) = tree(file, text, dialect);
    let workflow = node.map(|node| {
        let (workflow, more) = parse(&node, text, file, dialect);
        findings.extend(more);
        workflow
    });
    (workflow, findings)
}

fn tree(file: FileId, text: &str, dialect: Dialect) -> (Option<Node>, Vec<Diagnostic>) {
    let merge = match dialect {
        Dialect::Github => MergeKeys::Keep,
        Dialect::Tidegate => MergeKeys::Apply,
    };
    load_with(file, text, merge)
}

fn called_workflow(
    project: &Path,
    called: &str,
    dialect: Dialect,
    sources: &mut Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Arc<Workflow>> {
    let path = inside(project, called)?;
    let text = String::from_utf8(std::fs::read(&path).ok()?).ok()?;
    let here = std::env::current_dir().unwrap_or_default();
    let name = shown(path.strip_prefix(here).unwrap_or(&path));
    let file = sources.add(name, text.as_str());
    let (workflow, findings) = workflow(file, &text, dialect);
    found.extend(findings);
    workflow.map(Arc::new)
}

/// Returns the real path of a file of the project; `None` if it is not there or leads out.
fn inside(project: &Path, relative: &str) -> Option<PathBuf> {
    let real = project.join(relative).canonicalize().ok()?;
    real.starts_with(project.canonicalize().ok()?).then(|| project.join(relative))
}

fn read(input: &Input, shared: &Shared) -> Result<Vec<u8>, String> {
    // What a folder holds may lead anywhere; what a person names is their choice.
    if !input.named && std::fs::symlink_metadata(&input.path).is_ok_and(|m| m.is_symlink()) {
        let real = input.path.canonicalize().map_err(|e| format!("the link leads nowhere: {e}"))?;
        let project = shared.root(&input.path);
        if !project.canonicalize().is_ok_and(|p| real.starts_with(p)) {
            return Err("this is a link out of the project, so it is not read".to_owned());
        }
    }
    let kind = std::fs::metadata(&input.path).map_err(|e| format!("cannot be read: {e}"))?;
    if !kind.is_file() {
        return Err("this is no file".to_owned());
    }
    std::fs::read(&input.path).map_err(|e| format!("cannot be read: {e}"))
}

impl Shared {
    /// Finds the project's folder of a workflow file.
    fn root(&self, file: &Path) -> PathBuf {
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        if let Some(known) = self.roots.lock().ok().and_then(|r| r.get(&folder).cloned()) {
            return known;
        }
        let root = Project::of_file(file, None).map_or_else(|_| folder.clone(), |p| p.root);
        if let Ok(mut roots) = self.roots.lock() {
            roots.insert(folder, root.clone());
        }
        root
    }

    fn action(&self, project: &Path, uses: &str) -> LocalAction {
        self.known(project, uses).action
    }

    /// Finds and parses a local action.
    fn known(&self, project: &Path, uses: &str) -> Known {
        let folder = project.join(uses.trim_start_matches("./"));
        if let Some(known) = self.actions.lock().ok().and_then(|a| a.get(&folder).cloned()) {
            return known;
        }
        let action = find_action(project, &folder);
        if let Ok(mut actions) = self.actions.lock() {
            actions.insert(folder, action.clone());
        }
        action
    }
}

fn find_action(project: &Path, folder: &Path) -> Known {
    let unknown = Known { action: LocalAction::Unknown, broken: None };
    let Ok(project) = project.canonicalize() else { return unknown };
    for name in ["action.yml", "action.yaml"] {
        let path = folder.join(name);
        let Ok(real) = path.canonicalize() else { continue };
        if !real.starts_with(&project) {
            return unknown;
        }
        let Ok(text) = std::fs::read_to_string(&real) else { return unknown };
        let (action, findings) = read_action(FileId(u32::MAX), &text);
        let whole = findings.is_empty() && action.as_ref().is_none_or(|action| not_there(action).is_empty());
        let broken = (!whole).then(|| Arc::new((path, text)));
        let action = action.map_or(LocalAction::Unknown, |action| LocalAction::Found(Arc::new(action)));
        return Known { action, broken };
    }
    // A workflow file that stands alone shows nothing of its repository.
    let shows = project.join(".git").exists() || project.join(".ml").is_dir();
    Known { action: if shows { LocalAction::Missing } else { LocalAction::Unknown }, broken: None }
}

fn read_action(file: FileId, text: &str) -> (Option<ActionFile>, Vec<Diagnostic>) {
    let (node, mut findings) = load_with(file, text, MergeKeys::Keep);
    let action = node.map(|node| {
        let (action, more) = parse_action(&node, text, file);
        findings.extend(more);
        action
    });
    (action, findings)
}
