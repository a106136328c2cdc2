//! What the steps left: metrics and parameters, artifacts, outputs.
//!
//! Only what this attempt wrote counts: a file that lies in the tree as before says nothing.

use super::copy::{At, copy_file};
use super::fence::{Fence, handle};
use super::job::{Job, class_of, class_of_store};
use super::scope::{Failed, Scope};
use rustix::fs::FileType;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use tidegate_flow::job::{ArtifactRef, FailureClass, MetricsSpec, parse_metrics};

/// Tells whether a file was written: its inode, size and time of change.
pub type Stamp = (u64, u64, i64, i64);

/// The largest file of metrics that is read.
pub(super) const METRICS_LIMIT: u64 = 256 * 1024 * 1024;

pub(super) fn stamp_of(path: &Path) -> Option<Stamp> {
    std::fs::symlink_metadata(path).ok().map(|m| (m.ino(), m.len(), m.ctime(), m.ctime_nsec()))
}

impl Job<'_> {
    /// Remembers what lies where the job will write.
    pub(super) fn stamp(&mut self) {
        let scope = Scope::default();
        let spec = self.spec;
        let templates =
            spec.metrics.files.iter().chain(&spec.params.files).chain(spec.produces.iter().map(|p| &p.path));
        // What can be evaluated only after the steps is looked at by its fixed start: the whole project.
        for template in templates {
            match self.text(template, &scope, &[]) {
                Ok(path) if !template.contains("steps.") => {
                    stamps(&self.place.project.join(path), &mut self.stamps);
                }
                _ => stamps(&self.place.project.clone(), &mut self.stamps),
            }
        }
    }

    fn is_new(&self, path: &Path) -> bool {
        stamp_of(path).is_some_and(|now| self.stamps.get(path) != Some(&now))
    }

    /// Reads the files of metrics and parameters that were written.
    pub(super) fn read_metrics(&mut self, scope: &Scope) {
        let spec = self.spec;
        for (of, is_metrics) in [(&spec.metrics, true), (&spec.params, false)] {
            for (path, result) in self.read_metric_files(of, scope) {
                match result {
                    Ok(values) if is_metrics => self.metrics.extend(values),
                    Ok(values) => self.params.extend(values),
                    Err(reason) => {
                        let what = if is_metrics { "metrics" } else { "params" };
                        let text = format!("{what}: {path}: {reason}");
                        self.output.note(&format!("##[warning]{text}"));
                    }
                }
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "a list of files and what each gave")]
    fn read_metric_files(
        &mut self,
        of: &MetricsSpec,
        scope: &Scope,
    ) -> Vec<(String, Result<BTreeMap<String, Json>, String>)> {
        let mut read = Vec::new();
        for template in &of.files {
            // Not yet: the expression reads a step that has not run.
            let Ok(path) = self.text(template, scope, &[]) else { continue };
            let file = self.place.project.join(&path);
            let Some(stamp) = stamp_of(&file).filter(|s| self.read.get(&file) != Some(s)) else { continue };
            if !self.is_new(&file) {
                continue;
            }
            let bytes = self.fence.read(&file, METRICS_LIMIT).map_err(|e| e.to_string());
            let result = bytes.and_then(|bytes| parse_metrics(&bytes).map_err(|e| e.to_string()));
            // Read once; a later step may write it again.
            self.read.insert(file, stamp);
            read.push((path, result));
        }
        read
    }

    /// Keeps what the job produces.
    pub(super) fn keep(&mut self, scope: &Scope) -> BTreeMap<String, ArtifactRef> {
        let mut kept = BTreeMap::new();
        if self.failed.is_some() || self.cancelled {
            // Products of an unsuccessful job are invisible to `needs`: nothing is read for nobody.
            return kept;
        }
        for produce in &self.spec.produces {
            let path = match self.text(&produce.path, scope, &[]) {
                Ok(path) => path,
                Err(failed) => {
                    self.fail_job(failed);
                    continue;
                }
            };
            match self.keep_one(&path, &produce.name) {
                Ok(Some(artifact)) => {
                    kept.insert(produce.name.clone(), artifact);
                }
                Ok(None) if produce.ignore_missing => {}
                Ok(None) => {
                    let there = matches!(self.fence.kind(&self.place.project.join(&path)), Ok(Some(_)));
                    let why = if there { "this attempt did not write it" } else { "it does not exist" };
                    self.fail_job(Failed::user(format!("produces `{}`: {path}: {why}", produce.name)));
                }
                Err(failed) => self.fail_job(failed),
            }
        }
        if self.failed.is_some() { BTreeMap::new() } else { kept }
    }

    fn keep_one(&self, path: &str, name: &str) -> Result<Option<ArtifactRef>, Failed> {
        let whole = self.place.project.join(path.trim_end_matches('/'));
        let saved = self.checkpoint_folder().is_some_and(|kept| within(&kept, &whole));
        if !within(&self.place.root, &whole) && !saved {
            return Err(Failed::user(format!("produces `{name}`: {path} lies outside of the work folder")));
        }
        // What was consumed, or continued from, was laid in by this attempt, so it may be handed on.
        let handed_on = saved
            || self
                .spec
                .consumes
                .iter()
                .any(|c| whole.starts_with(self.place.project.join(c.path.trim_end_matches('/'))));
        let wrong = |e: &std::io::Error| Failed::new(class_of(e), format!("produces `{name}`: {path}: {e}"));
        let kind = self.fence.kind(&whole).map_err(|e| wrong(&e))?;
        if handed_on {
            return if kind.is_some() { self.put_left(&whole, name).map(Some) } else { Ok(None) };
        }
        if kind != Some(FileType::Directory) {
            return if self.is_new(&whole) { self.put_left(&whole, name).map(Some) } else { Ok(None) };
        }
        let mut files = Vec::new();
        self.fence.list(&whole, &mut files);
        let new: Vec<&PathBuf> = files.iter().filter(|f| self.is_new(f)).collect();
        if new.is_empty() && (!files.is_empty() || !self.is_new(&whole)) {
            return Ok(None);
        }
        if new.len() == files.len() {
            return self.put_left(&whole, name).map(Some);
        }
        let staged = self.staged("produced", name)?;
        let own = Fence::default();
        for file in new {
            let to = staged.join(file.strip_prefix(&whole).unwrap_or(file));
            if let Some(target) = self.fence.link(file) {
                own.make_link(&target, &to).map_err(|e| wrong(&e))?;
                continue;
            }
            own.make_folder(to.parent().unwrap_or(&staged)).map_err(|e| wrong(&e))?;
            if self.fence.stands() || std::fs::hard_link(file, &to).is_err() {
                copy_file(At(&self.fence, file), At(&own, &to)).map_err(|e| wrong(&e))?;
            }
        }
        self.put(&staged, name).map(Some)
    }

    /// Keeps what steps left at a path.
    fn put_left(&self, path: &Path, name: &str) -> Result<ArtifactRef, Failed> {
        if !self.fence.stands() {
            return self.put(path, name);
        }
        let wrong = |e: &std::io::Error| {
            Failed::new(class_of(e), format!("produces `{name}`: {}: {e}", path.display()))
        };
        let found = self.fence.find(path).map_err(|e| wrong(&e))?;
        let pinned = handle(&found);
        let (shown, own) = (path.to_string_lossy(), pinned.to_string_lossy());
        let mut kept = self
            .put(&pinned, name)
            .map_err(|failed| Failed { reason: failed.reason.replace(&*own, &shown), ..failed })?;
        if let Some(file) = path.file_name().filter(|_| !kept.tree) {
            kept.name = file.to_string_lossy().into_owned();
        }
        Ok(kept)
    }

    pub(super) fn put(&self, path: &Path, name: &str) -> Result<ArtifactRef, Failed> {
        let kept = self.around.objects.put_path(path);
        let mut kept =
            kept.map_err(|e| Failed::new(class_of_store(&e), format!("cannot keep `{name}`: {e}")))?;
        if let Some(file) = path.file_name().filter(|_| !kept.tree) {
            kept.name = file.to_string_lossy().into_owned();
        }
        Ok(kept)
    }

    /// Evaluates `environment.url`; one that holds a masked value is dropped.
    pub(super) fn environment_url(&mut self, scope: &Scope) -> Option<String> {
        let template = self.spec.environment_url.clone()?;
        match self.text(&template, scope, &[]) {
            Ok(url) => Some(url).filter(|u| !u.is_empty() && !self.output.masks.finds(u)),
            Err(failed) => {
                self.output.note(&format!("##[warning]environment.url: {}", failed.reason));
                None
            }
        }
    }

    /// Evaluates the job's outputs; one that holds a masked value is dropped, with a warning.
    pub(super) fn job_outputs(&mut self, scope: &Scope) -> BTreeMap<String, String> {
        let mut outputs = BTreeMap::new();
        for (name, template) in &self.spec.outputs {
            match self.text(template, scope, &[]) {
                Ok(value) if self.output.masks.finds(&value) => {
                    self.output
                        .note(&format!("##[warning]Skip output '{name}' since it may contain secret."));
                }
                Ok(value) => {
                    outputs.insert(name.clone(), value);
                }
                Err(failed) => self.fail_job(Failed { class: FailureClass::Failure, ..failed }),
            }
        }
        outputs
    }
}

/// Tells whether a path stays below a folder, links followed; of one that is not there yet, the
/// part that is there decides.
pub(super) fn within(folder: &Path, path: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    there.is_some_and(|(above, real)| {
        let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
        real.starts_with(folder) && rest.components().all(|c| c != std::path::Component::ParentDir)
    })
}

fn stamps(path: &Path, into: &mut BTreeMap<PathBuf, Stamp>) {
    if let Some(stamp) = stamp_of(path) {
        into.insert(path.to_owned(), stamp);
    }
    let mut files = Vec::new();
    if path.is_dir() && !path.is_symlink() {
        Fence::default().list(path, &mut files);
    }
    into.extend(files.into_iter().filter_map(|f| stamp_of(&f).map(|s| (f, s))));
}
