//! Quantities and durations of evaluated keys, in one unit each.

use super::evaluate::shown;
use tidegate_lang::value::Value;

/// Reads a duration in seconds: `90s`, `5m`, `1h30m`, or a number of seconds.
pub(super) fn seconds(key: &str, value: Option<&Value>, default: f64) -> Result<f64, String> {
    match value {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Number(seconds)) if seconds.is_finite() && *seconds >= 0.0 => Ok(*seconds),
        Some(other) => duration(&other.to_text())
            .ok_or_else(|| format!("`{key}` must be a duration such as `90s` or `5m`, not {}", shown(other))),
    }
}

/// Reads bytes: `16Gi`, `500M`, or a number; 0 when absent.
pub(super) fn bytes(key: &str, value: Option<&Value>) -> Result<u64, String> {
    let Some(value) = value.filter(|value| !matches!(value, Value::Null)) else {
        return Ok(0);
    };
    let found = quantity(&value.to_text())
        .ok_or_else(|| format!("`{key}` must be a quantity such as `16Gi`, not {}", shown(value)))?;
    positive(key, found, value)
}

/// Reads cores in thousandths: `4`, `0.5`, `500m`; 0 when absent.
pub(super) fn millis(key: &str, value: Option<&Value>) -> Result<u64, String> {
    let Some(value) = value.filter(|value| !matches!(value, Value::Null)) else {
        return Ok(0);
    };
    let found = quantity(&value.to_text()).ok_or_else(|| {
        format!("`{key}` must be a number of cores such as `4` or `500m`, not {}", shown(value))
    })?;
    positive(key, found * 1000.0, value)
}

/// Reads a count: a whole number of 0 or more.
pub(super) fn count(key: &str, value: &Value) -> Result<u32, String> {
    let number = value.to_number();
    if number.is_finite() && number.fract() == 0.0 && (0.0..=65_536.0).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked above"
        )]
        return Ok(number as u32);
    }
    Err(format!("`{key}` must be a whole number of 0 or more, not {}", shown(value)))
}

/// Reads a number that must not be below `least`.
pub(super) fn at_least(key: &str, value: Option<&Value>, least: f64, default: f64) -> Result<f64, String> {
    let Some(value) = value.filter(|value| !matches!(value, Value::Null)) else {
        return Ok(default);
    };
    let number = value.to_number();
    if number.is_finite() && number >= least {
        return Ok(number);
    }
    Err(format!("`{key}` must be a number of at least {least}, not {}", shown(value)))
}

/// Reads a share: a number from 0 to 1, or a boolean for none and all.
pub(super) fn share(key: &str, value: Option<&Value>, default: f64) -> Result<f64, String> {
    let found = at_least(key, value, 0.0, default)?;
    if found > 1.0 { Err(format!("`{key}` must be a number from 0 to 1, not {found}")) } else { Ok(found) }
}

/// Makes a whole number of what is not negative.
fn positive(key: &str, found: f64, value: &Value) -> Result<u64, String> {
    if !found.is_finite() || !(0.0..9.0e18).contains(&found) {
        return Err(format!("`{key}` must not be negative or without bound, not {}", shown(value)));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    Ok(found.ceil() as u64)
}

/// Reads `1h30m`, `90s`, `500ms` or a bare number of seconds.
fn duration(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then_some(seconds);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    (text.trim() != "" && total.is_finite()).then_some(total)
}

/// Reads a Kubernetes quantity: `16Gi`, `500M`, `500m`, `0.5`.
fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("m", 0.001),
        ("k", 1e3),
        ("K", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    UNITS.iter().find_map(|(unit, factor)| {
        let number = text.strip_suffix(unit)?.parse::<f64>().ok()?;
        number.is_finite().then_some(number * factor)
    })
}
