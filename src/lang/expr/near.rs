//! "Did you mean": the nearest of a few known words.

/// Returns the word nearest to what was written, if it is near enough to be meant.
pub fn closest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    known
        .map(|k| (strsim::damerau_levenshtein(&written, &k.to_ascii_lowercase()), k))
        .filter(|(distance, k)| *distance <= (k.len().max(written.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
