//! The forms in which a secret may be printed: raw, line by line, base64 at three alignments,
//! URL-encoded, JSON-escaped.

use std::collections::BTreeSet;

/// Shortest piece of base64 that is masked; shorter ones would hide half of every log.
const SHORTEST_PIECE: usize = 4;

/// Returns every form to mask. A value of white space only has none; a line of a longer value that
/// is a single character (a brace of a JSON key file) is left alone.
pub fn forms(value: &str) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    if value.trim().is_empty() {
        return found;
    }
    escaped(value, &mut found);
    let trimmed = value.trim_end_matches(['\r', '\n']);
    if trimmed != value {
        escaped(trimmed, &mut found);
    }
    if value.contains(['\r', '\n']) {
        for line in value.split(['\r', '\n']).map(str::trim).filter(|l| l.chars().nth(1).is_some()) {
            escaped(line, &mut found);
        }
    }
    found
}

fn escaped(value: &str, into: &mut BTreeSet<Vec<u8>>) {
    into.insert(value.as_bytes().to_vec());
    for (alphabet, shift) in
        [(STANDARD, 0), (STANDARD, 1), (STANDARD, 2), (URL_SAFE, 0), (URL_SAFE, 1), (URL_SAFE, 2)]
    {
        base64_pieces(value.as_bytes(), alphabet, shift, into);
    }
    for (keep, space, lower) in [
        ("-_.~", "%20", false),
        ("-_.~", "%20", true),
        ("-_.~/", "%20", false),
        ("-_.!~*'()", "%20", false),
        ("-_.*", "+", false),
        ("-_.~", "+", false),
    ] {
        into.insert(percent(value, keep, space, lower).into_bytes());
    }
    into.insert(json(value, false).into_bytes());
    into.insert(json(value, true).into_bytes());
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Adds what base64 makes of `bytes` when `shift` other bytes stand before them: the characters that
/// depend on them alone, and the same with the padded end.
fn base64_pieces(bytes: &[u8], alphabet: &[u8; 64], shift: usize, into: &mut BTreeSet<Vec<u8>>) {
    let bits = bytes.len() * 8;
    // The first character that holds no bit of what stands before.
    let first = (shift * 8).div_ceil(6);
    let mut piece = Vec::new();
    let mut at = first * 6 - shift * 8;
    while at < bits {
        let mut six = 0_u8;
        for bit in at..at + 6 {
            let byte = bytes.get(bit / 8).copied().unwrap_or(0);
            six = six << 1 | (byte >> (7 - bit % 8) & 1);
        }
        if at + 6 > bits {
            // The end of the text: its last bits and padding.
            let mut whole = piece.clone();
            whole.push(alphabet[usize::from(six)]);
            if whole.len() > SHORTEST_PIECE {
                while !(first + whole.len()).is_multiple_of(4) {
                    whole.push(b'=');
                }
                let unpadded = whole.iter().copied().filter(|b| *b != b'=').collect();
                into.insert(whole);
                into.insert(unpadded);
            }
            break;
        }
        piece.push(alphabet[usize::from(six)]);
        at += 6;
    }
    if piece.len() >= SHORTEST_PIECE {
        into.insert(piece);
    }
}

fn percent(value: &str, keep: &str, space: &str, lower: bool) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b' ' => out.push_str(space),
            _ if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) => {
                out.push(char::from(byte));
            }
            _ if lower => out.push_str(&format!("%{byte:02x}")),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn json(value: &str, ascii: bool) -> String {
    let text = serde_json::Value::from(value).to_string();
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if !ascii {
        return inner.to_owned();
    }
    let mut out = String::with_capacity(inner.len());
    for c in inner.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &str, form: &str) -> bool {
        forms(value).contains(form.as_bytes())
    }

    #[test]
    fn forms_of_a_value() {
        // `printf 'hunter2!' | base64`, and with one and two bytes before it.
        assert!(has("hunter2!", "aHVudGVyMiE="));
        assert!(has("hunter2!", "aHVudGVyMi"));
        assert!(has("hunter2!", "odW50ZXIyI"));
        assert!(has("hunter2!", "h1bnRlcjIh"));
        assert!(has("a b&c/d", "a%20b%26c%2Fd"));
        assert!(has("a b&c/d", "a+b%26c%2Fd"));
        assert!(has("a b&c/d", "a%20b%26c/d"));
        assert!(has("q\"é\n1", "q\\\"\\u00e9\\n1"));
        assert!(has("line one\nline two\n}\n", "line two"));
        assert!(!has("line one\nline two\n}\n", "}"));
        assert!(forms(" \n").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn base64_at_every_alignment_is_found(secret in "[ -~]{6,20}", before in "[ -~]{0,5}", after in "[ -~]{0,4}") {
            let secret = format!("k{secret}k");
            let text = format!("{before}{secret}{after}");
            let mut whole = BTreeSet::new();
            base64_pieces(text.as_bytes(), STANDARD, 0, &mut whole);
            let longest = whole.iter().max_by_key(|w| w.len()).map(|w| String::from_utf8_lossy(w).into_owned()).unwrap_or_default();
            let masked = super::super::Masks::new([secret.as_str()]).apply(&longest);
            proptest::prop_assert!(masked.contains("***"), "{} in {}", secret, longest);
        }
    }
}
