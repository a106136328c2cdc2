//! Masking: secrets become `***` in a stream, also when they straddle reads or overlap.
//!
//! Not here: which values are secrets.

use super::mask_forms::forms;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What stands in for a masked piece, as at GitHub.
pub const MASK: &[u8] = b"***";

/// The values to mask, and the automaton (Aho–Corasick) that finds them all in one pass.
#[derive(Clone, Debug)]
pub struct Masks {
    words: BTreeSet<Vec<u8>>,
    automaton: Arc<Automaton>,
}

impl Default for Masks {
    fn default() -> Self {
        Self { words: BTreeSet::new(), automaton: Arc::new(Automaton::new(&BTreeSet::new())) }
    }
}

impl Masks {
    /// Makes masks for these values in all their forms (see [`forms`]).
    pub fn new<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        let mut masks = Self::default();
        for value in values {
            masks.words.extend(forms(value));
        }
        masks.automaton = Arc::new(Automaton::new(&masks.words));
        masks
    }

    /// Adds one value.
    pub fn add(&mut self, value: &str) {
        let before = self.words.len();
        self.words.extend(forms(value));
        if self.words.len() != before {
            self.automaton = Arc::new(Automaton::new(&self.words));
        }
    }

    /// Tells whether nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Tells whether a text holds a masked value.
    pub fn finds(&self, text: &str) -> bool {
        let mut at = ROOT;
        !self.is_empty()
            && text.bytes().any(|b| {
                at = self.automaton.step(at, b);
                self.automaton.node(at).longest > 0
            })
    }

    /// Masks a whole text.
    pub fn apply(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        let mut stream = MaskStream::new(self);
        let mut out = Vec::with_capacity(text.len());
        stream.push(text.as_bytes(), &mut out);
        stream.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Masks a stream piece by piece. Holds back only what may still become a secret.
#[derive(Clone, Debug)]
pub struct MaskStream {
    automaton: Arc<Automaton>,
    state: u32,
    /// Bytes that are not out yet.
    held: VecDeque<u8>,
    /// Place of `held`'s first byte in the stream.
    base: u64,
    /// Found in `held` and not out yet: first byte and one past the last, apart from one another.
    found: VecDeque<(u64, u64)>,
    /// One past the last byte of the mask that is out already.
    covered: u64,
}

impl MaskStream {
    /// Starts a stream.
    pub fn new(masks: &Masks) -> Self {
        Self {
            automaton: masks.automaton.clone(),
            state: ROOT,
            held: VecDeque::new(),
            base: 0,
            found: VecDeque::new(),
            covered: 0,
        }
    }

    /// Takes over masks that were added; what is held back is looked at anew.
    pub fn replace(&mut self, masks: &Masks, out: &mut Vec<u8>) {
        if Arc::ptr_eq(&self.automaton, &masks.automaton) {
            return;
        }
        self.finish(out);
        self.automaton = masks.automaton.clone();
    }

    /// Takes bytes and gives out what is certain.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.automaton.nodes.len() == 1 {
            out.extend_from_slice(bytes);
            return;
        }
        let automaton = self.automaton.clone();
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == ROOT && self.held.is_empty() && self.found.is_empty() {
                // The usual case: nothing pending. Pass on all that cannot start a secret.
                let plain = rest.iter().position(|b| automaton.starts[usize::from(*b)]).unwrap_or(rest.len());
                let (now, later) = rest.split_at(plain);
                self.pass(now, out);
                rest = later;
            }
            let Some((byte, later)) = rest.split_first() else { break };
            rest = later;
            self.held.push_back(*byte);
            self.state = automaton.step(self.state, *byte);
            let node = automaton.node(self.state);
            let end = self.base + self.held.len() as u64;
            if node.longest > 0 {
                self.note(end - u64::from(node.longest), end);
            }
            let safe = end - u64::from(node.depth);
            if safe > self.base {
                self.release(safe, out);
            }
        }
    }

    /// Gives out everything: the stream ends here.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let end = self.base + self.held.len() as u64;
        self.release(end, out);
        self.state = ROOT;
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let skip =
            usize::try_from(self.covered.saturating_sub(self.base)).unwrap_or(usize::MAX).min(bytes.len());
        out.extend_from_slice(&bytes[skip..]);
        self.base += bytes.len() as u64;
    }

    fn note(&mut self, mut start: u64, end: u64) {
        while let Some((first, last)) = self.found.back().copied() {
            if last < start {
                break;
            }
            start = start.min(first);
            self.found.pop_back();
        }
        self.found.push_back((start, end));
    }

    /// Gives out what lies before `safe`: no later match can start there.
    fn release(&mut self, safe: u64, out: &mut Vec<u8>) {
        while self.base < safe {
            match self.found.front().copied() {
                Some((start, end)) if start <= self.base => {
                    // A match that touches the mask that is out already is part of it.
                    if start > self.covered || self.covered == 0 {
                        out.extend_from_slice(MASK);
                    }
                    self.covered = self.covered.max(end);
                    self.found.pop_front();
                }
                _ => {
                    if self.base >= self.covered
                        && let Some(byte) = self.held.front()
                    {
                        out.push(*byte);
                    }
                    self.held.pop_front();
                    self.base += 1;
                }
            }
        }
    }
}

const ROOT: u32 = 0;

#[derive(Debug, Default)]
struct Node {
    /// Where each byte leads, sorted by byte.
    edges: Vec<(u8, u32)>,
    /// The longest other suffix that is a prefix of a word.
    fail: u32,
    /// Length of the prefix this node stands for.
    depth: u32,
    /// Length of the longest word that ends here; 0 for none.
    longest: u32,
}

#[derive(Debug)]
struct Automaton {
    nodes: Vec<Node>,
    /// Bytes that start a word.
    starts: Box<[bool; 256]>,
}

impl Automaton {
    fn new(words: &BTreeSet<Vec<u8>>) -> Self {
        let mut tree: Vec<(BTreeMap<u8, u32>, u32, u32)> = vec![(BTreeMap::new(), 0, 0)];
        let mut starts = Box::new([false; 256]);
        for word in words {
            let mut at = ROOT;
            for (depth, byte) in (1_u32..).zip(word) {
                let next = u32::try_from(tree.len()).unwrap_or(ROOT);
                let Some((edges, _, _)) = tree.get_mut(at as usize) else { break };
                at = *edges.entry(*byte).or_insert(next);
                if at == next {
                    tree.push((BTreeMap::new(), depth, 0));
                }
            }
            if let Some(node) = tree.get_mut(at as usize) {
                node.2 = node.1;
            }
            if let Some(first) = word.first() {
                starts[usize::from(*first)] = true;
            }
        }
        let nodes = tree
            .into_iter()
            .map(|(edges, depth, longest)| Node {
                edges: edges.into_iter().collect(),
                fail: ROOT,
                depth,
                longest,
            })
            .collect();
        let mut automaton = Self { nodes, starts };
        automaton.link();
        automaton
    }

    /// Sets the failure links breadth first, and hands the longest word down along them.
    fn link(&mut self) {
        let mut queue: VecDeque<u32> = self.node(ROOT).edges.iter().map(|e| e.1).collect();
        while let Some(at) = queue.pop_front() {
            let inherited = self.node(self.node(at).fail).longest;
            let from = self.node(at).fail;
            let edges = self.node(at).edges.clone();
            for (byte, child) in edges {
                let fail = self.step(from, byte);
                if let Some(node) = self.nodes.get_mut(child as usize) {
                    node.fail = fail;
                }
                queue.push_back(child);
            }
            if let Some(node) = self.nodes.get_mut(at as usize) {
                node.longest = node.longest.max(inherited);
            }
        }
    }

    fn node(&self, at: u32) -> &Node {
        static NONE: Node = Node { edges: Vec::new(), fail: ROOT, depth: 0, longest: 0 };
        self.nodes.get(at as usize).unwrap_or(&NONE)
    }

    fn step(&self, mut at: u32, byte: u8) -> u32 {
        loop {
            let node = self.node(at);
            if let Ok(i) = node.edges.binary_search_by_key(&byte, |e| e.0) {
                return node.edges.get(i).map_or(ROOT, |e| e.1);
            }
            if at == ROOT {
                return ROOT;
            }
            at = node.fail;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: mark every byte of every occurrence, write each run of marks as one mask.
    fn naive(words: &BTreeSet<Vec<u8>>, text: &[u8]) -> Vec<u8> {
        let mut marked = vec![false; text.len()];
        for word in words {
            for at in 0..text.len() {
                if text[at..].starts_with(word) {
                    marked[at..at + word.len()].fill(true);
                }
            }
        }
        let mut out = Vec::new();
        for at in 0..text.len() {
            if !marked[at] {
                out.push(text[at]);
            } else if at == 0 || !marked[at - 1] {
                out.extend_from_slice(MASK);
            }
        }
        out
    }

    fn stream(masks: &Masks, text: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut s, mut out, mut at) = (MaskStream::new(masks), Vec::new(), 0);
        for cut in cuts.iter().copied().chain([text.len()]) {
            let cut = cut.clamp(at, text.len());
            s.push(&text[at..cut], &mut out);
            at = cut;
        }
        s.finish(&mut out);
        out
    }

    fn raw(words: &[&str]) -> Masks {
        let words: BTreeSet<Vec<u8>> = words.iter().map(|w| w.as_bytes().to_vec()).collect();
        Masks { automaton: Arc::new(Automaton::new(&words)), words }
    }

    #[test]
    fn straddling_and_overlapping() {
        let m = raw(&["secret", "retro", "abcd"]);
        assert_eq!(stream(&m, b"a secretro b", &[4, 6, 9]), b"a *** b");
        assert_eq!(stream(&m, b"secretsecret x abc", &[3]), b"*** x abc");
        let m = raw(&["aa"]);
        assert_eq!(stream(&m, b"baaaaaaaac", &[2, 3, 4, 5]), b"b***c");
    }

    #[test]
    fn holds_back_only_what_may_become_a_secret() {
        let m = raw(&["secret"]);
        let (mut s, mut out) = (MaskStream::new(&m), Vec::new());
        s.push(b"hello sec", &mut out);
        assert_eq!(out, b"hello ");
        s.push(b"ond", &mut out);
        assert_eq!(out, b"hello second");
        s.push(b" secret", &mut out);
        s.push(b"!", &mut out);
        assert_eq!(out, b"hello second ***!");
    }

    proptest! {
        #[test]
        fn the_stream_is_the_definition(
            words in proptest::collection::btree_set("[ab]{1,5}", 1..5),
            text in "[abc]{0,60}",
            mut cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            cuts.sort_unstable();
            let masks = raw(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let got = stream(&masks, text.as_bytes(), &cuts);
            let want = naive(&masks.words, text.as_bytes());
            prop_assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&want));
        }

        #[test]
        fn never_shows_a_secret(secret in "[a-zA-Z0-9/+\"\\\\ é%&]{4,20}", before in "[a-z]{0,5}", cut in 0_usize..40) {
            let masks = Masks::new([secret.as_str()]);
            let text = format!("{before}{secret}{before}");
            let got = stream(&masks, text.as_bytes(), &[cut]);
            prop_assert!(secret.trim().len() < 2 || !String::from_utf8_lossy(&got).contains(&secret));
        }
    }
}
