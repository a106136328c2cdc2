//! Reading of typed leaves from nodes, with findings for what does not fit.

use crate::expr::{EvalError, Template, closest};
use crate::source::{
    Diagnostic, Entry, FileId, Node, NodeKind, Pass, Scalar, ScalarStyle, Severity, Span, Spanned, place_in,
};
use crate::value::{Value, parse_number};
use crate::workflow::availability::{AllowedNames, availability};
use crate::workflow::{Dialect, Dynamic, Env, Tree, TreeKind};

/// What all sections share while a file is read.
pub(super) struct Reader<'a> {
    pub file: FileId,
    pub text: &'a str,
    pub dialect: Dialect,
    pub findings: Vec<Diagnostic>,
}

pub(super) const UNKNOWN_KEY: &str = "unknown-key";
pub(super) const WRONG_TYPE: &str = "wrong-type";
pub(super) const MISSING_KEY: &str = "missing-key";
pub(super) const EXPRESSION: &str = "expression";

/// The value of a scalar, by YAML 1.2's core schema.
pub fn plain_value(scalar: &Scalar) -> Value {
    if scalar.style != ScalarStyle::Plain {
        return Value::String(scalar.text.clone());
    }
    match &*scalar.text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Number(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Number(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Number(f64::NEG_INFINITY),
        text => {
            let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
                && text.bytes().any(|b| b.is_ascii_digit())
                && !text.contains("Infinity");
            let number =
                if numeric { parse_number(text.strip_prefix('+').unwrap_or(text)) } else { f64::NAN };
            if number.is_nan() { Value::String(scalar.text.clone()) } else { Value::Number(number) }
        }
    }
}

pub(super) fn has_expression(text: &str) -> bool {
    text.contains("${{")
}

impl Reader<'_> {
    pub fn error(&mut self, rule: &'static str, span: Span, message: impl Into<String>) {
        self.findings.push(Diagnostic::error(rule, span, message));
    }

    /// Returns a part of the file's text.
    pub fn text_of(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Makes the last finding a warning in GitHub's dialect: GitHub takes the file, and the run
    /// fails on it.
    pub fn lenient(&mut self) {
        if !self.tidegate()
            && let Some(last) = self.findings.last_mut()
        {
            last.severity = Severity::Warning;
        }
    }

    /// A finding about what the parts of a file say about one another.
    pub fn meaning(&mut self, rule: &'static str, span: Span, message: impl Into<String>) {
        self.findings.push(Diagnostic::error(rule, span, message).pass(Pass::Meaning));
    }

    pub fn tidegate(&self) -> bool {
        self.dialect == Dialect::Tidegate
    }

    pub fn names(&self, key: &str) -> AllowedNames {
        availability(key).names(self.dialect)
    }

    pub fn wrong(&mut self, node: &Node, wanted: &str) {
        let found = match &node.kind {
            NodeKind::Scalar(s) => match plain_value(s) {
                Value::Null => "nothing".to_owned(),
                Value::Bool(_) | Value::Number(_) => format!("`{}`", s.text),
                _ if s.text.chars().count() <= 40 => format!("'{}'", s.text),
                _ => "text".to_owned(),
            },
            NodeKind::Sequence(_) => "a list".to_owned(),
            NodeKind::Mapping(_) => "a map".to_owned(),
        };
        let span = if matches!(node.kind, NodeKind::Scalar(_)) { node.span } else { start_of(node.span) };
        self.error(WRONG_TYPE, span, format!("expected {wanted}, found {found}"));
    }

    /// Returns the entries of a map; a finding otherwise.
    pub fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        if let NodeKind::Mapping(entries) = &node.kind {
            Some(entries)
        } else {
            self.wrong(node, &format!("a map of {what}"));
            None
        }
    }

    /// Returns the items of a list; a finding otherwise.
    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let NodeKind::Sequence(items) = &node.kind {
            Some(items)
        } else {
            self.wrong(node, &format!("a list of {what}"));
            None
        }
    }

    pub fn unknown(&mut self, entry: &Entry, place: &str, known: &[&str]) {
        if self.computed_key(entry, None) {
            return;
        }
        let message = format!("{place} has no key `{}`", entry.key);
        let mut finding = Diagnostic::error(UNKNOWN_KEY, entry.key_span, message);
        if let Some(near) = closest(&entry.key, known.iter().copied()) {
            finding = finding.label(format!("did you mean `{near}`?")).fix(entry.key_span, near);
        } else if !known.is_empty() {
            finding = finding.help(format!("known keys: {}", known.join(" ")));
        }
        self.findings.push(finding);
    }

    pub fn missing(&mut self, node: &Node, place: &str, key: &str) {
        self.incomplete(node, format!("{place} needs the key `{key}`"));
    }

    /// A finding about a map as a whole, which is known only at its end.
    pub fn incomplete(&mut self, node: &Node, message: impl Into<String>) {
        let finding = Diagnostic::error(MISSING_KEY, start_of(node.span), message).found_at(node.span.end);
        self.findings.push(finding);
    }

    /// Text without expressions.
    pub fn plain(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let NodeKind::Scalar(scalar) = &node.kind else {
            self.wrong(node, what);
            return None;
        };
        if has_expression(&scalar.text) {
            self.error(
                EXPRESSION,
                node.span,
                format!("expressions are not evaluated here: {what} is plain text"),
            );
            return None;
        }
        let text = plain_value(scalar).to_text().to_string();
        Some(Spanned::new(
            if scalar.style == ScalarStyle::Plain { text } else { scalar.text.to_string() },
            node.span,
        ))
    }

    /// Text without expressions that is not empty.
    pub fn word(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let text = self.plain(node, what)?;
        if text.value.is_empty() {
            self.error(WRONG_TYPE, node.span, format!("{what} must not be empty"));
            return None;
        }
        Some(text)
    }

    /// One word or a list of words.
    pub fn words(&mut self, node: &Node, what: &str) -> Vec<Spanned<String>> {
        match &node.kind {
            NodeKind::Sequence(items) => items.iter().filter_map(|i| self.word(i, what)).collect(),
            _ => self.word(node, what).into_iter().collect(),
        }
    }

    /// A true or false without expressions.
    pub fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let NodeKind::Scalar(s) = &node.kind {
            if let Value::Bool(b) = plain_value(s) {
                Some(b)
            } else {
                self.wrong(node, &format!("true or false for {what}"));
                None
            }
        } else {
            self.wrong(node, &format!("true or false for {what}"));
            None
        }
    }

    /// Parses a template whose key is `key`; a finding points at the exact character.
    pub fn template(&mut self, node: &Node, key: &str, what: &str) -> Option<Template> {
        let NodeKind::Scalar(scalar) = &node.kind else {
            self.wrong(node, what);
            return None;
        };
        let names = self.names(key);
        if !has_expression(&scalar.text) {
            let text = if scalar.style == ScalarStyle::Plain {
                plain_value(scalar).to_text()
            } else {
                scalar.text.clone()
            };
            return Some(Template::literal(text, node.span));
        }
        if names.is_empty() {
            self.error(
                EXPRESSION,
                node.span,
                format!("expressions are not evaluated here: {what} is plain text"),
            );
            return None;
        }
        let (template, errors) = Template::parse_all(&scalar.text, node.span, &names);
        for error in &errors {
            self.expression_error(node, error, &names);
        }
        // What is left of it is still looked at by the rules, where it is text in any case.
        (errors.is_empty() || (key.starts_with("jobs.steps.run") && !template.parts.is_empty()))
            .then_some(template)
    }

    /// A template that is not empty text.
    pub fn filled(&mut self, node: &Node, key: &str, what: &str) -> Option<Template> {
        let template = self.template(node, key, what)?;
        if template.raw.is_empty() {
            self.error(WRONG_TYPE, node.span, format!("{what} must not be empty"));
            return None;
        }
        Some(template)
    }

    /// An `if`.
    pub fn condition(&mut self, node: &Node, key: &str) -> Option<Template> {
        let NodeKind::Scalar(scalar) = &node.kind else {
            self.wrong(node, "an expression");
            return None;
        };
        let text = plain_value(scalar).to_text();
        if text.trim().is_empty() {
            // GitHub takes an empty `if` for the implicit `success()`.
            return None;
        }
        let names = self.names(key);
        match Template::condition(&text, node.span, &names) {
            Ok(template) => Some(template),
            Err(e) => {
                self.expression_error(node, &e, &names);
                None
            }
        }
    }

    fn expression_error(&mut self, node: &Node, error: &EvalError, names: &AllowedNames) {
        let start = place_in(self.text, node, error.offset);
        let rest = self.text.get(start as usize..).unwrap_or_default();
        let word = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .unwrap_or(rest.len())
            .max(rest.chars().next().map_or(0, char::len_utf8));
        let end = start.saturating_add(u32::try_from(word).unwrap_or(0)).min(node.span.end.max(start));
        let span = Span { file: self.file, start, end };
        let context = error.message.starts_with("there is no context");
        let rule = match () {
            () if context => "unknown-context",
            () if error.message.starts_with("there is no function") => "unknown-function",
            () => EXPRESSION,
        };
        let mut finding = Diagnostic::error(rule, span, error.message.clone());
        if context {
            let mut all = crate::expr::Names::contexts(names);
            all.sort();
            finding = finding.help(format!("here: {}", all.join(" ")));
        }
        self.findings.push(finding);
    }

    fn dynamic<T>(
        &mut self,
        node: &Node,
        key: &str,
        what: &str,
        fixed: impl Fn(&Value) -> Option<T>,
    ) -> Option<Dynamic<T>> {
        let NodeKind::Scalar(scalar) = &node.kind else {
            self.wrong(node, what);
            return None;
        };
        if has_expression(&scalar.text) {
            let template = self.template(node, key, what)?;
            if template.parts.len() != 1 {
                self.wrong(node, what);
                self.lenient();
                return (!self.tidegate()).then_some(Dynamic::Expr(template));
            }
            return Some(Dynamic::Expr(template));
        }
        if let Some(value) = fixed(&plain_value(scalar)) {
            Some(Dynamic::Fixed(value))
        } else {
            self.wrong(node, what);
            None
        }
    }

    /// True, false, or an expression for one of them.
    pub fn boolean(&mut self, node: &Node, key: &str, what: &str) -> Option<Dynamic<bool>> {
        self.dynamic(node, key, &format!("true or false for {what}"), |v| match v {
            Value::Bool(b) => Some(*b),
            _ => None,
        })
    }

    /// A number, or an expression for one.
    pub fn number(&mut self, node: &Node, key: &str, what: &str) -> Option<Dynamic<f64>> {
        self.dynamic(node, key, &format!("a number for {what}"), |v| match v {
            Value::Number(n) => Some(*n),
            _ => None,
        })
    }

    /// One template or a list of them.
    pub fn templates(&mut self, node: &Node, key: &str, what: &str) -> Vec<Template> {
        match &node.kind {
            NodeKind::Sequence(items) => items.iter().filter_map(|i| self.filled(i, key, what)).collect(),
            _ => self.filled(node, key, what).into_iter().collect(),
        }
    }

    /// Any YAML with expressions in its scalars.
    pub fn tree(&mut self, node: &Node, key: &str) -> Tree {
        let kind = match &node.kind {
            NodeKind::Scalar(scalar) if has_expression(&scalar.text) => {
                match self.template(node, key, "a value") {
                    Some(template) => TreeKind::Template(template),
                    None => TreeKind::Literal(Value::Null),
                }
            }
            NodeKind::Scalar(scalar) => TreeKind::Literal(plain_value(scalar)),
            NodeKind::Sequence(items) => {
                TreeKind::Sequence(items.iter().map(|i| self.tree(i, key)).collect())
            }
            NodeKind::Mapping(entries) => TreeKind::Mapping(
                entries
                    .iter()
                    .map(|e| {
                        self.computed_key(e, Some(key));
                        let name = Template::literal(e.key.clone(), e.key_span);
                        (Spanned::new(name, e.key_span), self.tree(&e.value, key))
                    })
                    .collect(),
            ),
        };
        Tree { kind, span: node.span }
    }

    /// An `env` map.
    pub fn env(&mut self, node: &Node, key: &str) -> Env {
        if let NodeKind::Scalar(scalar) = &node.kind
            && has_expression(&scalar.text)
        {
            return Env { variables: Vec::new(), expression: self.template(node, key, "a map of variables") };
        }
        Env { variables: self.pairs(node, key, "variables"), expression: None }
    }

    /// Names and templates.
    pub fn pairs(&mut self, node: &Node, key: &str, what: &str) -> Vec<(Spanned<String>, Template)> {
        let Some(entries) = self.map(node, what) else { return Vec::new() };
        entries
            .iter()
            .filter_map(|e| {
                let computed = !matches!(key, "jobs.outputs" | "jobs.secrets");
                let name = self.name(e, what, computed.then_some(key))?;
                Some((name, self.template(&e.value, key, "text")?))
            })
            .collect()
    }

    /// A key that people choose: not empty, no expression.
    pub fn key_name(&mut self, entry: &Entry, what: &str) -> Option<Spanned<String>> {
        self.name(entry, what, None)
    }

    /// Reports an expression as a key. GitHub computes such a key where the map's row `computed`
    /// allows expressions; here no key is computed.
    pub fn computed_key(&mut self, entry: &Entry, computed: Option<&str>) -> bool {
        if !has_expression(&entry.key) {
            return false;
        }
        let names = computed.map(|row| self.names(row)).filter(|names| !names.is_empty());
        let parsed = names.map(|names| (Template::parse(&entry.key, entry.key_span, &names), names));
        match parsed {
            Some((Err(error), names)) => {
                let node = Node {
                    kind: NodeKind::Scalar(Scalar {
                        text: entry.key.clone(),
                        style: ScalarStyle::Quoted,
                        text_start: None,
                    }),
                    span: entry.key_span,
                };
                self.expression_error(&node, &error, &names);
            }
            Some((Ok(_), _)) => {
                self.error(EXPRESSION, entry.key_span, "a key is not computed here: write it out");
                self.lenient();
            }
            None => self.error(EXPRESSION, entry.key_span, "no expression may stand in a key here"),
        }
        true
    }

    /// Reports a key that is no name: a plain `null` is no text, even as a key.
    pub fn nameless(&mut self, entry: &Entry, what: &str) -> bool {
        let written = self.text_of(entry.key_span);
        let nameless = entry.key.is_empty() || matches!(written, "null" | "Null" | "NULL" | "~");
        if nameless {
            self.error(WRONG_TYPE, entry.key_span, format!("a name among {what} must not be empty"));
        }
        nameless
    }

    fn name(&mut self, entry: &Entry, what: &str, computed: Option<&str>) -> Option<Spanned<String>> {
        if self.computed_key(entry, computed) {
            return None;
        }
        if self.nameless(entry, what) {
            return None;
        }
        Some(Spanned::new(entry.key.to_string(), entry.key_span))
    }
}

/// The first character of a span: where findings about a whole block point.
pub(super) fn start_of(span: Span) -> Span {
    Span { end: span.start.saturating_add(1).min(span.end.max(span.start)), ..span }
}
