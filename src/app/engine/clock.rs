//! Time and names that nobody else has: the only place that asks the machine for them.

use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_flow::run::Millis;

/// Milliseconds since 1970.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
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
}
