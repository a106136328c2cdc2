//! Text of an expression → words with their places.

use super::{EvalError, Stage};
use crate::value::parse_number;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub kind: TokenKind<'a>,
    pub start: usize,
    pub end: usize,
}

/// The kinds of words.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind<'a> {
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    Comma,
    Dot,
    Star,
    Not,
    Operator(super::BinaryOp),
    Number(f64),
    Text(String),
    True,
    False,
    Null,
    Name(&'a str),
}

fn is_boundary(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | '[' | ')' | ']' | ',' | '.' | '!' | '>' | '<' | '=' | '&' | '|')
}

/// Tells whether text is a name of the language.
pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Splits an expression into words.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, EvalError> {
    let mut out: Vec<Token<'_>> = Vec::with_capacity(text.len() / 4 + 2);
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|t| t.chars().next()) {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (kind, end) =
            word(text, at, c, out.last().map(|t| &t.kind)).ok_or_else(|| unexpected(text, at))?;
        out.push(Token { kind, start: at, end });
        at = end;
    }
    Ok(out)
}

fn unexpected(text: &str, at: usize) -> EvalError {
    let rest = text.get(at..).unwrap_or_default();
    let quoted = rest.starts_with('\'');
    let word: String = if quoted {
        rest.to_owned()
    } else {
        let mut chars = rest.chars();
        chars.next().into_iter().chain(chars.take_while(|c| !is_boundary(*c))).collect()
    };
    EvalError {
        stage: Stage::Lexing,
        message: if quoted {
            format!("the text {word} has no closing quote")
        } else {
            format!("unexpected `{word}`")
        },
        offset: u32::try_from(at).unwrap_or(u32::MAX),
    }
}

fn word<'a>(
    text: &'a str,
    at: usize,
    c: char,
    last: Option<&TokenKind<'a>>,
) -> Option<(TokenKind<'a>, usize)> {
    use super::BinaryOp::{And, Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual, Or};
    let next = text.as_bytes().get(at + 1).copied();
    let one = |kind| Some((kind, at + 1));
    let two = |op| Some((TokenKind::Operator(op), at + 2));
    match c {
        '(' => one(TokenKind::Open),
        ')' => one(TokenKind::Close),
        '[' => one(TokenKind::OpenIndex),
        ']' => one(TokenKind::CloseIndex),
        ',' => one(TokenKind::Comma),
        '*' => one(TokenKind::Star),
        '!' if next == Some(b'=') => two(NotEqual),
        '!' => one(TokenKind::Not),
        '<' if next == Some(b'=') => two(LessEqual),
        '<' => one(TokenKind::Operator(Less)),
        '>' if next == Some(b'=') => two(GreaterEqual),
        '>' => one(TokenKind::Operator(Greater)),
        '=' if next == Some(b'=') => two(Equal),
        '&' if next == Some(b'&') => two(And),
        '|' if next == Some(b'|') => two(Or),
        '\'' => quoted(text, at),
        '.' if !begins_number(last) => one(TokenKind::Dot),
        '.' | '-' | '+' | '0'..='9' => number(text, at),
        c if c.is_ascii_alphabetic() || c == '_' => name(text, at, last),
        _ => None,
    }
}

/// A dot starts a number where no value stands before it.
fn begins_number(last: Option<&TokenKind<'_>>) -> bool {
    matches!(
        last,
        None | Some(
            TokenKind::Comma
                | TokenKind::Open
                | TokenKind::OpenIndex
                | TokenKind::Not
                | TokenKind::Operator(_)
        )
    )
}

fn quoted(text: &str, at: usize) -> Option<(TokenKind<'_>, usize)> {
    let mut value = String::new();
    let mut rest = text.get(at + 1..)?;
    let mut end = at + 1;
    loop {
        let quote = rest.find('\'')?;
        value.push_str(rest.get(..quote)?);
        end += quote + 1;
        rest = rest.get(quote + 1..)?;
        if rest.starts_with('\'') {
            value.push('\'');
            rest = rest.get(1..)?;
            end += 1;
        } else {
            return Some((TokenKind::Text(value), end));
        }
    }
}

fn number(text: &str, at: usize) -> Option<(TokenKind<'_>, usize)> {
    let rest = text.get(at..)?;
    let length = rest
        .char_indices()
        .skip(1)
        .find(|(_, c)| is_boundary(*c) && *c != '.')
        .map_or(rest.len(), |(i, _)| i);
    let word = rest.get(..length)?;
    let number = parse_number(word);
    (!number.is_nan()).then_some((TokenKind::Number(number), at + length))
}

fn name<'a>(text: &'a str, at: usize, last: Option<&TokenKind<'a>>) -> Option<(TokenKind<'a>, usize)> {
    let rest = text.get(at..)?;
    let length = rest.find(is_boundary).unwrap_or(rest.len());
    let word = rest.get(..length)?;
    let kind = match word {
        _ if last == Some(&TokenKind::Dot) => is_name(word).then_some(TokenKind::Name(word))?,
        "true" => TokenKind::True,
        "false" => TokenKind::False,
        "null" => TokenKind::Null,
        "NaN" => TokenKind::Number(f64::NAN),
        "Infinity" => TokenKind::Number(f64::INFINITY),
        _ => is_name(word).then_some(TokenKind::Name(word))?,
    };
    Some((kind, at + length))
}
