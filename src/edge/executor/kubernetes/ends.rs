//! Decides that an attempt is over whose agent cannot say so, and removes what is over.

use super::attempt::{Attempt, Done};
use super::digests::told;
use super::observe::{
    Bound, Death, Seen, Waiting, death, disrupted, is_suspended, node_is_away, step_memory, steps_began,
};
use super::ranks::{attempt_of, token_of};
use super::watch::State;
use crate::executor::ExecutorMessage;
use crate::executor::inside::REMOVED;
use crate::hub::HubEvent;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_flow::job::{
    AgentRequest, Answer, Conclusion, FailureClass, JobMessage, MessageBody, Receipt, StepMemory,
};
use tokio::time::Instant;

/// A receipt may come this long after its pod's end.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(5);
/// The cluster may take this long to say why a container ended.
const DEATH_PATIENCE: Duration = Duration::from_secs(15);

/// A receipt may come this long after its pod's end when the hub has been away.
const HUB_PATIENCE: Duration = Duration::from_mins(2);
/// After a break of the hub agents are back within this time.
const AGENTS_BACK: Duration = Duration::from_secs(6);
/// The rest of a log whose pod has ended is waited for as long as some of it comes within this time.
const LOG_PATIENCE: Duration = Duration::from_mins(2);
/// The cluster may take this long to say why it takes a pod away.
const WHY_PATIENCE: Duration = Duration::from_secs(3);

/// Seconds that services have to end once their job is over.
const SERVICE_GRACE_SECONDS: u32 = 2;

impl State {
    /// Looks at attempts of which there is news: at each piece of news at all of them would cost their square.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        for token in std::mem::take(&mut self.touched) {
            if self.attempts.get(&token).is_none_or(|attempt| attempt.removed) {
                continue;
            }
            self.answer(&token, now);
            self.explain(&token, now);
            self.pass_on_failures(&token, now);
            let receipt = self.verdict(&token, now).and_then(|r| self.quoted(&token, r, now));
            if let Some(receipt) = receipt.and_then(|r| self.with_rest(&token, r, now)) {
                self.end(&token, receipt);
            }
        }
        self.miss_hub(now);
    }

    /// Answers an agent whose container ended under it.
    fn answer(&mut self, token: &str, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        let spec = attempt.spec.clone();
        let asked: Vec<(u32, u64, Instant)> =
            attempt.questions.iter().map(|(rank, (id, asked))| (*rank, *id, *asked)).collect();
        for (rank, id, asked) in asked {
            let found = match attempt.pod_of(rank).and_then(|pod| death(pod, &spec)) {
                Some(found) => found,
                None if now.duration_since(asked) < DEATH_PATIENCE => continue,
                None => Death {
                    class: FailureClass::Lost,
                    exit: None,
                    reason: "the container of the steps ended, and the cluster does not say why".to_owned(),
                },
            };
            attempt.questions.remove(&rank);
            let answer = Answer::Death { class: found.class, exit: found.exit, reason: found.reason };
            let token = token_of(token, rank);
            self.hub.request(&token, AgentRequest::Reply { token: token.clone(), id, answer });
        }
    }

    /// Says why agents were told to stop by somebody else, once the cluster says it.
    fn explain(&mut self, token: &str, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(token).filter(|a| !a.over) else { return };
        let spec = attempt.spec.clone();
        let suspended = attempt.job.as_ref().is_some_and(is_suspended);
        let mut explained = Vec::new();
        for (mut message, since) in std::mem::take(&mut attempt.held) {
            let (_, rank) = attempt_of(&message.token);
            // One that left because it was told to ended its steps itself: what they ended with says nothing.
            let told =
                matches!(&message.body, MessageBody::Ended(r) if r.conclusion == Conclusion::Cancelled);
            let found =
                match attempt.pod_of(rank).and_then(|pod| disrupted(pod).or_else(|| death(pod, &spec))) {
                    _ if suspended || attempt.replaced => {
                        (!attempt.awaits_kueue(now.duration_since(since))).then(|| attempt.preempted())
                    }
                    Some(death) if death.exit.is_none() || !told => Some(death),
                    _ => None,
                };
            // A kubelet that evicts tells the pod's containers first, and the cluster when they have ended.
            let ending = attempt.pod_of(rank).is_some_and(|pod| {
                pod.metadata.deletion_timestamp.is_none()
                    && pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running")
            });
            let patience = if ending { DEATH_PATIENCE } else { WHY_PATIENCE };
            if found.is_none() && now.duration_since(since) < patience {
                attempt.held.push((message, since));
                continue;
            }
            if let MessageBody::Ended(receipt) = &mut message.body {
                receipt.conclusion = Conclusion::Failure;
                receipt.class = Some(found.as_ref().map_or(FailureClass::Lost, |death| death.class));
                receipt.exit = found.as_ref().and_then(|death| death.exit);
                receipt.step_memory = found.as_ref().and_then(|death| attempt.step_memory(rank, death));
                let told = receipt.reason.take().unwrap_or_default();
                receipt.reason = Some(match found {
                    Some(death) => death.reason,
                    None if told == REMOVED => "its pod was deleted while it ran".to_owned(),
                    None => told,
                });
            }
            explained.push((rank, message, since));
        }
        for (rank, mut message, since) in explained {
            if let MessageBody::Ended(receipt) = &mut message.body {
                let Some(quoted) = self.quoted(token, receipt.clone(), now) else {
                    self.attempts
                        .get_mut(token)
                        .into_iter()
                        .for_each(|a| a.held.push((message.clone(), since)));
                    continue;
                };
                *receipt = quoted;
            }
            self.pass(token, rank, message, now);
        }
    }

    /// Says how an attempt ended that does not say so itself.
    fn verdict(&mut self, token: &str, now: Instant) -> Option<Receipt> {
        // One that is taken up may have a receipt that is not here yet.
        let attempt = self.attempts.get_mut(token).filter(|a| !a.over && a.asked.is_none())?;
        if attempt.leave_by.is_some_and(|by| now >= by) {
            return Some(Receipt::bare(Conclusion::Cancelled, None, attempt.did_not_leave()));
        }
        // Where no agent came, nothing has to end.
        let none_left =
            |attempt: &Attempt| !attempt.ranks.missing().any(|rank| attempt.came(rank, &self.hub));
        if attempt.end_by.is_some_and(|by| now >= by || none_left(attempt)) {
            return attempt.ranks.failed();
        }
        if !attempt.held.is_empty() || attempt.services.hold() {
            return None;
        }
        let Some(job) = &attempt.job else {
            let waits = attempt.not_taken.clone()?;
            return self.waits(token, None, &waits, now);
        };
        let lost_place = || is_suspended(job) && attempt.gone.iter().any(|r| attempt.came(*r, &self.hub));
        if attempt.replaced || lost_place() {
            let since = *attempt.ended.get_or_insert(now);
            if attempt.awaits_kueue(now.duration_since(since)) {
                return None;
            }
            return Some(attempt.ends(None, attempt.preempted()));
        }
        if let Some((rank, death)) = attempt.node_lost(self.options.node_patience, now) {
            return Some(attempt.ends(Some(rank), death));
        }
        let (whose, seen) = attempt.seen()?;
        let on_its_way = is_on_its_way(&seen);
        let (whose, seen) = match (seen, &attempt.not_made, &attempt.not_set_up) {
            (_, Some(Err(death)), _) if on_its_way && attempt.lacks_pods() => {
                return Some(attempt.ends(None, death.clone()));
            }
            (_, Some(Ok(waits)), _) if on_its_way && attempt.lacks_pods() => {
                (None, Seen::Waiting(waits.clone()))
            }
            (Seen::Waiting(Waiting::Creating(_)), _, Some(lacks)) if !attempt.is_set_up() => {
                (None, Seen::Waiting(lacks.clone()))
            }
            (seen, ..) => (whose, seen),
        };
        match seen {
            Seen::Going => {
                self.goes_on(token);
                None
            }
            Seen::Waiting(waits) => {
                // Room is the cluster's to have, and no rank's own.
                let whose = whose.filter(|_| waits.bound() != Bound::Pending);
                self.waits(token, whose, &waits, now)
            }
            Seen::Ended(death) => self.ended(token, whose, death, now),
        }
    }

    /// Its end is seen, of one of its pods or of all: a receipt may still come.
    fn ended(&mut self, token: &str, whose: Option<u32>, death: Death, now: Instant) -> Option<Receipt> {
        let attempt = self.attempts.get_mut(token)?;
        // What ended well has only a long log to bring.
        let waits = |rank| self.hub.waits_for_log(&token_of(token, rank), LOG_PATIENCE);
        if attempt.ranks.all().any(waits) {
            return None;
        }
        let late: Vec<JobMessage> = attempt
            .ranks
            .all()
            .filter_map(|rank| self.hub.take_without_log(&token_of(token, rank)))
            .collect();
        if !late.is_empty() {
            let text = format!("the hub lost the end of the log of {}", attempt.name);
            (self.sink)(ExecutorMessage::Note { text });
            late.into_iter().for_each(|message| self.hear(HubEvent::Message(message)));
            return None;
        }
        let since = *attempt.ended.get_or_insert(now);
        // Agents that lost the hub, too, find it again a little later.
        let since = self.hub_back.map_or(since, |back| since.max(back + AGENTS_BACK));
        // While the hub is away, no receipt can come.
        let patience = if self.no_hub.is_some() { HUB_PATIENCE } else { RECEIPT_PATIENCE };
        (now.saturating_duration_since(since) >= patience).then(|| attempt.ends(whose, death))
    }

    /// Ends an attempt on this executor's word, unless its agent's is here; its Job goes once the engine has that in its log.
    pub(super) fn end(&mut self, token: &str, mut receipt: Receipt) {
        self.pass_on_all(token);
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        if !attempt.over {
            attempt.over = true;
            receipt.images = told(&mut self.images, attempt);
            attempt.beside(&mut receipt);
            (self.sink)(ExecutorMessage::Ended { token: token.to_owned(), receipt: Box::new(receipt) });
        }
    }

    /// Nobody asks again how an attempt ended: what it left goes.
    pub(super) fn logged(&mut self, token: &str) {
        if let Some(attempt) = self.attempts.get_mut(token) {
            attempt.logged = true;
        }
        self.remove(token);
    }

    pub(super) fn remove(&mut self, token: &str) {
        let Some(attempt) = self.attempts.get_mut(token).filter(|a| a.logged && !a.removed) else { return };
        if attempt.starting {
            // Its Job may come into being this very moment: first that task ends.
            attempt.stop.store(true, Ordering::Release);
            return;
        }
        attempt.removed = true;
        let (cluster, name, done) = (self.cluster.clone(), attempt.name.clone(), self.done.clone());
        // A service that does not listen to SIGTERM would hold the node's GPUs for its whole grace.
        let services = !attempt.spec.pod.services.is_empty();
        // So would an init container, and where no step began there is nothing to finish.
        let hurry = services || attempt.pods().any(|(_, pod)| !steps_began(pod));
        let leaves = attempt.leave_by.is_some();
        let token = token.to_owned();
        tokio::spawn(async move {
            if hurry {
                cluster.hurry_pods(&name, SERVICE_GRACE_SECONDS).await;
            }
            // The API server may be away for a while.
            let mut pause = Duration::from_millis(200);
            let left = loop {
                let left = match cluster.remove_job(&name).await {
                    Ok(()) if leaves => cluster.pods_of(&name).await,
                    removed => removed.map(|()| Vec::new()),
                };
                if let Ok(left) = left {
                    break left;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            };
            let _ = done.send(Done::Removed { token, left });
        });
    }

    /// Lets go of an attempt of which nothing is left. Of one that was told to go, all pods are waited for whose node can
    /// tell that they are gone; of one that does not say what it ran, a word about that.
    pub(super) fn forget(&mut self, token: &str) {
        let Some(attempt) = self.attempts.get(token).filter(|a| a.job_gone && a.untold.is_none()) else {
            return;
        };
        if attempt.leave_by.is_none() || attempt.pods_there().all(|(_, pod)| node_is_away(pod)) {
            self.attempts.remove(token);
        }
    }

    /// Nothing more will be asked for: what is not over goes.
    pub(super) fn leave(&mut self) {
        let tokens: Vec<String> = self.attempts.keys().cloned().collect();
        for token in tokens {
            if let Some(attempt) = self.attempts.get_mut(&token).filter(|attempt| !attempt.over) {
                attempt.over = true;
                attempt.leave_by = Some(Instant::now());
            }
            self.logged(&token);
        }
    }
}

/// Tells whether pods run, or are being set up without a trouble that one knows of.
fn is_on_its_way(seen: &Seen) -> bool {
    match seen {
        Seen::Going => true,
        Seen::Waiting(waits) => waits.bound() == Bound::Nothing,
        Seen::Ended(_) => false,
    }
}

impl Attempt {
    /// Its end as the cluster or this executor tells it: of one rank, or of all. What nodes said before may be why.
    pub(super) fn ends(&self, whose: Option<u32>, death: Death) -> Receipt {
        let step_memory = whose.and_then(|rank| self.step_memory(rank, &death));
        let receipt = Receipt::bare(Conclusion::Failure, Some(death.class), death.reason);
        self.ranks.ends(whose, Receipt { exit: death.exit, step_memory, ..receipt })
    }

    /// Tells whether an agent was told to stop, and not by this engine, or its steps were killed under it: the cluster says
    /// why. Of one that was ended for another that counts if it began to end before that one.
    pub(super) fn awaits_cluster(&self, rank: u32, receipt: &Receipt) -> bool {
        let for_another = self.end_by.is_some();
        let told = receipt.conclusion == Conclusion::Cancelled
            && (!for_another || receipt.reason.as_deref() == Some(REMOVED));
        self.leave_by.is_none()
            && (!for_another || self.ranks.is_first(rank))
            && (told || receipt.class == Some(FailureClass::Lost))
    }

    /// What the step had that was killed for memory on a rank, where its own `resources` say it.
    fn step_memory(&self, rank: u32, death: &Death) -> Option<StepMemory> {
        let pod = self.pod_of(rank).filter(|_| death.class == FailureClass::Oom)?;
        step_memory(pod, &self.spec)
    }

    /// That it was told to leave and is there still: where it is on several nodes, on which.
    fn did_not_leave(&self) -> String {
        let left: Vec<String> = self.ranks.missing().map(|rank| rank.to_string()).collect();
        match left.len() {
            _ if self.spec.pod.nodes == 0 => "it did not leave in time".to_owned(),
            1 => format!("node {} did not leave in time", left.join(", ")),
            _ => format!("nodes {} did not leave in time", left.join(", ")),
        }
    }

    /// A node of the cluster that has been away for too long, by the rank that is there.
    fn node_lost(&self, patience: Duration, now: Instant) -> Option<(u32, Death)> {
        let away = |(rank, since): &(&u32, &Instant)| {
            !self.ranks.is_done(**rank) && now.duration_since(**since) >= patience
        };
        let (rank, _) = self.nodes_away.iter().find(away)?;
        let node = self.pod_of(*rank).and_then(|p| p.spec.as_ref()?.node_name.clone()).unwrap_or_default();
        let reason = format!(
            "the node {node} has not been ready for {} s; what ran there is lost",
            patience.as_secs()
        );
        Some((*rank, Death { class: FailureClass::Lost, exit: None, reason }))
    }
}

#[cfg(test)]
mod tests;
