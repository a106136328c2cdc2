//! Which objects an attempt may have: a rule, and no effects.
//!
//! It is given its spec; what the spec names, and what the engine names later (sources, consumed artifacts,
//! checkpoints); what the lists among these name; and what it put itself. What is named by a list that it
//! put itself is not among it: whoever could name a digest could have it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use tidegate_flow::job::{Answer, ArtifactRef, JobMessage, JobSpec, MessageBody};

/// A blake3 digest.
pub(super) type Digest = [u8; blake3::OUT_LEN];

/// Reads a digest as it is written everywhere: 64 small hex digits.
pub(super) fn digest_of(text: &str) -> Option<Digest> {
    let small = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    blake3::Hash::from_hex(text).ok().filter(|_| small).map(blake3::Hash::into)
}

/// Digests that a list names, in order.
pub(super) type Names = Arc<[Digest]>;

/// What one attempt may have.
#[derive(Debug, Default)]
pub(super) struct Access {
    spec: Option<Digest>,
    /// Lists, and whether what they name is in `lists`.
    given: BTreeSet<Digest>,
    lists: BTreeMap<Digest, Names>,
    spec_read: bool,
    own: HashSet<Digest>,
}

/// What has to be read before all is known that an attempt may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// A spec: tell [`Access::read_spec`].
    Spec(Digest),
    /// A list: tell [`Access::read_list`].
    List(Digest),
}

impl Access {
    /// An attempt that was opened with a spec, and what it put so far.
    pub(super) fn new(spec: Option<Digest>, own: HashSet<Digest>) -> Self {
        Self { spec, own, ..Self::default() }
    }

    /// The engine says which spec it is; the first word counts.
    pub(super) fn is(&mut self, spec: Option<Digest>) {
        self.spec = self.spec.or(spec);
    }

    /// The engine names a list.
    pub(super) fn give(&mut self, list: Digest) {
        self.given.insert(list);
    }

    /// The attempt has shown that it has this content.
    pub(super) fn put(&mut self, digest: Digest) {
        self.own.insert(digest);
    }

    /// Tells whether the attempt may have an object, as far as is known: see [`Self::unread`].
    pub(super) fn may_have(&self, digest: &Digest) -> bool {
        self.spec.as_ref() == Some(digest)
            || self.own.contains(digest)
            || self.given.contains(digest)
            || self.lists.values().any(|names| names.binary_search(digest).is_ok())
    }

    /// All that the attempt may have, as far as is known; some of it more than once.
    pub(super) fn all(&self) -> Vec<Digest> {
        let named = self.lists.values().flat_map(|names| names.iter());
        self.spec.iter().chain(&self.own).chain(&self.given).chain(named).copied().collect()
    }

    /// What of it was not read yet.
    pub(super) fn unread(&self) -> Vec<Unread> {
        let spec = self.spec.filter(|_| !self.spec_read).map(Unread::Spec);
        let lists = self.given.iter().filter(|list| !self.lists.contains_key(*list));
        spec.into_iter().chain(lists.copied().map(Unread::List)).collect()
    }

    /// The spec names these lists.
    pub(super) fn read_spec(&mut self, lists: impl IntoIterator<Item = Digest>) {
        self.spec_read = true;
        self.given.extend(lists);
    }

    /// A list that was given names these objects.
    pub(super) fn read_list(&mut self, list: Digest, names: Names) {
        self.lists.insert(list, names);
    }

    /// Tells whether the attempt may hand a list on to others: it has all of it.
    pub(super) fn may_hand_on(&self, list: &Digest, names: &Names) -> bool {
        self.may_have(list) && names.iter().all(|name| self.may_have(name))
    }
}

/// The lists that a spec names.
pub(super) fn lists_of(spec: &JobSpec) -> Vec<Digest> {
    let consumed = spec.consumes.iter().flat_map(|c| &c.items).map(|item| item.digest.as_str());
    let saved = spec.checkpoint.iter().flat_map(|c| &c.saved).map(|saved| saved.digest.as_str());
    std::iter::once(spec.source.tree.as_str()).chain(consumed).chain(saved).filter_map(digest_of).collect()
}

/// The lists that an answer of the engine names.
pub(super) fn lists_in(answer: &Answer) -> Vec<Digest> {
    match answer {
        Answer::Uploads(all) => all.values().filter_map(|artifact| digest_of(&artifact.digest)).collect(),
        Answer::Cache(found) => found.iter().filter_map(|saved| digest_of(&saved.artifact.digest)).collect(),
        Answer::Baseline(_) | Answer::Death { .. } | Answer::Nodes | Answer::Unavailable(_) => Vec::new(),
    }
}

/// What a message hands on to other attempts.
pub(super) fn handed_on(message: &JobMessage) -> Vec<&ArtifactRef> {
    match &message.body {
        MessageBody::Ended(receipt) => receipt.artifacts.values().chain(receipt.uploads.values()).collect(),
        MessageBody::Saved { artifact } | MessageBody::CacheSaved { artifact, .. } => vec![artifact],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidegate_flow::job::{CheckpointSpec, Conclusion, ConsumeSpec, Receipt, SavedCache, SourceSpec};

    fn d(n: u8) -> Digest {
        [n; 32]
    }

    fn hex(n: u8) -> String {
        blake3::Hash::from_bytes(d(n)).to_hex().to_string()
    }

    fn names(all: &[u8]) -> Names {
        let all: BTreeSet<Digest> = all.iter().map(|n| d(*n)).collect();
        all.into_iter().collect()
    }

    fn artifact(n: u8) -> ArtifactRef {
        ArtifactRef { digest: hex(n), ..ArtifactRef::default() }
    }

    #[test]
    fn what_an_attempt_may_have() {
        let mut access = Access::new(Some(d(1)), HashSet::from([d(9)]));
        assert_eq!(access.unread(), [Unread::Spec(d(1))]);
        access.read_spec([d(2), d(3)]);
        access.read_list(d(2), names(&[20, 21]));
        access.give(d(4));
        access.put(d(10));
        for (n, may, why) in [
            (1, true, "its spec"),
            (2, true, "a list that its spec names"),
            (20, true, "what that list names"),
            (3, true, "a list that is not read yet"),
            (30, false, "what is named there"),
            (4, true, "what the engine named later"),
            (9, true, "what it put before a restart"),
            (10, true, "what it put"),
            (77, false, "anything else"),
        ] {
            assert_eq!(access.may_have(&d(n)), may, "{why}");
        }
        assert_eq!(access.unread(), [Unread::List(d(3)), Unread::List(d(4))]);
        access.read_list(d(3), names(&[30]));
        assert!(access.may_have(&d(30)));
        access.is(Some(d(50)));
        assert!(!access.may_have(&d(50)), "its first spec counts");
    }

    #[test]
    fn naming_is_not_having() {
        let mut access = Access::new(Some(d(1)), HashSet::new());
        access.read_spec([d(2)]);
        access.read_list(d(2), names(&[20]));
        access.put(d(5));
        access.put(d(6));
        assert!(access.may_hand_on(&d(5), &names(&[6, 20])), "all of it is its own or was given to it");
        assert!(!access.may_hand_on(&d(5), &names(&[6, 99])), "a list that names another's content");
        assert!(!access.may_hand_on(&d(99), &names(&[6])), "another's list");
        assert!(!access.may_have(&d(99)));
    }

    #[test]
    fn what_a_spec_an_answer_and_a_message_name() {
        let spec = JobSpec {
            source: SourceSpec { tree: hex(1), ..SourceSpec::default() },
            consumes: vec![ConsumeSpec { items: vec![artifact(2), artifact(3)], ..ConsumeSpec::default() }],
            checkpoint: Some(CheckpointSpec { saved: Some(artifact(4)), ..CheckpointSpec::default() }),
            ..JobSpec::default()
        };
        assert_eq!(lists_of(&spec), [d(1), d(2), d(3), d(4)]);
        assert!(lists_of(&JobSpec::default()).is_empty());
        assert_eq!(lists_in(&Answer::Uploads([("a".to_owned(), artifact(5))].into())), [d(5)]);
        assert!(lists_in(&Answer::Nodes).is_empty());
        assert!(lists_in(&Answer::Cache(None)).is_empty());
        let saved = SavedCache { key: "k".into(), artifact: artifact(6) };
        assert_eq!(lists_in(&Answer::Cache(Some(saved))), [d(6)]);
        let receipt = Receipt {
            artifacts: [("a".to_owned(), artifact(6))].into(),
            uploads: [("b".to_owned(), artifact(7))].into(),
            ..Receipt::bare(Conclusion::Success, None, String::new())
        };
        let message = |body| JobMessage { token: "t".into(), seq: 1, at: 0, body };
        for (body, all) in [
            (MessageBody::Ended(receipt), vec![hex(6), hex(7)]),
            (MessageBody::Saved { artifact: artifact(8) }, vec![hex(8)]),
            (
                MessageBody::CacheSaved { key: "k".into(), paths: "p".into(), artifact: artifact(9) },
                vec![hex(9)],
            ),
            (MessageBody::Started { notes: Vec::new() }, vec![]),
        ] {
            let message = message(body);
            let named: Vec<_> = handed_on(&message).iter().map(|a| a.digest.clone()).collect();
            assert_eq!(named, all);
        }
    }

    #[test]
    fn digests_have_one_spelling() {
        assert_eq!(digest_of(&hex(0xab)), Some(d(0xab)));
        let wrong =
            [hex(0xab).to_uppercase(), "ab".into(), "../../etc/passwd".into(), String::new(), "g".repeat(64)];
        wrong.iter().for_each(|text| assert_eq!(digest_of(text), None, "{text}"));
    }

    /// One thing that happens to an attempt.
    #[derive(Clone, Debug)]
    enum Happens {
        Spec(Vec<u8>),
        List(u8, Vec<u8>),
        Give(u8),
        Put(u8),
        /// It puts a list that names others.
        Names(u8, Vec<u8>),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        let some = || proptest::collection::vec(0..20_u8, 0..4);
        prop_oneof![
            some().prop_map(Happens::Spec),
            (0..20_u8, some()).prop_map(|(list, names)| Happens::List(list, names)),
            (0..20_u8).prop_map(Happens::Give),
            (0..20_u8).prop_map(Happens::Put),
            (0..20_u8, some()).prop_map(|(list, names)| Happens::Names(list, names)),
        ]
    }

    proptest! {
        /// What an attempt may have is what it was given, what that names, and what it put, in whatever
        /// order that comes; and never less than before.
        #[test]
        fn nothing_else_and_nothing_less(all in proptest::collection::vec(happens(), 0..12)) {
            let mut access = Access::new(Some(d(100)), HashSet::new());
            let (mut given, mut own) = (BTreeSet::from([100_u8]), BTreeSet::new());
            let mut read: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
            let mut had = BTreeSet::new();
            for what in all {
                match what {
                    Happens::Spec(lists) => {
                        access.read_spec(lists.iter().map(|n| d(*n)));
                        given.extend(lists);
                    }
                    // Only what was given is ever read.
                    Happens::List(list, of) if access.unread().contains(&Unread::List(d(list))) => {
                        access.read_list(d(list), names(&of));
                        read.insert(list, of.into_iter().collect());
                    }
                    Happens::List(..) => {}
                    Happens::Give(list) => {
                        access.give(d(list));
                        given.insert(list);
                    }
                    Happens::Put(n) => {
                        access.put(d(n));
                        own.insert(n);
                    }
                    Happens::Names(list, of) => {
                        access.put(d(list));
                        own.insert(list);
                        let all = of.iter().all(|n| access.may_have(&d(*n)));
                        prop_assert_eq!(access.may_hand_on(&d(list), &names(&of)), all);
                    }
                }
                let has: BTreeSet<u8> = (0..=100).filter(|n| access.may_have(&d(*n))).collect();
                let named: BTreeSet<u8> = read.values().flatten().copied().collect();
                let expected: BTreeSet<u8> = given.iter().chain(&own).chain(&named).copied().collect();
                prop_assert_eq!(&has, &expected);
                let all: BTreeSet<u8> = access.all().into_iter().map(|digest| digest[0]).collect();
                prop_assert_eq!(&all, &expected);
                prop_assert!(has.is_superset(&had));
                had = has;
            }
        }
    }
}
