//! `runs-on` and `strategy`: where the instances of a job run, and which there are.

use super::reader::{Reader, WRONG_TYPE, has_expression, start_of};
use crate::source::{Node, NodeKind, Span, Spanned};
use crate::workflow::{RunsOn, Strategy, Tree};

impl Reader<'_> {
    #[expect(clippy::unnecessary_wraps, reason = "reads like its siblings")]
    pub(super) fn runs_on(&mut self, node: &Node) -> Option<RunsOn> {
        let key = "jobs.runs-on";
        let (mut labels, mut group) = (Vec::new(), None);
        if let NodeKind::Mapping(entries) = &node.kind {
            for entry in entries {
                match &*entry.key {
                    "group" => {
                        group = self.filled(&entry.value, key, "the group");
                        if let Some(group) = group.as_ref().filter(|g| g.is_literal()) {
                            self.runner_group(&group.raw, entry.value.span);
                        }
                    }
                    "labels" => labels = self.templates(&entry.value, key, "a label"),
                    _ => self.unknown(entry, "`runs-on`", &["group", "labels"]),
                }
            }
        } else {
            labels = self.templates(node, key, "a label");
        }
        Some(RunsOn { labels, group, span: node.span })
    }

    /// `NAME`, `org/NAME` or `ent/NAME`.
    fn runner_group(&mut self, text: &str, span: Span) {
        let good = match text.split('/').collect::<Vec<_>>().as_slice() {
            [_] => true,
            ["org" | "organization" | "ent" | "enterprise", name] => !name.is_empty(),
            _ => false,
        };
        if !good {
            let message = format!("`{text}` is no runner group: write its name, `org/NAME` or `ent/NAME`");
            self.meaning(WRONG_TYPE, span, message);
        }
    }

    pub(super) fn strategy(&mut self, node: &Node) -> Option<Strategy> {
        let key = "jobs.strategy";
        let mut strategy =
            Strategy { expression: None, matrix: None, fail_fast: None, max_parallel: None, span: node.span };
        if let NodeKind::Scalar(s) = &node.kind
            && has_expression(&s.text)
        {
            strategy.expression = self.template(node, key, "a strategy");
            return Some(strategy);
        }
        for entry in self.map(node, "`matrix` and its like")? {
            match &*entry.key {
                "matrix" => strategy.matrix = self.matrix(&entry.value),
                "fail-fast" => strategy.fail_fast = self.boolean(&entry.value, key, "`fail-fast`"),
                "max-parallel" => {
                    let number = self.number(&entry.value, key, "`max-parallel`");
                    strategy.max_parallel = number.map(|n| Spanned::new(n, entry.value.span));
                }
                _ => self.unknown(entry, "`strategy`", &["matrix", "fail-fast", "max-parallel"]),
            }
        }
        Some(strategy)
    }

    fn matrix(&mut self, node: &Node) -> Option<Tree> {
        let key = "jobs.strategy";
        if let NodeKind::Scalar(s) = &node.kind
            && has_expression(&s.text)
        {
            return Some(self.tree(node, key));
        }
        let entries = self.map(node, "vectors, `include` and `exclude`")?;
        for entry in entries {
            let dynamic = matches!(&entry.value.kind, NodeKind::Scalar(s) if has_expression(&s.text));
            if dynamic {
                continue;
            }
            match (&*entry.key, &entry.value.kind) {
                ("include" | "exclude", NodeKind::Sequence(items)) => {
                    for item in items {
                        let template = matches!(&item.kind, NodeKind::Scalar(s) if has_expression(&s.text));
                        if let NodeKind::Mapping(values) = &item.kind {
                            for value in values {
                                self.nameless(value, "matrix values");
                            }
                        } else if !template {
                            self.wrong(item, "a map of matrix values");
                        }
                    }
                }
                ("include" | "exclude", _) => self.wrong(&entry.value, "a list of combinations"),
                _ if self.nameless(entry, "vectors") => {}
                (_, NodeKind::Sequence(items)) if items.is_empty() => {
                    let message = format!("the matrix vector `{}` has no values", entry.key);
                    self.meaning(WRONG_TYPE, start_of(entry.value.span), message);
                }
                (_, NodeKind::Sequence(_)) => {}
                _ => self.wrong(&entry.value, "a list of values"),
            }
        }
        if entries.is_empty() {
            self.meaning(WRONG_TYPE, start_of(node.span), "the matrix has no vector");
        }
        Some(self.tree(node, key))
    }
}
