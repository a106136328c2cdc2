//! What the engine asks of attempts, and what their agents say.

use super::attempt::{Attempt, Done};
use super::checkpoints;
use super::digests::told;
use super::observe::Death;
use super::pod::job_name;
use super::quotes::Rest;
use super::ranks::{Then, attempt_of, token_of};
use super::starting::Starting;
use super::watch::State;
use crate::agent::log_path_of;
use crate::executor::ExecutorMessage;
use crate::hub::HubEvent;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::{
    AgentRequest, Answer, Conclusion, FailureClass, JobMessage, JobSpec, Masks, MessageBody, Question,
    Receipt,
};
use tokio::time::Instant;

/// A pod may take this long after its steps' grace, once it was told to stop.
const LEAVE_PATIENCE: Duration = Duration::from_secs(30);

/// Why an agent of this version is of no use to this engine, if so. A hub from before agents said it tells of none.
fn other_version(agent: &str, own: &str) -> Option<String> {
    (!agent.is_empty() && agent != own).then(|| {
        format!(
            "the agent image has Tidegate {agent}, this engine is {own}: `--agent-image` (or `kubernetes: agent-image` \
             in .ml/config.yaml) has to name the image of this version"
        )
    })
}

/// The attempt that a request is about which is no start.
fn about(request: &AgentRequest) -> Option<&str> {
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
        let asked = about(&request).and_then(|token| self.attempts.get_mut(token)?.asked.as_mut());
        match (asked, &request) {
            // The hub, which is asked for it, may be away for long.
            (Some(_), AgentRequest::Kill { token }) => {
                if let Some(attempt) = self.attempts.get_mut(token) {
                    attempt.leave_by = Some(Instant::now());
                }
                let reason = "ended at once, before the hub said what became of it".to_owned();
                return self.end(&token.clone(), Receipt::bare(Conclusion::Cancelled, None, reason));
            }
            (Some(asked), _) => return asked.push(request),
            (None, _) => {}
        }
        match request {
            AgentRequest::Start { spec, secrets } => self.start(*spec, secrets),
            AgentRequest::Acknowledge { token, seq } => {
                self.hub.request(&token, AgentRequest::Acknowledge { token: token.clone(), seq });
                let others = self.attempts.get(&token).map(|a| a.ranks.receipts().collect::<Vec<_>>());
                for (rank, seq) in others.unwrap_or_default() {
                    let token = token_of(&token, rank);
                    self.hub.request(&token, AgentRequest::Acknowledge { token: token.clone(), seq });
                }
                self.logged(&token);
            }
            AgentRequest::Cancel { token, reason } => {
                let Some(attempt) = self.attempts.get_mut(&token) else { return };
                attempt.leave_by = Some(Instant::now() + grace(&attempt.spec) + LEAVE_PATIENCE);
                // Steps begin only once all nodes are there.
                let there = attempt.ranks.all().all(|rank| attempt.came(rank, &self.hub));
                // A receipt that came before it was known that its agent was told to stop.
                let held = std::mem::take(&mut attempt.held);
                for rank in attempt.ranks.all() {
                    let token = token_of(&token, rank);
                    self.hub.request(
                        &token,
                        AgentRequest::Cancel { token: token.clone(), reason: reason.clone() },
                    );
                }
                if !there && held.is_empty() {
                    self.end(&token, Receipt::bare(Conclusion::Cancelled, None, reason));
                }
                held.into_iter().for_each(|(message, _)| self.message(message));
            }
            AgentRequest::Kill { token } => {
                let ranks = self.attempts.get(&token).map(|a| a.ranks.all().collect::<Vec<_>>());
                for rank in ranks.unwrap_or_default() {
                    let token = token_of(&token, rank);
                    self.hub.request(&token, AgentRequest::Kill { token: token.clone() });
                }
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
        checkpoints::find(&self.options.store, &mut spec);
        let token = spec.token.clone();
        if self.attempts.contains_key(&token) {
            return;
        }
        let spec = Arc::new(spec);
        let taken_up = self.options.taken_up.remove(&token);
        let masks = Masks::new(secrets.values().map(String::as_str));
        let attempt = Attempt::new(spec.clone(), job_name(&spec), taken_up, masks);
        let stop = attempt.stop.clone();
        self.attempts.insert(token.clone(), attempt);
        let starting = Starting {
            cluster: self.cluster.clone(),
            hub: self.hub.clone(),
            objects: self.objects.clone(),
            settings: self.settings.clone(),
            certificate: self.certificate.clone(),
            disk: self.disk,
            log: log_path_of(&self.options.store, &spec),
            spec,
            secrets,
            taken_up,
            pushing: self.pushing.clone(),
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
                    attempt.not_taken = None;
                    attempt.agent |=
                        attempt.ranks.all().any(|rank| self.hub.has_agent(&token_of(&token, rank)));
                    attempt.asked.take()
                });
                // One that is taken up may need the hub only; a new one has a Job now.
                if result.is_ok() && asked.is_none() {
                    self.server_answers();
                }
                // It ended meanwhile.
                self.remove(&token);
                if let Err((class, reason)) = result {
                    let death = Death { class, exit: None, reason };
                    let receipt = self.attempts.get(&token).map(|attempt| attempt.ends(None, death));
                    receipt.into_iter().for_each(|receipt| self.end(&token, receipt));
                }
                asked.into_iter().flatten().for_each(|request| self.request(request));
            }
            Done::Made { token, job } => {
                if let Some(attempt) = self.attempts.get_mut(&token) {
                    attempt.job.get_or_insert(*job);
                }
            }
            Done::Answers => self.server_is_back(),
            Done::Queues(answer) => self.queues_say(answer),
            Done::Waits { token, why } => {
                if let Some(attempt) = self.attempts.get_mut(&token) {
                    attempt.not_taken = Some(why);
                }
            }
            Done::Quoted { token, lines } => {
                if let Some(attempt) = self.attempts.get_mut(&token) {
                    attempt.quote.is(lines, &attempt.masks);
                }
            }
            Done::Rest { token, texts } => {
                for (rank, text) in texts {
                    self.hub.add_rest(&token_of(&token, rank), &text);
                }
                if let Some(attempt) = self.attempts.get_mut(&token) {
                    attempt.rest = Rest::Here;
                }
            }
            Done::Removed { token, left } => {
                // One that was made a moment ago, the watch may not have told of yet.
                left.into_iter().for_each(|pod| self.pod_is(pod));
                let Some(attempt) = self.attempts.get_mut(&token) else { return };
                attempt.job_gone = true;
                attempt.ranks.all().for_each(|rank| self.hub.close(&token_of(&token, rank)));
                self.forget(&token);
            }
        }
    }

    pub(super) fn hear(&mut self, event: HubEvent) {
        match event {
            HubEvent::Agent { attempt, version, .. } => {
                let (token, rank) = attempt_of(&attempt);
                let Some(attempt) = self.attempts.get_mut(token) else { return };
                attempt.agent = true;
                if let Some(reason) = other_version(&version, env!("CARGO_PKG_VERSION")) {
                    let death = Death { class: FailureClass::Image, exit: None, reason };
                    let receipt = attempt.ends(Some(rank), death);
                    self.end(token, receipt);
                }
            }
            HubEvent::Message(message) => self.message(message),
            HubEvent::Stands => self.hub_stands(),
            // Made again; the agents keep what they have to say.
            HubEvent::Broken(reason) => {
                self.hub_trouble = Some(reason);
                self.no_hub.get_or_insert_with(Instant::now);
            }
            HubEvent::Store(problem) => {
                let text = match problem {
                    Some(problem) => {
                        format!("the object store does not answer; what needs it waits for it ({problem})")
                    }
                    None => "the object store answers again".to_owned(),
                };
                (self.sink)(ExecutorMessage::Note { text });
            }
            HubEvent::Disk(problem) => {
                let text = match problem {
                    Some(problem) => format!(
                        "the hub's disk takes nothing; logs wait for it, and what is to be kept there fails ({problem})"
                    ),
                    None => "the hub's disk takes something again".to_owned(),
                };
                (self.sink)(ExecutorMessage::Note { text });
            }
            HubEvent::Refused(reason) => {
                (self.sink)(ExecutorMessage::Gone {
                    reason: format!("the hub refused this engine: {reason}"),
                });
            }
        }
    }

    fn message(&mut self, message: JobMessage) {
        let (token, rank) = attempt_of(&message.token);
        let token = token.to_owned();
        let Some(attempt) = self.attempts.get_mut(&token) else { return };
        self.touched.insert(token.clone());
        if let MessageBody::Ask { question: Question::Death, .. } | MessageBody::Ended(_) = &message.body {
            attempt.ends_at(rank, message.at);
        }
        match &message.body {
            MessageBody::Ask { id, question: Question::Death } => {
                attempt.questions.insert(rank, (*id, Instant::now()));
                return;
            }
            MessageBody::Saved { artifact } => {
                // The hub says so where it has lost what was saved.
                if !artifact.digest.is_empty() && rank == 0 {
                    checkpoints::keep(&self.options.store, &attempt.spec, artifact);
                }
                return;
            }
            MessageBody::Ended(_) if attempt.has_receipt(&message.token) => return,
            MessageBody::Ended(receipt) if attempt.awaits_cluster(rank, receipt) => {
                attempt.held.push((message, Instant::now()));
                return;
            }
            _ => {}
        }
        self.pass(&token, rank, message, Instant::now());
    }

    /// Passes on what a pod says, unless a word about its services is waited for.
    pub(super) fn pass(&mut self, token: &str, rank: u32, message: JobMessage, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        if let Some(message) = attempt.awaits_services(rank, message, now) {
            self.put_together(token, rank, message);
        }
    }

    /// Hears what one of the pods says together with what the others said.
    pub(super) fn put_together(&mut self, token: &str, rank: u32, message: JobMessage) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        match attempt.ranks.hear(rank, message) {
            Then::Nothing => {}
            Then::Pass(mut message) => {
                if let MessageBody::Ended(receipt) = &mut message.body {
                    receipt.images = told(&mut self.images, attempt);
                    attempt.beside(receipt);
                }
                attempt.over |= matches!(message.body, MessageBody::Ended(_));
                (self.sink)(ExecutorMessage::Job(*message));
            }
            Then::Go(questions) => {
                for (rank, id) in questions {
                    let token = token_of(token, rank);
                    let request = AgentRequest::Reply { token: token.clone(), id, answer: Answer::Nodes };
                    self.hub.request(&token, request);
                }
            }
            Then::End(ranks) => {
                let until = Instant::now() + grace(&attempt.spec) + LEAVE_PATIENCE;
                attempt.end_by.get_or_insert(until);
                for rank in ranks {
                    let token = token_of(token, rank);
                    self.hub.request(&token, AgentRequest::Kill { token: token.clone() });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::{TOKEN, World};
    use super::*;

    #[test]
    fn nodes_that_never_came_are_not_waited_for() {
        let mut world = World::new(2);
        world.state.request(AgentRequest::Cancel { token: TOKEN.into(), reason: "no more".into() });
        assert_eq!(world.said(), ["-: no more"]);
        let mut world = World::new(2);
        let class = Some(FailureClass::Gate);
        world.ends(1, Receipt::bare(Conclusion::Failure, class, "acc < 0.9".to_owned()));
        world.state.touched.insert(TOKEN.into());
        world.state.look();
        assert_eq!(world.said(), ["gate: node 1: acc < 0.9"]);
    }

    /// The run ends when its pods are gone, also if a new engine did not know yet what there was of it.
    #[test]
    fn what_is_killed_before_it_is_known_is_waited_for() {
        let mut world = World::new(0);
        world.attempt().asked = Some(Vec::new());
        world.state.request(AgentRequest::Kill { token: TOKEN.into() });
        world.state.done(Done::Started { token: TOKEN.into(), result: Ok(()) });
        world.pod_is(0, serde_json::json!({"phase": "Running"}));
        world.state.done(Done::Removed { token: TOKEN.into(), left: Vec::new() });
        assert!(!world.state.attempts.is_empty());
    }

    #[test]
    fn an_agent_of_another_version_is_named() {
        let mut world = World::new(2);
        let (attempt, incarnation, version) = (token_of(TOKEN, 1), String::new(), "0.0.9".to_owned());
        world.state.hear(HubEvent::Agent { attempt, incarnation, version });
        let said = world.said().concat();
        assert!(said.starts_with("image: node 1: the agent image has Tidegate 0.0.9"), "{said}");
    }

    #[test]
    fn an_agent_of_another_version_is_of_no_use() {
        assert_eq!(other_version("0.1.0", "0.1.0"), None);
        let words = other_version("0.1.0", "0.2.0").unwrap();
        assert!(words.contains("has Tidegate 0.1.0, this engine is 0.2.0"), "{words}");
        assert!(words.contains("--agent-image"), "{words}");
        assert_eq!(other_version("", "0.2.0"), None, "a hub from before agents said it");
    }
}
