//! What is needed, from the logs of the runs that are kept.

use crate::store::{Manifest, RunLog as _, RunRow, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tidegate_flow::run::{EventKind, RunEvent, pins, references};

/// What is needed.
#[derive(Debug, Default)]
pub(super) struct Needed {
    /// Whose logs stay, by ULID.
    pub(super) runs: BTreeSet<String>,
    pub(super) manifests: BTreeSet<String>,
    pub(super) objects: HashSet<String>,
    /// The runs whose checkpoints stay: the first of each line of reruns.
    pub(super) origins: BTreeSet<String>,
}

impl Needed {
    /// Takes in a log; returns the runs that it took something from.
    fn take(&mut self, events: &[RunEvent]) -> BTreeSet<String> {
        let mut from = BTreeSet::new();
        for event in events {
            let found = references(event);
            self.manifests.extend(found.manifests.into_iter().map(str::to_owned));
            self.objects.extend(found.objects.into_iter().map(str::to_owned));
            from.extend(found.runs.into_iter().map(str::to_owned));
        }
        from
    }
}

impl Store {
    /// Marks what the logs of the kept runs refer to, and of the runs that those took something from.
    pub(super) fn needed(
        &self,
        rows: &[RunRow],
        old: &dyn Fn(&RunRow) -> bool,
    ) -> Result<Needed, StoreError> {
        let mut needed = Needed::default();
        let mut from = BTreeSet::new();
        let mut newest: BTreeMap<&str, &RunRow> = BTreeMap::new();
        for row in rows {
            newest.entry(&row.workflow).or_insert(row);
            if !old(row) {
                from.append(&mut needed.take(&self.events(&row.run, 0)?));
                needed.runs.insert(row.run.clone());
            }
        }
        for row in rows {
            if !needed.runs.contains(&row.run)
                && (from.contains(&row.run) || from.contains(&row.number.to_string()))
            {
                needed.take(&self.events(&row.run, 0)?);
                needed.runs.insert(row.run.clone());
            }
        }
        for run in &needed.runs {
            needed.origins.insert(self.origin(run)?);
        }
        // The next run of a workflow compares its data with the listing that the last one pinned.
        for row in newest.values().filter(|row| !needed.runs.contains(&row.run)) {
            if let EventKind::RunCreated(created) = self.first_event(&row.run)?.kind {
                needed.objects.extend(pins(created.contexts.get("data")).map(str::to_owned));
            }
        }
        Ok(needed)
    }

    /// The first run of a line of reruns.
    fn origin(&self, run: &str) -> Result<String, StoreError> {
        let mut origin = run.to_owned();
        loop {
            let log = self.events(&origin, 0)?;
            let Some(EventKind::RunCreated(created)) = log.into_iter().next().map(|event| event.kind) else {
                return Ok(origin);
            };
            match created.rerun_of.clone() {
                Some(before) if before != origin => origin = before,
                _ => return Ok(origin),
            }
        }
    }

    /// Marks what the marked manifests list. One that is gone or damaged lists nothing.
    pub(super) fn mark_content(&self, needed: &mut Needed) -> Result<(), StoreError> {
        for digest in &needed.manifests {
            let manifest = match self.file_objects().manifest(digest) {
                Ok(manifest) => manifest,
                Err(StoreError::Missing(_) | StoreError::Damaged(_)) => Manifest::default(),
                Err(other) => return Err(other),
            };
            needed.objects.insert(digest.clone());
            for entry in manifest.entries {
                needed.objects.extend(entry.kind.objects().iter().cloned());
            }
        }
        Ok(())
    }
}
