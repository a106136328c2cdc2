//! Time and names that nobody else has: the only place that asks the machine for them.

use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_flow::run::Millis;

/// Milliseconds since 1970, as the machine's clock says just now.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The time of one run. It starts with the machine's clock, never before the last event of the log,
/// and goes on at the pace of real time, sleep of the machine included: a clock that is set back or
/// forward meanwhile makes no pause longer and no duration negative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Millis,
    /// Milliseconds since the machine was booted, at the start.
    booted: i64,
}

impl Clock {
    /// Starts at the machine's time, or at that of the log's last event if that is later.
    pub(super) fn from(last: Option<Millis>) -> Self {
        Self::new(now(), last, booted())
    }

    fn new(wall: Millis, last: Option<Millis>, booted: i64) -> Self {
        Self { start: last.map_or(wall, |last| last.max(wall)), booted }
    }

    /// Returns the run's time.
    pub(super) fn now(&self) -> Millis {
        self.at(booted())
    }

    fn at(&self, booted: i64) -> Millis {
        Millis(self.start.0.saturating_add(booted.saturating_sub(self.booted).max(0)))
    }
}

fn booted() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// A new ULID: 48 bits of time and 80 random ones, in Crockford's base 32.
pub fn ulid(now: Millis) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut random = [0u8; 10];
    if rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).is_err() {
        // Without a source of randomness the process and the clock still make it unique here.
        let seed = format!("{}-{:?}", std::process::id(), SystemTime::now());
        let mix = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), seed);
        for (to, from) in random.iter_mut().zip(mix.to_le_bytes()) {
            *to = from;
        }
    }
    let time = u128::from(u64::try_from(now.0).unwrap_or(0) & 0xFFFF_FFFF_FFFF);
    let tail = random.iter().fold(0u128, |sum, byte| (sum << 8) | u128::from(*byte));
    let all = (time << 80) | tail;
    (0..26)
        .rev()
        .filter_map(|place| DIGITS.get(usize::try_from((all >> (place * 5)) & 31).unwrap_or(0)))
        .map(|digit| char::from(*digit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_differ() {
        let (early, late) = (ulid(Millis(1_700_000_000_000)), ulid(Millis(1_800_000_000_000)));
        assert_eq!(early.len(), 26);
        assert!(early < late);
        assert_ne!(ulid(Millis(5)), ulid(Millis(5)));
    }

    #[test]
    fn a_run_goes_on_in_its_own_time() {
        let fresh = Clock::new(Millis(1000), None, 50);
        assert_eq!((fresh.at(50), fresh.at(80), fresh.at(0)), (Millis(1000), Millis(1030), Millis(1000)));
        // The machine's clock was set back between two engines, or ahead.
        assert_eq!(Clock::new(Millis(1000), Some(Millis(9000)), 50).at(60), Millis(9010));
        assert_eq!(Clock::new(Millis(1000), Some(Millis(10)), 50).at(60), Millis(1010));
    }
}
