//! What stores rely on at a hub: lists, and when each store last said so. A rule, and no effects.
//!
//! Not here: what a list names (`shelf`), where claims are kept (`ledger`), what goes (`collection`).

use super::access::{Digest, digest_of};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

/// Seconds since 1970.
pub(super) type Seconds = u64;

/// A claim that is younger is not written down again: a run may say the same a thousand times.
const COARSE: Duration = Duration::from_mins(10);

/// Claims of all stores.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<String, BTreeMap<Digest, Seconds>>);

impl Claims {
    /// A store relies on a list; tells whether there is something to write down.
    pub(super) fn claim(&mut self, store: &str, list: Digest, now: Seconds) -> bool {
        let at = self.0.entry(store.to_owned()).or_default().entry(list).or_default();
        let news = now >= at.saturating_add(COARSE.as_secs());
        if news {
            *at = now;
        }
        news
    }

    /// Takes in what was written down before; what is known is not made older.
    pub(super) fn merge(&mut self, store: &str, written: &str) {
        let known = self.0.entry(store.to_owned()).or_default();
        for (list, at) in written.lines().filter_map(read) {
            let newest = known.entry(list).or_default();
            *newest = at.max(*newest);
        }
    }

    /// These are all that a store needs: its other claims go, unless they are younger than `grace`: they may be of a
    /// run that has not written down yet what it relies on.
    pub(super) fn only(&mut self, store: &str, keep: &HashSet<Digest>, now: Seconds, grace: Duration) {
        let known = self.0.entry(store.to_owned()).or_default();
        known.retain(|list, at| keep.contains(list) || age(*at, now) < grace);
        known.extend(keep.iter().map(|list| (*list, now)));
    }

    /// Forgets claims that nobody renewed for as long as `life`; returns the stores that this changed.
    pub(super) fn forget(&mut self, now: Seconds, life: Duration) -> Vec<String> {
        let mut changed = Vec::new();
        for (store, lists) in &mut self.0 {
            let before = lists.len();
            lists.retain(|_, at| age(*at, now) < life);
            if lists.len() < before {
                changed.push(store.clone());
            }
        }
        changed
    }

    /// The lists that some store relies on; `but` is a store that says by itself what it needs: see [`Self::only`].
    pub(super) fn lists(
        &self,
        now: Seconds,
        life: Duration,
        but: Option<(&str, &HashSet<Digest>, Duration)>,
    ) -> BTreeSet<Digest> {
        let mut all: BTreeSet<Digest> = BTreeSet::new();
        for (store, lists) in &self.0 {
            let relies = |list: &Digest, at: Seconds| match but {
                Some((own, keep, grace)) if own == store => keep.contains(list) || age(at, now) < grace,
                _ => age(at, now) < life,
            };
            all.extend(lists.iter().filter(|(list, at)| relies(list, **at)).map(|(list, _)| *list));
        }
        all.extend(but.iter().flat_map(|(_, keep, _)| keep.iter().copied()));
        all
    }

    /// A store's claims as they are written down; `None`: it has none.
    pub(super) fn written(&self, store: &str) -> Option<String> {
        let lists = self.0.get(store).filter(|lists| !lists.is_empty())?;
        let line = |(list, at): (&Digest, &Seconds)| format!("{} {at}\n", blake3::Hash::from_bytes(*list));
        Some(lists.iter().map(line).collect())
    }
}

fn read(line: &str) -> Option<(Digest, Seconds)> {
    let (list, at) = line.split_once(' ')?;
    Some((digest_of(list)?, at.parse().ok()?))
}

/// A claim from the future, as after a clock was set back, is young.
fn age(at: Seconds, now: Seconds) -> Duration {
    Duration::from_secs(now.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(7000);
    const GRACE: Duration = Duration::from_secs(1000);

    fn d(n: u8) -> Digest {
        [n; 32]
    }

    fn numbers(all: BTreeSet<Digest>) -> Vec<u8> {
        all.into_iter().map(|digest| digest[0]).collect()
    }

    /// List 1 at 10,000 and list 2 at 15,000 by one store, list 2 at 12,000 and list 3 at 14,000 by another.
    fn claims() -> Claims {
        let mut claims = Claims::default();
        for (store, list, at) in [("a", 1, 10_000), ("a", 2, 15_000), ("b", 2, 12_000), ("b", 3, 14_000)] {
            assert!(claims.claim(store, d(list), at));
        }
        claims
    }

    #[test]
    fn a_claim_lasts_as_long_as_some_store_renews_it() {
        let mut claims = claims();
        for (now, lists) in [
            (9_000, &[1, 2, 3][..]),
            (16_999, &[1, 2, 3]),
            (17_000, &[2, 3]),
            (20_999, &[2, 3]),
            (21_000, &[2]),
            (22_000, &[]),
        ] {
            assert_eq!(numbers(claims.lists(now, LIFE, None)), lists, "{now}");
        }
        assert!(!claims.claim("a", d(1), 10_001), "not worth writing down");
        assert!(claims.claim("a", d(1), 16_000));
        assert_eq!(numbers(claims.lists(20_000, LIFE, None)), [1, 2, 3]);
        assert_eq!(claims.forget(21_000, LIFE), ["b"]);
        assert_eq!(claims.written("b"), None);
    }

    #[test]
    fn a_store_gives_up_its_own_claims_and_no_other_ones() {
        for (keep, now, lists, why) in [
            (&[][..], 15_500, &[2, 3][..], "2 is young, and another store's too"),
            (&[], 16_500, &[2, 3], "2 is old, and still the other store's"),
            (&[], 19_500, &[3], "the other store's claim on 2 is over"),
            (&[1], 16_500, &[1, 2, 3], "what it needs stays"),
            (&[9], 16_500, &[2, 3, 9], "what it needs and nobody has claimed"),
            (&[1], 30_000, &[1], "however old"),
        ] {
            let keep: HashSet<Digest> = keep.iter().map(|n| d(*n)).collect();
            let mut claims = claims();
            let asked = claims.lists(now, LIFE, Some(("a", &keep, GRACE)));
            assert_eq!(numbers(asked), lists, "{why}");
            claims.only("a", &keep, now, GRACE);
            assert_eq!(numbers(claims.lists(now, LIFE, None)), lists, "{why}: done is as it was asked");
            claims.only("a", &keep, now, GRACE);
            assert_eq!(numbers(claims.lists(now, LIFE, None)), lists, "{why}: twice is as once");
        }
    }

    #[test]
    fn what_is_written_down_is_read_and_nothing_gets_older_by_it() {
        let claims = claims();
        let mut again = Claims::default();
        again.claim("a", d(1), 16_000);
        again.merge("a", &claims.written("a").unwrap());
        again.merge("a", "x\n\n../../etc 5\nzz 1");
        assert_eq!(again.written("a").unwrap().lines().count(), 2);
        assert_eq!(numbers(again.lists(21_900, LIFE, None)), [1, 2]);
        // A store that nobody knows.
        assert_eq!(again.written("c"), None);
    }
}
