//! A run that is made here and carried out by an engine elsewhere: made, and taken in there.
//!
//! Not here: how it travels (`edge::executor::kubernetes`).

use super::evaluate::Only;
use super::start::created;
use super::{BackEnd, ClusterSettings, EngineError, Observer, RunRequest, clock, load};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use tidegate_edge::git::Snapshot;
use tidegate_edge::store::{OwnedRun, RunLog as _, Store, StoreError, stays_below, store_id};
use tidegate_flow::job::ArtifactRef;
use tidegate_flow::plan;
use tidegate_flow::run::{EventKind, RunCreated, RunEvent, SEMANTICS};
use tidegate_flow::wire::v1::{Submission, SubmittedPods};
use tidegate_lang::workflow::Dialect;

/// A run to hand over, and what has to travel beside it.
pub struct Submitted {
    /// The run.
    pub submission: Submission,
    /// What it works with: its tree first, then its data.
    pub artifacts: Vec<ArtifactRef>,
    /// Where their content is.
    pub store: Store,
}

/// Makes a run for an engine elsewhere: checked, its event decided on, its tree and data kept here.
pub fn submit(
    request: &RunRequest,
    pods: &ClusterSettings,
    pods_at_once: Option<u32>,
    observer: &mut dyn Observer,
) -> Result<Submitted, EngineError> {
    let (root, path) = (&request.project.root, request.project.relative(&request.file));
    let loaded = load(root, &path, request.dialect, &|path| std::fs::read(root.join(path)))?.sound()?;
    Only::new(&loaded.linked.root, &request.jobs, request.matrix.clone())?;
    let mut store = Store::open(&request.project.store)?;
    store.settle()?;
    let at = clock::now();
    // The engine is in the cluster: how one gets there from here is nothing to it.
    let there =
        BackEnd::Kubernetes(ClusterSettings { image: pods.image.clone(), ..ClusterSettings::default() });
    let (mut created, tree) = created(request, &loaded, &store, clock::ulid(at), &there, observer)?;
    created.project = project_of(&tree, &store_id(store.dir())?);
    let tree = ArtifactRef { digest: created.source.tree.clone(), tree: true, ..ArtifactRef::default() };
    let data = created.contexts.get("data").and_then(Json::as_object).into_iter().flatten();
    let data = data.filter_map(|(_, source)| serde_json::from_value::<ArtifactRef>(source.clone()).ok());
    Ok(Submitted {
        artifacts: std::iter::once(tree).chain(data).collect(),
        submission: Submission {
            tidegate: env!("CARGO_PKG_VERSION").to_owned(),
            at,
            created,
            texts: loaded.texts,
            pods_at_once,
            pods: submitted(pods),
        },
        store,
    })
}

/// What a project is called in a store of several: its repository and, in that, its folder. Without a repository that other
/// machines know by a name it is only itself.
fn project_of(tree: &Snapshot, store: &str) -> String {
    let (remote, folder) = (&tree.facts.remote, &tree.source.project);
    if remote.is_empty() {
        return format!("store:{store}");
    }
    if folder.is_empty() { remote.clone() } else { format!("{remote}//{folder}") }
}

fn submitted(pods: &ClusterSettings) -> SubmittedPods {
    SubmittedPods {
        image: pods.image.clone(),
        image_patience: pods.image_patience.as_secs_f64(),
        node_patience: pods.node_patience.as_secs_f64(),
        pending_timeout: pods.pending_timeout.map(|time| time.as_secs_f64()),
        orphan_after: pods.orphan_after.as_secs_f64(),
        pull_secrets: pods.pull_secrets.clone(),
        spot: json!({ "labels": pods.spot.labels, "taints": pods.spot.taints }),
    }
}

/// Why a run that was handed over is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not what a Tidegate of this release hands over.
    #[error("{0}")]
    Wrong(String),
    /// The store said no: it may be asked again.
    #[error("the store cannot go on")]
    Store(#[from] StoreError),
}

/// Takes a run in: its log begins. `root` is the project's folder in its tree.
pub fn accept(store: &mut Store, root: &Path, submission: &Submission) -> Result<OwnedRun, Refused> {
    let wrong = |reason: &str| Refused::Wrong(reason.to_owned());
    let created = &submission.created;
    if created.semantics != SEMANTICS {
        return Err(Refused::Wrong(format!(
            "it comes from tidegate {}, which runs workflows differently from the engine's {}; `tidegate install` renews the engine",
            submission.tidegate,
            env!("CARGO_PKG_VERSION")
        )));
    }
    if !is_ulid(&created.run) {
        return Err(wrong("its id is not a ULID"));
    }
    if !stays_below(Path::new(&created.source.project)) || created.source.in_place.is_some() {
        return Err(wrong("its tree is not one that travels"));
    }
    if created.options.get("on").and_then(Json::as_str) != Some("kubernetes") {
        return Err(wrong("it is not for a cluster"));
    }
    is_its_own(store, created)?;
    jobs_fit(root, submission)?;
    for (path, text) in &submission.texts {
        let digest = store.objects().put(text.as_bytes())?;
        if created.texts.get(path) != Some(&digest) {
            return Err(Refused::Wrong(format!("{path} has another digest than it says")));
        }
    }
    let first = RunEvent { at: submission.at, kind: EventKind::RunCreated(Arc::new(created.clone())) };
    Ok(store.create(&first)?)
}

/// Longest name of a project, in bytes.
const PROJECT_LIMIT: usize = 1024;

/// It is called as a project can be, and runs nothing of another project again: that one's results would count as its own.
fn is_its_own(store: &Store, created: &RunCreated) -> Result<(), Refused> {
    let project = &created.project;
    if project.len() > PROJECT_LIMIT || project.chars().any(char::is_control) {
        return Err(Refused::Wrong("its project's name is not one".to_owned()));
    }
    let Some(before) = &created.rerun_of else { return Ok(()) };
    let first = match store.first_event(before) {
        Ok(event) => Some(event.kind),
        Err(StoreError::NoSuchRun(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(EventKind::RunCreated(before)) = first else {
        return Err(Refused::Wrong(format!(
            "the run that it runs again, {before}, is not in the engine's store"
        )));
    };
    // Releases before this one did not say whose run it is.
    if before.project.is_empty() || before.project == *project {
        return Ok(());
    }
    let this = match project.as_str() {
        "" => "a tidegate of an older release, which does not say whose it is, handed this one over",
        project => &format!("this is {project}: name a run of this project"),
    };
    Err(Refused::Wrong(format!(
        "run {}, which it runs again, is one of {}, and {this}",
        before.number, before.project
    )))
}

/// The jobs that it declares have to be those of its files: places are counted by them.
fn jobs_fit(root: &Path, submission: &Submission) -> Result<(), Refused> {
    let created: &RunCreated = &submission.created;
    let github = created.options.get("dialect").and_then(Json::as_str) == Some("github");
    let dialect = if github { Dialect::Github } else { Dialect::Tidegate };
    let read = |path: &str| {
        let text = submission.texts.get(path).ok_or(std::io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    };
    let loaded = load(root, &created.workflow, dialect, &read).and_then(super::Loaded::sound);
    let loaded = loaded.map_err(|error| Refused::Wrong(format!("its workflow cannot be used: {error}")))?;
    if plan::declare_jobs(&loaded.linked.root, &created.workflow, None, 0) != created.jobs {
        return Err(Refused::Wrong("its jobs are not those of its files".to_owned()));
    }
    Ok(())
}

/// 26 digits of Crockford's base 32: it becomes part of names and paths.
pub fn is_ulid(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_paths_are_none() {
        assert!(is_ulid(&clock::ulid(clock::now())));
        for no in ["", "01J", "../../../../../../../../..", "01JDXYZ01JDXYZ01JDXYZ0abcd"] {
            assert!(!is_ulid(no), "{no}");
        }
    }

    fn tree(remote: &str, folder: &str) -> Snapshot {
        let mut tree = Snapshot::default();
        (tree.facts.remote, tree.source.project) = (remote.to_owned(), folder.to_owned());
        tree
    }

    #[test]
    fn a_project_is_called_after_its_repository_or_after_its_store() {
        for (remote, folder, name) in [
            ("github.com/acme/models", "", "github.com/acme/models"),
            ("github.com/acme/models", "train/digits", "github.com/acme/models//train/digits"),
            ("", "", "store:0ab"),
            ("", "train", "store:0ab"),
        ] {
            assert_eq!(project_of(&tree(remote, folder), "0ab"), name);
        }
    }

    #[test]
    fn a_run_runs_none_of_another_project_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let made = |run: &str, project: &str, rerun_of: Option<&str>| RunCreated {
            run: run.to_owned(),
            project: project.to_owned(),
            rerun_of: rerun_of.map(str::to_owned),
            ..RunCreated::default()
        };
        for (run, project) in [("01A", "github.com/acme/a"), ("01B", "github.com/acme/b"), ("01C", "")] {
            let kind = EventKind::RunCreated(Arc::new(made(run, project, None)));
            store.create(&RunEvent { at: clock::now(), kind }).unwrap();
        }
        for (project, rerun_of, said) in [
            ("github.com/acme/a", None, ""),
            ("github.com/acme/a", Some("01A"), ""),
            ("github.com/acme/a", Some("01B"), "run 2, which it runs again, is one of github.com/acme/b"),
            ("", Some("01A"), "is one of github.com/acme/a"),
            ("github.com/acme/a", Some("01C"), ""),
            ("github.com/acme/a", Some("01D"), "01D, is not in the engine's store"),
            ("github.com/acme/a\0", None, "its project's name is not one"),
            (&*"a".repeat(2000), None, "its project's name is not one"),
        ] {
            let judged = is_its_own(&store, &made("01E", project, rerun_of));
            let found = judged.err().map_or_else(String::new, |error| error.to_string());
            assert!(
                if said.is_empty() { found.is_empty() } else { found.contains(said) },
                "{project} {rerun_of:?}: {found}"
            );
        }
    }
}
