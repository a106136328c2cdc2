//! What a run is, as far as its events tell, with the indexes that keep `decide` cheap.
//!
//! Not here: how events change it (`apply`), what follows (`decide`).

use super::{InstanceDeclared, InstanceId, JobDeclared, JobId, Millis, ReadySettings, RunCreated, RunEvent};
use crate::gate::Verdict;
use crate::job::{Alike, Conclusion, Receipt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The version of what events mean; a run resumes only under its own.
pub const SEMANTICS: u32 = 1;

/// What an instance asks of a machine: cores in thousandths, bytes, GPUs, concurrency group.
pub(super) type SlotClass = (u64, u64, u32, Option<String>);

/// One run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub(super) created: Option<Arc<RunCreated>>,
    pub(super) began: Millis,
    pub(super) events: u64,
    pub(super) jobs: Vec<JobState>,
    pub(super) instances: Vec<InstanceState>,
    pub(super) cancel: Option<(String, bool)>,
    pub(super) ended: bool,
    /// Concurrency groups that must be held before anything goes on: of the run (`None`), and after
    /// a change of engines of the instances that call workflows and of attempts that go on.
    pub(super) groups: BTreeSet<Option<InstanceId>>,
    /// Calling instances that hold a group of their own.
    pub(super) callers: BTreeSet<InstanceId>,
    /// Jobs that have no result yet.
    pub(super) open_jobs: u32,
    /// Jobs whose needs have all ended and that were not evaluated.
    pub(super) jobs_ready: BTreeSet<JobId>,
    /// Jobs whose instances have all ended.
    pub(super) jobs_over: BTreeSet<JobId>,
    /// Instances with something to do other than waiting for a slot, an agent or a time.
    pub(super) busy: BTreeSet<InstanceId>,
    /// Instances that wait for a slot, by what they ask for: who asks for much hides nobody.
    pub(super) slots: BTreeMap<SlotClass, BTreeSet<InstanceId>>,
    /// Retries that wait for their time.
    pub(super) due: BTreeSet<(Millis, InstanceId)>,
    /// Instances with a running attempt.
    pub(super) running: BTreeSet<InstanceId>,
    /// Evaluated keys that other instances may have, too.
    pub(super) settings: Alike<ReadySettings>,
}

/// One job of a run.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts that events tell")]
pub struct JobState {
    /// As declared.
    pub declared: Arc<JobDeclared>,
    /// The instance that called its workflow; `None` for jobs of the root workflow.
    pub caller: Option<InstanceId>,
    /// Jobs that need it.
    pub(super) needed_by: Vec<JobId>,
    /// Needs that have not ended.
    pub(super) unmet: u32,
    /// Which conclusions there are above it, directly or through others, one bit each.
    pub(super) above: u8,
    /// Its instances in matrix order; empty until evaluated.
    pub instances: Vec<InstanceId>,
    /// Instances that have not ended.
    pub(super) open: u32,
    /// Instances that `max-parallel` has let in so far, from the first on.
    pub(super) let_in: u32,
    /// Whether `fail-fast` has told the others to stop.
    pub(super) failing: bool,
    /// Whether `if` and `strategy` were evaluated.
    pub evaluated: bool,
    /// Whether that was after somebody wanted the run to end: then `always()` let it through.
    pub(super) after_cancel: bool,
    /// `fail-fast`.
    pub fail_fast: bool,
    /// `max-parallel`.
    pub max_parallel: Option<u32>,
    /// What ended it without any instance, and why.
    pub(super) without: Option<(Conclusion, String)>,
    /// Its result.
    pub result: Option<Conclusion>,
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its keys are to be evaluated.
    Declared,
    /// The cache is to be asked.
    AskCache,
    /// It waits for its concurrency group and capacity.
    NeedsSlot,
    /// It may start.
    Granted,
    /// An attempt runs.
    Running,
    /// The attempt ended; what follows is to be decided.
    AttemptOver,
    /// It waits to be tried again.
    WaitsRetry(Millis),
    /// The called workflow is to be added.
    NeedsJobs,
    /// The called workflow's jobs run.
    Calling,
    /// It has its result.
    Ended,
}

/// One instance of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceState {
    /// Its job.
    pub job: JobId,
    /// Its index in the job, from 0.
    pub index: u32,
    /// As declared.
    pub declared: Arc<InstanceDeclared>,
    /// Where it stands.
    pub phase: Phase,
    /// Its evaluated name, where that is not the declared one.
    pub(super) named: Option<String>,
    /// Its evaluated keys, without its name: shared with all whose keys are the same.
    pub settings: Option<Arc<ReadySettings>>,
    /// Why its keys could not be evaluated.
    pub failed: Option<String>,
    /// The current or last attempt; 0: none.
    pub attempt: u32,
    /// Attempts that the infrastructure budget paid.
    pub(super) infra: u32,
    /// Attempts that ended with their engine: nobody pays for them.
    pub(super) restarts: u32,
    /// Token of the current or last attempt; empty once the instance has its result.
    pub token: String,
    /// Digest of its `JobSpec`; empty where it was not stored, and once the instance has its result.
    pub spec: String,
    /// How many of its agent's messages are in the log.
    pub said: u64,
    /// How often services of the running attempt have ended, by node and name.
    pub(super) service_ends: BTreeMap<(Option<u32>, String), u32>,
    /// GPUs granted, by index.
    pub gpus: Option<Vec<u32>>,
    /// Memory in bytes for the next attempt, where `oom` raised it.
    pub memory: Option<u64>,
    /// The same for the steps whose own `resources` ask for memory, by index.
    pub step_memory: BTreeMap<u32, u64>,
    /// How the last attempt ended, or what the cache or an earlier run gave.
    pub receipt: Option<Arc<Receipt>>,
    /// The run it was taken from, by cache.
    pub cached: Option<String>,
    /// The run it was taken from, by `rerun`.
    pub adopted: Option<String>,
    /// Verdicts of the last attempt, or of the cache's answer.
    pub verdicts: Vec<Verdict>,
    /// Why it is to stop, if only this instance is (`fail-fast`, a concurrency group).
    pub(super) stop: Option<String>,
    /// Whether the running attempt was told to stop, and whether by force.
    pub(super) told: Option<bool>,
    /// Before `continue-on-error`.
    pub outcome: Option<Conclusion>,
    /// After it.
    pub conclusion: Option<Conclusion>,
    /// Outputs of a called workflow.
    pub outputs: BTreeMap<String, String>,
    /// Jobs of the called workflow.
    pub inner: Vec<JobId>,
    /// Inner jobs that have not ended.
    pub(super) inner_open: u32,
}

impl Run {
    /// Replays a log.
    pub fn replay(events: &[RunEvent]) -> Self {
        let mut run = Self::default();
        for event in events {
            run.apply(event);
        }
        run
    }

    /// Returns the first event; `None` before it.
    pub fn created(&self) -> Option<&Arc<RunCreated>> {
        self.created.as_ref()
    }

    /// Returns when it began.
    pub fn began(&self) -> Millis {
        self.began
    }

    /// Returns how many events it has taken in.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns all jobs in order of declaration.
    pub fn jobs(&self) -> &[JobState] {
        &self.jobs
    }

    /// Returns all instances in order of declaration.
    pub fn instances(&self) -> &[InstanceState] {
        &self.instances
    }

    /// Returns a job.
    pub fn job(&self, id: JobId) -> Option<&JobState> {
        self.jobs.get(id.0 as usize)
    }

    /// Returns an instance.
    pub fn instance(&self, id: InstanceId) -> Option<&InstanceState> {
        self.instances.get(id.0 as usize)
    }

    /// Returns the instances with a running attempt.
    pub fn running(&self) -> impl Iterator<Item = InstanceId> + '_ {
        self.running.iter().copied()
    }

    /// Returns who wants it to end and whether by force.
    pub fn cancelled(&self) -> Option<(&str, bool)> {
        self.cancel.as_ref().map(|(reason, force)| (reason.as_str(), *force))
    }

    /// Tells whether it holds the concurrency groups that it needs to go on.
    pub fn holds_its_groups(&self) -> bool {
        self.groups.is_empty()
    }

    /// Tells whether an instance has to be granted its concurrency group before the run goes on.
    pub fn waits_for_group(&self, id: InstanceId) -> bool {
        self.groups.contains(&Some(id))
    }

    /// Tells whether its last event was applied.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Returns when time alone makes something due.
    pub fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Returns when time alone makes something due after `now`: what is due already waits for a slot.
    pub fn next_due_after(&self, now: Millis) -> Option<Millis> {
        let after = (Millis(now.0.saturating_add(1)), InstanceId(0));
        self.due.range(after..).next().map(|(at, _)| *at)
    }

    /// Returns the results there are among all jobs above a job, directly or through others; each
    /// once. Kept as jobs end, so that a chain of jobs costs no walk.
    pub fn ancestors(&self, id: JobId) -> Vec<Conclusion> {
        let above = self.job(id).map_or(0, |job| job.above);
        RESULTS.into_iter().filter(|result| above & bit(*result) != 0).collect()
    }

    /// Tells whether a job is evaluated as cancelled: with the run, or with the workflow it is in.
    pub fn cancelled_for(&self, id: JobId) -> bool {
        let caller = self.job(id).and_then(|job| job.caller);
        self.cancel.is_some() || caller.is_some_and(|caller| self.stopping(caller).is_some())
    }

    /// Tells whether an instance is to stop: with the run, with its matrix, or with its caller.
    pub(super) fn stopping(&self, id: InstanceId) -> Option<(String, bool)> {
        let instance = self.instance(id)?;
        let job = self.job(instance.job)?;
        if let Some((reason, force)) = &self.cancel
            && (*force || !job.after_cancel)
        {
            return Some((reason.clone(), *force));
        }
        if let Some(reason) = &instance.stop {
            return Some((reason.clone(), false));
        }
        job.caller.and_then(|caller| self.stopping(caller))
    }
}

const RESULTS: [Conclusion; 4] =
    [Conclusion::Success, Conclusion::Failure, Conclusion::Cancelled, Conclusion::Skipped];

/// The bit of a conclusion in [`JobState::above`].
pub(super) fn bit(result: Conclusion) -> u8 {
    match result {
        Conclusion::Success => 1,
        Conclusion::Failure => 2,
        Conclusion::Cancelled => 4,
        Conclusion::Skipped => 8,
    }
}

impl JobState {
    pub(super) fn new(declared: &Arc<JobDeclared>, caller: Option<InstanceId>) -> Self {
        Self {
            declared: declared.clone(),
            caller,
            needed_by: Vec::new(),
            unmet: u32::try_from(declared.needs.len()).unwrap_or(u32::MAX),
            above: 0,
            instances: Vec::new(),
            open: 0,
            let_in: 0,
            failing: false,
            evaluated: false,
            after_cancel: false,
            fail_fast: true,
            max_parallel: None,
            without: None,
            result: None,
        }
    }
}

impl InstanceState {
    /// Returns what people see, as evaluated.
    pub fn display(&self) -> &str {
        self.named.as_ref().unwrap_or(&self.declared.display)
    }

    /// Returns what it asks for while it waits for a slot.
    pub(super) fn slot_class(&self) -> SlotClass {
        let Some(settings) = &self.settings else { return SlotClass::default() };
        let (asked, memory) = (&settings.resources, self.memory);
        let group = settings.concurrency.as_ref().map(|group| group.group.to_lowercase());
        (asked.cpu_millis, memory.unwrap_or(asked.memory_bytes), asked.gpus, group)
    }

    /// Tells whether it holds a concurrency group of its own while it runs.
    pub(super) fn has_group(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.concurrency.is_some())
    }

    pub(super) fn new(job: JobId, index: u32, declared: &Arc<InstanceDeclared>) -> Self {
        Self {
            job,
            index,
            declared: declared.clone(),
            phase: Phase::Declared,
            named: None,
            settings: None,
            failed: None,
            attempt: 0,
            infra: 0,
            restarts: 0,
            token: String::new(),
            spec: String::new(),
            said: 0,
            service_ends: BTreeMap::new(),
            gpus: None,
            memory: None,
            step_memory: BTreeMap::new(),
            receipt: None,
            cached: None,
            adopted: None,
            verdicts: Vec::new(),
            stop: None,
            told: None,
            outcome: None,
            conclusion: None,
            outputs: BTreeMap::new(),
            inner: Vec::new(),
            inner_open: 0,
        }
    }
}
