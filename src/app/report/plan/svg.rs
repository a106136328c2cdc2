//! A plan as a picture: dark text on light, every colour with a word.

use super::dot::colors;
use super::graph::{Graph, Kind, Node, graph};
use super::layout::{Layout, Point, Size, layout};
use std::fmt::Write as _;
use tidegate_flow::plan::Plan;

const MARGIN: f64 = 28.0;
const HEAD: f64 = 40.0;
const PAD: f64 = 14.0;
const LINE: f64 = 17.0;
const TITLE: f64 = 14.0;
const TEXT: f64 = 12.0;
/// How far the cards behind a folded matrix stick out.
const STACK: f64 = 4.0;
/// Characters after which a line of a node wraps.
const WRAP: usize = 44;

/// Draws the graph of a plan.
pub fn svg(plan: &Plan) -> String {
    let graph = graph(plan);
    let wrapped: Vec<Vec<String>> =
        graph.nodes.iter().map(|node| node.lines.iter().flat_map(|line| wrap(line)).collect()).collect();
    let sizes: Vec<Size> = graph.nodes.iter().zip(&wrapped).map(|(node, lines)| size(node, lines)).collect();
    let laid = layout(&sizes, &graph.edges);
    let title_width = width(&graph.title, 16.0);
    let total = (
        laid.width.max(title_width) + 2.0 * MARGIN + STACK * 2.0,
        laid.height + HEAD + 2.0 * MARGIN + STACK * 2.0,
    );
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0}\" height=\"{1:.0}\" viewBox=\"0 0 {0:.0} {1:.0}\" \
         font-family=\"ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif\" role=\"img\">",
        total.0, total.1
    );
    let _ = writeln!(out, "<title>{}</title>", escaped(&graph.title));
    out.push_str("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
    out.push_str(
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto-start-reverse\"><path d=\"M0.5 0.5 7.5 4 0.5 7.5z\" fill=\"#6b7280\"/></marker></defs>\n",
    );
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"{}\" font-size=\"16\" font-weight=\"600\" fill=\"#14213d\">{}</text>",
        MARGIN + 12.0,
        escaped(&graph.title)
    );
    let _ = writeln!(out, "<g transform=\"translate({MARGIN} {})\">", MARGIN + HEAD);
    edges(&graph, &laid, &mut out);
    for ((node, lines), (place, size)) in graph.nodes.iter().zip(&wrapped).zip(laid.nodes.iter().zip(&sizes))
    {
        draw(node, lines, *place, *size, &mut out);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Draws every edge as one smooth line.
fn edges(graph: &Graph, laid: &Layout, out: &mut String) {
    for ((from, to), points) in graph.edges.iter().zip(&laid.edges) {
        let Some(first) = points.first() else { continue };
        let dashed = [from, to]
            .into_iter()
            .filter_map(|at| graph.nodes.get(*at))
            .any(|node| node.kind == Kind::Skipped);
        let stack = graph.nodes.get(*from).map_or(0.0, |node| if node.folded { STACK * 2.0 } else { 0.0 });
        let mut path = format!("M{:.1} {:.1}", first.x + stack, first.y);
        for pair in points.windows(2) {
            let [a, b] = pair else { continue };
            if (a.y - b.y).abs() < 0.5 {
                let _ = write!(path, " L{:.1} {:.1}", b.x, b.y);
            } else {
                let middle = f64::midpoint(a.x, b.x);
                let _ = write!(path, " C{middle:.1} {:.1} {middle:.1} {:.1} {:.1} {:.1}", a.y, b.y, b.x, b.y);
            }
        }
        let dash = if dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"#6b7280\" stroke-width=\"1.4\"{dash} marker-end=\"url(#tip)\"/>"
        );
    }
}

/// Draws one node: cards behind it where a matrix is folded, title, fate, lines.
fn draw(node: &Node, lines: &[String], place: Point, size: Size, out: &mut String) {
    let (fill, line) = colors(node.kind);
    let dash = if node.kind == Kind::Skipped { " stroke-dasharray=\"5 4\"" } else { "" };
    let mut card = |offset: f64| {
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"7\" fill=\"{fill}\" stroke=\"{line}\" stroke-width=\"1.3\"{dash}/>",
            place.x + offset,
            place.y + offset,
            size.width,
            size.height
        );
    };
    if node.folded {
        card(STACK * 2.0);
        card(STACK);
    }
    card(0.0);
    let x = place.x + PAD;
    let mut y = place.y + PAD + TITLE - 2.0;
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{TITLE}\" font-weight=\"600\" fill=\"#14213d\">{}</text>",
        escaped(&node.title)
    );
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{y:.1}\" font-size=\"{TEXT}\" text-anchor=\"end\" fill=\"{line}\">{}</text>",
        place.x + size.width - PAD,
        node.fate
    );
    for text in lines {
        y += LINE;
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{TEXT}\" fill=\"#374151\">{}</text>",
            escaped(text)
        );
    }
}

/// A node's size: as wide as its widest line.
fn size(node: &Node, lines: &[String]) -> Size {
    let head = width(&node.title, TITLE) * 1.06 + width(node.fate, TEXT) + 22.0;
    let widest = lines.iter().map(|line| width(line, TEXT)).fold(head, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "lines are few")]
    let height = lines.len() as f64 * LINE + TITLE + 2.0 * PAD - 3.0;
    Size { width: (widest + 2.0 * PAD).max(120.0), height }
}

/// How wide text is, about: no font is at hand, so every letter is given what the widest usual
/// sans-serif gives its kind.
fn width(text: &str, size: f64) -> f64 {
    let units: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.36,
            'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | ' ' | '-' => 0.43,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.98,
            'A'..='Z' | '≥' | '≤' | '×' | '…' | '=' | '<' | '>' | '+' => 0.8,
            c if c.is_ascii() => 0.64,
            _ => 1.0,
        })
        .sum();
    units * size
}

/// Breaks a line at spaces.
fn wrap(line: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    for word in line.split_whitespace() {
        let needed = current.chars().count() + 1 + word.chars().count();
        if !current.is_empty() && needed > WRAP {
            lines.push(std::mem::take(&mut current));
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.extend(word.chars().take(WRAP * 2));
    }
    lines.push(current);
    lines
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
