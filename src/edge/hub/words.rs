//! What a hub does on the words of those that it let in: keeps, passes on, opens and closes attempts.
//!
//! Not here: who is let in (`server`), objects (`questions`).

use super::access::digest_of;
use super::attempt::Attempt;
use super::outgoing::Frames;
use super::server::{Hub, State, Who, over};
use super::spool::{Opened, Spool};
use super::stream::WordReader;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use tidegate_flow::job::{AgentRequest, ArtifactRef, MessageBody};
use tidegate_flow::wire::v1::{FromHub, ToHub};
use tokio::io::AsyncRead;

impl Hub {
    /// Takes a word; an error ends the connection.
    pub(super) async fn hear<R: AsyncRead + Unpin>(
        self: &Arc<Self>,
        who: &Who,
        word: ToHub,
        reader: &mut WordReader<R>,
        frames: &Frames,
    ) -> io::Result<()> {
        let Some(word) = self.question(who, word, reader, frames).await? else { return Ok(()) };
        match (word, who) {
            (ToHub::Ping, Who::Agent { attempt, .. }) => {
                let mut state = self.state();
                let State { attempts, engines, .. } = &mut *state;
                let Some(attempt) = attempts.get_mut(attempt) else { return Err(over(frames)) };
                frames.say(&FromHub::Lease { away: attempt.away(engines).as_secs() });
                // What could not be written before.
                if attempt.spool.lacks() && attempt.spool.write_up().is_ok() {
                    frames.say(&FromHub::Kept { seq: attempt.spool.written });
                }
                Ok(())
            }
            (ToHub::Ping, Who::Engine { .. }) => {
                frames.say(&FromHub::Pong);
                Ok(())
            }
            (mut word, Who::Agent { attempt, .. }) => {
                let content = reader.small().await?;
                if let ToHub::Message(message) = &mut word {
                    match self.may_say(who, message, frames).await {
                        Some(true) => self.relies_on(attempt, message),
                        // A hub that lost its disk has not what was saved, and the next save brings it. Only the number
                        // is kept.
                        Some(false)
                            if matches!(
                                message.body,
                                MessageBody::Saved { .. } | MessageBody::CacheSaved { .. }
                            ) =>
                        {
                            message.body = MessageBody::Saved { artifact: ArtifactRef::default() };
                        }
                        Some(false) => return Err(not_its_own(frames)),
                        None => return Err(io::ErrorKind::ConnectionAborted.into()),
                    }
                }
                self.of_agent(attempt, word, &content, frames)
            }
            (word, Who::Engine { store, connection }) => self.of_engine(store, *connection, word, frames),
        }
    }

    fn of_agent(
        self: &Arc<Self>,
        attempt: &str,
        word: ToHub,
        content: &[u8],
        frames: &Frames,
    ) -> io::Result<()> {
        let mut state = self.state();
        let State { attempts, engines, behind, .. } = &mut *state;
        let Some(attempt) = attempts.get_mut(attempt) else { return Err(over(frames)) };
        let engine = attempt.engine(engines);
        let written = match word {
            ToHub::Message(message) => {
                if message.token != attempt.spool.opened.attempt {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                if message.seq > 0 {
                    attempt.spool.take(&message);
                }
                let mut written = attempt.spool.write_up();
                if engine.is_none() && matches!(message.body, MessageBody::Ended(_)) {
                    written = written.and_then(|()| attempt.spool.force());
                }
                if message.seq > 0 && written.is_ok() {
                    frames.say(&FromHub::Kept { seq: attempt.spool.written });
                }
                // An engine that is there has it; the agent says it again to a hub that lost it. What is only for a display
                // is not kept for one that reads slowly.
                match engine {
                    Some(engine) if message.seq > 0 => attempt.pump(engine, behind),
                    Some(engine) if engine.has_room() => engine.say(&FromHub::Message(message)),
                    _ => {}
                }
                written
            }
            ToHub::Log { offset } => {
                let kept = attempt.spool.keep_log(offset, content);
                // Of a gap nothing is said: what comes before it was not kept, and comes again.
                if matches!(kept, Ok(true)) {
                    frames.say(&FromHub::LogKept { upto: attempt.spool.length });
                }
                if let Some(engine) = engine {
                    attempt.pump(engine, behind);
                }
                kept.map(drop)
            }
            _ => return Err(io::ErrorKind::PermissionDenied.into()),
        };
        drop(state);
        if let Err(error) = written {
            frames.say(&FromHub::Disk { problem: Some(error.to_string()) });
            self.disk_is(Some(&error));
        }
        Ok(())
    }

    fn of_engine(
        self: &Arc<Self>,
        store: &str,
        connection: u64,
        word: ToHub,
        frames: &Frames,
    ) -> io::Result<()> {
        let mut state = self.state();
        let mine = |attempt: &Attempt| attempt.spool.opened.store == store;
        let mut written = Ok(());
        let State { attempts, closed, behind, .. } = &mut *state;
        match word {
            ToHub::Open { attempt, key, spec } => {
                if !attempts.contains_key(&attempt) && !key.is_empty() {
                    let opened = Opened {
                        attempt: attempt.clone(),
                        store: store.to_owned(),
                        key: key.clone(),
                        ..Opened::default()
                    };
                    match Spool::open(&self.attempts, opened) {
                        Ok(spool) => drop(attempts.insert(attempt.clone(), Attempt::new(spool))),
                        // The engine opens it again once the disk takes something.
                        Err(error) => written = Err(error),
                    }
                }
                if let Some(attempt) = attempts.get_mut(&attempt).filter(|a| mine(a)) {
                    written = attempt.spool.rekey(&key).and(attempt.spool.is(&spec));
                    let spec = digest_of(&attempt.spool.opened.spec);
                    attempt.access.lock().unwrap_or_else(PoisonError::into_inner).is(spec);
                    attempt.open(connection, frames, behind);
                }
            }
            ToHub::Close { attempt } => {
                if attempts.get(&attempt).is_some_and(mine)
                    && let Some(ended) = attempts.remove(&attempt)
                {
                    // It may wait for an acknowledgement that nobody will send, and its pod with it.
                    if let Some((_, agent)) = &ended.agent {
                        let _ = over(agent);
                    }
                    ended.spool.close();
                    closed.insert(attempt.clone(), Instant::now());
                }
                frames.say(&FromHub::Closed { attempt });
            }
            ToHub::Request(request) => {
                if let Some(attempt) = attempts.get_mut(token_of(&request)).filter(|a| mine(a)) {
                    written = attempt.request(request);
                }
            }
            ToHub::LogKept { attempt, upto } => {
                if let Some(attempt) = attempts.get_mut(&attempt).filter(|a| mine(a)) {
                    attempt.log_kept(upto, frames, behind);
                }
            }
            _ => return Err(io::ErrorKind::PermissionDenied.into()),
        }
        drop(state);
        if let Err(error) = written {
            self.disk_is(Some(&error));
        }
        Ok(())
    }

    /// Sends an engine more of the logs that it is behind with, whenever it has read some.
    pub(super) async fn catch_up(self: Arc<Self>, connection: u64, frames: Frames) {
        while frames.drained(|| self.pump_behind(connection, &frames)).await {}
    }

    fn pump_behind(&self, connection: u64, frames: &Frames) {
        let mut state = self.state();
        let State { attempts, behind, .. } = &mut *state;
        // Each at most once: one that is still behind goes to the end.
        for _ in 0..behind.len() {
            if !frames.has_room() {
                return;
            }
            let Some(token) = behind.pop_front() else { return };
            let Some(attempt) = attempts.get_mut(&token) else { continue };
            match attempt.opened_by {
                Some(by) if by != connection => behind.push_back(token),
                by => attempt.catch_up(by.map(|_| frames), behind),
            }
        }
    }
}

/// Says that a message hands on what is not the attempt's.
fn not_its_own(frames: &Frames) -> io::Error {
    let reason = "it hands on what the hub does not have of it; what it gave may be lost";
    frames.say(&FromHub::Refused { reason: reason.to_owned() });
    io::ErrorKind::PermissionDenied.into()
}

fn token_of(request: &AgentRequest) -> &str {
    match request {
        AgentRequest::Start { spec, .. } => &spec.token,
        AgentRequest::Cancel { token, .. }
        | AgentRequest::Kill { token }
        | AgentRequest::Acknowledge { token, .. }
        | AgentRequest::Reply { token, .. } => token,
    }
}
