//! Words → syntax tree, by recursive descent.

use super::functions::{self, Arity};
use super::lexer::{Token, TokenKind, tokens};
use super::{BinaryOp, EvalError, Expr, ExprKind, Stage};
use crate::value::Value;
use std::sync::Arc;

/// GitHub's limit on nesting ("Expression exceeds the maximum depth").
const MAX_DEPTH: usize = 50;
/// The parser's own limit, parentheses counted.
const MAX_RECURSION: usize = 200;
/// GitHub's limit on an expression's length in characters.
const MAX_LENGTH: usize = 21_000;

/// Which names an expression may use.
pub trait Names {
    /// Tells whether a context of this name (in any case) may be read here.
    fn has_context(&self, name: &str) -> bool;
    /// Tells whether a function of this name (in any case) may be called here; asked only for
    /// functions that are not legal everywhere.
    fn has_function(&self, name: &str) -> bool;
    /// Returns the names of all contexts, for "did you mean".
    fn contexts(&self) -> Vec<String>;
}

/// Any context, every function.
pub struct AnyNames;

impl Names for AnyNames {
    fn has_context(&self, _: &str) -> bool {
        true
    }
    fn has_function(&self, _: &str) -> bool {
        true
    }
    fn contexts(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Parses the inside of `${{ }}`; every name is legal.
pub fn parse(text: &str) -> Result<Expr, EvalError> {
    parse_with(text, &AnyNames)
}

/// Parses the inside of `${{ }}`; unknown names are errors of the parsing stage.
pub fn parse_with(text: &str, names: &dyn Names) -> Result<Expr, EvalError> {
    if text.len() > MAX_LENGTH {
        let message =
            format!("an expression has at most {MAX_LENGTH} characters, this one has {}", text.len());
        return Err(EvalError { stage: Stage::Parsing, message, offset: 0 });
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), names, depth: 0 };
    if tokens.is_empty() {
        return Err(parser.error("an expression was expected"));
    }
    let expr = parser.binary(0)?;
    if parser.peek().is_some() {
        return Err(parser.unexpected());
    }
    if expr.depth() > MAX_DEPTH {
        return Err(parser.error_at(0, format!("the expression nests deeper than {MAX_DEPTH}")));
    }
    Ok(expr)
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    end: usize,
    names: &'a dyn Names,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a TokenKind<'a>> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |t| t.start)
    }

    fn previous_end(&self) -> u32 {
        let end = self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |t| t.end);
        u32::try_from(end).unwrap_or(u32::MAX)
    }

    fn error(&self, message: impl Into<String>) -> EvalError {
        self.error_at(self.place(), message)
    }

    #[expect(clippy::unused_self, reason = "reads as the parser's own error")]
    fn error_at(&self, at: usize, message: impl Into<String>) -> EvalError {
        EvalError {
            stage: Stage::Parsing,
            message: message.into(),
            offset: u32::try_from(at).unwrap_or(u32::MAX),
        }
    }

    fn unexpected(&self) -> EvalError {
        match self.tokens.get(self.at) {
            None => self.error("the expression ends too early"),
            Some(token) => self.error(match &token.kind {
                TokenKind::Name(n) => format!("unexpected `{n}`"),
                TokenKind::Text(t) => format!("unexpected text '{t}'"),
                TokenKind::Number(n) => format!("unexpected number {}", crate::value::number_text(*n)),
                kind => format!("unexpected `{}`", symbol(kind)),
            }),
        }
    }

    fn take(&mut self, kind: &TokenKind<'_>) -> Result<(), EvalError> {
        if self.peek() == Some(kind) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// Operators by how tightly they bind, loosest first.
    fn binary(&mut self, level: usize) -> Result<Expr, EvalError> {
        const LEVELS: [&[BinaryOp]; 4] = [
            &[BinaryOp::Or],
            &[BinaryOp::And],
            &[BinaryOp::Equal, BinaryOp::NotEqual],
            &[BinaryOp::Less, BinaryOp::LessEqual, BinaryOp::Greater, BinaryOp::GreaterEqual],
        ];
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(TokenKind::Operator(op)) = self.peek()
            && operators.contains(op)
        {
            self.at += 1;
            let right = self.binary(level + 1)?;
            let (start, end) = (left.start, right.end);
            left = Expr { kind: ExprKind::Binary(*op, Box::new(left), Box::new(right)), start, end };
        }
        Ok(left)
    }

    /// Keeps the parser's own recursion bounded; groups count here, but not in the limit.
    fn deeper(&self) -> Result<(), EvalError> {
        if self.depth > MAX_RECURSION {
            return Err(self.error(format!("the expression nests deeper than {MAX_RECURSION}")));
        }
        Ok(())
    }

    fn unary(&mut self) -> Result<Expr, EvalError> {
        self.depth += 1;
        self.deeper()?;
        let start = u32::try_from(self.place()).unwrap_or(u32::MAX);
        let expr = if self.peek() == Some(&TokenKind::Not) {
            self.at += 1;
            let inner = self.unary()?;
            let end = inner.end;
            Expr { kind: ExprKind::Not(Box::new(inner)), start, end }
        } else {
            self.postfix()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn postfix(&mut self) -> Result<Expr, EvalError> {
        let mut expr = self.primary()?;
        let start = expr.start;
        loop {
            let kind = match self.peek() {
                Some(TokenKind::Dot) => {
                    self.literal_has_no_parts(&expr)?;
                    self.at += 1;
                    match self.peek() {
                        Some(TokenKind::Name(name)) => {
                            self.at += 1;
                            ExprKind::Property(Box::new(expr), Arc::from(*name))
                        }
                        Some(TokenKind::Star) => {
                            self.at += 1;
                            ExprKind::Star(Box::new(expr))
                        }
                        _ => return Err(self.unexpected()),
                    }
                }
                Some(TokenKind::OpenIndex) => {
                    self.literal_has_no_parts(&expr)?;
                    self.at += 1;
                    if self.peek() == Some(&TokenKind::Star) {
                        self.at += 1;
                        self.take(&TokenKind::CloseIndex)?;
                        ExprKind::Star(Box::new(expr))
                    } else {
                        let index = self.binary(0)?;
                        self.take(&TokenKind::CloseIndex)?;
                        ExprKind::Index(Box::new(expr), Box::new(index))
                    }
                }
                _ => return Ok(expr),
            };
            expr = Expr { kind, start, end: self.previous_end() };
        }
    }

    fn literal_has_no_parts(&self, expr: &Expr) -> Result<(), EvalError> {
        if matches!(expr.kind, ExprKind::Literal(_)) { Err(self.unexpected()) } else { Ok(()) }
    }

    fn primary(&mut self) -> Result<Expr, EvalError> {
        let start = self.place();
        let kind = match self.peek() {
            Some(TokenKind::Open) => {
                self.at += 1;
                let inner = self.binary(0)?;
                self.take(&TokenKind::Close)?;
                let start = u32::try_from(start).unwrap_or(u32::MAX);
                return Ok(Expr { kind: inner.kind, start, end: self.previous_end() });
            }
            Some(TokenKind::Number(n)) => ExprKind::Literal(Value::Number(*n)),
            Some(TokenKind::Text(t)) => ExprKind::Literal(Value::String(Arc::from(t.as_str()))),
            Some(TokenKind::True) => ExprKind::Literal(Value::Bool(true)),
            Some(TokenKind::False) => ExprKind::Literal(Value::Bool(false)),
            Some(TokenKind::Null) => ExprKind::Literal(Value::Null),
            Some(TokenKind::Name(name)) => {
                if self.tokens.get(self.at + 1).map(|t| &t.kind) == Some(&TokenKind::Open) {
                    return self.call(name, start);
                }
                if !self.names.has_context(name) {
                    return Err(self.unknown_context(name));
                }
                ExprKind::Context(Arc::from(*name))
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(Expr { kind, start: u32::try_from(start).unwrap_or(u32::MAX), end: self.previous_end() })
    }

    fn unknown_context(&self, name: &str) -> EvalError {
        let contexts = self.names.contexts();
        let hint = super::closest(name, contexts.iter().map(String::as_str))
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        self.error(format!("there is no context `{name}` here{hint}"))
    }

    fn call(&mut self, name: &'a str, start: usize) -> Result<Expr, EvalError> {
        let Some(function) = functions::find(name).filter(|f| f.everywhere || self.names.has_function(name))
        else {
            let near = super::closest(name, functions::names());
            let hint = match (functions::find(name), near) {
                (Some(_), _) => " here".to_owned(),
                (None, Some(near)) => format!("; did you mean `{near}`?"),
                (None, None) => String::new(),
            };
            return Err(self.error(format!("there is no function `{name}`{hint}")));
        };
        self.at += 2;
        let mut arguments = Vec::new();
        if self.peek() == Some(&TokenKind::Close) {
            self.at += 1;
        } else {
            loop {
                arguments.push(self.binary(0)?);
                if self.peek() == Some(&TokenKind::Comma) {
                    self.at += 1;
                    continue;
                }
                self.take(&TokenKind::Close)?;
                break;
            }
        }
        let Arity { least, most } = function.arity;
        if arguments.len() < least || arguments.len() > most {
            let wanted = match (least, most) {
                (a, usize::MAX) => format!("at least {a}"),
                (a, b) if a == b => a.to_string(),
                (a, b) => format!("{a} to {b}"),
            };
            return Err(
                self.error_at(start, format!("`{name}` takes {wanted} arguments, not {}", arguments.len()))
            );
        }
        if function.name == "case" && arguments.len() % 2 == 0 {
            return Err(
                self.error_at(start, "`case` takes pairs of condition and value, and a default at the end")
            );
        }
        Ok(Expr {
            kind: ExprKind::Call(Arc::from(name), arguments),
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: self.previous_end(),
        })
    }
}

fn symbol(kind: &TokenKind<'_>) -> &'static str {
    match kind {
        TokenKind::Open => "(",
        TokenKind::Close => ")",
        TokenKind::OpenIndex => "[",
        TokenKind::CloseIndex => "]",
        TokenKind::Comma => ",",
        TokenKind::Dot => ".",
        TokenKind::Star => "*",
        TokenKind::Not => "!",
        TokenKind::True => "true",
        TokenKind::False => "false",
        TokenKind::Null => "null",
        TokenKind::Number(_) | TokenKind::Text(_) | TokenKind::Name(_) => "a value",
        TokenKind::Operator(op) => op.symbol(),
    }
}
