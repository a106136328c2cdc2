//! A run that is made here and carried out by an engine elsewhere: made, and taken in there.
//!
//! Not here: how it travels (`edge::executor::kubernetes`).

use super::evaluate::Only;
use super::start::created;
use super::{BackEnd, ClusterSettings, EngineError, Observer, RunRequest, clock, load};
use serde_json::{Value as Json, json};
use std::path::Path;
use tidegate_edge::store::{OwnedRun, RunLog as _, Store, StoreError, stays_below};
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
    let (created, _) = created(request, &loaded, &store, clock::ulid(at), &there, observer)?;
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
    jobs_fit(root, submission)?;
    for (path, text) in &submission.texts {
        let digest = store.objects().put(text.as_bytes())?;
        if created.texts.get(path) != Some(&digest) {
            return Err(Refused::Wrong(format!("{path} has another digest than it says")));
        }
    }
    let first = RunEvent { at: submission.at, kind: EventKind::RunCreated(Box::new(created.clone())) };
    Ok(store.create(&first)?)
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
}
