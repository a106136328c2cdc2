//! What this machine has, or what a person lets a run use of it.

use super::BackEnd;
use std::path::PathBuf;
use tidegate_edge::executor::{Executor, ExecutorMessage, machine};
use tidegate_edge::store::{RunLog, Store};
use tidegate_flow::job::ResourceRequest;
use tidegate_flow::queue::{Capacity, Need};

/// At most so many jobs a core, however little each asks for.
const JOBS_A_CORE: u32 = 10;

/// What a machine has, or what a person lets the run use of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// GPUs by index; `None`: not known yet, and asked for when the first job wants one.
    pub gpus: Option<Vec<u32>>,
    /// Jobs of the run at once.
    pub jobs: u32,
}

impl Machine {
    /// Looks at this machine; `jobs` at once may be more than there are cores. Nobody asks for GPUs
    /// before a job wants one: `nvidia-smi` takes longer than a small run.
    pub fn here(jobs: Option<u32>, gpus: Option<u32>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        Self {
            cpu_millis: u64::from(cores.max(jobs.unwrap_or(0))) * 1000,
            memory: machine::memory(),
            gpus: gpus.map(machine::told),
            jobs: jobs.unwrap_or(cores.saturating_mul(JOBS_A_CORE)).max(1),
        }
    }

    /// Returns what all runs of a store share of it.
    pub(super) fn capacity(&self) -> Capacity {
        let gpus = self.gpus.iter().flatten().copied().collect();
        Capacity { cpu_millis: self.cpu_millis, memory_bytes: self.memory, gpus }
    }

    /// Returns what a job needs, after a look at the GPUs where it wants some.
    fn need(&mut self, asked: &ResourceRequest) -> Need {
        if asked.gpus > 0 && self.gpus.is_none() {
            self.gpus = Some(machine::gpus());
        }
        Need::of(asked)
    }

    /// Tells how many jobs that say nothing could start at most.
    fn room(&self) -> usize {
        let cores = usize::try_from(self.cpu_millis.div_ceil(1000)).unwrap_or(usize::MAX);
        cores.min(usize::try_from(self.jobs).unwrap_or(usize::MAX))
    }
}

/// Puts something between an engine and its log.
pub type Between = Box<dyn FnOnce(Store) -> Box<dyn RunLog>>;

/// What hears an executor.
pub type Ear = Box<dyn Fn(ExecutorMessage) + Send>;

/// Makes an executor that stands in for that of the back end.
pub type Instead = Box<dyn Fn(Ear) -> Box<dyn Executor>>;

/// Where an engine works, and with what.
pub struct Site {
    /// What it may use.
    pub machine: Machine,
    /// Refuse jobs that ask for more than the machine has.
    pub strict: bool,
    /// Where jobs run.
    pub back_end: BackEnd,
    /// The project's folder is no working copy: its tree is in the store, as the log names it.
    pub tree_in_store: bool,
    /// The program that hosts local jobs; `None`: this one.
    pub exe: Option<PathBuf>,
    /// Puts something between the engine and the log it opened.
    pub log: Option<Between>,
    /// Stands in for the executor of the back end.
    pub executor: Option<Instead>,
}

impl Site {
    /// Works here, with nothing in between.
    pub fn new(machine: Machine, strict: bool) -> Self {
        Self {
            machine,
            strict,
            back_end: BackEnd::Local,
            tree_in_store: false,
            exe: None,
            log: None,
            executor: None,
        }
    }

    /// Returns what a job needs of this machine: nothing, where it runs elsewhere.
    pub(super) fn need(&mut self, asked: &ResourceRequest) -> Need {
        if self.back_end.is_here() { self.machine.need(asked) } else { Need::default() }
    }

    /// Tells how many jobs that say nothing could start at most.
    pub(super) fn room(&self) -> usize {
        if self.back_end.is_here() {
            self.machine.room()
        } else {
            usize::try_from(self.machine.jobs).unwrap_or(usize::MAX)
        }
    }

    /// Returns the log that the engine works with.
    pub(super) fn open(&mut self, store: Store) -> Box<dyn RunLog> {
        match self.log.take() {
            Some(between) => between(store),
            None => Box::new(store),
        }
    }
}
