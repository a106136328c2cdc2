//! What the loop hears, as events: messages of agents, signals, wishes.

use super::turn::Incoming;
use super::{Engine, EngineError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_edge::executor::ExecutorMessage;
use tidegate_flow::job::{
    AgentRequest, Answer, Conclusion, FailureClass, JobMessage, MessageBody, Question, Receipt, SavedCache,
};
use tidegate_flow::run::{EventKind, InstanceId, Phase, Refusal};

impl Engine<'_> {
    pub(super) fn hear(&mut self, incoming: Incoming) -> Result<(), EngineError> {
        match incoming {
            Incoming::Executor(ExecutorMessage::Job(message)) => self.message(message),
            Incoming::Executor(ExecutorMessage::Ended { token, receipt }) => self.said_ended(&token, receipt),
            Incoming::Executor(ExecutorMessage::Waiting { token, reason }) => {
                self.said_waiting(&token, reason)
            }
            Incoming::Executor(ExecutorMessage::ServiceEnded { token, service, node, times, reason }) => {
                self.said_service_ended(&token, (service, node, times), reason)
            }
            Incoming::Executor(ExecutorMessage::Images { token, images }) => self.said_images(&token, images),
            Incoming::Executor(ExecutorMessage::Note { text }) => {
                self.observer.warn(&text);
                Ok(())
            }
            Incoming::Executor(ExecutorMessage::Gone { reason }) => self.gone(&reason),
            Incoming::Stop(why) => {
                let force = self.run.cancelled().is_some();
                self.wish_to_end(why.to_owned(), force)
            }
            Incoming::Leave => Err(EngineError::Left),
            Incoming::Wishes => {
                self.line.look = true;
                for (wish, reason) in self.store.wishes(&self.owned)? {
                    self.wish_to_end(reason, wish == "kill")?;
                }
                Ok(())
            }
        }
    }

    fn wish_to_end(&mut self, reason: String, force: bool) -> Result<(), EngineError> {
        if self.run.ended() {
            return Ok(());
        }
        // A run that waits for its concurrency group has not begun: there is nothing to clean up.
        let force = force || !self.run.holds_its_groups();
        self.record(EventKind::CancelRequested { reason, force })
    }

    fn message(&mut self, message: JobMessage) -> Result<(), EngineError> {
        let Some((instance, attempt)) = self.tokens.get(&message.token).copied() else {
            return self.of_another_node(message);
        };
        if let MessageBody::Tail { line, .. } = &message.body {
            self.observer.tail(instance.0, line);
            return Ok(());
        }
        if message.seq > 0 {
            let last = self.heard.entry(message.token.clone()).or_insert(0);
            if message.seq <= *last {
                return Ok(());
            }
            *last = message.seq;
        }
        // Said again for this engine, in the order in which the former one took it down.
        if message.seq > 0
            && !matches!(
                message.body,
                MessageBody::Ask { .. } | MessageBody::Ended(_) | MessageBody::CacheSaved { .. }
            )
            && let Some(known @ 1..) = self.known.get_mut(&message.token)
        {
            *known -= 1;
            return Ok(());
        }
        let kind = match message.body {
            MessageBody::Started { notes } => EventKind::AttemptReady { instance, attempt, notes },
            MessageBody::StepStarted { step, name, log } => {
                EventKind::StepStarted { instance, attempt, step, name, log }
            }
            MessageBody::StepEnded { step, name, outcome, conclusion, exit, reason, log } => {
                EventKind::StepEnded { instance, attempt, step, name, outcome, conclusion, exit, reason, log }
            }
            MessageBody::Annotation(annotation) => EventKind::Annotated { instance, annotation },
            MessageBody::Judged { step, verdict } => EventKind::Judged { instance, attempt, step, verdict },
            MessageBody::Ask { id, question } => return self.answer(instance, &message.token, id, question),
            MessageBody::Ended(receipt) => {
                self.line.give_back(Some(instance));
                self.heard.remove(&message.token);
                // Nothing that is said again counts.
                self.tokens.remove(&message.token);
                self.outbox.push(AgentRequest::Acknowledge { token: message.token, seq: message.seq });
                EventKind::AttemptEnded { instance, attempt, receipt: Arc::new(receipt) }
            }
            // The executor keeps what was saved.
            MessageBody::CacheSaved { key, paths, artifact } => {
                return self.cache_saved(&message.token, &SavedCache { key, artifact }, &paths);
            }
            MessageBody::Tail { .. } | MessageBody::Saved { .. } => return Ok(()),
        };
        match self.record(kind) {
            // A word of an attempt that is over changes nothing.
            Err(EngineError::Refused(Refusal::OldAttempt { .. } | Refusal::Ended)) => Ok(()),
            other => other,
        }
    }

    /// The nodes of an attempt above the first one only ask, with tokens of their own.
    fn of_another_node(&mut self, message: JobMessage) -> Result<(), EngineError> {
        let attempt = tidegate_edge::executor::kubernetes::attempt_of(&message.token).0;
        match (message.body, self.tokens.get(attempt).copied()) {
            (MessageBody::Ask { id, question }, Some((instance, _))) => {
                self.answer(instance, &message.token, id, question)
            }
            _ => Ok(()),
        }
    }

    /// The executor says how an attempt ended that did not say so itself.
    fn said_ended(&mut self, token: &str, receipt: Box<Receipt>) -> Result<(), EngineError> {
        let Some((instance, attempt)) = self.tokens.get(token).copied() else { return Ok(()) };
        // It keeps what it knows of it until this is in the log.
        self.outbox.push(AgentRequest::Acknowledge { token: token.to_owned(), seq: 0 });
        self.attempt_ended(instance, attempt, receipt.into())
    }

    fn said_waiting(&mut self, token: &str, reason: String) -> Result<(), EngineError> {
        let Some((instance, attempt)) = self.tokens.get(token).copied() else { return Ok(()) };
        match self.record(EventKind::AttemptWaiting { instance, attempt, reason }) {
            Err(EngineError::Refused(Refusal::OldAttempt { .. } | Refusal::Ended)) => Ok(()),
            other => other,
        }
    }

    /// Of an attempt that goes on from a former engine, the executor says all ends once more: the log takes new ones.
    fn said_service_ended(
        &mut self,
        token: &str,
        (service, node, times): (String, Option<u32>, u32),
        reason: String,
    ) -> Result<(), EngineError> {
        let Some((instance, attempt)) = self.tokens.get(token).copied() else { return Ok(()) };
        match self.record(EventKind::ServiceEnded { instance, attempt, service, node, times, reason }) {
            Err(EngineError::Refused(Refusal::OldAttempt { .. } | Refusal::Ended | Refusal::Known)) => Ok(()),
            other => other,
        }
    }

    /// What an attempt ran, told after its receipt; tokens of attempts that are over name nothing any more.
    pub(super) fn said_images(
        &mut self,
        token: &str,
        images: Arc<BTreeMap<String, String>>,
    ) -> Result<(), EngineError> {
        let Some((instance, attempt)) = attempt_of(token) else { return Ok(()) };
        match self.record(EventKind::ImagesTold { instance, attempt, images }) {
            // What the cache has of it says so, too.
            Ok(()) if self.phase(instance) == Some(Phase::Ended) => self.keep(instance),
            Err(EngineError::Refused(_)) => Ok(()),
            other => other,
        }
    }

    /// The supervisor died: what it ran is lost, and tried again as far as the budget goes.
    fn gone(&mut self, reason: &str) -> Result<(), EngineError> {
        self.drop_executor();
        let running: Vec<InstanceId> = self.run.running().collect();
        for id in running {
            let attempt = self.run.instance(id).map_or(0, |i| i.attempt);
            let receipt = Receipt::bare(Conclusion::Failure, Some(FailureClass::Lost), reason.to_owned());
            self.attempt_ended(id, attempt, Arc::new(receipt))?;
        }
        Ok(())
    }

    fn answer(
        &mut self,
        instance: InstanceId,
        token: &str,
        id: u64,
        question: Question,
    ) -> Result<(), EngineError> {
        let answer = match question {
            Question::Uploads => Answer::Uploads(self.uploads()),
            Question::Cache { keys, paths } => Answer::Cache(self.find_cache(&keys, &paths)?),
            // Where steps are processes of this machine there is no container that could end.
            Question::Death | Question::Nodes => Answer::Unavailable("the executor does not know".to_owned()),
            Question::Baseline { baseline } => match self.baseline(instance, &baseline)? {
                Ok(found) => {
                    self.record(EventKind::BaselineFetched { instance, baseline, found: found.clone() })?;
                    Answer::Baseline(found)
                }
                Err(reason) => Answer::Unavailable(reason),
            },
        };
        self.outbox.push(AgentRequest::Reply { token: token.to_owned(), id, answer });
        Ok(())
    }

    fn uploads(&self) -> BTreeMap<String, tidegate_flow::job::ArtifactRef> {
        let receipts = self.run.instances().iter().filter_map(|i| i.receipt.as_deref());
        receipts.flat_map(|r| r.uploads.iter().map(|(name, what)| (name.clone(), what.clone()))).collect()
    }
}

/// The instance and the attempt of a token: `RUN.INSTANCE.ATTEMPT`.
fn attempt_of(token: &str) -> Option<(InstanceId, u32)> {
    let (rest, attempt) = token.rsplit_once('.')?;
    let (_, instance) = rest.rsplit_once('.')?;
    Some((InstanceId(instance.parse().ok()?), attempt.parse().ok()?))
}
