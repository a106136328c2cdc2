//! How much of this machine is free, and who holds a concurrency group of the run.
//!
//! Not here: order and fairness over several runs.

use std::collections::BTreeMap;
use tidegate_edge::executor::machine;
use tidegate_flow::run::{InstanceId, ReadySettings};

/// What a machine has, or what a person lets the run use of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// GPUs by index; `None`: not known yet, and asked for when the first job wants one.
    pub gpus: Option<Vec<u32>>,
    /// Jobs at once.
    pub jobs: u32,
}

impl Machine {
    /// Looks at this machine. Nobody asks for GPUs before a job wants one: `nvidia-smi` takes longer
    /// than a small run.
    pub fn here(jobs: Option<u32>, gpus: Option<u32>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        let jobs = jobs.unwrap_or(cores).max(1);
        Self {
            cpu_millis: u64::from(cores.max(jobs)) * 1000,
            memory: machine::memory(),
            gpus: gpus.map(machine::told),
            jobs,
        }
    }

    /// What a request needs that this machine does not have, in words.
    fn above(&self, settings: &ReadySettings) -> Option<String> {
        let asked = &settings.resources;
        let gpus = self.gpus.as_ref().map_or(0, Vec::len);
        if usize::try_from(asked.gpus).unwrap_or(usize::MAX) > gpus {
            let plural = if asked.gpus == 1 { "GPU" } else { "GPUs" };
            return Some(format!("{} {plural} asked for, this machine has {gpus}", asked.gpus));
        }
        if asked.cpu_millis > self.cpu_millis {
            let (asked, has) = (asked.cpu_millis.div_ceil(1000), self.cpu_millis / 1000);
            return Some(format!("{asked} cores asked for, this machine has {has}"));
        }
        (asked.memory_bytes > self.memory).then(|| {
            format!(
                "{} of memory asked for, this machine has {}",
                crate::app::report::bytes(asked.memory_bytes),
                crate::app::report::bytes(self.memory)
            )
        })
    }
}

/// What is free, and what is lent.
#[derive(Debug)]
pub(super) struct Capacity {
    machine: Machine,
    cpu: u64,
    memory: u64,
    gpus: Vec<u32>,
    jobs: u32,
    lent: BTreeMap<InstanceId, Lent>,
    /// Concurrency groups and who holds them.
    groups: BTreeMap<String, InstanceId>,
}

#[derive(Debug)]
struct Lent {
    jobs: u32,
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
            gpus: machine.gpus.clone().unwrap_or_default(),
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
    pub(super) fn above(&mut self, settings: &ReadySettings) -> Option<String> {
        if settings.resources.gpus > 0 && self.machine.gpus.is_none() {
            let found = machine::gpus();
            self.gpus.clone_from(&found);
            self.machine.gpus = Some(found);
        }
        self.machine.above(settings)
    }

    /// Lends what an instance asks for, if it is free. What is more than the machine runs alone.
    pub(super) fn request(&mut self, id: InstanceId, settings: &ReadySettings) -> Grant {
        let group = settings.concurrency.as_ref().map(|c| c.group.to_lowercase());
        if let Some(holder) = group.as_ref().and_then(|g| self.groups.get(g))
            && *holder != id
        {
            return Grant::Held(*holder);
        }
        let alone = self.above(settings).is_some();
        let asked = &settings.resources;
        let (jobs, cpu, memory, gpus) = if alone {
            if !self.lent.is_empty() {
                return Grant::Wait;
            }
            (self.jobs, self.cpu, self.memory, self.gpus.len())
        } else {
            // Who says nothing counts as one core.
            let cpu = if asked.cpu_millis == 0 { 1000 } else { asked.cpu_millis };
            (1, cpu, asked.memory_bytes, usize::try_from(asked.gpus).unwrap_or(usize::MAX))
        };
        if jobs == 0 || jobs > self.jobs || cpu > self.cpu || memory > self.memory || gpus > self.gpus.len() {
            return Grant::Wait;
        }
        let gpus: Vec<u32> = self.gpus.drain(..gpus).collect();
        self.jobs -= jobs;
        self.cpu -= cpu;
        self.memory -= memory;
        if let Some(group) = &group {
            self.groups.insert(group.clone(), id);
        }
        // Where no GPU is known, the job sees what there is.
        let seen = (asked.gpus > 0 && !gpus.is_empty()).then(|| gpus.clone());
        self.lent.insert(id, Lent { jobs, cpu, memory, gpus, group });
        Grant::Granted(seen)
    }

    /// Takes back what an instance had.
    pub(super) fn give_back(&mut self, id: InstanceId) {
        let Some(lent) = self.lent.remove(&id) else { return };
        self.jobs += lent.jobs;
        self.cpu += lent.cpu;
        self.memory += lent.memory;
        self.gpus.extend(lent.gpus);
        self.gpus.sort_unstable();
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
        let mut capacity =
            Capacity::new(Machine { cpu_millis: 2000, memory: 1 << 30, gpus: Some(vec![0, 1]), jobs: 2 });
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
    fn more_than_the_machine_is_alone() {
        let mut capacity =
            Capacity::new(Machine { cpu_millis: 4000, memory: 1 << 30, gpus: Some(vec![2]), jobs: 4 });
        let id = InstanceId;
        assert_eq!(capacity.request(id(0), &asks(0, 0)), Grant::Granted(None));
        assert_eq!(capacity.request(id(1), &asks(0, 2)), Grant::Wait, "somebody runs");
        capacity.give_back(id(0));
        assert_eq!(capacity.request(id(1), &asks(0, 2)), Grant::Granted(Some(vec![2])));
        assert_eq!(capacity.request(id(2), &asks(1, 0)), Grant::Wait, "alone");
        capacity.give_back(id(1));
        assert_eq!(capacity.request(id(2), &asks(1, 0)), Grant::Granted(None));
        assert_eq!(capacity.request(id(3), &asks(1, 1)), Grant::Granted(Some(vec![2])));
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lent_twice(wishes in proptest::collection::vec((0_u64..6000, 0_u32..4, 0_u64..4, 0_u8..2), 1..60)) {
            let machine = Machine { cpu_millis: 4000, memory: 3, gpus: Some(vec![1, 4, 5]), jobs: 3 };
            let mut capacity = Capacity::new(machine.clone());
            let mut held: BTreeMap<u32, (Vec<u32>, u64, u64, bool)> = BTreeMap::new();
            for (number, (cpu, gpus, memory, back)) in (0_u32..).zip(wishes) {
                let mut settings = asks(cpu, gpus);
                settings.resources.memory_bytes = memory;
                if let Grant::Granted(seen) = capacity.request(InstanceId(number), &settings) {
                    let alone = machine.above(&settings).is_some();
                    held.insert(number, (seen.unwrap_or_default(), cpu, memory, alone));
                }
                let mut all: Vec<u32> = held.values().flat_map(|h| h.0.clone()).collect();
                let count = all.len();
                all.sort_unstable();
                all.dedup();
                proptest::prop_assert_eq!(all.len(), count, "a GPU is lent twice");
                proptest::prop_assert!(held.len() <= 3);
                if held.values().any(|h| h.3) {
                    proptest::prop_assert_eq!(held.len(), 1);
                } else {
                    let cpu: u64 = held.values().map(|h| if h.1 == 0 { 1000 } else { h.1 }).sum();
                    proptest::prop_assert!(cpu <= 4000);
                    proptest::prop_assert!(held.values().map(|h| h.2).sum::<u64>() <= 3);
                }
                if back == 1 && let Some((first, _)) = held.pop_first() {
                    capacity.give_back(InstanceId(first));
                }
            }
            for number in held.keys() {
                capacity.give_back(InstanceId(*number));
            }
            proptest::prop_assert_eq!(capacity.request(InstanceId(9999), &asks(4000, 3)), Grant::Granted(Some(vec![1, 4, 5])));
        }
    }

    #[test]
    fn a_group_has_one_holder() {
        let mut capacity =
            Capacity::new(Machine { cpu_millis: 4000, memory: 1 << 30, gpus: Some(vec![]), jobs: 4 });
        let group = ConcurrencyGroup { group: "Deploy".to_owned(), ..ConcurrencyGroup::default() };
        let settings = ReadySettings { concurrency: Some(group), ..ReadySettings::default() };
        assert_eq!(capacity.request(InstanceId(0), &settings), Grant::Granted(None));
        assert_eq!(capacity.request(InstanceId(1), &settings), Grant::Held(InstanceId(0)));
        capacity.give_back(InstanceId(0));
        assert_eq!(capacity.request(InstanceId(1), &settings), Grant::Granted(None));
    }
}
