//! From a byte of a value to the byte of the file where it is written.

use super::{Node, NodeKind, ScalarStyle};

/// Returns the byte of the file behind a byte of a scalar's text: exact for plain, quoted (without
/// escapes) and literal block scalars, the scalar's start for the others.
pub fn place_in(text: &str, node: &Node, offset: u32) -> u32 {
    let NodeKind::Scalar(scalar) = &node.kind else { return node.span.start };
    if let Some(start) = scalar.text_start {
        return start.saturating_add(offset);
    }
    if scalar.style != ScalarStyle::Block {
        return node.span.start;
    }
    let before = scalar.text.get(..offset as usize).unwrap_or_default();
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().map_or(0, str::len);
    let Some(wanted) = scalar.text.split('\n').nth(line) else { return node.span.start };
    // The header (`|`, `>-`) takes the rest of its line; content starts on the next.
    let body = text.get(node.span.start as usize..).unwrap_or_default();
    let header = body.starts_with(['|', '>']);
    let mut at = node.span.start as usize;
    for (number, source) in body.split_inclusive('\n').enumerate() {
        if number == line + usize::from(header) {
            let content = source.trim_end_matches(['\n', '\r']);
            if let Some(indent) =
                content.len().checked_sub(wanted.len()).filter(|_| content.ends_with(wanted))
            {
                return u32::try_from(at + indent + column).unwrap_or(u32::MAX);
            }
            break;
        }
        at += source.len();
    }
    node.span.start
}

#[cfg(test)]
mod tests {
    use super::super::{FileId, load};
    use super::*;

    #[test]
    fn places_in_block_scalars() {
        let text = "run: |\n  echo one\n  echo ${{ x }}\n";
        let (node, _) = load(FileId(0), text);
        let Some(NodeKind::Mapping(entries)) = node.map(|n| n.kind) else { panic!("no map") };
        let run = &entries[0].value;
        let NodeKind::Scalar(s) = &run.kind else { panic!() };
        let offset = u32::try_from(s.text.find("x }}").unwrap()).unwrap();
        assert_eq!(place_in(text, run, offset) as usize, text.find("x }}").unwrap());
    }
}
