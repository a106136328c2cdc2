//! Text → [`Node`]: granit's events with exact byte ranges, anchors expanded, within budgets.
//!
//! Not here: what a key means. A syntax error ends the reading of a file, since what follows it
//! could only be guessed; all other findings are collected.

use super::{Diagnostic, Entry, FileId, Node, NodeKind, Scalar, ScalarStyle, Span};
use granit_parser::{Event, Options, Parser, ScalarStyle as Style};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// GitHub's limit on a workflow file, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// GitHub's limit on nesting of a workflow ("Maximum object depth exceeded").
const MAX_DEPTH: usize = 50;
/// Nodes of one file, aliases expanded: keeps a "billion laughs" small.
const MAX_NODES: usize = 250_000;

/// What to do with `<<`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeKeys {
    /// Merge, as YAML 1.1 says.
    Apply,
    /// Keep it as a key like any other: GitHub has anchors, and no merge keys.
    Keep,
}

/// Reads one YAML document with merge keys applied. `None` where nothing could be read: the
/// findings say why. An empty file is the null scalar.
pub fn load(file: FileId, text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    load_with(file, text, MergeKeys::Apply)
}

/// Reads one YAML document.
pub fn load_with(file: FileId, text: &str, merge: MergeKeys) -> (Option<Node>, Vec<Diagnostic>) {
    let mut loader = Loader {
        file,
        text,
        merge,
        skipped: if text.starts_with('\u{feff}') { 3 } else { 0 },
        findings: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
    };
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        return (None, vec![Diagnostic::error("yaml-too-large", loader.span(0, 0), message)]);
    }
    let root = loader.document();
    (root, loader.findings)
}

struct Loader<'a> {
    file: FileId,
    text: &'a str,
    merge: MergeKeys,
    /// Bytes of a byte order mark, which the parser does not count.
    skipped: usize,
    findings: Vec<Diagnostic>,
    /// Anchor id → node and how many nodes it holds.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// A list or map whose end has not come yet.
enum Open {
    Sequence {
        items: Vec<Node>,
        start: usize,
        anchor: usize,
        before: usize,
    },
    Mapping {
        entries: Vec<Entry>,
        keys: Keys,
        key: Option<(Arc<str>, Span)>,
        start: usize,
        anchor: usize,
        before: usize,
    },
}

/// The keys of one map, for duplicates: small maps are scanned.
#[derive(Default)]
struct Keys {
    seen: HashMap<String, Span>,
    /// Whether some came by `<<`.
    merged: bool,
}

impl<'a> Loader<'a> {
    fn span(&self, start: usize, end: usize) -> Span {
        let limit = |at: usize| u32::try_from(at.min(self.text.len())).unwrap_or(u32::MAX);
        Span { file: self.file, start: limit(start), end: limit(end.max(start)) }
    }

    fn error(&mut self, rule: &'static str, span: Span, message: impl Into<String>) {
        self.findings.push(Diagnostic::error(rule, span, message));
    }

    fn document(&mut self) -> Option<Node> {
        let body = self.text.get(self.skipped..).unwrap_or_default();
        let mut stack: Vec<Open> = Vec::new();
        let mut root = None;
        let mut documents = 0;
        // Comments mean nothing here; as events they cost time, and a hundred in a row would be refused.
        let mut options = Options::default();
        options.set_emit_comments(false);
        for event in Parser::new_from_str_with_options(body, options) {
            let (event, place) = match event {
                Ok(pair) => pair,
                Err(e) => {
                    let at = e.marker().byte_offset().unwrap_or(0) + self.skipped;
                    let span = self.line_end(at);
                    self.error("yaml-syntax", span, format!("this is not YAML: {}", e.info()));
                    return None;
                }
            };
            let range = place.byte_range().unwrap_or(0..0);
            let (start, end) = (range.start + self.skipped, range.end + self.skipped);
            let node = match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let span = self.span(start, end);
                        self.error(
                            "yaml-documents",
                            span,
                            "a second document starts here; a file holds one workflow",
                        );
                        return root;
                    }
                    continue;
                }
                Event::Scalar(value, style, anchor, tag) => {
                    if let Some(tag) = &tag {
                        self.tag(&format!("{tag}"), start, end);
                    }
                    if let Some(tag) = &tag
                        && !fits_tag(&format!("{tag}"), &value)
                    {
                        let span = self.span(start, end);
                        self.error("yaml-tag", span, format!("`{value}` is no value of the type `{tag}`"));
                    }
                    let explicit_text = tag.is_some_and(|t| format!("{t}").ends_with("str"));
                    let node = self.scalar(value, style, explicit_text, start, end);
                    self.keep(anchor, &node, 1);
                    Some(node)
                }
                Event::Alias(id) => Some(self.alias(id, start, end)?),
                Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag)
                    if stack.len() >= MAX_DEPTH =>
                {
                    let _ = (anchor, tag);
                    let span = self.span(start, end);
                    self.error("yaml-too-deep", span, format!("this nests deeper than {MAX_DEPTH} levels"));
                    return None;
                }
                Event::SequenceStart(_, anchor, tag) => {
                    if let Some(tag) = tag {
                        self.tag(&format!("{tag}"), start, end);
                    }
                    stack.push(Open::Sequence { items: Vec::new(), start, anchor, before: self.nodes });
                    None
                }
                Event::MappingStart(_, anchor, tag) => {
                    if let Some(tag) = tag {
                        self.tag(&format!("{tag}"), start, end);
                    }
                    let (entries, keys) = (Vec::new(), Keys::default());
                    stack.push(Open::Mapping { entries, keys, key: None, start, anchor, before: self.nodes });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => stack.pop().map(|open| self.close(open, end)),
                _ => None,
            };
            if let Some(node) = node {
                self.count(1, node.span)?;
                match stack.last_mut() {
                    None => root = Some(node),
                    Some(_) => self.put(&mut stack, node),
                }
            }
        }
        Some(root.unwrap_or_else(|| Node {
            kind: NodeKind::Scalar(Scalar {
                text: Arc::from(""),
                style: ScalarStyle::Plain,
                text_start: None,
            }),
            span: self.span(self.skipped, self.skipped),
        }))
    }

    /// From a place to the end of its line: what a syntax error points at.
    fn line_end(&self, at: usize) -> Span {
        let at = at.min(self.text.len());
        let at = (0..=at).rev().find(|i| self.text.is_char_boundary(*i)).unwrap_or(0);
        let rest = self.text.get(at..).unwrap_or_default();
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        self.span(at, at + length)
    }

    fn tag(&mut self, tag: &str, start: usize, end: usize) {
        const CORE: [&str; 8] = ["str", "int", "float", "bool", "null", "seq", "map", "!"];
        let known = CORE.iter().any(|c| {
            tag.strip_suffix(c).is_some_and(|t| t.ends_with(':') || t.ends_with('!') || t.is_empty())
        });
        if !known {
            let span = self.span(start, end);
            self.error("yaml-tag", span, format!("the tag `{tag}` has no meaning here"));
        }
    }

    fn scalar(&self, value: Cow<'a, str>, style: Style, text: bool, start: usize, end: usize) -> Node {
        // granit's range of a plain scalar may run on to the next token; trailing blanks are not it.
        let raw = self.text.get(start..end).unwrap_or_default();
        let quoted = matches!(style, Style::SingleQuoted | Style::DoubleQuoted);
        let text_start = match style {
            Style::Plain if raw.starts_with(&*value) => Some(start),
            _ if quoted && raw.get(1..).is_some_and(|r| r.starts_with(&*value)) => Some(start + 1),
            _ => None,
        };
        let block = matches!(style, Style::Literal | Style::Folded);
        let trimmed = if block { raw.trim_end_matches(['\n', '\r']) } else { raw.trim_end() };
        let (first, end) = (start, start + trimmed.len());
        let start = if block { self.header(first).unwrap_or(first) } else { first };
        let style = match style {
            Style::Plain if text => ScalarStyle::Quoted,
            Style::Plain => ScalarStyle::Plain,
            Style::SingleQuoted | Style::DoubleQuoted => ScalarStyle::Quoted,
            _ => ScalarStyle::Block,
        };
        Node {
            kind: NodeKind::Scalar(Scalar {
                text: Arc::from(value),
                style,
                text_start: text_start.and_then(|s| u32::try_from(s).ok()),
            }),
            span: self.span(start, end),
        }
    }

    /// Returns where the header (`|`, `>-`) of a block scalar stands; granit's range starts with
    /// the content.
    fn header(&self, content: usize) -> Option<usize> {
        if self.text.get(content..).is_some_and(|t| t.starts_with(['|', '>'])) {
            return Some(content);
        }
        let before = self.text.get(..content)?.trim_end();
        let line = before.rfind(['\n', '\r']).map_or(0, |i| i + 1);
        // A comment may follow, with such characters in it: the first one that fits is the header.
        let text = before.get(line..)?;
        text.match_indices(['|', '>']).map(|(at, _)| line + at).find(|at| {
            let rest = before.get(at + 1..).unwrap_or_default();
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
            rest.is_empty() || (rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#'))
        })
    }

    fn count(&mut self, more: usize, span: Span) -> Option<()> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            self.error(
                "yaml-too-large",
                span,
                format!("the file has more than {MAX_NODES} values, aliases included"),
            );
            return None;
        }
        Some(())
    }

    fn keep(&mut self, anchor: usize, node: &Node, nodes: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
    }

    fn alias(&mut self, id: usize, start: usize, end: usize) -> Option<Node> {
        let span = self.span(start, end);
        let Some((node, nodes)) = self.anchors.get(&id) else {
            self.error("yaml-alias", span, "this alias stands inside its own anchor");
            return None;
        };
        // Counted before it is copied: the copies are what a hostile file wants.
        let (nodes, small) = (*nodes, self.nodes + *nodes <= MAX_NODES);
        let copy = small.then(|| node.clone());
        self.count(nodes, span)?;
        let mut node = copy?;
        node.span = span;
        Some(node)
    }

    fn close(&mut self, open: Open, end: usize) -> Node {
        let (kind, start, anchor, before) = match open {
            Open::Sequence { items, start, anchor, before } => {
                (NodeKind::Sequence(items), start, anchor, before)
            }
            Open::Mapping { entries, start, anchor, before, .. } => {
                (NodeKind::Mapping(entries), start, anchor, before)
            }
        };
        // A block ends where its last content does, not where the next token starts.
        let text = self.text.get(start..end).unwrap_or_default();
        let node = Node { kind, span: self.span(start, start + text.trim_end().len()) };
        let nodes = self.nodes - before + 1;
        self.keep(anchor, &node, nodes);
        node
    }

    fn put(&mut self, stack: &mut [Open], node: Node) {
        match stack.last_mut() {
            Some(Open::Sequence { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, keys, key, .. }) => match key.take() {
                None => {
                    if let NodeKind::Scalar(scalar) = node.kind {
                        *key = Some((scalar.text, node.span));
                    } else {
                        let message = "a key is a word or a text, not a list or a map";
                        self.findings.push(Diagnostic::error("yaml-key", node.span, message));
                        *key = Some((Arc::from(""), node.span));
                    }
                }
                Some((key, key_span)) => self.entry(entries, keys, Entry { key, key_span, value: node }),
            },
            None => {}
        }
    }

    fn entry(&mut self, entries: &mut Vec<Entry>, keys: &mut Keys, entry: Entry) {
        if self.merge == MergeKeys::Apply && &*entry.key == "<<" {
            keys.merged = true;
            self.merge(entries, entry);
            return;
        }
        if let Some(first) = keys.seen.get(&entry.key.to_lowercase()) {
            let message = format!("`{}` is already defined", entry.key);
            self.findings.push(
                Diagnostic::error("duplicate-key", entry.key_span, message)
                    .label("defined again here")
                    .related(*first, "first defined here"),
            );
            return;
        }
        keys.seen.insert(entry.key.to_lowercase(), entry.key_span);
        // A key that was merged in gives way to one that is written.
        if keys.merged {
            entries.retain(|e| e.key != entry.key);
        }
        entries.push(entry);
    }

    /// YAML 1.1's merge key: keys that are there already win.
    fn merge(&mut self, entries: &mut Vec<Entry>, entry: Entry) {
        let sources = match entry.value.kind {
            NodeKind::Sequence(items) => items,
            _ => vec![entry.value],
        };
        let mut there: HashSet<Arc<str>> = entries.iter().map(|e| e.key.clone()).collect();
        for source in sources {
            let NodeKind::Mapping(merged) = source.kind else {
                self.error("yaml-merge", source.span, "`<<` merges maps: name the anchor of one");
                continue;
            };
            for new in merged {
                if there.insert(new.key.clone()) {
                    entries.push(new);
                }
            }
        }
    }
}

/// Tells whether a scalar is a value of the core type its tag names.
fn fits_tag(tag: &str, value: &str) -> bool {
    match tag.rsplit([':', '!']).next() {
        Some("bool") => matches!(value, "true" | "True" | "TRUE" | "false" | "False" | "FALSE"),
        Some("int") => {
            let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
            !digits.is_empty()
                && digits.bytes().all(|b| b.is_ascii_alphanumeric())
                && !crate::value::parse_number(digits).is_nan()
        }
        Some("float") => value.contains(['n', 'N']) || !crate::value::parse_number(value).is_nan(),
        Some("null") => matches!(value, "" | "~" | "null" | "Null" | "NULL"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<&'static str>) {
        let (node, findings) = load(FileId(0), text);
        (node, findings.into_iter().map(|f| f.rule).collect())
    }

    fn value<'a>(node: &'a Node, key: &str) -> &'a Node {
        let NodeKind::Mapping(entries) = &node.kind else { panic!("no map") };
        &entries.iter().find(|e| &*e.key == key).unwrap().value
    }

    #[test]
    fn comments_may_be_as_many_as_they_like() {
        let comments = "    # no: thing\n".repeat(1000);
        let text =
            format!("{comments}jobs:\n{comments}  a:\n{comments}    - b\n{comments}    - c\n{comments}");
        let (node, findings) = read(&text);
        assert!(findings.is_empty(), "{findings:?}");
        let node = node.unwrap();
        let NodeKind::Sequence(items) = &value(value(&node, "jobs"), "a").kind else { panic!("no list") };
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn spans_are_exact_bytes() {
        for text in ["a: é # c\nb: 'x y'  \n", "\u{feff}a: é # c\r\nb: 'x y'\r\n"] {
            let (node, findings) = read(text);
            assert!(findings.is_empty(), "{findings:?}");
            let node = node.unwrap();
            let at = |n: &Node| &text[n.span.start as usize..n.span.end as usize];
            assert_eq!(at(value(&node, "a")), "é");
            assert_eq!(at(value(&node, "b")), "'x y'");
        }
    }

    #[test]
    fn findings_by_rule() {
        for (text, rules) in [
            ("a: 1\nA: 2\n", vec!["duplicate-key"]),
            ("a: 1\n---\nb: 2\n", vec!["yaml-documents"]),
            ("a: [1\n", vec!["yaml-syntax"]),
            ("a:\n\t- b\n", vec!["yaml-syntax"]),
            ("a: !!timestamp 2020-01-01\n", vec!["yaml-tag"]),
            ("a: !!str 5\n", vec![]),
            ("? [a]\n: b\n", vec!["yaml-key"]),
            ("", vec![]),
        ] {
            assert_eq!(read(text).1, rules, "{text:?}");
        }
    }

    #[test]
    fn anchors_and_merges() {
        let (node, findings) = read("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x\n");
        assert!(findings.is_empty());
        let node = node.unwrap();
        let NodeKind::Mapping(b) = &value(&node, "b").kind else { panic!() };
        assert_eq!(b.iter().map(|e| &*e.key).collect::<Vec<_>>(), ["p", "q"]);
        let NodeKind::Scalar(q) = &value(value(&node, "b"), "q").kind else { panic!() };
        assert_eq!(&*q.text, "3");
    }

    #[test]
    fn a_billion_laughs_stays_small() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..12 {
            let alias = format!("*a{}", i - 1);
            text += &format!("a{i}: &a{i} [{}]\n", vec![alias; 10].join(","));
        }
        assert_eq!(read(&text).1, ["yaml-too-large"]);
        assert!(!read(&"[".repeat(20_000)).1.is_empty());
    }
}
