//! Tidegate's own kinds of steps: `gate`, `validate`, `notebook`, `register`, `deploy`.

use super::reader::{Reader, has_expression};
use super::trigger::is_null;
use crate::source::{Node, NodeKind, Spanned};
use crate::workflow::{Bound, BoundKind, Gate, Notebook, Tree, Validate};

impl Reader<'_> {
    /// Checks the values of `register` and `deploy`: words that must be filled, and maps.
    pub(super) fn filled_fields(&mut self, node: &Node, words: &[&str], maps: &[&str]) {
        let NodeKind::Mapping(entries) = &node.kind else { return };
        for entry in entries {
            let (key, value) = (&*entry.key, &entry.value);
            let scalar = match &value.kind {
                NodeKind::Scalar(s) => Some(&*s.text),
                _ => None,
            };
            let expression = scalar.is_some_and(has_expression);
            if words.contains(&key) && (scalar.is_none_or(str::is_empty) || is_null(value)) {
                self.wrong(value, "a word or a text");
            } else if maps.contains(&key) && !matches!(value.kind, NodeKind::Mapping(_)) && !expression {
                self.wrong(value, "a map");
            }
        }
    }

    pub(super) fn gate(&mut self, node: &Node) -> Option<Gate> {
        let key = "jobs.steps.gate";
        let mut gate = Gate { metrics: Vec::new(), expect: Vec::new(), baseline: None, span: node.span };
        for entry in self.map(node, "`metrics`, `expect` and `baseline`")? {
            match &*entry.key {
                "metrics" => {
                    for metric in self.map(&entry.value, "metrics and bounds").unwrap_or_default() {
                        let Some(name) = self.key_name(metric, "metrics") else { continue };
                        let bounds = self.bounds(&metric.value);
                        gate.metrics.push((name, bounds));
                    }
                }
                "expect" => {
                    let items: Vec<&Node> = match &entry.value.kind {
                        NodeKind::Sequence(items) => items.iter().collect(),
                        _ => vec![&entry.value],
                    };
                    gate.expect = items.into_iter().filter_map(|i| self.condition(i, key)).collect();
                }
                "baseline" => gate.baseline = self.filled(&entry.value, key, "the baseline"),
                _ => self.unknown(entry, "`gate`", &["metrics", "expect", "baseline"]),
            }
        }
        if gate.metrics.is_empty() && gate.expect.is_empty() {
            self.missing(node, "`gate`", "metrics");
        }
        Some(gate)
    }

    fn bounds(&mut self, node: &Node) -> Vec<Bound> {
        let key = "jobs.steps.gate";
        let mut bounds = Vec::new();
        for entry in self.map(node, "bounds").unwrap_or_default() {
            let kind = match &*entry.key {
                "min" => BoundKind::Min,
                "max" => BoundKind::Max,
                "equals" => BoundKind::Equals,
                "max-worse" => BoundKind::MaxWorse,
                "min-gain" => BoundKind::MinGain,
                _ => {
                    self.unknown(
                        entry,
                        "a metric's bounds",
                        &["min", "max", "equals", "max-worse", "min-gain"],
                    );
                    continue;
                }
            };
            let Some(limit) = self.filled(&entry.value, key, "a number") else { continue };
            let relative = matches!(kind, BoundKind::MaxWorse | BoundKind::MinGain);
            let text = limit.raw.strip_suffix('%').filter(|_| relative).unwrap_or(&limit.raw);
            let text = text.trim();
            let number: f64 = text.parse().unwrap_or(f64::NAN);
            if limit.is_literal() && !number.is_finite() {
                let wanted = if relative { "a number or a share such as `2%`" } else { "a number" };
                self.wrong(&entry.value, wanted);
            }
            bounds.push(Bound { kind: Spanned::new(kind, entry.key_span), limit });
        }
        if bounds.is_empty() && matches!(&node.kind, NodeKind::Mapping(e) if e.is_empty()) {
            self.wrong(node, "at least one bound");
        }
        bounds
    }

    pub(super) fn validate(&mut self, node: &Node) -> Option<Validate> {
        let key = "jobs.steps.validate";
        let known = ["data", "schema", "rows", "unique", "nulls", "drift"];
        self.fields(node, "validate", &known);
        let NodeKind::Mapping(entries) = &node.kind else { return None };
        let find =
            |name: &str| entries.iter().find(|e| &*e.key == name && !is_null(&e.value)).map(|e| &e.value);
        let Some(data) = find("data") else {
            self.missing(node, "`validate`", "data");
            return None;
        };
        if entries.len() == 1 {
            self.missing(node, "`validate`", "schema");
        }
        let tree =
            |reader: &mut Self, name: &str| -> Option<Tree> { find(name).map(|n| reader.tree(n, key)) };
        Some(Validate {
            data: self.filled(data, key, "the data file")?,
            schema: find("schema").and_then(|n| self.filled(n, key, "the schema file")),
            rows: tree(self, "rows"),
            unique: tree(self, "unique"),
            nulls: tree(self, "nulls"),
            drift: tree(self, "drift"),
            span: node.span,
        })
    }

    pub(super) fn notebook(&mut self, node: &Node) -> Option<Notebook> {
        let key = "jobs.steps.notebook";
        if let NodeKind::Scalar(_) = &node.kind {
            let path = self.filled(node, key, "the notebook")?;
            return Some(Notebook { path, params: None, kernel: None, output: None, span: node.span });
        }
        self.fields(node, "notebook", &["path", "params", "kernel", "output"]);
        let NodeKind::Mapping(entries) = &node.kind else { return None };
        let find = |name: &str| entries.iter().find(|e| &*e.key == name).map(|e| &e.value);
        let Some(path) = find("path") else {
            self.missing(node, "`notebook`", "path");
            return None;
        };
        Some(Notebook {
            path: self.filled(path, key, "the notebook")?,
            params: find("params").map(|n| self.tree(n, key)),
            kernel: find("kernel").and_then(|n| self.filled(n, key, "the kernel")),
            output: find("output").and_then(|n| self.filled(n, key, "the output")),
            span: node.span,
        })
    }
}
