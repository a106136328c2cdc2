//! `${{ 'text' }}` as the text it stands for, wherever it stands: GitHub's way to write `${{`, and
//! legal also where expressions are not.

use crate::expr::quoted_text;
use crate::source::{Node, NodeKind, ScalarStyle};
use std::borrow::Cow;
use std::sync::Arc;

/// Returns the tree with such scalars replaced; nothing is copied where there is none. One that
/// itself holds `${{` stays what it is, an expression.
pub(super) fn unquoted<'n>(node: &'n Node, text: &str) -> Cow<'n, Node> {
    let some = text.match_indices("${{").any(|(at, open)| {
        text.get(at + open.len()..).is_some_and(|rest| rest.trim_start().starts_with('\''))
    });
    if !some {
        return Cow::Borrowed(node);
    }
    let mut node = node.clone();
    replace(&mut node);
    Cow::Owned(node)
}

fn replace(node: &mut Node) {
    match &mut node.kind {
        NodeKind::Scalar(scalar) => {
            if let Some(text) = plain(&scalar.text) {
                scalar.text = text;
                scalar.style = ScalarStyle::Quoted;
                scalar.text_start = None;
            }
        }
        NodeKind::Sequence(items) => items.iter_mut().for_each(replace),
        NodeKind::Mapping(entries) => {
            for entry in entries {
                if let Some(text) = plain(&entry.key) {
                    entry.key = text;
                }
                replace(&mut entry.value);
            }
        }
    }
}

fn plain(raw: &str) -> Option<Arc<str>> {
    quoted_text(raw).filter(|text| !text.contains("${{")).map(Arc::from)
}
