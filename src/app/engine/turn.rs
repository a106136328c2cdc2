//! The loop: hear, admit, append, apply, decide, carry out.

use super::clock::Clock;
use super::evaluate::Frame;
use super::line::Line;
use super::{EngineError, Observer, Site};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use tidegate_edge::executor::kubernetes::Meanwhile;
use tidegate_edge::executor::{Executor, ExecutorMessage};
use tidegate_edge::store::{Objects, OwnedRun, RunLog, Sync};
use tidegate_flow::job::{AgentRequest, Receipt};
use tidegate_flow::plan::TreeDigests;
use tidegate_flow::run::{EventKind, InstanceId, JobId, Millis, Phase, Run, RunEvent, RunSummary};
use tidegate_lang::value::Value;

/// Events that wait in memory before they are written, at most.
const UNSAVED: usize = 512;

/// What the loop hears.
#[derive(Debug)]
pub(super) enum Incoming {
    /// From the supervisor of local jobs.
    Executor(ExecutorMessage),
    /// A signal that ends the run: the first one cleanly, the second one at once.
    Stop(&'static str),
    /// Another process left a wish in the store, or changed the line.
    Wishes,
    /// The run is for the next engine: what runs elsewhere goes on.
    Leave,
}

/// The way into a loop that runs.
#[derive(Clone, Debug)]
pub struct Door(Sender<Incoming>);

impl Door {
    /// Ends the run as Ctrl-C does.
    pub fn cancel(&self, reason: &'static str) {
        // One that is over hears nothing.
        let _ = self.0.send(Incoming::Stop(reason));
    }

    /// Has the engine go and leave the run as it is: [`Engine::finish`] ends with [`EngineError::Left`].
    pub fn leave(&self) {
        let _ = self.0.send(Incoming::Leave);
    }
}

/// A run that ended.
#[derive(Debug)]
pub struct Finished {
    /// What its last event says.
    pub summary: RunSummary,
}

/// One run and everything it needs to go on.
pub struct Engine<'a> {
    pub(super) store: Box<dyn RunLog>,
    /// The store's folder.
    pub(super) dir: PathBuf,
    pub(super) objects: Arc<dyn Objects>,
    pub(super) owned: OwnedRun,
    pub(super) run: Run,
    pub(super) observer: &'a mut dyn Observer,
    /// What is evaluated where: the root workflow, then called ones.
    pub(super) frames: Vec<Arc<Frame>>,
    /// Frame of each job, and its place in that frame's workflow.
    pub(super) places: Vec<(usize, usize)>,
    pub(super) loaded: super::Loaded,
    pub(super) files: TreeDigests,
    /// What jobs that run see of those that they need.
    pub(super) needs: HashMap<JobId, Value>,
    pub(super) only: super::evaluate::Only,
    /// Receipts that a rerun takes over, by job and matrix.
    pub(super) adopt: HashMap<(String, String), (String, Receipt)>,
    /// It was asked whether they are still there.
    pub(super) adopted_are_there: bool,
    pub(super) line: Line,
    pub(super) site: Site,
    pub(super) clock: Clock,
    /// The time of the last decision.
    decided: Millis,
    executor: Option<Box<dyn Executor>>,
    inbox: Receiver<Incoming>,
    door: Sender<Incoming>,
    /// Admitted and applied, not yet in the log. Nothing leaves the process before they are.
    unsaved: Vec<RunEvent>,
    /// To be sent once `unsaved` is in the log.
    pub(super) outbox: Vec<AgentRequest>,
    /// After a change of engines, until the executor knows: attempts that go on.
    pub(super) taken_up: Option<BTreeSet<String>>,
    /// Messages that the log of the former engine has already, by attempt.
    pub(super) known: HashMap<String, u64>,
    /// The last message taken in, by attempt.
    pub(super) heard: HashMap<String, u64>,
    /// Which attempt a token names.
    pub(super) tokens: HashMap<String, (InstanceId, u32)>,
    pub(super) warned: BTreeSet<String>,
    /// The run at the start of a chain of reruns, once somebody asked.
    pub(super) origin: Option<String>,
    /// The last event's content.
    summary: Option<RunSummary>,
}

/// What an engine is made of.
pub(super) struct Parts<'a> {
    pub store: Box<dyn RunLog>,
    pub dir: PathBuf,
    pub objects: Arc<dyn Objects>,
    pub door: (Sender<Incoming>, Receiver<Incoming>),
    /// When the last event was that is in the log.
    pub last: Option<Millis>,
    pub owned: OwnedRun,
    pub run: Run,
    pub loaded: super::Loaded,
    pub files: BTreeMap<String, String>,
    pub root: Frame,
    pub only: super::evaluate::Only,
    pub adopt: HashMap<(String, String), (String, Receipt)>,
    pub site: Site,
    /// One that was started while there was something else to do.
    pub executor: Option<Box<dyn Executor>>,
    pub observer: &'a mut dyn Observer,
}

/// Starts what attempts of a run run on; what it says comes in at the door. `taken_up`:
/// tokens of attempts that may run already. `meanwhile` hears what is waited for.
pub(super) fn executor(
    site: &Site,
    dir: &Path,
    run: &str,
    taken_up: BTreeSet<String>,
    door: Sender<Incoming>,
    meanwhile: &mut Meanwhile<'_>,
) -> Result<Box<dyn Executor>, EngineError> {
    let ear = Box::new(move |message| {
        // Nobody hears it only when the run is over.
        let _ = door.send(Incoming::Executor(message));
    });
    match &site.executor {
        Some(make) => Ok(make(ear)),
        None => site.back_end.start(site.exe.as_ref(), dir, run, taken_up, ear, meanwhile),
    }
}

impl<'a> Engine<'a> {
    pub(super) fn new(parts: Parts<'a>) -> Self {
        let (door, inbox) = parts.door;
        let jobs = parts.run.created().map_or(0, |c| c.jobs.len());
        Self {
            store: parts.store,
            dir: parts.dir,
            objects: parts.objects,
            owned: parts.owned,
            run: parts.run,
            observer: parts.observer,
            frames: vec![Arc::new(parts.root)],
            places: (0..jobs).map(|job| (0, job)).collect(),
            loaded: parts.loaded,
            files: TreeDigests::new(parts.files),
            needs: HashMap::new(),
            only: parts.only,
            adopt: parts.adopt,
            adopted_are_there: false,
            line: Line::default(),
            site: parts.site,
            clock: Clock::from(parts.last),
            decided: Millis(0),
            executor: parts.executor,
            inbox,
            door,
            unsaved: Vec::new(),
            outbox: Vec::new(),
            taken_up: None,
            known: HashMap::new(),
            heard: HashMap::new(),
            tokens: HashMap::new(),
            warned: BTreeSet::new(),
            origin: None,
            summary: None,
        }
    }

    /// Returns the way in.
    pub fn door(&self) -> Door {
        Door(self.door.clone())
    }

    /// Runs to the end of the run.
    pub fn finish(mut self) -> Result<Finished, EngineError> {
        let done = self.turns();
        match self.executor.take() {
            Some(executor) if done.is_ok() => executor.stop(),
            Some(executor) => executor.abandon(),
            None => {}
        }
        let done = done.and_then(|done| self.hear_images().map(|()| done));
        // What went wrong before is what people should read; what is not given back falls free
        // with this process.
        let left = self.leave_line();
        let released = self.store.release(&self.owned);
        let done = done?;
        left?;
        released?;
        // Next the process ends: a run of thousands of jobs is not taken apart piece by piece.
        std::mem::forget((self.run, self.frames, self.loaded, self.places));
        Ok(done)
    }

    /// Takes in what was told about images while the executor ended; nothing else counts any more.
    fn hear_images(&mut self) -> Result<(), EngineError> {
        while let Ok(next) = self.inbox.try_recv() {
            if let Incoming::Executor(ExecutorMessage::Images { token, images }) = next {
                self.said_images(&token, images)?;
            }
        }
        self.save()
    }

    fn turns(&mut self) -> Result<Finished, EngineError> {
        loop {
            self.settle()?;
            self.save()?;
            self.send()?;
            self.observer.turn();
            if let Some(summary) = self.ended() {
                return Ok(Finished { summary });
            }
            self.wait()?;
        }
    }

    /// Decides and carries out until nothing more follows.
    fn settle(&mut self) -> Result<(), EngineError> {
        while !self.run.ended() {
            let before = self.run.events();
            // Those who stand in the line already are named again.
            let slots = self.site.room().saturating_mul(2).max(8) + self.line.waiting();
            self.decided = self.clock.now();
            let commands = self.run.decide_some(self.decided, slots);
            self.act(commands)?;
            if self.run.events() == before {
                // Nobody here needs what is left over.
                self.stand_in_line()?;
            }
            if self.run.events() == before {
                break;
            }
        }
        Ok(())
    }

    /// Admits what was decided or heard and applies it; it reaches the log with [`Engine::save`].
    pub(super) fn record(&mut self, kind: EventKind) -> Result<(), EngineError> {
        let event = self.run.admit(kind, self.clock.now())?;
        self.run.apply(&event);
        if let EventKind::RunEnded(summary) = &event.kind {
            self.summary = Some((**summary).clone());
        }
        self.unsaved.push(event);
        // Thousands of jobs may be evaluated in one turn; they need not all wait in memory.
        if self.unsaved.len() >= UNSAVED { self.save() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<(), EngineError> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        // The end of a run is forced to disk; before that a lost tail only runs again, here. Elsewhere a
        // receipt is forgotten once it is acknowledged, and this is what stands before that.
        let receipt = |event: &RunEvent| matches!(event.kind, EventKind::AttemptEnded { .. });
        let forgotten = !self.site.back_end.is_here() && self.unsaved.iter().any(receipt);
        let sync = if self.run.ended() || forgotten { Sync::Disk } else { Sync::Process };
        if let (true, Some(executor)) = (self.run.ended(), &mut self.executor) {
            // Nothing runs any more: it ends while the disk is waited for.
            executor.close();
        }
        self.store.append(&self.owned, &self.unsaved, sync)?;
        for event in std::mem::take(&mut self.unsaved) {
            self.observer.event(&event);
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), EngineError> {
        if self.outbox.is_empty() && self.taken_up.is_none() {
            return Ok(());
        }
        self.start_executor()?;
        let requests = std::mem::take(&mut self.outbox);
        match &self.executor {
            Some(executor) => match executor.send_all(&requests) {
                Ok(()) => Ok(()),
                // It is gone; its own word about that is on the way.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                Err(error) => Err(EngineError::Executor(error)),
            },
            None => Ok(()),
        }
    }

    fn start_executor(&mut self) -> Result<(), EngineError> {
        if self.executor.is_none() {
            let taken_up = self.taken_up.take().unwrap_or_default();
            let (mut told, mut later) = (false, Vec::new());
            let meanwhile = &mut |text: &str| {
                if !std::mem::replace(&mut told, true) {
                    self.observer.warn(text);
                }
                // Nothing runs that could say anything: a signal can be there, or a wish, which waits.
                match self.inbox.try_recv() {
                    Ok(Incoming::Stop(_)) => return false,
                    Ok(other) => later.push(other),
                    Err(_) => {}
                }
                true
            };
            let door = self.door.clone();
            let started = executor(&self.site, &self.dir, &self.owned.run, taken_up, door, meanwhile)?;
            for heard in later {
                let _ = self.door.send(heard);
            }
            self.executor = Some(started);
        }
        Ok(())
    }

    /// Returns which of these artifacts are gone from where jobs would look for them, if that is not here.
    pub(super) fn gone_elsewhere(&mut self, digests: &[String]) -> Result<BTreeSet<String>, EngineError> {
        if self.site.back_end.is_here() || digests.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.start_executor()?;
        let missing = self.executor.as_ref().map(|executor| executor.missing(digests));
        Ok(missing.unwrap_or_default().into_iter().collect())
    }

    /// The supervisor is gone; the next attempt gets a new one.
    pub(super) fn drop_executor(&mut self) {
        self.executor = None;
    }

    /// Waits for something to hear, then takes in all that is there.
    fn wait(&mut self) -> Result<(), EngineError> {
        let now = self.clock.now();
        // What fell due since the last decision is not to be slept over.
        let due = self.run.next_due_after(self.decided).map(|due| {
            let left = due.0.saturating_sub(now.0);
            Duration::from_millis(u64::try_from(left).unwrap_or(0))
        });
        let limit = [due, self.line.pause(), self.observer.interval()].into_iter().flatten().min();
        let first = match limit {
            Some(limit) => match self.inbox.recv_timeout(limit) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.line.look_in_time();
                    return Ok(());
                }
            },
            None => match self.inbox.recv() {
                Ok(first) => first,
                Err(_) => return Ok(()),
            },
        };
        self.hear(first)?;
        while let Ok(next) = self.inbox.try_recv() {
            self.hear(next)?;
        }
        self.line.look_in_time();
        Ok(())
    }

    fn ended(&self) -> Option<RunSummary> {
        if !self.run.ended() {
            return None;
        }
        self.summary.clone()
    }

    pub(super) fn phase(&self, id: InstanceId) -> Option<Phase> {
        self.run.instance(id).map(|i| i.phase)
    }
}
