//! One attempt from its work folder to its receipt.
//!
//! Not here: what a single step does (`step`), its variables (`variables`), what the steps left (`keep`).

use super::builtin::Caches;
use super::checkpoint::Checkpoints;
use super::control::Wish;
use super::fence::Fence;
use super::keep::Stamp;
use super::launcher::Launcher;
use super::link::Link;
use super::output::Output;
use super::place::{Left, Place, Places, file_name, log_path_of};
use super::scope::{Failed, Scope};
use super::temp::{TempFolder, TempFolders};
use crate::python::Environments;
use crate::store::{Objects, StoreError};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_flow::job::{
    Answer, ArtifactRef, Conclusion, FailureClass, JobSpec, Masks, MessageBody, Question, Receipt, StepMemory,
};

/// What all attempts of this process share.
pub struct Surroundings {
    /// The store's folder: logs, temporary folders.
    pub store: PathBuf,
    /// `RUNNER_TOOL_CACHE`: a folder that steps see.
    pub tools: PathBuf,
    /// Content by digest.
    pub objects: Arc<dyn Objects>,
    /// Where checkpoints are.
    pub checkpoints: Checkpoints,
    /// Who knows what `actions/cache` saved.
    pub caches: Caches,
    /// Work folders.
    pub places: Arc<dyn Places>,
    /// Python environments.
    pub python: Environments,
    /// Folders for temporary files.
    pub temps: TempFolders,
    /// The processes of all attempts.
    pub launcher: Box<dyn Launcher>,
    /// This process's environment without GitHub's own variables.
    pub env: BTreeMap<OsString, OsString>,
    /// Start of the mark that processes carry; the attempt's token follows.
    pub mark: String,
    /// Whether steps run inside the job's image; else it is said that the image is not used.
    pub in_image: bool,
    /// The log is printed, too: a cluster keeps what a container prints, also of one that is killed.
    pub prints: bool,
}

/// One running attempt.
pub struct Job<'a> {
    pub(super) spec: &'a JobSpec,
    pub(super) secrets: &'a BTreeMap<String, String>,
    pub(super) around: &'a Surroundings,
    pub(super) link: Arc<Link>,
    pub(super) output: Output,
    pub(super) place: Place,
    /// The attempt's folder for temporary files; `RUNNER_TEMP` is in it.
    pub(super) temp: PathBuf,
    /// The same, to be given back.
    pub(super) folder: TempFolder,
    /// Where files are on their way into the store or out of it; no step that runs in an image sees it.
    pub(super) staging: PathBuf,
    /// What of the files the agent may open for the steps.
    pub(super) fence: Fence,
    pub(super) mark: String,
    /// Environment of every process: the machine's, then GitHub's fixed variables.
    pub(super) base: BTreeMap<OsString, OsString>,
    /// Workflow and job `env`, evaluated.
    pub(super) env: Vec<(String, String)>,
    /// What steps wrote to `GITHUB_ENV`.
    pub(super) added_env: Vec<(String, String)>,
    /// What steps wrote to `GITHUB_PATH`, the newest first.
    pub(super) added_paths: Vec<String>,
    pub(super) lingering: Vec<PipeReader>,
    pub(super) deadline: Option<Instant>,
    pub(super) timed_out: bool,
    /// What was wanted of the attempt when the condition of the running step was evaluated.
    pub(super) patience: Wish,
    /// Whether a cancel took effect on a step.
    pub(super) cancelled: bool,
    pub(super) failed: Option<Failed>,
    pub(super) files: u32,
    pub(super) metrics: BTreeMap<String, Json>,
    pub(super) params: BTreeMap<String, Json>,
    pub(super) summary: String,
    pub(super) uploads: BTreeMap<String, ArtifactRef>,
    /// What lay where the job writes, before the first step.
    pub(super) stamps: BTreeMap<PathBuf, Stamp>,
    /// Files of metrics as they were read last.
    pub(super) read: BTreeMap<PathBuf, Stamp>,
    /// What is left to do after the steps, the last one first.
    pub(super) post: Vec<super::builtin::Post>,
    /// Whether steps left processes behind.
    strays: bool,
}

/// Runs one attempt to its end; the last message is its receipt.
pub fn run(spec: &JobSpec, secrets: &BTreeMap<String, String>, around: &Surroundings, link: &Arc<Link>) {
    around.launcher.enter();
    let started = Instant::now();
    let masks = Masks::new(secrets.values().map(String::as_str));
    let mut output = Output::new(link.clone(), log_path_of(&around.store, spec), masks, spec.debug);
    output.prints(around.prints);
    let mark = format!("{}{}", around.mark, spec.token);
    let (place, temp) = match prepare(spec, around) {
        Ok(made) => made,
        Err(failed) => {
            link.say(MessageBody::Started { notes: Vec::new() });
            output.note(&format!("##[error]{}", failed.reason));
            around.launcher.leave();
            link.say(MessageBody::Ended(receipt_of(&failed, output.written(), started)));
            return;
        }
    };
    output.set_workspace(&place.project);
    let staging = if around.in_image {
        let name = format!("{}-{}", std::process::id(), file_name(&spec.token));
        around.store.join("tmp").join(name)
    } else {
        temp.path.clone()
    };
    let mut job = Job {
        spec,
        secrets,
        around,
        link: link.clone(),
        output,
        place,
        temp: temp.path.clone(),
        folder: temp,
        staging: staging.clone(),
        fence: Fence::default(),
        mark,
        base: BTreeMap::new(),
        env: Vec::new(),
        added_env: Vec::new(),
        added_paths: Vec::new(),
        lingering: Vec::new(),
        deadline: None,
        timed_out: false,
        patience: Wish::Run,
        cancelled: false,
        failed: None,
        files: 0,
        metrics: BTreeMap::new(),
        params: BTreeMap::new(),
        summary: String::new(),
        uploads: BTreeMap::new(),
        stamps: BTreeMap::new(),
        read: BTreeMap::new(),
        post: Vec::new(),
        strays: false,
    };
    let receipt = job.attempt();
    let Job { place, folder, strays, .. } = job;
    // A daemon that threw its environment away cannot be told from those of other attempts: it is
    // ended when none runs, and until then nobody gets these folders.
    let quiet = !strays || !around.launcher.has_unmarked();
    let left = match receipt.class {
        _ if !quiet => Left::Writers,
        Some(FailureClass::Disk) => Left::FullDisk,
        _ => Left::Files,
    };
    around.places.release(place, left);
    if around.in_image {
        super::place::remove(&staging);
    }
    around.launcher.leave();
    link.say(MessageBody::Ended(receipt));
    // The next job need not wait for this.
    if quiet {
        around.temps.give(folder);
    } else {
        super::place::remove(&folder.path);
    }
}

fn prepare(spec: &JobSpec, around: &Surroundings) -> Result<(Place, TempFolder), Failed> {
    let io = |doing: &str, path: &Path, e: &std::io::Error| {
        Failed::new(class_of(e), format!("cannot {doing} {}: {e}", path.display()))
    };
    let place = around
        .places
        .prepare(&spec.source, &spec.token)
        .map_err(|e| Failed::new(FailureClass::Failure, e))?;
    let temp = around.temps.take().map_err(|e| io("make a folder below", &around.store, &e))?;
    Ok((place, temp))
}

/// The class of the system's own errors.
pub(super) fn class_of(error: &std::io::Error) -> FailureClass {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FailureClass::Disk,
        _ => FailureClass::Failure,
    }
}

/// The class of the store's errors.
pub(super) fn class_of_store(error: &StoreError) -> FailureClass {
    match error {
        StoreError::Full(_) => FailureClass::Disk,
        StoreError::Missing(_) | StoreError::Damaged(_) => FailureClass::Data,
        StoreError::Io { source, .. } => class_of(source),
        _ => FailureClass::Failure,
    }
}

impl Job<'_> {
    fn attempt(&mut self) -> Receipt {
        let mut scope = Scope::default();
        let mut outputs = BTreeMap::new();
        let mut url = None;
        match self.lay_in().and_then(|notes| self.fence_in().map(|()| notes)) {
            Ok(notes) => self.link.say(MessageBody::Started { notes }),
            Err(failed) => {
                self.link.say(MessageBody::Started { notes: Vec::new() });
                self.fail_job(failed);
            }
        }
        if self.failed.is_none() {
            let made = self.set_up(&self.around.env, 0);
            if let Err(failed) = made.and_then(|()| self.set_up_python()).and_then(|()| self.evaluate_env()) {
                self.fail_job(failed);
            }
        }
        if self.failed.is_none() && self.spec.pod.nodes > 0 {
            self.meet();
        }
        // `timeout-minutes` counts from the first step: fetching inputs and making an environment
        // spend none of it.
        let started = Instant::now();
        self.deadline = self
            .spec
            .timeout_seconds
            .and_then(|s| Duration::try_from_secs_f64(s.max(0.0)).ok())
            .and_then(|d| started.checked_add(d));
        let mut artifacts = BTreeMap::new();
        let saver = if self.failed.is_none() { self.save_checkpoints() } else { None };
        if self.failed.is_none() {
            let spec = self.spec;
            self.stamp();
            self.run_steps(&mut scope, &spec.steps);
            self.run_post();
            if self.fence.stands() {
                // What is kept is not looked at while somebody may change it.
                self.end_strays();
            }
            artifacts = self.keep(&scope);
            outputs = self.job_outputs(&scope);
            url = self.environment_url(&scope);
        }
        if let Some(saver) = saver {
            saver.finish();
        }
        self.finish(started, outputs, artifacts, url)
    }

    /// From here on, steps may have changed what lies in their folders.
    fn fence_in(&mut self) -> Result<(), Failed> {
        if self.around.in_image {
            let mut folders = vec![self.place.root.clone(), self.temp.clone()];
            folders.extend(self.checkpoint_folder());
            self.fence = Fence::around(folders)
                .map_err(|e| Failed::new(class_of(&e), format!("cannot open the attempt's folders: {e}")))?;
        }
        Ok(())
    }

    /// Waits until the other nodes are ready for their first step.
    fn meet(&mut self) {
        if let Some(Answer::Unavailable(reason)) = self.link.ask(Question::Nodes) {
            self.fail_job(Failed::new(FailureClass::Lost, format!("the other nodes: {reason}")));
        }
    }

    fn finish(
        &mut self,
        started: Instant,
        outputs: BTreeMap<String, String>,
        artifacts: BTreeMap<String, ArtifactRef>,
        environment_url: Option<String>,
    ) -> Receipt {
        self.lingering.clear();
        self.end_strays();
        if let Some(error) = self.output.take_failure() {
            self.fail_job(Failed::new(class_of(&error), format!("cannot write the log: {error}")));
        }
        let failed = self.failed.take();
        let conclusion = if self.cancelled && !self.timed_out {
            Conclusion::Cancelled
        } else if failed.is_some() {
            Conclusion::Failure
        } else {
            Conclusion::Success
        };
        let reason = match (&failed, conclusion) {
            (_, Conclusion::Cancelled) => Some(self.link.control.reason()),
            (Some(f), _) => Some(f.reason.clone()),
            _ => None,
        };
        let masks = &self.output.masks;
        Receipt {
            conclusion,
            class: failed.as_ref().filter(|_| conclusion == Conclusion::Failure).map(|f| f.class),
            exit: failed.as_ref().and_then(|f| f.exit),
            reason: reason.map(|r| masks.apply(&r)),
            failed_step: failed.as_ref().and_then(|f| f.step),
            step_memory: failed
                .as_ref()
                .filter(|f| f.class == FailureClass::Oom)
                .and_then(|f| StepMemory::around(self.spec, f.step?)),
            outputs,
            metrics: masked(masks, std::mem::take(&mut self.metrics)),
            goals: self.spec.metrics.goals.clone(),
            params: masked(masks, std::mem::take(&mut self.params)),
            artifacts,
            uploads: std::mem::take(&mut self.uploads),
            summary: masks.apply(&self.summary),
            environment_url,
            images: Arc::default(),
            log: self.output.written(),
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Ends what the steps left running.
    fn end_strays(&mut self) {
        self.strays = self.around.launcher.has_strays();
        if self.strays {
            let ended = self.around.launcher.clean(&self.mark, true);
            if !ended.is_empty() {
                self.output.note(&format!("ended what the steps left running: {}", ended.join(", ")));
            }
        }
    }

    /// Remembers the first failure of the job.
    pub(super) fn fail_job(&mut self, failed: Failed) {
        if failed.step.is_none() {
            self.output.note(&format!("##[error]{}", failed.reason));
        }
        self.failed.get_or_insert(failed);
    }

    /// Tells whether the job is to stop: cancelled or out of time.
    pub(super) fn stopping(&self) -> bool {
        self.link.control.wish() != Wish::Run || self.timed_out
    }
}

/// Masks the texts among values; numbers are what they are.
fn masked(masks: &Masks, values: BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    fn mask(masks: &Masks, value: Json) -> Json {
        match value {
            Json::String(text) => Json::String(masks.apply(&text)),
            Json::Array(items) => items.into_iter().map(|item| mask(masks, item)).collect(),
            Json::Object(map) => map.into_iter().map(|(k, v)| (masks.apply(&k), mask(masks, v))).collect(),
            other => other,
        }
    }
    if masks.is_empty() {
        return values;
    }
    values.into_iter().map(|(name, value)| (masks.apply(&name), mask(masks, value))).collect()
}

fn receipt_of(failed: &Failed, log: u64, started: Instant) -> Receipt {
    Receipt {
        exit: failed.exit,
        failed_step: failed.step,
        log,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        ..Receipt::bare(Conclusion::Failure, Some(failed.class), failed.reason.clone())
    }
}
