//! The limit of a bound: a number, or a percentage of the baseline.

use serde::{Deserialize, Serialize};

/// `0.005` or `2%`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The number as written.
    pub amount: f64,
    /// Whether it is a percentage of the baseline's value.
    pub percent: bool,
}

impl Limit {
    /// Reads a limit.
    pub fn parse(text: &str) -> Result<Self, LimitError> {
        let wrong = || LimitError { text: text.to_owned() };
        let trimmed = text.trim();
        let (number, percent) = match trimmed.strip_suffix('%') {
            Some(number) => (number.trim_end(), true),
            None => (trimmed, false),
        };
        let starts_well = number.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
        let amount: f64 = number.parse().map_err(|_| wrong())?;
        if !starts_well || !amount.is_finite() {
            return Err(wrong());
        }
        Ok(Self { amount, percent })
    }
}

/// Why a text is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bound is a number such as `0.95` or a percentage such as `2%`, not `{text}`")]
pub struct LimitError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_percentages_only() {
        let read = |text: &str| Limit::parse(text).ok().map(|limit| (limit.amount, limit.percent));
        assert_eq!(read("0.005"), Some((0.005, false)));
        assert_eq!(read(" 2 % "), Some((2.0, true)));
        assert_eq!(read("-1e3"), Some((-1000.0, false)));
        for text in ["", "%", "NaN", "inf", "1e999", "2%%", "abc", "0x10", "1,5"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
