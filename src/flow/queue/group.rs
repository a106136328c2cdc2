//! One concurrency group: who holds it and who waits for it.

use crate::run::ConcurrencyGroup;
use std::collections::VecDeque;

/// How many may wait with `queue: max` (GitHub's limit).
const QUEUE_MAX: usize = 100;

/// One concurrency group.
#[derive(Clone, Debug)]
pub(super) struct Group<K> {
    pub(super) holder: Option<K>,
    pub(super) waiting: VecDeque<K>,
    /// Whether the holder was told to stop for somebody else.
    pub(super) told: bool,
}

impl<K> Default for Group<K> {
    fn default() -> Self {
        Self { holder: None, waiting: VecDeque::new(), told: false }
    }
}

impl<K: Clone + PartialEq> Group<K> {
    /// Lets a newcomer wait; returns who has to give way, and whether the holder is to stop.
    pub(super) fn join(&mut self, key: K, settings: &ConcurrencyGroup) -> (Vec<K>, bool) {
        let mut replaced: Vec<K> = Vec::new();
        if settings.queue_all && !settings.cancel_in_progress {
            if self.waiting.len() >= QUEUE_MAX {
                replaced.extend(self.waiting.pop_front());
            }
        } else {
            replaced.extend(self.waiting.drain(..));
        }
        self.waiting.push_back(key);
        let stop = settings.cancel_in_progress && self.holder.is_some() && !self.told;
        self.told |= stop;
        (replaced, stop)
    }

    /// Who leaves: the holder, or one who waits.
    pub(super) fn leave(&mut self, key: &K) {
        if self.holder.as_ref() == Some(key) {
            self.holder = None;
            self.told = false;
        }
        self.waiting.retain(|other| other != key);
    }

    /// Whether it is `key`'s turn.
    pub(super) fn is_next(&self, key: &K) -> bool {
        self.holder.is_none() && self.waiting.front() == Some(key)
    }

    pub(super) fn take(&mut self) {
        self.holder = self.waiting.pop_front();
        self.told = false;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.holder.is_none() && self.waiting.is_empty()
    }
}
