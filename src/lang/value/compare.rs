//! Equality and order, as GitHub does them: loose, and text without case.

use super::Value;
use std::cmp::Ordering;
use std::sync::Arc;

impl Value {
    /// Compares as `==` does: types differ → both as numbers; lists and maps only with themselves.
    pub fn loosely_equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            #[expect(clippy::float_cmp, reason = "the language compares numbers exactly")]
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::String(a), Self::String(b)) => same_text(a, b),
            (Self::Array(a), Self::Array(b)) => Arc::ptr_eq(a, b),
            (Self::Object(a), Self::Object(b)) => Arc::ptr_eq(a, b),
            (a, b) if a.is_primitive() && b.is_primitive() => {
                #[expect(clippy::float_cmp, reason = "the language compares numbers exactly")]
                let same = a.to_number() == b.to_number();
                same
            }
            _ => false,
        }
    }

    /// Orders as `<` and its kin do; `None` where no order exists, and then each of them is false.
    pub fn loosely_compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::String(a), Self::String(b)) => Some(units(a).cmp(units(b))),
            (a, b) if a.is_primitive() && b.is_primitive() => a.to_number().partial_cmp(&b.to_number()),
            _ => None,
        }
    }
}

/// Text without case as UTF-16, which is what the order of two texts goes by.
fn units(text: &str) -> impl Iterator<Item = u16> + '_ {
    folded(text).flat_map(|c| {
        let mut buffer = [0; 2];
        let pair = c.encode_utf16(&mut buffer).len() == 2;
        std::iter::once(buffer[0]).chain(pair.then_some(buffer[1]))
    })
}

/// Compares text without case.
fn same_text(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() { a.eq_ignore_ascii_case(b) } else { folded(a).eq(folded(b)) }
}

/// Folds case as GitHub does: upper case, but the dotless `ı` stays what it is.
pub fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(|c| {
        let upper = (c != 'ı').then(|| c.to_uppercase());
        upper.into_iter().flatten().chain((c == 'ı').then_some(c))
    })
}
