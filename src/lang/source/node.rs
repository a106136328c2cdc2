//! The YAML tree: every key and value with its exact byte range.
//!
//! Not here: reading it from text (`source::load`), what it means (`workflow`).

use super::Span;
use std::sync::Arc;

/// One YAML value. Aliases are expanded (within a budget), merge keys applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Where it is written; a value reached by an alias has the alias's place.
    pub span: Span,
}

/// The three shapes of YAML.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// A leaf.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// A map in file order; duplicate keys were reported by the loader and only the first kept.
    Mapping(Vec<Entry>),
}

/// One key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key: always a scalar (others are reported by the loader).
    pub key: Arc<str>,
    /// Where the key is written.
    pub key_span: Span,
    /// The value; an absent one is the null scalar with an empty span after the key.
    pub value: Node,
}

/// A leaf with the type YAML 1.2's core schema gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text after unquoting and folding: `3.10` stays `3.10`.
    pub text: Arc<str>,
    /// How it was written.
    pub style: ScalarStyle,
    /// For styles that keep the text unchanged, the byte of the file where `text` starts, so that
    /// a place inside the text maps to a place in the file; `None` for folded or escaped text.
    pub text_start: Option<u32>,
}

/// How a scalar was written; only plain ones have a type other than string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarStyle {
    /// Without quotes.
    Plain,
    /// `'…'` or `"…"`.
    Quoted,
    /// `|` or `>`.
    Block,
}
