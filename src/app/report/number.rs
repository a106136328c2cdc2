//! Numbers as people read them.

/// Writes a count with thin groups: `1,797`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// Writes milliseconds: `7ms`, `1.8s`, `2m05s`, `1h04m`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match ms {
        0..100 => format!("{ms}ms"),
        100..60_000 => format!("{seconds}.{}s", ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Writes bytes: `812 B`, `4.2 MB`, `16 GB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS.get(unit).unwrap_or(&"PB"))
}

/// Writes a metric: up to four digits behind the point, small numbers with an exponent.
pub fn metric(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    if !(1e-3..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = if size >= 1000.0 { 1 } else { 4 };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([count(7), count(1797), count(1_234_567)], ["7", "1,797", "1,234,567"]);
        assert_eq!([duration(7), duration(1840), duration(125_000)], ["7ms", "1.8s", "2m05s"]);
        assert_eq!(duration(3_840_000), "1h04m");
        assert_eq!([bytes(812), bytes(4_200_000), bytes(16_000_000_000)], ["812 B", "4.2 MB", "16 GB"]);
        assert_eq!([metric(0.9720), metric(3.1), metric(1797.0)], ["0.972", "3.1", "1797"]);
        assert_eq!([metric(0.000_012), metric(f64::NAN)], ["1.200e-5", "NaN"]);
    }
}
