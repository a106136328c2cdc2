//! Services that end under the steps: each end is said once, and beside what the job failed of.

use super::attempt::Attempt;
use super::observe::{ServiceEnd, service_ends};
use super::watch::State;
use crate::executor::ExecutorMessage;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_flow::job::{Conclusion, FailureClass, JobMessage, MessageBody, Receipt};
use tokio::time::Instant;

/// A kubelet may take this long to say that a service has ended, of which a step failed at once.
const TOLD_PATIENCE: Duration = Duration::from_secs(3);

/// What is known of the services of an attempt.
#[derive(Debug, Default)]
pub(super) struct Services {
    /// How they ended last, by rank and service.
    ends: BTreeMap<(u32, String), ServiceEnd>,
    /// A failure that a service may be the cause of and those that came after it, in this order, and since when they are
    /// known.
    failed: Vec<(u32, JobMessage, Instant)>,
}

impl Services {
    /// Takes what a pod says; returns what is new of it.
    fn take(&mut self, rank: u32, ends: Vec<ServiceEnd>) -> Vec<ServiceEnd> {
        let mut new = Vec::new();
        for end in ends {
            let known = self.ends.get(&(rank, end.service.clone())).map_or(0, |known| known.times);
            if end.times > known {
                self.ends.insert((rank, end.service.clone()), end.clone());
                new.push(end);
            }
        }
        new
    }

    /// Tells whether a receipt is kept back.
    pub(super) fn hold(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Tells whether that of this token is.
    pub(super) fn holds(&self, token: &str) -> bool {
        self.failed.iter().any(|(_, message, _)| message.token == token)
    }

    /// Gives out what is kept back, in the order in which it came.
    fn give_out(&mut self) -> impl Iterator<Item = (u32, JobMessage)> + use<> {
        std::mem::take(&mut self.failed).into_iter().map(|(rank, message, _)| (rank, message))
    }
}

impl Attempt {
    /// The node that words about a rank name: where there is one pod, none.
    fn node(&self, rank: u32) -> Option<u32> {
        (self.spec.pod.nodes > 1).then_some(rank)
    }

    /// Says of a failure which services ended under the steps.
    pub(super) fn beside(&self, receipt: &mut Receipt) {
        let ends = self.services.ends.iter().map(|((rank, _), end)| end.said(self.node(*rank)));
        receipt.add_beside(&ends.collect::<Vec<_>>());
    }

    /// Keeps a receipt back of which a service may be the cause: its end is told a moment later. What fails meanwhile comes
    /// after it: the failure that came first counts. Gives back what is not kept.
    pub(super) fn awaits_services(
        &mut self,
        rank: u32,
        message: JobMessage,
        now: Instant,
    ) -> Option<JobMessage> {
        let MessageBody::Ended(receipt) = &message.body else { return Some(message) };
        let failed = receipt.class == Some(FailureClass::Failure) && receipt.failed_step.is_some();
        let told = !self.services.ends.is_empty() || self.leave_by.is_some() || self.end_by.is_some();
        let first = failed && !told && !self.spec.pod.services.is_empty();
        let later = self.services.hold() && receipt.conclusion != Conclusion::Success;
        if !first && !later {
            return Some(message);
        }
        self.services.failed.push((rank, message, now));
        None
    }

    /// What is kept back no longer: a service's end is known, or nobody tells of one.
    fn kept_long_enough(&mut self, now: Instant) -> Vec<(u32, JobMessage)> {
        let gone = self.services.failed.iter().all(|(rank, ..)| self.gone.contains(rank));
        let known = !self.services.ends.is_empty() || gone;
        let due = |(_, _, since): &(u32, JobMessage, Instant)| now.duration_since(*since) >= TOLD_PATIENCE;
        if self.over || !(known || self.services.failed.iter().any(due)) {
            return Vec::new();
        }
        self.services.give_out().collect()
    }
}

impl State {
    /// Says which services of a pod have ended and are started again.
    pub(super) fn tell_services(&mut self, token: &str, rank: u32) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        if attempt.over || attempt.spec.pod.services.is_empty() {
            return;
        }
        let ends = attempt.pod_of(rank).map(service_ends).unwrap_or_default();
        let node = attempt.node(rank);
        for end in attempt.services.take(rank, ends) {
            let reason = format!("{}, and is started again", end.said(node));
            let ServiceEnd { service, times, .. } = end;
            let token = token.to_owned();
            (self.sink)(ExecutorMessage::ServiceEnded { token, service, node, times, reason });
        }
    }

    /// Passes on what was kept back, once a service's end is known or nobody tells of one.
    pub(super) fn pass_on_failures(&mut self, token: &str, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        for (rank, message) in attempt.kept_long_enough(now) {
            self.put_together(token, rank, message);
        }
    }

    /// Passes on what was kept back, since the attempt is about to end on another word: what its agent said counts more.
    pub(super) fn pass_on_all(&mut self, token: &str) {
        let Some(attempt) = self.attempts.get_mut(token).filter(|attempt| !attempt.over) else { return };
        for (rank, message) in attempt.services.give_out() {
            self.put_together(token, rank, message);
        }
    }
}

#[cfg(test)]
mod tests;
