//! Text of an expression to words.
//!
//! Not here: which words may follow which (`parser`).

use super::{EvalError, Stage};
use crate::value::parse_number;

/// GitHub's limit for one expression, in UTF-16 units.
const MAX_LENGTH: usize = 21_000;

/// One word with its byte range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub start: u32,
    pub end: u32,
}

/// The kinds of words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TokenKind {
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Dot,
    Not,
    NotEqual,
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    And,
    Or,
    Star,
    Number(f64),
    /// Quotes included in the range.
    Text,
    Name,
    True,
    False,
    Null,
    End,
}

/// Splits an expression into words; the last one is always [`TokenKind::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Token>, EvalError> {
    if text.len() > MAX_LENGTH && text.encode_utf16().count() > MAX_LENGTH {
        let message = format!("the expression is longer than {MAX_LENGTH} characters");
        return Err(EvalError { stage: Stage::Lexing, message, offset: 0 });
    }
    let mut lexer = Lexer { text, at: 0, tokens: Vec::with_capacity(8) };
    while lexer.at < text.len() {
        lexer.step()?;
    }
    lexer.push(TokenKind::End, text.len());
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        self.tokens.push(Token { kind, start: offset(start), end: offset(self.at) });
    }

    fn step(&mut self) -> Result<(), EvalError> {
        use TokenKind as T;
        let start = self.at;
        let Some(byte) = self.byte(start) else { return Ok(()) };
        self.at += 1;
        let kind = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return Ok(()),
            b'(' => T::LeftParen,
            b')' => T::RightParen,
            b'[' => T::LeftBracket,
            b']' => T::RightBracket,
            b',' => T::Comma,
            b'*' => T::Star,
            b'!' => self.either(b'=', T::NotEqual, T::Not),
            b'<' => self.either(b'=', T::LessEqual, T::Less),
            b'>' => self.either(b'=', T::GreaterEqual, T::Greater),
            b'=' | b'&' | b'|' if self.byte(self.at) == Some(byte) => {
                self.at += 1;
                match byte {
                    b'=' => T::Equal,
                    b'&' => T::And,
                    _ => T::Or,
                }
            }
            b'.' if self.dot_is_access() => T::Dot,
            b'.' | b'-' | b'+' | b'0'..=b'9' => return self.number(start),
            b'\'' => return self.string(start),
            _ => return self.name(start),
        };
        self.push(kind, start);
        Ok(())
    }

    fn either(&mut self, next: u8, yes: TokenKind, no: TokenKind) -> TokenKind {
        if self.byte(self.at) == Some(next) {
            self.at += 1;
            yes
        } else {
            no
        }
    }

    fn previous(&self) -> Option<TokenKind> {
        self.tokens.last().map(|t| t.kind)
    }

    fn dot_is_access(&self) -> bool {
        use TokenKind as T;
        matches!(self.previous(), Some(T::Name | T::RightBracket | T::RightParen | T::Star))
    }

    /// Moves on to the next character that ends a word.
    fn skip_to_boundary(&mut self, dot_ends: bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |c: char| match c {
            '.' => dot_ends,
            '(' | '[' | ')' | ']' | ',' | '!' | '>' | '<' | '=' | '&' | '|' | '\u{feff}' => true,
            _ => c.is_whitespace(),
        };
        self.at += rest.find(ends).unwrap_or(rest.len());
    }

    fn number(&mut self, start: usize) -> Result<(), EvalError> {
        self.skip_to_boundary(false);
        let value = parse_number(self.text.get(start..self.at).unwrap_or_default());
        if value.is_nan() {
            return Err(self.unexpected(start));
        }
        self.push(TokenKind::Number(value), start);
        Ok(())
    }

    fn string(&mut self, start: usize) -> Result<(), EvalError> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(quote) = rest.find('\'') else {
                self.at = self.text.len();
                let mut error = self.unexpected(start);
                "the text that starts here has no closing `'`".clone_into(&mut error.message);
                return Err(error);
            };
            self.at += quote + 1;
            if self.byte(self.at) != Some(b'\'') {
                self.push(TokenKind::Text, start);
                return Ok(());
            }
            self.at += 1;
        }
    }

    fn name(&mut self, start: usize) -> Result<(), EvalError> {
        // The first character may take several bytes; a boundary right after it still ends it.
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        self.skip_to_boundary(true);
        let word = self.text.get(start..self.at).unwrap_or_default();
        let bytes = word.as_bytes();
        let legal = matches!(bytes.first(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_'))
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !legal {
            return Err(self.unexpected(start));
        }
        let kind = match word {
            _ if self.previous() == Some(TokenKind::Dot) => TokenKind::Name,
            "true" => TokenKind::True,
            "false" => TokenKind::False,
            "null" => TokenKind::Null,
            "NaN" => TokenKind::Number(f64::NAN),
            "Infinity" => TokenKind::Number(f64::INFINITY),
            _ => TokenKind::Name,
        };
        self.push(kind, start);
        Ok(())
    }

    fn unexpected(&self, start: usize) -> EvalError {
        let word = self.text.get(start..self.at).unwrap_or_default();
        let message = match word {
            "=" => "unexpected `=`; equality is `==`".to_owned(),
            "&" => "unexpected `&`; and is `&&`".to_owned(),
            "|" => "unexpected `|`; or is `||`".to_owned(),
            _ if word.starts_with('"') => {
                format!("unexpected `{}`; text goes in single quotes", shown(word))
            }
            _ => format!("unexpected `{}`", shown(word)),
        };
        EvalError { stage: Stage::Lexing, message, offset: offset(start) }
    }
}

/// Shortens a word for a message.
pub(super) fn shown(word: &str) -> String {
    if word.chars().count() <= 40 {
        return word.to_owned();
    }
    word.chars().take(37).chain("...".chars()).collect()
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
