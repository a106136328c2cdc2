//! What a machine has, what is lent, and what a request needs of it.

use crate::job::ResourceRequest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Thousandths of a core that a job counts for which says nothing.
const DEFAULT_CPU_MILLIS: u64 = 1000;

/// What a machine has, or has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// GPUs by index.
    pub gpus: BTreeSet<u32>,
}

/// What a request takes while it is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Need {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// Whole GPUs.
    pub gpus: u32,
}

impl Need {
    /// Returns what a job needs by its evaluated `resources`.
    pub fn of(asked: &ResourceRequest) -> Self {
        let cpu_millis = if asked.cpu_millis == 0 { DEFAULT_CPU_MILLIS } else { asked.cpu_millis };
        Self { cpu_millis, memory_bytes: asked.memory_bytes, gpus: asked.gpus }
    }

    /// Says what is asked for that the whole machine does not have; `None` if it fits.
    pub fn above(&self, machine: &Capacity) -> Option<String> {
        let gpus = u32::try_from(machine.gpus.len()).unwrap_or(u32::MAX);
        if self.gpus > gpus {
            let plural = if self.gpus == 1 { "GPU" } else { "GPUs" };
            return Some(format!("{} {plural} asked for, this machine has {gpus}", self.gpus));
        }
        if self.cpu_millis > machine.cpu_millis {
            let (asked, has) = (self.cpu_millis.div_ceil(1000), machine.cpu_millis / 1000);
            return Some(format!("{asked} cores asked for, this machine has {has}"));
        }
        let mebibytes = |bytes: u64| bytes >> 20;
        let (asked, has) = (mebibytes(self.memory_bytes), mebibytes(machine.memory_bytes));
        (self.memory_bytes > machine.memory_bytes)
            .then(|| format!("{asked} MiB of memory asked for, this machine has {has} MiB"))
    }

    /// Returns what it takes of the machine: all of it, where it asks for more than there is of
    /// anything, so that it runs alone.
    #[must_use]
    pub fn within(&self, machine: &Capacity) -> Self {
        if self.above(machine).is_none() {
            return self.clone();
        }
        Self {
            cpu_millis: machine.cpu_millis,
            memory_bytes: machine.memory_bytes,
            gpus: u32::try_from(machine.gpus.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Capacity {
    /// Takes what is needed out of what is left; returns the GPUs, or `None` if it does not fit.
    pub(super) fn take(&mut self, need: &Need) -> Option<Vec<u32>> {
        let count = usize::try_from(need.gpus).ok()?;
        let fits = need.cpu_millis <= self.cpu_millis
            && need.memory_bytes <= self.memory_bytes
            && count <= self.gpus.len();
        if !fits {
            return None;
        }
        let gpus: Vec<u32> = self.gpus.iter().copied().take(count).collect();
        self.gpus.retain(|gpu| !gpus.contains(gpu));
        self.cpu_millis -= need.cpu_millis;
        self.memory_bytes -= need.memory_bytes;
        Some(gpus)
    }

    /// Takes out what somebody holds already, who may have looked at the machine with other eyes:
    /// nothing is left of what is held twice.
    pub(super) fn take_held(&mut self, need: &Need, gpus: &[u32]) {
        self.gpus.retain(|gpu| !gpus.contains(gpu));
        self.cpu_millis = self.cpu_millis.saturating_sub(need.cpu_millis);
        self.memory_bytes = self.memory_bytes.saturating_sub(need.memory_bytes);
    }

    /// Puts back what [`Capacity::take`] took.
    pub(super) fn put(&mut self, need: &Need, gpus: &[u32]) {
        self.gpus.extend(gpus);
        self.cpu_millis += need.cpu_millis;
        self.memory_bytes += need.memory_bytes;
    }
}
