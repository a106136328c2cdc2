//! What is said of memory, the same wherever a job runs.

/// What to do after a kill for memory. Ends the reason of such a receipt; whoever shows it and knows that the next attempt
/// has more says that instead.
pub const OOM_ADVICE: &str =
    "raise `resources.memory`, or let `retry.on: [oom]` with `oom.memory-factor` do so";

/// Writes an amount of memory in the units that it is asked for in: `40 MiB`, `1.5 GiB`, `16 GiB`.
pub fn memory_amount(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, size)) = UNITS.into_iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes} B");
    };
    // Tenths, rounded down: nothing has more than it says.
    match u128::from(bytes) * 10 / u128::from(size) {
        tenths if tenths.is_multiple_of(10) => format!("{} {unit}", tenths / 10),
        tenths => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::memory_amount;

    #[test]
    fn amounts_are_read_as_they_are_asked_for() {
        let table = [
            (40 << 20, "40 MiB"),
            (3 << 29, "1.5 GiB"),
            (16 << 30, "16 GiB"),
            (512, "512 B"),
            (1 << 10, "1 KiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(memory_amount(bytes), text);
        }
    }
}
