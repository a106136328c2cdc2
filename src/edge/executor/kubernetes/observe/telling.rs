//! When a person hears that an attempt waits: not of what passes in a moment, and not every second.

use super::Waiting;
use std::mem::{Discriminant, discriminant};
use std::time::Duration;
use tokio::time::Instant;

/// Other words for the same are said again after this long, then after twice as long, and so on: hundreds of
/// pods may wait for a night on a cluster whose nodes come and go.
const AGAIN: Duration = Duration::from_mins(1);
/// At the latest after this long.
const SELDOM: Duration = Duration::from_hours(1);

/// What was said of one attempt.
#[derive(Debug, Default)]
pub(in super::super) struct Telling {
    /// What it waits for, and since when.
    since: Option<(Discriminant<Waiting>, Instant)>,
    told: Option<(Waiting, Instant)>,
    /// How long what was told holds.
    again: Duration,
}

impl Telling {
    /// Takes in what it waits for; tells whether to say so now.
    pub(in super::super) fn tells(&mut self, waits: &Waiting, now: Instant) -> bool {
        let kind = discriminant(waits);
        let since = match self.since {
            Some((known, since)) if known == kind => since,
            _ => now,
        };
        self.since = Some((kind, since));
        let tells = now.duration_since(since) >= waits.patience()
            && match &self.told {
                Some((told, at)) if discriminant(told) == kind => {
                    waits.changes() && told != waits && now.duration_since(*at) >= self.again
                }
                _ => true,
            };
        if tells {
            let same = self.told.as_ref().is_some_and(|(told, _)| discriminant(told) == kind);
            self.again = if same { (self.again * 2).min(SELDOM) } else { AGAIN };
            self.told = Some((waits.clone(), now));
        }
        tells
    }

    /// It waits no more.
    pub(in super::super) fn over(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_and_a_new_one_too() {
        let (mut telling, start) = (Telling::default(), Instant::now());
        let mut at =
            |seconds: u64, waits: &Waiting| telling.tells(waits, start + Duration::from_secs(seconds));
        let node = |text: &str| Waiting::Unschedulable(text.to_owned());
        assert!(!at(0, &node("0/3")), "it may pass in a moment");
        assert!(at(6, &node("0/3")));
        assert!(!at(7, &node("0/3")));
        assert!(!at(20, &node("0/4")), "a node came and went");
        assert!(at(70, &node("0/4")));
        assert!(!at(140, &node("0/5")), "not as often");
        assert!(at(195, &node("0/5")));
        assert!(!at(200, &node("0/5")), "the same");
        let image = Waiting::Image("i".to_owned());
        assert!(!at(201, &image));
        assert!(at(210, &image), "another reason");
        assert!(!at(400, &Waiting::Image("Back-off".to_owned())), "words of the same pull");
    }
}
