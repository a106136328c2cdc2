//! Text with `${{ }}` in it.

use super::{EvalError, Expr, Host, Names, Stage, evaluate, parser::parse_with};
use crate::source::Span;
use crate::value::{Value, is_space};
use std::sync::Arc;

/// A scalar of a workflow file that may hold expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Its parts in order; empty for empty text.
    pub parts: Box<[Part]>,
    /// The text as written (after unquoting).
    pub raw: Arc<str>,
    /// Where it is written.
    pub span: Span,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text as it stands.
    Literal(Arc<str>),
    /// An expression, and the place of its inside in the template's text.
    Expr(Arc<Expr>, u32),
}

impl Template {
    /// Makes a template without expressions.
    pub fn literal(raw: Arc<str>, span: Span) -> Self {
        let whole = (!raw.is_empty()).then(|| Part::Literal(raw.clone()));
        Self { parts: whole.into_iter().collect(), raw, span }
    }

    /// Splits text at `${{ }}`. The error's offset counts from the start of `raw`.
    pub fn parse(raw: &Arc<str>, span: Span, names: &dyn Names) -> Result<Self, EvalError> {
        let (template, mut errors) = Self::parse_all(raw, span, names);
        if errors.is_empty() { Ok(template) } else { Err(errors.swap_remove(0)) }
    }

    /// Like [`Template::parse`], with every expression's error; the template lacks those.
    pub fn parse_all(raw: &Arc<str>, span: Span, names: &dyn Names) -> (Self, Vec<EvalError>) {
        let mut errors = Vec::new();
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(open) = raw.get(at..).and_then(|rest| rest.find("${{")) {
            let start = at + open;
            if open > 0 {
                parts.push(Part::Literal(Arc::from(raw.get(at..start).unwrap_or_default())));
            }
            let inside = start + 3;
            let rest = raw.get(inside..).unwrap_or_default();
            let Some(length) = closing(rest) else {
                errors.push(EvalError {
                    stage: Stage::Parsing,
                    message: "`${{` is not closed by `}}`".to_owned(),
                    offset: offset(start),
                });
                at = raw.len();
                break;
            };
            let (blank, text) = trimmed(rest.get(..length).unwrap_or_default());
            let place = offset(inside + blank);
            match parse_with(text, names) {
                Ok(expr) => parts.push(Part::Expr(Arc::new(expr), place)),
                Err(e) => errors.push(EvalError { offset: e.offset.saturating_add(place), ..e }),
            }
            at = inside + length + 2;
        }
        if let Some(rest) = raw.get(at..).filter(|r| !r.is_empty()) {
            parts.push(Part::Literal(Arc::from(rest)));
        }
        (Self { parts: parts.into(), raw: raw.clone(), span }, errors)
    }

    /// Reads an `if`: the whole text is one expression unless it has `${{ }}` of its own. Text
    /// around `${{ }}`, and be it the line break at the end of a block, makes the condition a text,
    /// which is always true, as at GitHub: `check` finds it.
    pub fn condition(raw: &Arc<str>, span: Span, names: &dyn Names) -> Result<Self, EvalError> {
        if raw.contains("${{") {
            return Self::parse(raw, span, names);
        }
        let (blank, text) = trimmed(raw);
        let place = offset(blank);
        let expr =
            parse_with(text, names).map_err(|e| EvalError { offset: e.offset.saturating_add(place), ..e })?;
        Ok(Self { parts: [Part::Expr(Arc::new(expr), place)].into(), raw: raw.clone(), span })
    }

    /// Tells whether it has no expression; then `raw` is its value.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|p| matches!(p, Part::Literal(_)))
    }

    /// Returns its expressions and where each starts in `raw`.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expr, u32)> {
        self.parts.iter().filter_map(|p| match p {
            Part::Expr(e, at) => Some((e.as_ref(), *at)),
            Part::Literal(_) => None,
        })
    }

    /// Tells whether an `if` made of it has a status function, which replaces `success()`.
    pub fn has_status_function(&self) -> bool {
        self.expressions().any(|(e, _)| e.has_status_function())
    }

    /// Evaluates it. A template that is one expression and nothing else keeps that expression's
    /// type; otherwise the parts are joined as text.
    pub fn evaluate(&self, host: &dyn Host) -> Result<Value, EvalError> {
        let placed = |e: EvalError, at: u32| EvalError { offset: e.offset.saturating_add(at), ..e };
        match &*self.parts {
            [] => return Ok(Value::from("")),
            [Part::Literal(text)] => return Ok(Value::String(text.clone())),
            [Part::Expr(expr, at)] => return evaluate(expr, host).map_err(|e| placed(e, *at)),
            _ => {}
        }
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Expr(expr, at) => {
                    out.push_str(&evaluate(expr, host).map_err(|e| placed(e, *at))?.to_text());
                }
            }
        }
        Ok(Value::from(out))
    }

    /// Evaluates it as text.
    pub fn text(&self, host: &dyn Host) -> Result<Arc<str>, EvalError> {
        Ok(self.evaluate(host)?.to_text())
    }

    /// Evaluates an `if`: with the implicit `success()` where no status function is called.
    pub fn holds(&self, host: &dyn Host) -> Result<bool, EvalError> {
        if !self.has_status_function() && !host.status().is_none_or(|s| s.success) {
            return Ok(false);
        }
        Ok(self.evaluate(host)?.truthy())
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Takes white space off both ends; how many bytes were taken off in front, and what is left.
fn trimmed(text: &str) -> (usize, &str) {
    let rest = text.trim_start_matches(is_space);
    (text.len() - rest.len(), rest.trim_end_matches(is_space))
}

/// Returns the text that a whole scalar stands for if it is `${{ '…' }}` and nothing else: GitHub
/// takes it for that text, also where no expression may stand.
pub fn quoted_text(raw: &str) -> Option<String> {
    let inside = raw.strip_prefix("${{")?;
    let end = closing(inside).filter(|end| end + 2 == inside.len())?;
    let (_, text) = trimmed(inside.get(..end)?);
    let body = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let bare = body.replace("''", "");
    (text.len() > 1 && !bare.contains('\'')).then(|| body.replace("''", "'"))
}

/// Returns where `}}` closes, outside of quoted text.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    let bytes = text.as_bytes();
    for (i, b) in bytes.iter().enumerate() {
        match b {
            b'\'' => quoted = !quoted,
            b'}' if !quoted && bytes.get(i + 1) == Some(&b'}') => return Some(i),
            _ => {}
        }
    }
    None
}
