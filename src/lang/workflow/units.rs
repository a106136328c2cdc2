//! Durations and quantities as people write them.

/// Reads a duration: `90s`, `5m`, `1h30m`, `250ms`, or a number of seconds. Returns seconds.
pub fn duration(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds >= 0.0 && seconds.is_finite()).then_some(seconds);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match rest.get(..length)? {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return None,
            };
        rest = rest.get(length..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// Reads a Kubernetes quantity: `16Gi`, `500m`, `1.5`, `2e3`. Returns the plain number.
///
/// Source: Kubernetes' documentation, "Quantity".
pub fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let text = text.trim();
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|n| (n, *factor)))
        .unwrap_or((text, 1.0));
    let number: f64 = number.parse().ok()?;
    (number >= 0.0 && number.is_finite()).then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_quantities() {
        for (text, seconds) in [("90s", 90.0), ("5m", 300.0), ("1h30m", 5400.0), ("250ms", 0.25), ("2", 2.0)]
        {
            assert_eq!(duration(text), Some(seconds), "{text}");
        }
        for text in ["", "m", "5x", "-1s", "1h2", "inf"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for (text, number) in [("16Gi", 17_179_869_184.0), ("500m", 0.5), ("4", 4.0), ("1k", 1000.0)] {
            assert_eq!(quantity(text), Some(number), "{text}");
        }
        for text in ["", "Gi", "4 Gi x", "-1", "nan"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
