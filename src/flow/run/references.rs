//! What of the store an event refers to: the roots of collection.
//!
//! Not here: checkpoints, which are found by the run that made them; what a manifest lists; which runs still count (`edge/store`).

use super::{EventKind, InstanceSettings, RunEvent};
use crate::job::{ArtifactRef, Receipt};
use serde_json::Value as Json;

/// What one event needs to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References<'a> {
    /// Digests of manifests (trees, artifacts, uploads, pinned data): what they list is needed, too.
    pub manifests: Vec<&'a str>,
    /// Digests of objects that list nothing: texts of workflows, specs of jobs.
    pub objects: Vec<&'a str>,
    /// Runs that something was taken from: a ULID, or the number in digits.
    pub runs: Vec<&'a str>,
}

impl<'a> References<'a> {
    fn artifacts(&mut self, artifacts: impl IntoIterator<Item = &'a ArtifactRef>) {
        self.manifests.extend(artifacts.into_iter().map(|artifact| artifact.digest.as_str()));
    }

    fn receipt(&mut self, receipt: &'a Receipt) {
        self.artifacts(receipt.artifacts.values().chain(receipt.uploads.values()));
    }
}

/// Lists what an event refers to. Every kind is named, so that a new one has to say.
pub fn references(event: &RunEvent) -> References<'_> {
    let mut found = References::default();
    match &event.kind {
        EventKind::RunCreated(created) => {
            found.manifests.push(&created.source.tree);
            found.manifests.extend(pins(created.contexts.get("data")));
            found.objects.extend(created.texts.values().map(String::as_str));
            found.runs.extend(created.rerun_of.as_deref());
        }
        EventKind::InstanceEvaluated { settings, .. } => {
            if let InstanceSettings::Ready(ready) = &**settings {
                found.artifacts(ready.consumes.iter().flat_map(|consume| &consume.items));
            }
        }
        EventKind::CacheAnswered { hit, .. } => {
            if let Some((from, receipt)) = hit.as_deref() {
                found.runs.push(from);
                found.receipt(receipt);
            }
        }
        EventKind::Adopted { from, receipt, .. } => {
            found.runs.push(from);
            found.receipt(receipt);
        }
        EventKind::AttemptStarted { spec, .. } => found.objects.push(spec),
        EventKind::AttemptEnded { receipt, .. } => found.receipt(receipt),
        EventKind::RunEnded(summary) => {
            found.artifacts(summary.artifacts.values().flat_map(|artifacts| artifacts.values()));
        }
        EventKind::EngineStarted { .. }
        | EventKind::JobsAdded { .. }
        | EventKind::JobEvaluated { .. }
        | EventKind::SlotGranted { .. }
        | EventKind::GroupGranted { .. }
        | EventKind::InstanceStopped { .. }
        | EventKind::AttemptReady { .. }
        | EventKind::AttemptWaiting { .. }
        | EventKind::ServiceEnded { .. }
        | EventKind::StepStarted { .. }
        | EventKind::StepEnded { .. }
        | EventKind::Annotated { .. }
        | EventKind::Judged { .. }
        | EventKind::BaselineFetched { .. }
        | EventKind::ImagesTold { .. }
        | EventKind::RetryScheduled { .. }
        | EventKind::InstanceEnded { .. }
        | EventKind::JobEnded { .. }
        | EventKind::CancelRequested { .. }
        | EventKind::AttemptCancelled { .. } => {}
    }
    for digests in [&mut found.manifests, &mut found.objects] {
        digests.retain(|digest| !digest.is_empty());
    }
    found
}

/// Digests of the data that a run pinned, from its context `data`.
pub fn pins(data: Option<&Json>) -> impl Iterator<Item = &str> {
    let sources = data.and_then(Json::as_object).into_iter().flat_map(|sources| sources.values());
    sources.filter_map(|source| source.get("digest")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::sample_events;
    use std::sync::Arc;

    /// Every text in an event that the samples use as a digest, key or run.
    const MARKS: [&str; 5] = ["77de40", "ab12", "c0ffee", "5bec", "01JDABC"];

    #[test]
    fn every_digest_of_every_kind_of_event_is_found() {
        let mut seen = std::collections::BTreeSet::new();
        for event in sample_events() {
            let text = serde_json::to_string(&event).unwrap();
            let found = references(&event);
            let all = [&found.manifests[..], &found.objects, &found.runs].concat();
            for mark in MARKS {
                let quoted = format!("\"{mark}\"");
                assert_eq!(text.contains(&quoted), all.contains(&mark), "{mark} in {text}");
                if all.contains(&mark) {
                    seen.insert(mark);
                }
            }
            assert!(all.iter().all(|one| MARKS.contains(one)), "{all:?} in {text}");
        }
        assert_eq!(seen.len(), MARKS.len(), "{seen:?}");
    }

    #[test]
    fn pinned_data_is_found() {
        use crate::run::{Millis, RunCreated};
        let data = serde_json::json!({ "a": { "digest": "d1", "uri": "x" }, "b": { "digest": "d2" } });
        assert_eq!(pins(Some(&data)).collect::<Vec<_>>(), ["d1", "d2"]);
        assert_eq!(pins(None).count(), 0);
        let contexts = [("data".to_owned(), data)].into();
        let kind = EventKind::RunCreated(Arc::new(RunCreated { contexts, ..RunCreated::default() }));
        assert_eq!(references(&RunEvent { at: Millis(0), kind }).manifests, ["d1", "d2"]);
    }
}
