//! How much of this machine is free, and who holds a concurrency group of the run.
//!
//! Not here: order and fairness over several runs.

use std::collections::{BTreeMap, BTreeSet};
use tidegate_flow::run::{InstanceId, ReadySettings};

/// What a machine has, or what a person lets the run use of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// GPUs by index.
    pub gpus: u32,
    /// Jobs at once.
    pub jobs: u32,
}

impl Machine {
    /// Looks at this machine; GPUs only as told.
    pub fn here(jobs: Option<u32>, gpus: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        let info = rustix::system::sysinfo();
        let memory = info.totalram.saturating_mul(u64::from(info.mem_unit));
        let jobs = jobs.unwrap_or(cores).max(1);
        Self { cpu_millis: u64::from(cores.max(jobs)) * 1000, memory, gpus, jobs }
    }
}

/// What is free, and what is lent.
#[derive(Debug)]
pub(super) struct Capacity {
    machine: Machine,
    cpu: u64,
    memory: u64,
    gpus: BTreeSet<u32>,
    jobs: u32,
    lent: BTreeMap<InstanceId, Lent>,
    /// Concurrency groups and who holds them.
    groups: BTreeMap<String, InstanceId>,
}

#[derive(Debug)]
struct Lent {
    cpu: u64,
    memory: u64,
    gpus: Vec<u32>,
    group: Option<String>,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// It may start, with these GPUs.
    Granted(Option<Vec<u32>>),
    /// Not now.
    Wait,
    /// Another instance holds its concurrency group.
    Held(InstanceId),
}

impl Capacity {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            cpu: machine.cpu_millis,
            memory: machine.memory,
            gpus: (0..machine.gpus).collect(),
            jobs: machine.jobs,
            lent: BTreeMap::new(),
            groups: BTreeMap::new(),
            machine,
        }
    }

    /// Tells how many more jobs could start at most.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.jobs).unwrap_or(usize::MAX)
    }

    /// Says in words what a request asks for that this machine does not have.
    pub(super) fn above(&self, settings: &ReadySettings) -> Option<String> {
        let asked = &settings.resources;
        if asked.gpus > self.machine.gpus {
            return Some(format!("{} GPUs asked for, this machine has {}", asked.gpus, self.machine.gpus));
        }
        if asked.cpu_millis > self.machine.cpu_millis {
            let (asked, has) = (asked.cpu_millis.div_ceil(1000), self.machine.cpu_millis / 1000);
            return Some(format!("{asked} cores asked for, this machine has {has}"));
        }
        (asked.memory_bytes > self.machine.memory).then(|| {
            format!(
                "{} of memory asked for, this machine has {}",
                crate::app::report::bytes(asked.memory_bytes),
                crate::app::report::bytes(self.machine.memory)
            )
        })
    }

    /// Lends what an instance asks for, if it is free. What is more than the machine runs alone.
    pub(super) fn request(&mut self, id: InstanceId, settings: &ReadySettings) -> Grant {
        let group = settings.concurrency.as_ref().map(|c| c.group.to_lowercase());
        if let Some(holder) = group.as_ref().and_then(|g| self.groups.get(g))
            && *holder != id
        {
            return Grant::Held(*holder);
        }
        let asked = &settings.resources;
        // Who says nothing counts as one core.
        let cpu = if asked.cpu_millis == 0 { 1000 } else { asked.cpu_millis };
        let cpu = cpu.min(self.machine.cpu_millis);
        let memory = asked.memory_bytes.min(self.machine.memory);
        let wanted = usize::try_from(asked.gpus.min(self.machine.gpus)).unwrap_or(0);
        if self.jobs == 0 || cpu > self.cpu || memory > self.memory || wanted > self.gpus.len() {
            return Grant::Wait;
        }
        let gpus: Vec<u32> = self.gpus.iter().copied().take(wanted).collect();
        self.gpus.retain(|g| !gpus.contains(g));
        self.jobs -= 1;
        self.cpu -= cpu;
        self.memory -= memory;
        if let Some(group) = &group {
            self.groups.insert(group.clone(), id);
        }
        self.lent.insert(id, Lent { cpu, memory, gpus: gpus.clone(), group });
        Grant::Granted((asked.gpus > 0).then_some(gpus))
    }

    /// Takes back what an instance had.
    pub(super) fn give_back(&mut self, id: InstanceId) {
        let Some(lent) = self.lent.remove(&id) else { return };
        self.jobs += 1;
        self.cpu += lent.cpu;
        self.memory += lent.memory;
        self.gpus.extend(lent.gpus);
        if let Some(group) = lent.group {
            self.groups.remove(&group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::run::ConcurrencyGroup;

    fn asks(cpu: u64, gpus: u32) -> ReadySettings {
        let mut settings = ReadySettings::default();
        settings.resources.cpu_millis = cpu;
        settings.resources.gpus = gpus;
        settings
    }

    #[test]
    fn what_is_lent_comes_back() {
        let mut capacity = Capacity::new(Machine { cpu_millis: 2000, memory: 1 << 30, gpus: 2, jobs: 2 });
        let id = InstanceId;
        assert_eq!(capacity.request(id(0), &asks(0, 1)), Grant::Granted(Some(vec![0])));
        assert_eq!(capacity.request(id(1), &asks(0, 1)), Grant::Granted(Some(vec![1])));
        assert_eq!(capacity.request(id(2), &asks(0, 0)), Grant::Wait);
        capacity.give_back(id(0));
        // More than there is runs alone, once the other is gone.
        assert_eq!(capacity.request(id(3), &asks(64_000, 0)), Grant::Wait);
        capacity.give_back(id(1));
        assert_eq!(capacity.request(id(3), &asks(64_000, 0)), Grant::Granted(None));
        assert!(capacity.above(&asks(64_000, 0)).unwrap().contains("64 cores"));
    }

    #[test]
    fn a_group_has_one_holder() {
        let mut capacity = Capacity::new(Machine { cpu_millis: 4000, memory: 1 << 30, gpus: 0, jobs: 4 });
        let group = ConcurrencyGroup { group: "Deploy".to_owned(), ..ConcurrencyGroup::default() };
        let settings = ReadySettings { concurrency: Some(group), ..ReadySettings::default() };
        assert_eq!(capacity.request(InstanceId(0), &settings), Grant::Granted(None));
        assert_eq!(capacity.request(InstanceId(1), &settings), Grant::Held(InstanceId(0)));
        capacity.give_back(InstanceId(0));
        assert_eq!(capacity.request(InstanceId(1), &settings), Grant::Granted(None));
    }
}
