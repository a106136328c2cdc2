//! An attempt that waits: when a person hears of it, and when it has waited for too long.

use super::observe::{Bound, Waiting, given_up, told};
use super::watch::State;
use crate::executor::ExecutorMessage;
use std::time::Duration;
use tidegate_flow::job::{Conclusion, Receipt};
use tokio::time::Instant;

/// The hub is missed after this long; a new connection to it takes a moment.
const HUB_MISSED: Duration = Duration::from_secs(10);

impl State {
    /// Takes in what an attempt waits for, or the pod of one of its ranks; returns how it ends if that was too long.
    pub(super) fn waits(
        &mut self,
        token: &str,
        whose: Option<u32>,
        waits: &Waiting,
        now: Instant,
    ) -> Option<Receipt> {
        let attempt = self.attempts.get_mut(token)?;
        if attempt.telling.tells(waits, now) {
            let reason = match whose {
                Some(rank @ 1..) => format!("node {rank}: {}", told(waits, &attempt.spec)),
                _ => told(waits, &attempt.spec),
            };
            (self.sink)(ExecutorMessage::Waiting { token: token.to_owned(), reason });
        }
        let limit = match waits.bound() {
            Bound::Pending => self.options.pending_timeout,
            Bound::Image => Some(self.options.image_patience),
            Bound::Nothing => return None,
        };
        let since = match attempt.since {
            Some((bound, since)) if bound == waits.bound() => since,
            _ => now,
        };
        attempt.since = Some((waits.bound(), since));
        let limit = limit.filter(|limit| now.duration_since(since) >= *limit)?;
        let death = given_up(waits, &attempt.spec, limit.as_secs());
        let receipt = Receipt::bare(Conclusion::Failure, Some(death.class), death.reason);
        Some(attempt.ranks.ends(whose, receipt))
    }

    /// An attempt waits for nothing.
    pub(super) fn goes_on(&mut self, token: &str) {
        if let Some(attempt) = self.attempts.get_mut(token) {
            attempt.since = None;
            attempt.ended = None;
            attempt.not_set_up = None;
            attempt.telling.over();
        }
    }

    /// Says once that the hub is missed; what agents have to say waits until it is back.
    pub(super) fn miss_hub(&mut self, now: Instant) {
        if !self.hub_missed && self.no_hub.is_some_and(|since| now.duration_since(since) >= HUB_MISSED) {
            self.hub_missed = true;
            let why = self.hub_trouble.take().map(|why| format!(" ({why})")).unwrap_or_default();
            let text = format!("the hub does not answer; the run waits for it, and its pods go on{why}");
            (self.sink)(ExecutorMessage::Note { text });
        }
    }

    pub(super) fn hub_stands(&mut self) {
        if self.no_hub.take().is_some() {
            self.hub_back = Some(Instant::now());
        }
        if std::mem::take(&mut self.hub_missed) {
            (self.sink)(ExecutorMessage::Note { text: "the hub answers again".to_owned() });
        }
    }
}
