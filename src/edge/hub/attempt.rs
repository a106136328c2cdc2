//! One attempt at a hub: its agent, the engine that opened it, what each of them has yet to hear.

use super::access::{Access, digest_of, lists_in};
use super::outgoing::Frames;
use super::shelf::SharedAccess;
use super::spool::Spool;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_flow::job::AgentRequest;
use tidegate_flow::wire::v1::FromHub;

/// Bytes of a log that travel to an engine before it has to say that it kept them.
const WINDOW: u64 = 1 << 20;
/// Bytes of a log in one frame.
const PIECE: usize = 128 << 10;

/// The engines that are connected, by the number of their connection.
pub(super) type Engines = BTreeMap<u64, Frames>;

/// One attempt.
pub(super) struct Attempt {
    pub(super) spool: Spool,
    pub(super) access: SharedAccess,
    pub(super) agent: Option<(u64, Frames)>,
    /// The connection of the engine that opened it. Another one hears nothing of it before it does so,
    /// and then all of it.
    pub(super) opened_by: Option<u64>,
    /// Since when no engine has it open. What was before a start of this hub is not known.
    pub(super) alone: Instant,
    /// What the engine wants: said again over each new connection of the agent, since the last one may have broken
    /// with it.
    requests: Vec<AgentRequest>,
    /// The last message said to the engine that has it open.
    told: u64,
    /// Bytes of the log sent to the engine, and kept by it.
    sent: u64,
    taken: u64,
    /// The engine has not said yet since it opened it, how much of the log it has.
    unsaid: bool,
    /// It stands in the queue of those that wait until their engine has read some.
    behind: bool,
}

impl Attempt {
    pub(super) fn new(mut spool: Spool) -> Self {
        let mut access = Access::new(digest_of(&spool.opened.spec), std::mem::take(&mut spool.own));
        spool.opened.given.iter().filter_map(|list| digest_of(list)).for_each(|list| access.give(list));
        Self {
            spool,
            access: Arc::new(Mutex::new(access)),
            agent: None,
            opened_by: None,
            alone: Instant::now(),
            requests: Vec::new(),
            told: 0,
            sent: 0,
            taken: 0,
            unsaid: false,
            behind: false,
        }
    }

    /// Returns the way to the engine that opened it, if that is still there.
    pub(super) fn engine<'a>(&self, engines: &'a Engines) -> Option<&'a Frames> {
        engines.get(&self.opened_by?)
    }

    /// Returns how long no engine has had it open.
    pub(super) fn away(&self, engines: &Engines) -> Duration {
        if self.engine(engines).is_some() { Duration::ZERO } else { self.alone.elapsed() }
    }

    /// Tells an engine all that it may not have heard.
    pub(super) fn open(&mut self, connection: u64, engine: &Frames, behind: &mut VecDeque<String>) {
        self.opened_by = Some(connection);
        if !self.spool.opened.incarnation.is_empty() {
            engine.say(&self.arrival());
        }
        self.told = 0;
        self.unsaid = true;
        self.pump(engine, behind);
    }

    /// An agent came; one that was there before it is the same one, whose connection broke.
    pub(super) fn came(&mut self, connection: u64, agent: &Frames, store: bool) {
        agent.say(&FromHub::Welcome {
            kept: self.spool.written,
            log: self.spool.length,
            store,
            collects: false,
        });
        for request in &self.requests {
            agent.say(&FromHub::Request(request.clone()));
        }
        if let Some((_, former)) = self.agent.replace((connection, agent.clone())) {
            former.over.notify_one();
        }
    }

    pub(super) fn arrival(&self) -> FromHub {
        let opened = &self.spool.opened;
        FromHub::Agent {
            attempt: opened.attempt.clone(),
            incarnation: opened.incarnation.clone(),
            version: opened.version.clone(),
        }
    }

    /// The engine has the log up to here. Its first word about it since it opened the attempt counts, whatever it said
    /// before: a machine that lost its power may have lost what it had written.
    pub(super) fn log_kept(&mut self, upto: u64, engine: &Frames, behind: &mut VecDeque<String>) {
        if std::mem::take(&mut self.unsaid) {
            (self.sent, self.taken) = (upto, upto);
        }
        self.taken = self.taken.max(upto);
        self.pump(engine, behind);
    }

    /// Sends the messages that the engine has not heard, and what it does not have of the log as far as the window goes.
    /// Where the engine has to read some first, it queues for that.
    pub(super) fn pump(&mut self, engine: &Frames, behind: &mut VecDeque<String>) {
        let told = self.told;
        for message in self.spool.messages.iter().filter(|message| message.seq > told) {
            if !engine.has_room() {
                break;
            }
            engine.say(&FromHub::Message(message.clone()));
            self.told = message.seq;
        }
        let more = self.spool.messages.back().is_some_and(|last| last.seq > self.told);
        while more || !self.unsaid && self.sent < self.spool.length && self.sent < self.taken + WINDOW {
            if more || !engine.has_room() {
                if !std::mem::replace(&mut self.behind, true) {
                    behind.push_back(self.spool.opened.attempt.clone());
                }
                return;
            }
            let Ok(bytes) = self.spool.log(self.sent, PIECE) else { return };
            let word = FromHub::Log { attempt: self.spool.opened.attempt.clone(), offset: self.sent };
            engine.say_with(&word, &bytes);
            self.sent += bytes.len() as u64;
        }
    }

    /// It left the queue. Without an engine nothing is sent: the next one says how far it is.
    pub(super) fn catch_up(&mut self, engine: Option<&Frames>, behind: &mut VecDeque<String>) {
        self.behind = false;
        if let Some(engine) = engine {
            self.pump(engine, behind);
        }
    }

    /// Passes on what the engine wants; an answer that names content gives the attempt access to it.
    pub(super) fn request(&mut self, request: AgentRequest) -> std::io::Result<()> {
        let mut noted = Ok(());
        match &request {
            AgentRequest::Acknowledge { seq, .. } => self.spool.acknowledged(*seq),
            AgentRequest::Reply { answer, .. } => {
                let lists = lists_in(answer);
                noted = self.spool.give(&lists);
                let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
                lists.into_iter().for_each(|list| access.give(list));
            }
            _ => {}
        }
        if let Some((_, agent)) = &self.agent {
            agent.say(&FromHub::Request(request.clone()));
        }
        // Of acknowledgements the last one counts; an engine that comes again says all of it again.
        if matches!(request, AgentRequest::Acknowledge { .. }) {
            self.requests.retain(|said| !matches!(said, AgentRequest::Acknowledge { .. }));
        }
        if !self.requests.contains(&request) {
            self.requests.push(request);
        }
        noted
    }
}
