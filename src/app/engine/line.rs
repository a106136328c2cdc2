//! The engine's part of the line over all runs of its store: what it waits for, what it holds, and
//! what it hands from a job that ended to its next one without asking, as long as nobody else waits.
//!
//! Not here: who is next (`flow::queue`), and how the line is stored (`edge::store`).

use super::{Engine, EngineError};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tidegate_edge::store::Place;
use tidegate_flow::queue::{Need, Request};
use tidegate_flow::run::{ConcurrencyGroup, EventKind, InstanceId, Phase, ReadySettings};

/// How often the line is looked at while others hold what this engine waits for: they say so when
/// they give it back, but not when they are killed.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Who asks: an instance, or the run itself for its concurrency group.
type Who = Option<InstanceId>;

#[derive(Clone, Debug)]
struct Ask {
    key: String,
    need: Option<Need>,
    group: bool,
    /// GPUs, once granted.
    gpus: Option<Vec<u32>>,
    /// Whether it was told to stop.
    told: bool,
}

/// What this engine has in the line.
#[derive(Debug, Default)]
pub(super) struct Line {
    asks: BTreeMap<Who, Ask>,
    /// Slots of jobs that ended: for the next ones, or to be given back.
    spare: Vec<(String, Need, Vec<u32>)>,
    /// Places in the line of jobs that went on with a spare slot: for the next ones, or to be left.
    loose: Vec<(String, Need)>,
    join: Vec<(String, Request)>,
    leave: Vec<String>,
    asked: u64,
    waiting: usize,
    /// Whether other engines stand in the line.
    crowded: bool,
    /// Whether it is to be looked at for what others did.
    pub(super) look: bool,
    /// When it was looked at last.
    looked: Option<Instant>,
}

impl Line {
    /// Returns how many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Tells whether something was asked for that the store does not know of yet.
    pub(super) fn wants(&self) -> bool {
        !self.join.is_empty()
    }

    /// Returns how long to wait before the line is looked at again.
    pub(super) fn pause(&self) -> Option<Duration> {
        let since = self.looked.map_or(LOOK, |looked| looked.elapsed());
        (self.waiting > 0 && self.crowded).then(|| LOOK.saturating_sub(since))
    }

    /// Has it looked at again where it is time: also while there is always something to hear.
    pub(super) fn look_in_time(&mut self) {
        self.look |= self.pause() == Some(Duration::ZERO);
    }

    /// Gives back what somebody has, or withdraws what it asked for.
    pub(super) fn give_back(&mut self, who: Who) {
        let Some(ask) = self.asks.remove(&who) else { return };
        match (ask.gpus, ask.need) {
            (Some(gpus), Some(need)) if !ask.group => self.spare.push((ask.key, need, gpus)),
            (Some(_), _) => self.leave.push(ask.key),
            (None, _) => {
                self.waiting = self.waiting.saturating_sub(1);
                match self.join.iter().position(|(key, _)| *key == ask.key) {
                    Some(at) => drop(self.join.remove(at)),
                    None => self.leave.push(ask.key),
                }
            }
        }
    }

    /// Takes a slot that is just what is needed; who waited leaves its place to the next one.
    fn hand_on(&mut self, who: Who, need: &Need) -> Option<Vec<u32>> {
        let at = self.spare.iter().position(|(_, other, _)| other == need)?;
        let (key, need, gpus) = self.spare.swap_remove(at);
        if let Some(waited) = self.asks.remove(&who) {
            self.waiting = self.waiting.saturating_sub(1);
            self.loose.push((waited.key, need.clone()));
        }
        let ask = Ask { key, need: Some(need), group: false, gpus: Some(gpus.clone()), told: false };
        self.asks.insert(who, ask);
        Some(gpus)
    }

    /// Gives all back at the end.
    fn give_all_back(&mut self) {
        let all: Vec<Who> = self.asks.keys().copied().collect();
        all.into_iter().for_each(|who| self.give_back(who));
    }

    /// Tells whether one that needs just as much waits already: the next one asks after it.
    fn waits_behind(&self, need: &Need) -> bool {
        let waits = |ask: &Ask| ask.gpus.is_none() && !ask.group && ask.need.as_ref() == Some(need);
        self.waiting > 0 && self.asks.values().any(waits)
    }

    fn who(&self, key: &str) -> Option<Who> {
        self.asks.iter().find(|(_, ask)| ask.key == key).map(|(who, _)| *who)
    }
}

impl Engine<'_> {
    /// Asks for what an instance needs: its concurrency group, and its share of the machine.
    pub(super) fn request_slot(&mut self, id: InstanceId) -> Result<(), EngineError> {
        let ask = self.line.asks.get(&Some(id));
        if ask.is_some_and(|ask| ask.group || ask.gpus.is_some() || self.line.spare.is_empty()) {
            return Ok(());
        }
        let Some(instance) = self.run.instance(id) else { return Ok(()) };
        let Some(settings) = instance.settings.clone() else { return Ok(()) };
        let memory = instance.memory;
        let call = self.run.job(instance.job).is_some_and(|job| job.declared.call);
        if let Some(group) = &settings.concurrency
            && self.holds_above(id, group)
        {
            let group = &group.group;
            let reason = format!("concurrency group `{group}` is held by the run or the call it is part of");
            return self.record(EventKind::InstanceStopped { instance: id, reason });
        }
        let need = (!call).then(|| self.need(&settings, memory));
        if let (Some(need), None) = (&need, &settings.concurrency) {
            if self.line.spare.iter().any(|(_, other, _)| other == need) && self.store.changed()? {
                self.line.crowded = true;
            }
            if !self.line.crowded
                && let Some(gpus) = self.line.hand_on(Some(id), need)
            {
                return self.granted(Some(id), gpus);
            }
            if self.line.asks.contains_key(&Some(id)) || self.line.waits_behind(need) {
                return Ok(());
            }
        }
        self.ask(Some(id), need, settings.concurrency.clone());
        Ok(())
    }

    /// Asks for what an attempt has that goes on after a change of engines.
    pub(super) fn hold_slot(&mut self, id: InstanceId) {
        let Some(instance) = self.run.instance(id) else { return };
        let Some(settings) = instance.settings.clone() else { return };
        let need = self.need(&settings, instance.memory);
        self.ask(Some(id), Some(need), settings.concurrency.clone());
    }

    /// Asks for a concurrency group that is held over many jobs.
    pub(super) fn request_group(&mut self, who: Who) {
        if self.line.asks.contains_key(&who) {
            return;
        }
        let group = match who {
            None => self.run.created().and_then(|created| created.concurrency.clone()),
            Some(id) => self.run.instance(id).and_then(|i| i.settings.as_ref()?.concurrency.clone()),
        };
        self.ask(who, None, group);
    }

    fn ask(&mut self, who: Who, need: Option<Need>, group: Option<ConcurrencyGroup>) {
        self.line.waiting += 1;
        let loose = |(_, other): &(String, Need)| group.is_none() && Some(other) == need.as_ref();
        if let Some(at) = self.line.loose.iter().position(loose) {
            let (key, _) = self.line.loose.swap_remove(at);
            self.line.asks.insert(who, Ask { key, need, group: false, gpus: None, told: false });
            return;
        }
        let key = format!("{}.{}/{}", self.owned.run, self.owned.epoch, self.line.asked);
        self.line.asked += 1;
        let (run, most) = (self.owned.run.clone(), Some(self.site.machine.jobs));
        let ask =
            Ask { key: key.clone(), need: need.clone(), group: group.is_some(), gpus: None, told: false };
        self.line.asks.insert(who, ask);
        let project = self.project().to_owned();
        self.line.join.push((key, Request { run, most, need, group, project }));
    }

    /// What it needs of this machine: all of it, where it asks for more.
    fn need(&mut self, settings: &ReadySettings, memory: Option<u64>) -> Need {
        let mut need = self.site.need(&settings.resources);
        if self.site.back_end.is_here() {
            // After `oom` the next attempt may have more.
            need.memory_bytes = memory.unwrap_or(need.memory_bytes);
        }
        need.within(&self.site.machine.capacity())
    }

    /// Tells whether the run, or a call above an instance, holds a group: waiting for it would
    /// never end.
    fn holds_above(&self, id: InstanceId, group: &ConcurrencyGroup) -> bool {
        let same = |other: &ConcurrencyGroup| other.group.eq_ignore_ascii_case(&group.group);
        if self.run.created().and_then(|created| created.concurrency.as_ref()).is_some_and(same) {
            return true;
        }
        let caller = |id: InstanceId| self.run.job(self.run.instance(id)?.job)?.caller;
        std::iter::successors(caller(id), |above| caller(*above)).any(|above| {
            let settings = self.run.instance(above).and_then(|i| i.settings.as_ref());
            settings.and_then(|s| s.concurrency.as_ref()).is_some_and(same)
        })
    }

    /// Tells the store what is wanted and what is not needed any more, and takes in what follows.
    pub(super) fn stand_in_line(&mut self) -> Result<(), EngineError> {
        let line = &mut self.line;
        let idle = line.join.is_empty() && line.leave.is_empty() && line.spare.is_empty();
        if idle && line.loose.is_empty() && !line.look {
            return Ok(());
        }
        line.look = false;
        line.looked = Some(Instant::now());
        let mut leave = std::mem::take(&mut line.leave);
        leave.extend(std::mem::take(&mut line.spare).into_iter().map(|(key, ..)| key));
        for (key, _) in std::mem::take(&mut line.loose) {
            match line.join.iter().position(|(joins, _)| *joins == key) {
                Some(at) => drop(line.join.remove(at)),
                None => leave.push(key),
            }
        }
        let join = std::mem::take(&mut line.join);
        let answer = self.store.stand(&self.site.machine.capacity(), &leave, &join)?;
        self.line.crowded = answer.others;
        for place in answer.mine {
            self.stands(place)?;
        }
        self.say_what_it_waits_for();
        for pid in answer.wake.into_iter().filter(|pid| *pid != std::process::id()) {
            super::signals::wake(pid);
        }
        Ok(())
    }

    /// Leaves the line, so that who waits for this run goes on at once.
    pub(super) fn leave_line(&mut self) -> Result<(), EngineError> {
        self.line.give_all_back();
        self.stand_in_line()
    }

    /// Says once why nothing happens, where it is because of others.
    fn say_what_it_waits_for(&mut self) {
        if !self.line.crowded || self.line.waiting == 0 {
            return;
        }
        let of_run = self.line.asks.get(&None).is_some_and(|ask| ask.gpus.is_none());
        let group = self.run.created().and_then(|created| created.concurrency.as_ref()).filter(|_| of_run);
        let text = match group {
            Some(group) => format!("another run holds concurrency group `{}`: this one waits", group.group),
            None => "other runs of this store have what jobs ask for: they wait their turn".to_owned(),
        };
        if self.warned.insert(text.clone()) {
            self.observer.warn(&text);
        }
    }

    fn stands(&mut self, place: Place) -> Result<(), EngineError> {
        let Some(who) = self.line.who(&place.key) else {
            // Nobody's: it must not keep others waiting.
            self.line.leave.push(place.key);
            return Ok(());
        };
        if let Some(group) = place.replaced {
            self.line.asks.remove(&who);
            self.line.waiting = self.line.waiting.saturating_sub(1);
            return self.give_way(
                who,
                &format!("a newer one waits for concurrency group `{group}` instead"),
                true,
            );
        }
        let Some(ask) = self.line.asks.get_mut(&who) else { return Ok(()) };
        let news = (ask.gpus.is_none()).then(|| place.held.clone()).flatten();
        let stop = place.stop.filter(|_| !std::mem::replace(&mut ask.told, true));
        if let Some(gpus) = news {
            ask.gpus = Some(gpus.clone());
            self.line.waiting = self.line.waiting.saturating_sub(1);
            self.granted(who, gpus)?;
        }
        match stop {
            Some(group) => self.give_way(
                who,
                &format!("a newer one takes its place in concurrency group `{group}`"),
                false,
            ),
            None => Ok(()),
        }
    }

    fn granted(&mut self, who: Who, gpus: Vec<u32>) -> Result<(), EngineError> {
        let Some(instance) = who else {
            return self.record(EventKind::GroupGranted { instance: None });
        };
        match self.phase(instance) {
            Some(Phase::Calling) => return self.record(EventKind::GroupGranted { instance: who }),
            Some(Phase::Running) if self.run.waits_for_group(instance) => {
                return self.record(EventKind::GroupGranted { instance: who });
            }
            Some(Phase::Running) => return Ok(()),
            _ => {}
        }
        let asked = self.run.instance(instance).and_then(|i| i.settings.as_ref()).map(|s| s.resources.gpus);
        // Where no GPU is known, the job sees what there is.
        let gpus = (asked.unwrap_or(0) > 0 && !gpus.is_empty()).then_some(gpus);
        self.record(EventKind::SlotGranted { instance, gpus })
    }

    /// Another one takes the place of the run or of an instance.
    fn give_way(&mut self, who: Who, reason: &str, waited: bool) -> Result<(), EngineError> {
        match who {
            // A run that never began has nothing to clean up.
            None => self.record(EventKind::CancelRequested { reason: reason.to_owned(), force: waited }),
            Some(instance) if self.phase(instance) == Some(Phase::Ended) => Ok(()),
            Some(instance) => self.record(EventKind::InstanceStopped { instance, reason: reason.to_owned() }),
        }
    }
}
