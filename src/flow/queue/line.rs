//! Who waits, in which order, and who is next.

use super::group::Group;
use super::{Capacity, Need};
use crate::run::ConcurrencyGroup;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often others may pass a request that does not fit before nobody passes it any more: small
/// jobs fill the gaps, and a large one still gets its turn.
const PASSES: u32 = 32;

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The run it belongs to: runs take turns.
    pub run: String,
    /// How many requests of its run may hold something of the machine at once (`--jobs`).
    pub most: Option<u32>,
    /// What it takes of the machine; a whole run that only wants its group takes nothing: `None`.
    pub need: Option<Need>,
    /// Its concurrency group.
    pub group: Option<ConcurrencyGroup>,
    /// Whose run it is, where several projects share the line: a group is one project's, as it is one repository's at
    /// GitHub.
    /// <https://docs.github.com/actions/using-jobs/using-concurrency>
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
}

impl Request {
    /// What its group is known by.
    fn group_name(&self) -> Option<GroupName> {
        let group = self.group.as_ref()?;
        Some((self.project.clone(), group.group.to_lowercase()))
    }
}

/// Whose group, and its name in small letters.
type GroupName = (String, String);

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<K> {
    /// It may start.
    Grant {
        /// Who.
        key: K,
        /// GPUs by index.
        gpus: Vec<u32>,
    },
    /// A newcomer took its place in the concurrency group: it ends as cancelled.
    Replace {
        /// Who.
        key: K,
        /// The group.
        group: String,
    },
    /// It holds a group that a newcomer with `cancel-in-progress` wants: it is to stop.
    Stop {
        /// Who.
        key: K,
        /// The group.
        group: String,
    },
}

/// A request as it stands in the line: how a queue is put together again from what was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<K> {
    /// Who.
    pub key: K,
    /// Place in the order of arrival.
    pub place: u64,
    /// What it asks for, no more than the machine of who asked.
    pub request: Request,
    /// GPUs, once granted.
    pub held: Option<Vec<u32>>,
    /// Whether it was told to stop for somebody who wants its group.
    pub told: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    run: String,
    most: Option<u32>,
    need: Option<Need>,
    group: Option<GroupName>,
    /// Place in the order of arrival.
    place: u64,
    /// GPUs, once granted.
    held: Option<Vec<u32>>,
}

/// Requests that are alike and stand in one line: only the first of them is looked at.
type Class = (String, Option<Need>, Option<GroupName>);

/// The queue over all runs of a store. `K` names a request: a run, or an instance of one.
#[derive(Clone, Debug)]
pub struct Queue<K> {
    machine: Capacity,
    left: Capacity,
    entries: BTreeMap<K, Entry>,
    lines: BTreeMap<Class, BTreeMap<u64, K>>,
    groups: BTreeMap<GroupName, Group<K>>,
    held_by_run: BTreeMap<String, u32>,
    next_place: u64,
    /// Which request is passed over, by its place, and how often.
    passed: Option<(u64, u32)>,
    said: Vec<Decision<K>>,
}

impl<K: Clone + Ord> Queue<K> {
    /// Makes a queue over a machine.
    pub fn new(machine: Capacity) -> Self {
        Self {
            left: machine.clone(),
            machine,
            entries: BTreeMap::new(),
            lines: BTreeMap::new(),
            groups: BTreeMap::new(),
            held_by_run: BTreeMap::new(),
            next_place: 0,
            passed: None,
            said: Vec::new(),
        }
    }

    /// Puts a queue together again; `passed` as [`Queue::passed`] gave it.
    pub fn restore(machine: Capacity, mut standing: Vec<Standing<K>>, passed: Option<(u64, u32)>) -> Self {
        let mut queue = Self::new(machine);
        standing.sort_by_key(|one| one.place);
        for one in standing {
            let name = one.request.group_name();
            if let Some(name) = &name {
                let group = queue.groups.entry(name.clone()).or_default();
                if one.held.is_some() {
                    group.holder = Some(one.key.clone());
                    group.told = one.told;
                } else {
                    group.waiting.push_back(one.key.clone());
                }
            }
            queue.next_place = queue.next_place.max(one.place.saturating_add(1));
            let entry = Entry::of(one.request, name, one.place, one.held);
            match (&entry.held, &entry.need) {
                (Some(gpus), Some(need)) => {
                    queue.left.take_held(need, gpus);
                    *queue.held_by_run.entry(entry.run.clone()).or_default() += 1;
                }
                (Some(_), None) => {}
                (None, _) => {
                    queue.lines.entry(class(&entry)).or_default().insert(entry.place, one.key.clone());
                }
            }
            queue.entries.insert(one.key, entry);
        }
        // Who was passed over and has left is no barrier any more.
        let waits = |place: u64| queue.lines.values().any(|line| line.contains_key(&place));
        queue.passed = passed.filter(|(place, _)| waits(*place));
        queue
    }

    /// Returns which request is passed over, by its place, and how often.
    pub fn passed(&self) -> Option<(u64, u32)> {
        self.passed
    }

    /// Returns the place of a request.
    pub fn place(&self, key: &K) -> Option<u64> {
        self.entries.get(key).map(|entry| entry.place)
    }

    /// Takes a request in. One that is there already stays as it is; one for more than the machine
    /// has runs alone, on all of it.
    pub fn request(&mut self, key: K, mut request: Request) {
        if self.entries.contains_key(&key) {
            return;
        }
        let name = request.group_name();
        if let (Some(name), Some(settings)) = (&name, &request.group) {
            let group = self.groups.entry(name.clone()).or_default();
            let (replaced, stop) = group.join(key.clone(), settings);
            if let (true, Some(holder)) = (stop, group.holder.clone()) {
                self.said.push(Decision::Stop { key: holder, group: settings.group.clone() });
            }
            for key in replaced {
                self.remove(&key);
                self.said.push(Decision::Replace { key, group: settings.group.clone() });
            }
        }
        let place = self.next_place;
        self.next_place += 1;
        request.need = request.need.map(|need| need.within(&self.machine));
        let entry = Entry::of(request, name, place, None);
        self.lines.entry(class(&entry)).or_default().insert(place, key.clone());
        self.entries.insert(key, entry);
    }

    /// Gives back what was granted, or withdraws what waits; who is not here is fine.
    pub fn release(&mut self, key: &K) {
        if let Some(name) = self.remove(key)
            && let Some(group) = self.groups.get_mut(&name)
        {
            group.leave(key);
            if group.is_empty() {
                self.groups.remove(&name);
            }
        }
    }

    /// Returns what follows from all that was told since the last call.
    pub fn decide(&mut self) -> Vec<Decision<K>> {
        let mut decisions = std::mem::take(&mut self.said);
        while let Some(decision) = self.grant_next() {
            decisions.push(decision);
        }
        decisions
    }

    /// Returns how many wait.
    pub fn waiting(&self) -> usize {
        self.lines.values().map(BTreeMap::len).sum()
    }

    /// Returns what is left of the machine.
    pub fn left(&self) -> &Capacity {
        &self.left
    }

    /// Returns all requests, as they would be stored.
    #[cfg(test)]
    pub(super) fn standing(&self) -> Vec<Standing<K>> {
        let told = |key: &K, entry: &Entry| {
            let group = entry.group.as_ref().and_then(|name| self.groups.get(name));
            group.is_some_and(|group| group.told && group.holder.as_ref() == Some(key))
        };
        let stored = self.entries.iter().map(|(key, entry)| Standing {
            key: key.clone(),
            place: entry.place,
            request: Request {
                run: entry.run.clone(),
                most: entry.most,
                need: entry.need.clone(),
                group: entry
                    .group
                    .clone()
                    .map(|(_, group)| ConcurrencyGroup { group, ..ConcurrencyGroup::default() }),
                project: entry.group.clone().map(|(project, _)| project).unwrap_or_default(),
            },
            held: entry.held.clone(),
            told: told(key, entry),
        });
        stored.collect()
    }

    /// Forgets an entry and returns its group's name.
    fn remove(&mut self, key: &K) -> Option<GroupName> {
        let entry = self.entries.remove(key)?;
        match &entry.held {
            Some(gpus) => {
                if let Some(need) = &entry.need {
                    self.left.put(need, gpus);
                    if let Some(held) = self.held_by_run.get_mut(&entry.run) {
                        *held = held.saturating_sub(1);
                        if *held == 0 {
                            self.held_by_run.remove(&entry.run);
                        }
                    }
                }
            }
            None => self.leave_line(&entry),
        }
        entry.group
    }

    fn leave_line(&mut self, entry: &Entry) {
        let class = class(entry);
        if let Some(line) = self.lines.get_mut(&class) {
            line.remove(&entry.place);
            if line.is_empty() {
                self.lines.remove(&class);
            }
        }
        if self.passed.is_some_and(|(place, _)| place == entry.place) {
            self.passed = None;
        }
    }

    /// Grants the first that fits: of the run that holds least, then who came first.
    fn grant_next(&mut self) -> Option<Decision<K>> {
        let mut heads: Vec<(u32, u64, &K)> = Vec::with_capacity(self.lines.len());
        for ((run, _, group), line) in &self.lines {
            // In a group it is the turn of whom the group says.
            let next = match group.as_ref().and_then(|name| self.groups.get(name)) {
                Some(group) => line.iter().find(|(_, key)| group.is_next(key)),
                None => line.first_key_value(),
            };
            if let Some((place, key)) = next {
                let held = self.held_by_run.get(run).copied().unwrap_or(0);
                // A run that has as many as it wants keeps nobody waiting.
                let full =
                    |entry: &Entry| entry.need.is_some() && entry.most.is_some_and(|most| held >= most);
                if !self.entries.get(key).is_some_and(full) {
                    heads.push((held, *place, key));
                }
            }
        }
        heads.sort_unstable();
        let oldest = heads.iter().map(|(_, place, _)| *place).min();
        let mut chosen = None;
        for (_, place, key) in heads {
            let barred = self.passed.is_some_and(|(barrier, times)| times >= PASSES && place != barrier);
            let entry = self.entries.get(key)?;
            if let Some(gpus) = if barred { None } else { fit(&mut self.left, entry) } {
                chosen = Some((key.clone(), place, gpus));
                break;
            }
        }
        let (key, place, gpus) = chosen?;
        // Whoever came first and still waits was passed once more.
        self.passed = match (oldest, self.passed) {
            (Some(oldest), _) if oldest == place => None,
            (Some(oldest), Some((was, times))) if was == oldest => Some((oldest, times.saturating_add(1))),
            (Some(oldest), _) => Some((oldest, 1)),
            (None, _) => None,
        };
        let entry = self.entries.get(&key)?.clone();
        self.leave_line_kept(&entry);
        if let Some(group) = entry.group.as_ref().and_then(|name| self.groups.get_mut(name)) {
            group.take();
        }
        if entry.need.is_some() {
            *self.held_by_run.entry(entry.run.clone()).or_default() += 1;
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.held = Some(gpus.clone());
        }
        Some(Decision::Grant { key, gpus })
    }

    /// Leaves the line with a grant: the count of passes belongs to who still waits.
    fn leave_line_kept(&mut self, entry: &Entry) {
        let passed = self.passed;
        self.leave_line(entry);
        self.passed = passed;
    }
}

impl Entry {
    fn of(request: Request, group: Option<GroupName>, place: u64, held: Option<Vec<u32>>) -> Self {
        Self { run: request.run, most: request.most, need: request.need, group, place, held }
    }
}

/// Takes what an entry needs; a request without a need takes nothing.
fn fit(left: &mut Capacity, entry: &Entry) -> Option<Vec<u32>> {
    match &entry.need {
        Some(need) => left.take(need),
        None => Some(Vec::new()),
    }
}

fn class(entry: &Entry) -> Class {
    (entry.run.clone(), entry.need.clone(), entry.group.clone())
}
