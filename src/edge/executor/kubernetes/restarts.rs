//! Services that end under the steps: each end is said once, and beside what the job failed of afterwards.

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
    /// Failures that a service may be the cause of, and since when they are known.
    failed: Vec<(u32, JobMessage, Instant)>,
}

impl Services {
    /// Takes what a pod says; returns what is new of it.
    fn take(&mut self, rank: u32, ends: Vec<ServiceEnd>) -> Vec<(String, String)> {
        let mut new = Vec::new();
        for end in ends {
            let known = self.ends.get(&(rank, end.service.clone())).map_or(0, |known| known.times);
            if end.times > known {
                new.push((end.service.clone(), end.said(known)));
                self.ends.insert((rank, end.service.clone()), end);
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

    /// Says of a failure which services ended before it.
    pub(super) fn beside(&self, receipt: &mut Receipt) {
        if receipt.conclusion != Conclusion::Failure || self.ends.is_empty() {
            return;
        }
        let ends: Vec<String> = self.ends.values().map(ServiceEnd::before).collect();
        receipt.add_beside(&ends.join("; "));
    }
}

impl Attempt {
    /// Keeps a receipt back of which a service may be the cause: its end is told a moment later. Gives it back if not.
    pub(super) fn awaits_services(&mut self, rank: u32, message: JobMessage) -> Option<JobMessage> {
        let MessageBody::Ended(receipt) = &message.body else { return Some(message) };
        let failed = receipt.class == Some(FailureClass::Failure) && receipt.failed_step.is_some();
        let told = !self.services.ends.is_empty() || self.leave_by.is_some() || self.end_by.is_some();
        if !failed || told || self.spec.pod.services.is_empty() {
            return Some(message);
        }
        self.services.failed.push((rank, message, Instant::now()));
        None
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
        let node = if attempt.spec.pod.nodes > 0 { format!("node {rank}: ") } else { String::new() };
        for (service, said) in attempt.services.take(rank, ends) {
            let (token, reason) = (token.to_owned(), format!("{node}{said}"));
            (self.sink)(ExecutorMessage::ServiceEnded { token, service, reason });
        }
    }

    /// Passes on what was kept back, once a service's end is known or nobody tells of one.
    pub(super) fn pass_on_failures(&mut self, token: &str, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        let known = !attempt.services.ends.is_empty() || attempt.pod_gone;
        let due = |(_, _, since): &(u32, JobMessage, Instant)| now.duration_since(*since) >= TOLD_PATIENCE;
        if attempt.over || !(known || attempt.services.failed.iter().any(due)) {
            return;
        }
        for (rank, message, _) in std::mem::take(&mut attempt.services.failed) {
            self.put_together(token, rank, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_services_that_ended_before_it() {
        let mut services = Services::default();
        let end = |times| ServiceEnd { service: "db".into(), times, how: "ended with exit 7".into() };
        let failed =
            |reason: &str| Receipt::bare(Conclusion::Failure, Some(FailureClass::Failure), reason.into());
        let mut receipt = failed("exit 1");
        services.beside(&mut receipt);
        assert_eq!(receipt, failed("exit 1"));
        assert_eq!(services.take(0, vec![end(1)]).len(), 1);
        assert_eq!(services.take(0, vec![end(1)]).len(), 0, "once");
        assert_eq!(services.take(1, vec![end(1)]).len(), 1, "of another node");
        assert_eq!(services.take(0, vec![end(2)]).len(), 1);
        services.ends.remove(&(1, "db".to_owned()));
        let mut receipt = failed("exit 1\n  a line");
        services.beside(&mut receipt);
        let words = "exit 1; before that the service `db` ended with exit 7, 2 times\n  a line";
        assert_eq!(receipt.reason.as_deref(), Some(words));
        let mut good = Receipt::bare(Conclusion::Success, None, String::new());
        services.beside(&mut good);
        assert_eq!(good.reason.as_deref(), Some(""));
    }
}
