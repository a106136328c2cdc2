//! Tells the digests of an attempt's images after its receipt: a job may be over within the second that a kubelet takes to
//! say what its containers run, and nobody waits for that but the end of the engine.

use super::attempt::Attempt;
use super::images::{Images, Resolved, is_final};
use super::watch::State;
use crate::executor::ExecutorMessage;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A pod that ended says what it ran within this time, or not at all: where it is gone, nobody waits.
const TOLD_PATIENCE: Duration = Duration::from_secs(10);

/// Returns what is known of an attempt's images for its receipt; what is not is waited for from now on.
pub(super) fn told(images: &mut Images, attempt: &mut Attempt) -> Arc<BTreeMap<String, String>> {
    let Some(pod) = &attempt.pod else { return Arc::default() };
    let known = images.of(pod);
    attempt.untold = is_more_to_come(&known, pod, attempt).then(Instant::now);
    known.images
}

/// Tells whether the pod may still say what some container ran.
fn is_more_to_come(known: &Resolved, pod: &Pod, attempt: &Attempt) -> bool {
    !known.whole && !is_final(pod) && !attempt.gone.contains(&0)
}

impl State {
    /// Tells them as soon as the pod does.
    pub(super) fn tell_images(&mut self, token: &str) {
        let Some(attempt) = self.attempts.get_mut(token).filter(|a| a.untold.is_some()) else { return };
        let Some(pod) = &attempt.pod else { return };
        let known = self.images.of(pod);
        if is_more_to_come(&known, pod, attempt) {
            return;
        }
        attempt.untold = None;
        if !known.images.is_empty() {
            (self.sink)(ExecutorMessage::Images { token: token.to_owned(), images: known.images });
        }
    }

    /// Gives up on pods that say nothing.
    pub(super) fn forget_untold(&mut self) {
        let now = Instant::now();
        let late = |attempt: &Attempt| {
            attempt.untold.is_some_and(|since| now.duration_since(since) >= TOLD_PATIENCE)
        };
        let late: Vec<String> =
            self.attempts.iter().filter(|(_, a)| late(a)).map(|(token, _)| token.clone()).collect();
        for token in late {
            if let Some(attempt) = self.attempts.get_mut(&token) {
                attempt.untold = None;
            }
            self.forget(&token);
        }
    }
}
