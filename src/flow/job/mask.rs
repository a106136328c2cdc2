//! Masking: secrets become `***` in a stream, also when they straddle reads or overlap.
//!
//! Not here: which values are secrets.

use super::mask_forms::forms;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What stands in for a masked piece, as at GitHub.
pub const MASK: &[u8] = b"***";

/// The values to mask, and automata (Aho–Corasick) that find them all in one pass.
///
/// A value that is added later gets an automaton of its own, and one that is not larger than the next
/// is merged with it: so a step that adds thousands of masks, a line each, costs a logarithm for each
/// and not all that were there before.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    words: BTreeSet<Vec<u8>>,
    /// Largest first; each has words of its own.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    words: BTreeSet<Vec<u8>>,
    automaton: Arc<Automaton>,
}

impl Part {
    fn new(words: BTreeSet<Vec<u8>>) -> Self {
        Self { automaton: Arc::new(Automaton::new(&words)), words }
    }
}

impl Masks {
    /// Makes masks for these values in all their forms (see [`forms`]).
    pub fn new<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        let mut masks = Self::default();
        masks.take(values.into_iter().flat_map(forms).collect());
        masks
    }

    /// Adds one value.
    pub fn add(&mut self, value: &str) {
        self.take(forms(value));
    }

    fn take(&mut self, mut new: BTreeSet<Vec<u8>>) {
        new.retain(|word| !self.words.contains(word));
        if new.is_empty() {
            return;
        }
        self.words.extend(new.iter().cloned());
        while let Some(last) = self.parts.pop_if(|last| last.words.len() <= new.len()) {
            new.extend(last.words);
        }
        self.parts.push(Part::new(new));
    }

    /// Tells whether nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Tells whether a text holds a masked value.
    pub fn finds(&self, text: &str) -> bool {
        self.parts.iter().any(|part| {
            let mut at = ROOT;
            text.bytes().any(|b| {
                at = part.automaton.step(at, b);
                part.automaton.node(at).longest > 0
            })
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
    /// Automata, each with where it stands.
    automata: Vec<(Arc<Automaton>, u32)>,
    /// Bytes that start a word of any of them.
    starts: Box<[bool; 256]>,
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
        let automata: Vec<_> = masks.parts.iter().map(|p| (p.automaton.clone(), ROOT)).collect();
        let mut starts = Box::new([false; 256]);
        for (automaton, _) in &automata {
            for (any, one) in starts.iter_mut().zip(automaton.starts.iter()) {
                *any |= one;
            }
        }
        Self { automata, starts, held: VecDeque::new(), base: 0, found: VecDeque::new(), covered: 0 }
    }

    /// Takes over masks that were added; what is held back is looked at anew.
    pub fn replace(&mut self, masks: &Masks, out: &mut Vec<u8>) {
        let same = self.automata.len() == masks.parts.len()
            && self.automata.iter().zip(&masks.parts).all(|((a, _), p)| Arc::ptr_eq(a, &p.automaton));
        if !same {
            self.finish(out);
            *self = Self { base: self.base, covered: self.covered, ..Self::new(masks) };
        }
    }

    /// Takes bytes and gives out what is certain.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.automata.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            // What is held back is at least what any automaton stands in: then all are at their roots.
            if self.held.is_empty() && self.found.is_empty() {
                // The usual case: nothing pending. Pass on all that cannot start a secret.
                let plain = rest.iter().position(|b| self.starts[usize::from(*b)]).unwrap_or(rest.len());
                let (now, later) = rest.split_at(plain);
                self.pass(now, out);
                rest = later;
            }
            let Some((byte, later)) = rest.split_first() else { break };
            rest = later;
            self.held.push_back(*byte);
            let end = self.base + self.held.len() as u64;
            let (mut longest, mut deepest) = (0, 0);
            for (automaton, state) in &mut self.automata {
                *state = automaton.step(*state, *byte);
                let node = automaton.node(*state);
                longest = longest.max(node.longest);
                deepest = deepest.max(node.depth);
            }
            if longest > 0 {
                self.note(end - u64::from(longest), end);
            }
            let safe = end - u64::from(deepest);
            if safe > self.base {
                self.release(safe, out);
            }
        }
    }

    /// Gives out everything: the stream ends here.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let end = self.base + self.held.len() as u64;
        self.release(end, out);
        self.automata.iter_mut().for_each(|(_, state)| *state = ROOT);
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
        let mut masks = Masks::default();
        masks.take(words);
        masks
    }

    /// The same words, each added by itself.
    fn one_by_one(words: &[&str]) -> Masks {
        let mut masks = Masks::default();
        for word in words {
            masks.take([word.as_bytes().to_vec()].into());
        }
        masks
    }

    #[test]
    fn masks_added_one_by_one_make_few_parts() {
        let words: Vec<String> = (0..1000).map(|n| format!("word-{n}")).collect();
        let masks = one_by_one(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(masks.parts.len() <= 10, "{}", masks.parts.len());
        assert_eq!(masks.apply("a word-999 b word-1 c wor"), "a *** b *** c wor");
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
            let apart = one_by_one(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let got = stream(&apart, text.as_bytes(), &cuts);
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
