//! The data sources of a workflow as they are now. `plan` and `run` ask here, so that they cannot differ;
//! a plan keeps nothing of what it reads.

use super::EngineError;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_edge::data::{DataError, Keep, Wanted, pin};
use tidegate_edge::store::{RunLog as _, Store};
use tidegate_flow::job::ArtifactRef;
use tidegate_flow::plan::Contexts;
use tidegate_flow::run::EventKind;
use tidegate_lang::source::Spanned;
use tidegate_lang::workflow::{DataSource, Workflow};

/// Rows of the list that are looked through for an earlier run of the workflow.
const ROWS: usize = 10_000;

/// Where sources are looked for, and what becomes of them.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The project's folder.
    pub root: &'a Path,
    /// `--data`: paths in place of what the workflow says.
    pub instead: &'a BTreeMap<String, PathBuf>,
    /// What is kept.
    pub keep: Keep<'a>,
    /// The run that is run again, by ULID: what it pinned is what its rerun sees.
    pub again: Option<&'a str>,
    /// What that run pinned, where its log is elsewhere: so is what it pinned.
    pub pinned: Option<&'a Json>,
}

/// One source.
#[derive(Clone, Debug)]
pub struct Source {
    /// As the workflow calls it.
    pub name: String,
    /// Where it was looked for.
    pub uri: String,
    /// What is there, or why it cannot be read.
    pub found: Result<Found, String>,
}

/// What is in a source.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its content; its digest is the version.
    pub artifact: ArtifactRef,
    /// Paths that are new, gone and different since the last run of the workflow.
    pub since: [Vec<String>; 3],
}

/// Looks at every source of a workflow; `path` is the workflow's file in the project.
///
/// # Errors
/// Those of the store only: what is wrong with a source is said of it.
pub fn find(
    workflow: &Workflow,
    path: &str,
    contexts: &Contexts,
    store: &Store,
    place: &Place<'_>,
) -> Result<Vec<Source>, EngineError> {
    if workflow.data.is_empty() {
        return Ok(Vec::new());
    }
    let before = before(path, store)?;
    let again = match (place.pinned, place.again) {
        (Some(pinned), _) => pinned.clone(),
        (None, Some(run)) => pinned_by(run, store)?,
        (None, None) => Json::Null,
    };
    let mut sources = Vec::with_capacity(workflow.data.len());
    for source in &workflow.data {
        let earlier = again.get(&source.name.value);
        sources.push(match earlier.and_then(|earlier| taken_over(source, earlier, store, place)) {
            Some(taken) => taken,
            None => {
                let instead = earlier.and_then(|earlier| earlier["uri"].as_str());
                one(source, instead, &before, contexts, store, place)?
            }
        });
    }
    Ok(sources)
}

/// What an earlier run pinned, where all of it is still in the store, or elsewhere.
fn taken_over(source: &DataSource, earlier: &Json, store: &Store, place: &Place<'_>) -> Option<Source> {
    let artifact: ArtifactRef = serde_json::from_value(earlier.clone()).ok()?;
    if place.pinned.is_none() && !store.objects().claim(&artifact).ok()? {
        return None;
    }
    let paths = |key: &str| serde_json::from_value(earlier[key].clone()).unwrap_or_default();
    Some(Source {
        name: source.name.value.clone(),
        uri: earlier["uri"].as_str().unwrap_or_default().to_owned(),
        found: Ok(Found { artifact, since: [paths("added"), paths("removed"), paths("changed")] }),
    })
}

fn one(
    source: &DataSource,
    instead: Option<&str>,
    before: &Json,
    contexts: &Contexts,
    store: &Store,
    place: &Place<'_>,
) -> Result<Source, EngineError> {
    let name = source.name.value.clone();
    let uri = match (place.instead.get(&name), instead) {
        (Some(path), _) => {
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned()
        }
        (None, Some(uri)) => uri.to_owned(),
        (None, None) => match source.uri.evaluate(contexts) {
            Ok(value) => value.to_text().to_string(),
            Err(error) => {
                let uri = source.uri.raw.to_string();
                return Ok(Source { name, uri, found: Err(error.to_string()) });
            }
        },
    };
    let texts = |globs: &[Spanned<String>]| globs.iter().map(|glob| glob.value.clone()).collect();
    let wanted =
        Wanted { uri: uri.clone(), include: texts(&source.include), exclude: texts(&source.exclude) };
    let found = match pin(&wanted, place.root, place.keep) {
        Ok(pinned) => {
            let earlier = before.pointer(&format!("/{name}/digest")).and_then(Json::as_str);
            let since = pinned.since(earlier.unwrap_or_default(), &store.file_objects());
            Ok(Found { artifact: pinned.artifact, since })
        }
        Err(DataError::Store(error)) => return Err(error.into()),
        Err(error) => Err(error.to_string()),
    };
    Ok(Source { name, uri, found })
}

/// The sources as the last run of this workflow pinned them: `added`, `changed` and `removed` are
/// counted from there.
fn before(path: &str, store: &Store) -> Result<Json, EngineError> {
    let Some(row) = store.list(ROWS)?.into_iter().find(|row| row.workflow == path) else {
        return Ok(Json::Null);
    };
    pinned_by(&row.run, store)
}

/// The context `data` of a run.
fn pinned_by(run: &str, store: &Store) -> Result<Json, EngineError> {
    Ok(match store.first_event(run)?.kind {
        EventKind::RunCreated(created) => created.contexts.get("data").cloned().unwrap_or_default(),
        _ => Json::Null,
    })
}

/// The context `data`; a source that cannot be read is null.
pub fn context(sources: &[Source]) -> Json {
    let value = |source: &Source| {
        let Ok(Found { artifact, since: [added, removed, changed] }) = &source.found else {
            return Json::Null;
        };
        json!({
            "uri": source.uri,
            "version": artifact.digest,
            "digest": artifact.digest,
            "size": artifact.size,
            "files": artifact.files,
            "tree": artifact.tree,
            "added": added,
            "changed": changed,
            "removed": removed,
        })
    };
    Json::Object(sources.iter().map(|source| (source.name.clone(), value(source))).collect())
}
