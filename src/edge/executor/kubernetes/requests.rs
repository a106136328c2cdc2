//! What the engine asks of attempts, and what their agents say.

use super::attempt::{Attempt, Done};
use super::observe::death;
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
                let grace =
                    Duration::try_from_secs_f64(attempt.spec.grace_seconds.max(0.0)).unwrap_or_default();
                attempt.leave_by = Some(Instant::now() + grace + LEAVE_PATIENCE);
                let there = attempt.agent;
                self.hub
                    .request(&token, AgentRequest::Cancel { token: token.clone(), reason: reason.clone() });
                if !there {
                    self.end(&token, Receipt::bare(Conclusion::Cancelled, None, reason));
                }
            }
            AgentRequest::Kill { token } => {
                self.hub.request(&token, AgentRequest::Kill { token: token.clone() });
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
                    attempt.agent = attempt.agent || self.hub.has_agent(&token);
                    attempt.asked.take()
                });
                if let Err((class, reason)) = result {
                    self.end(&token, Receipt::bare(Conclusion::Failure, Some(class), reason));
                }
                asked.into_iter().flatten().for_each(|request| self.request(request));
            }
            Done::Removed { token } => {
                self.hub.close(&token);
                self.attempts.remove(&token);
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

    fn message(&mut self, mut message: JobMessage) {
        let Some(attempt) = self.attempts.get_mut(&message.token) else { return };
        match &mut message.body {
            MessageBody::Ask { id, question: Question::Death } => {
                attempt.question = Some((*id, Instant::now()));
                return;
            }
            MessageBody::Ended(_) if attempt.over => return,
            MessageBody::Ended(receipt) => {
                attempt.over = true;
                // The agent was told to stop, and not by this engine: its pod is being taken away.
                if receipt.conclusion == Conclusion::Cancelled && attempt.leave_by.is_none() {
                    let memory = attempt.spec.resources.memory_bytes;
                    let found = attempt.pod.as_ref().and_then(|pod| death(pod, memory));
                    let (class, reason) = match found {
                        Some(death) => (death.class, death.reason),
                        None => (FailureClass::Lost, "its pod was deleted while it ran".to_owned()),
                    };
                    receipt.conclusion = Conclusion::Failure;
                    (receipt.class, receipt.reason) = (Some(class), Some(reason));
                }
            }
            _ => {}
        }
        (self.sink)(ExecutorMessage::Job(message));
    }
}
