//! Words to a syntax tree, by precedence: `||`, `&&`, `== !=`, `< <= > >=`, `!`, access.
//!
//! Not here: which names are legal where (the caller's [`Names`]).

use super::lexer::{Token, TokenKind, lex, shown};
use super::names::{AnyNames, Names, function_problem, unknown_context};
use super::{BinaryOp, EvalError, Expr, ExprKind, Stage};
use crate::value::Value;
use std::sync::Arc;

/// GitHub's limit of nesting.
const MAX_DEPTH: usize = 50;

/// How deep the tree itself may become through long chains of comparisons, so that walking it
/// never exhausts the stack. GitHub counts no depth for these.
const MAX_HEIGHT: usize = 300;

/// Parses the inside of `${{ }}`; every name is legal.
pub fn parse(text: &str) -> Result<Expr, EvalError> {
    parse_with(text, &AnyNames)
}

/// Parses the inside of `${{ }}`; unknown names are errors of the parsing stage.
pub fn parse_with(text: &str, names: &dyn Names) -> Result<Expr, EvalError> {
    let tokens = lex(text)?;
    let mut parser = Parser { text, tokens: &tokens, at: 0, depth: 0, names };
    if parser.peek().kind == TokenKind::End {
        return Err(Parser::error(0, "an expression was expected".to_owned()));
    }
    let tree = parser.expression()?;
    match parser.peek().kind {
        TokenKind::End => Ok(tree.expr),
        _ => Err(parser.unexpected()),
    }
}

/// An expression and the height of its tree.
struct Tree {
    expr: Expr,
    height: usize,
    /// Whether `.` and `[` may follow: not after a bare literal.
    accessible: bool,
}

struct Parser<'t> {
    text: &'t str,
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    names: &'t dyn Names,
}

type Parsed = Result<Tree, EvalError>;

impl Parser<'_> {
    fn peek(&self) -> Token {
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let token = self.tokens.get(self.at).or(self.tokens.last());
        token.copied().unwrap_or(Token { kind: TokenKind::End, start: end, end })
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += usize::from(token.kind != TokenKind::End);
        token
    }

    fn accept(&mut self, kind: TokenKind) -> bool {
        let yes = self.peek().kind == kind;
        self.at += usize::from(yes);
        yes
    }

    fn word(&self, token: Token) -> &str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    fn error(offset: u32, message: String) -> EvalError {
        EvalError { stage: Stage::Parsing, message, offset }
    }

    fn unexpected(&self) -> EvalError {
        let token = self.peek();
        let message = match token.kind {
            TokenKind::End => "the expression ends too early".to_owned(),
            _ => format!("unexpected `{}`", shown(self.word(token))),
        };
        Self::error(token.start, message)
    }

    fn expect(&mut self, kind: TokenKind) -> Result<Token, EvalError> {
        let token = self.peek();
        if self.accept(kind) { Ok(token) } else { Err(self.unexpected()) }
    }

    fn deeper(&mut self) -> Result<(), EvalError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        Ok(())
    }

    fn too_deep(&self) -> EvalError {
        Self::error(self.peek().start, format!("the expression is nested deeper than {MAX_DEPTH} levels"))
    }

    fn expression(&mut self) -> Parsed {
        self.deeper()?;
        let tree = self.chain(BinaryOp::Or)?;
        self.depth -= 1;
        Ok(tree)
    }

    /// Parses `a || b || …` or `a && b && …`. Both operators may be grouped freely, so a long
    /// chain becomes a balanced tree.
    fn chain(&mut self, op: BinaryOp) -> Parsed {
        let (token, or) = match op {
            BinaryOp::Or => (TokenKind::Or, true),
            _ => (TokenKind::And, false),
        };
        let operand = |p: &mut Self| if or { p.chain(BinaryOp::And) } else { p.equality() };
        let first = operand(self)?;
        if self.peek().kind != token {
            return Ok(first);
        }
        self.deeper()?;
        let mut trees = vec![first];
        while self.accept(token) {
            trees.push(operand(self)?);
        }
        self.depth -= 1;
        while trees.len() > 1 {
            let mut halved = Vec::with_capacity(trees.len().div_ceil(2));
            let mut rest = trees.into_iter();
            while let Some(left) = rest.next() {
                halved.push(match rest.next() {
                    Some(right) => self.binary(op, left, right)?,
                    None => left,
                });
            }
            trees = halved;
        }
        trees.pop().ok_or_else(|| self.unexpected())
    }

    fn binary(&self, op: BinaryOp, left: Tree, right: Tree) -> Parsed {
        let (start, end) = (left.expr.start, right.expr.end);
        let height = left.height.max(right.height) + 1;
        let kind = ExprKind::Binary(op, Box::new(left.expr), Box::new(right.expr));
        self.grown(kind, start, end, height)
    }

    /// Makes a node, unless the tree has become too high.
    fn grown(&self, kind: ExprKind, start: u32, end: u32, height: usize) -> Parsed {
        if height > MAX_HEIGHT {
            return Err(self.too_deep());
        }
        Ok(Tree { expr: Expr { kind, start, end }, height, accessible: true })
    }

    fn equality(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        loop {
            let op = match self.peek().kind {
                TokenKind::Equal => BinaryOp::Equal,
                TokenKind::NotEqual => BinaryOp::NotEqual,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.comparison()?;
            left = self.binary(op, left, right)?;
        }
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let op = match self.peek().kind {
                TokenKind::Less => BinaryOp::Less,
                TokenKind::LessEqual => BinaryOp::LessEqual,
                TokenKind::Greater => BinaryOp::Greater,
                TokenKind::GreaterEqual => BinaryOp::GreaterEqual,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.unary()?;
            left = self.binary(op, left, right)?;
        }
    }

    fn unary(&mut self) -> Parsed {
        let token = self.peek();
        if !self.accept(TokenKind::Not) {
            return self.access();
        }
        self.deeper()?;
        let inner = self.unary()?;
        self.depth -= 1;
        let (end, height) = (inner.expr.end, inner.height + 1);
        self.grown(ExprKind::Not(Box::new(inner.expr)), token.start, end, height)
    }

    fn access(&mut self) -> Parsed {
        let mut tree = self.primary()?;
        let before = self.depth;
        while tree.accessible {
            let (start, height) = (tree.expr.start, tree.height + 1);
            tree = if self.accept(TokenKind::LeftBracket) {
                if self.accept(TokenKind::Star) {
                    let end = self.expect(TokenKind::RightBracket)?.end;
                    self.deeper()?;
                    self.grown(ExprKind::Star(Box::new(tree.expr)), start, end, height)?
                } else {
                    let index = self.expression()?;
                    let end = self.expect(TokenKind::RightBracket)?.end;
                    self.deeper()?;
                    let height = height.max(index.height + 1);
                    let kind = ExprKind::Index(Box::new(tree.expr), Box::new(index.expr));
                    self.grown(kind, start, end, height)?
                }
            } else if self.accept(TokenKind::Dot) {
                self.deeper()?;
                let token = self.peek();
                let kind = match token.kind {
                    TokenKind::Name => ExprKind::Property(Box::new(tree.expr), self.word(token).into()),
                    TokenKind::Star => ExprKind::Star(Box::new(tree.expr)),
                    _ => return Err(self.unexpected()),
                };
                self.at += 1;
                self.grown(kind, start, token.end, height)?
            } else {
                break;
            };
        }
        self.depth = before;
        Ok(tree)
    }

    fn primary(&mut self) -> Parsed {
        let token = self.peek();
        let value = match token.kind {
            TokenKind::True => Value::Bool(true),
            TokenKind::False => Value::Bool(false),
            TokenKind::Null => Value::Null,
            TokenKind::Number(number) => Value::Number(number),
            TokenKind::Text => {
                let inside = self.text.get(token.start as usize + 1..token.end as usize - 1);
                Value::from(inside.unwrap_or_default().replace("''", "'"))
            }
            TokenKind::Name => return self.name(),
            TokenKind::LeftParen => {
                self.at += 1;
                let inner = self.expression()?;
                let end = self.expect(TokenKind::RightParen)?.end;
                return self.grown(inner.expr.kind, token.start, end, inner.height);
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        let expr = Expr { kind: ExprKind::Literal(value), start: token.start, end: token.end };
        Ok(Tree { expr, height: 1, accessible: false })
    }

    fn name(&mut self) -> Parsed {
        let token = self.next();
        let name: Arc<str> = self.word(token).into();
        if !self.accept(TokenKind::LeftParen) {
            if !self.names.has_context(self.word(token)) {
                return Err(Self::error(token.start, unknown_context(self.word(token), self.names)));
            }
            return self.grown(ExprKind::Context(name), token.start, token.end, 1);
        }
        let (mut arguments, mut height) = (Vec::new(), 1);
        loop {
            let close = self.peek();
            if self.accept(TokenKind::RightParen) {
                let problem = function_problem(self.word(token), arguments.len(), self.names);
                if let Some(message) = problem {
                    return Err(Self::error(token.start, message));
                }
                return self.grown(ExprKind::Call(name, arguments), token.start, close.end, height);
            }
            let argument = self.expression()?;
            height = height.max(argument.height + 1);
            arguments.push(argument.expr);
            if self.peek().kind != TokenKind::RightParen {
                self.expect(TokenKind::Comma)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_the_words() {
        let expr = parse(" github.ref == 'a''b' ").map(|e| (e.start, e.end, e.kind));
        let Ok((1, 21, ExprKind::Binary(BinaryOp::Equal, left, right))) = expr else { panic!("{expr:?}") };
        assert_eq!((left.start, left.end), (1, 11));
        assert_eq!(right.kind, ExprKind::Literal(Value::from("a'b")));
    }

    #[test]
    fn long_chains_stay_shallow_or_are_refused() {
        let nobody = crate::expr::JsonContexts::new(&serde_json::Value::Null);
        let long = vec!["''"; 4000].join("||");
        assert_eq!(crate::expr::evaluate_text(&long, &nobody), Ok(Value::from("")));
        assert!(parse(&vec!["1"; 5000].join("||")).is_ok());
        assert!(parse(&vec!["1"; 5000].join("==")).is_err());
        assert!(parse(&vec!["1"; 200].join("==")).is_ok());
        assert!(parse(&"(".repeat(5000)).is_err());
        assert!(parse(&"!".repeat(20_000)).is_err());
    }

    #[test]
    fn an_error_says_where() {
        for (text, offset, stage) in [
            ("a = 1", 2, Stage::Lexing),
            ("a == ", 5, Stage::Parsing),
            ("'abc", 0, Stage::Lexing),
            ("f(1, 2 3)", 7, Stage::Parsing),
            ("é", 0, Stage::Lexing),
        ] {
            let error = parse(text).err();
            assert_eq!(error.map(|e| (e.offset, e.stage)), Some((offset, stage)), "{text}");
        }
    }
}
