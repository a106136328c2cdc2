//! Decides that an attempt is over whose agent cannot say so, and removes what is over.

use super::attempt::Done;
use super::observe::{Death, Seen, Waiting, death, seen};
use super::watch::State;
use crate::executor::ExecutorMessage;
use std::time::Duration;
use tidegate_flow::job::{AgentRequest, Answer, Conclusion, FailureClass, Receipt};
use tokio::time::Instant;

/// A receipt may come this long after its pod's end.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(5);
/// The cluster may take this long to say why a container ended.
const DEATH_PATIENCE: Duration = Duration::from_secs(15);

impl State {
    /// Looks at everything that waits.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        let tokens: Vec<String> =
            self.attempts.iter().filter(|(_, a)| !a.removed).map(|(t, _)| t.clone()).collect();
        for token in tokens {
            self.answer(&token, now);
            if let Some(receipt) = self.verdict(&token, now) {
                self.end(&token, receipt);
            }
        }
    }

    /// Answers an agent whose container ended under it.
    fn answer(&mut self, token: &str, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        let Some((id, asked)) = attempt.question else { return };
        let memory = attempt.spec.resources.memory_bytes;
        let found = attempt.pod.as_ref().and_then(|pod| death(pod, memory));
        let found = match found {
            Some(found) => found,
            None if now.duration_since(asked) < DEATH_PATIENCE => return,
            None => Death {
                class: FailureClass::Lost,
                exit: None,
                reason: "the container of the steps ended, and the cluster does not say why".to_owned(),
            },
        };
        attempt.question = None;
        let answer = Answer::Death { class: found.class, exit: found.exit, reason: found.reason };
        self.hub.request(token, AgentRequest::Reply { token: token.to_owned(), id, answer });
    }

    /// Says how an attempt ended that does not say so itself.
    fn verdict(&mut self, token: &str, now: Instant) -> Option<Receipt> {
        // One that is taken up may have a receipt that is not here yet.
        let attempt = self.attempts.get_mut(token).filter(|a| !a.over && a.asked.is_none())?;
        if attempt.leave_by.is_some_and(|by| now >= by) {
            return Some(Receipt::bare(Conclusion::Cancelled, None, "it did not leave in time".to_owned()));
        }
        let memory = attempt.spec.resources.memory_bytes;
        match seen(attempt.job.as_ref()?, attempt.pod.as_ref(), memory) {
            Seen::Going => {
                attempt.no_image = None;
                attempt.ended = None;
                None
            }
            Seen::Waiting(waits) => {
                let image = matches!(waits, Waiting::Image(_));
                let since = if image { *attempt.no_image.get_or_insert(now) } else { now };
                if attempt.waiting.as_ref() != Some(&waits) {
                    let (Waiting::Unschedulable(reason) | Waiting::Image(reason) | Waiting::SetUp(reason)) =
                        &waits;
                    let reason = reason.clone();
                    (self.sink)(ExecutorMessage::Waiting { token: token.to_owned(), reason });
                    attempt.waiting = Some(waits.clone());
                }
                match waits {
                    Waiting::Image(reason) if now.duration_since(since) >= self.options.image_patience => {
                        Some(Receipt::bare(Conclusion::Failure, Some(FailureClass::Image), reason))
                    }
                    _ => None,
                }
            }
            Seen::Ended(death) => {
                let since = *attempt.ended.get_or_insert(now);
                if now.duration_since(since) < RECEIPT_PATIENCE {
                    return None;
                }
                let mut receipt = Receipt::bare(Conclusion::Failure, Some(death.class), death.reason);
                receipt.exit = death.exit;
                Some(receipt)
            }
        }
    }

    /// Ends an attempt on this executor's word, and removes its Job.
    pub(super) fn end(&mut self, token: &str, receipt: Receipt) {
        let Some(attempt) = self.attempts.get_mut(token) else { return };
        if !attempt.over {
            attempt.over = true;
            (self.sink)(ExecutorMessage::Ended { token: token.to_owned(), receipt: Box::new(receipt) });
        }
        self.remove(token);
    }

    pub(super) fn remove(&mut self, token: &str) {
        let Some(attempt) = self.attempts.get_mut(token).filter(|a| a.over && !a.removed) else { return };
        attempt.removed = true;
        let (cluster, name, done) = (self.cluster.clone(), attempt.name.clone(), self.done.clone());
        let token = token.to_owned();
        tokio::spawn(async move {
            // The API server may be away for a while.
            let mut pause = Duration::from_millis(200);
            while cluster.remove_job(&name).await.is_err() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            let _ = done.send(Done::Removed { token });
        });
    }

    /// Nothing more will be asked for: what is not over goes.
    pub(super) fn leave(&mut self) {
        let tokens: Vec<String> = self.attempts.keys().cloned().collect();
        for token in tokens {
            if let Some(attempt) = self.attempts.get_mut(&token) {
                attempt.over = true;
            }
            self.remove(&token);
        }
    }
}
