//! What the engine asks of attempts, and what their agents say.

use super::attempt::{Attempt, Done};
use super::pod::job_name;
use super::starting::Starting;
use super::watch::State;
use crate::agent::log_path_of;
use crate::executor::ExecutorMessage;
use crate::hub::HubEvent;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::{
    AgentRequest, Conclusion, FailureClass, JobMessage, JobSpec, MessageBody, Question, Receipt,
};
use tokio::time::Instant;

/// A pod may take this long after its steps' grace, once it was told to stop.
const LEAVE_PATIENCE: Duration = Duration::from_secs(30);

/// The attempt that a request is about which is no start.
fn token_of(request: &AgentRequest) -> Option<&str> {
    match request {
        AgentRequest::Start { .. } => None,
        AgentRequest::Cancel { token, .. }
        | AgentRequest::Kill { token }
        | AgentRequest::Acknowledge { token, .. }
        | AgentRequest::Reply { token, .. } => Some(token),
    }
}

fn grace(spec: &JobSpec) -> Duration {
    Duration::try_from_secs_f64(spec.grace_seconds.max(0.0)).unwrap_or_default()
}

impl State {
    pub(super) fn request(&mut self, request: AgentRequest) {
        let asked = token_of(&request).and_then(|token| self.attempts.get_mut(token)?.asked.as_mut());
        if let Some(asked) = asked {
            asked.push(request);
            return;
        }
        match request {
            AgentRequest::Start { spec, secrets } => self.start(*spec, secrets),
            AgentRequest::Acknowledge { token, seq } => {
                self.hub.request(&token, AgentRequest::Acknowledge { token: token.clone(), seq });
                self.remove(&token);
            }
            AgentRequest::Cancel { token, reason } => {
                let Some(attempt) = self.attempts.get_mut(&token) else { return };
                attempt.leave_by = Some(Instant::now() + grace(&attempt.spec) + LEAVE_PATIENCE);
                let there = attempt.agent;
                self.hub
                    .request(&token, AgentRequest::Cancel { token: token.clone(), reason: reason.clone() });
                if !there {
                    self.end(&token, Receipt::bare(Conclusion::Cancelled, None, reason));
                }
            }
            AgentRequest::Kill { token } => {
                self.hub.request(&token, AgentRequest::Kill { token: token.clone() });
                if let Some(attempt) = self.attempts.get_mut(&token) {
                    attempt.leave_by.get_or_insert_with(Instant::now);
                }
                self.end(&token, Receipt::bare(Conclusion::Cancelled, None, "ended at once".to_owned()));
            }
            AgentRequest::Reply { token, id, answer } => {
                self.hub.request(&token, AgentRequest::Reply { token: token.clone(), id, answer });
            }
        }
    }

    fn start(&mut self, mut spec: JobSpec, secrets: BTreeMap<String, String>) {
        // Which devices a pod gets is the cluster's to say.
        spec.gpus = None;
        let token = spec.token.clone();
        if self.attempts.contains_key(&token) {
            return;
        }
        let spec = Arc::new(spec);
        let taken_up = self.options.taken_up.remove(&token);
        let attempt = Attempt::new(spec.clone(), job_name(&spec), taken_up);
        let stop = attempt.stop.clone();
        self.attempts.insert(token.clone(), attempt);
        let starting = Starting {
            cluster: self.cluster.clone(),
            hub: self.hub.clone(),
            objects: self.objects.clone(),
            settings: self.settings.clone(),
            certificate: self.certificate.clone(),
            log: log_path_of(&self.options.store, &spec),
            spec,
            secrets,
            taken_up,
            stop,
            done: self.done.clone(),
        };
        let done = self.done.clone();
        tokio::spawn(async move {
            let result = starting.start().await;
            let _ = done.send(Done::Started { token, result });
        });
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Started { token, result } => {
                let asked = self.attempts.get_mut(&token).and_then(|attempt| {
                    attempt.starting = false;
                    attempt.agent = attempt.agent || self.hub.has_agent(&token);
                    attempt.asked.take()
                });
                // It ended meanwhile.
                self.remove(&token);
                if let Err((class, reason)) = result {
                    self.end(&token, Receipt::bare(Conclusion::Failure, Some(class), reason));
                }
                asked.into_iter().flatten().for_each(|request| self.request(request));
            }
            Done::Waits { token, reason } => {
                if self.attempts.get(&token).is_some_and(|attempt| !attempt.over) {
                    (self.sink)(ExecutorMessage::Waiting { token, reason });
                }
            }
            Done::Removed { token } => {
                self.hub.close(&token);
                // Of one that was told to go, the pod is waited for.
                let stays = |a: &Attempt| a.leave_by.is_some() && a.pod.is_some() && !a.pod_gone;
                if !self.attempts.get(&token).is_some_and(stays) {
                    self.attempts.remove(&token);
                }
            }
        }
    }

    pub(super) fn hear(&mut self, event: HubEvent) {
        match event {
            HubEvent::Agent { attempt, .. } => {
                if let Some(attempt) = self.attempts.get_mut(&attempt) {
                    attempt.agent = true;
                }
            }
            HubEvent::Message(message) => self.message(message),
            HubEvent::Stands => self.no_hub = None,
            // Made again; the agents keep what they have to say.
            HubEvent::Broken(_) => {
                self.no_hub.get_or_insert_with(Instant::now);
            }
            HubEvent::Refused(reason) => {
                (self.sink)(ExecutorMessage::Gone {
                    reason: format!("the hub refused this engine: {reason}"),
                });
            }
        }
    }

    fn message(&mut self, message: JobMessage) {
        let Some(attempt) = self.attempts.get_mut(&message.token) else { return };
        match &message.body {
            MessageBody::Ask { id, question: Question::Death } => {
                attempt.question = Some((*id, Instant::now()));
                return;
            }
            MessageBody::Ended(_) if attempt.over || attempt.held.is_some() => return,
            // The agent was told to stop, and not by this engine, or its steps were killed under it: the
            // cluster says why.
            MessageBody::Ended(receipt)
                if attempt.leave_by.is_none()
                    && (receipt.conclusion == Conclusion::Cancelled
                        || receipt.class == Some(FailureClass::Lost)) =>
            {
                attempt.held = Some((message, Instant::now()));
                return;
            }
            MessageBody::Ended(_) => attempt.over = true,
            _ => {}
        }
        (self.sink)(ExecutorMessage::Job(message));
    }
}
