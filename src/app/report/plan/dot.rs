//! A plan in Graphviz's language.

use super::graph::{Kind, graph};
use std::fmt::Write as _;
use tidegate_flow::plan::Plan;

/// Writes a digraph.
pub fn dot(plan: &Plan) -> String {
    let graph = graph(plan);
    let mut out = String::from("digraph plan {\n  rankdir=LR;\n");
    let _ =
        writeln!(out, "  label=\"{}\";\n  labelloc=t;\n  fontname=\"sans-serif\";", escaped(&graph.title));
    out.push_str("  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=11];\n");
    for (at, node) in graph.nodes.iter().enumerate() {
        let mut label = format!("{}\\n{}", escaped(&node.title), node.fate);
        for line in &node.lines {
            let _ = write!(label, "\\n{}", escaped(line));
        }
        let (fill, line) = colors(node.kind);
        let around = if node.folded { ", peripheries=2" } else { "" };
        let _ = writeln!(out, "  j{at} [label=\"{label}\", fillcolor=\"{fill}\", color=\"{line}\"{around}];");
    }
    for (from, to) in &graph.edges {
        let _ = writeln!(out, "  j{from} -> j{to};");
    }
    out.push_str("}\n");
    out
}

/// Fill and line of a kind of node.
pub(super) fn colors(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Runs => ("#eef4ff", "#3563c9"),
        Kind::Cached => ("#eaf7ee", "#2f8a4c"),
        Kind::Skipped => ("#f4f4f5", "#8b8f98"),
        Kind::Depends => ("#fff7e3", "#b07d12"),
        Kind::Fails => ("#fdeceb", "#c2362b"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
