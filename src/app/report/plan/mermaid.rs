//! A plan as a mermaid flowchart.

use super::graph::{Kind, graph};
use std::fmt::Write as _;
use tidegate_flow::plan::Plan;

/// Writes a mermaid flowchart.
pub fn mermaid(plan: &Plan) -> String {
    let graph = graph(plan);
    // A directive is read wherever it stands, in a comment, too.
    let mut out = format!("%% {}\nflowchart LR\n", graph.title.replace(['%', '{', '}'], " "));
    for (at, node) in graph.nodes.iter().enumerate() {
        let mut label = format!("<b>{}</b><br/>{}", escaped(&node.title), node.fate);
        for line in &node.lines {
            let _ = write!(label, "<br/>{}", escaped(line));
        }
        let _ = writeln!(out, "  j{at}[\"{label}\"]:::{}", class(node.kind));
    }
    for (from, to) in &graph.edges {
        let _ = writeln!(out, "  j{from} --> j{to}");
    }
    out.push_str("  classDef runs fill:#eef4ff,stroke:#3563c9,color:#14213d\n");
    out.push_str("  classDef cached fill:#eaf7ee,stroke:#2f8a4c,color:#12341f\n");
    out.push_str("  classDef skipped fill:#f4f4f5,stroke:#8b8f98,color:#3d4048,stroke-dasharray:4 3\n");
    out.push_str("  classDef depends fill:#fff7e3,stroke:#b07d12,color:#4a3607\n");
    out.push_str("  classDef fails fill:#fdeceb,stroke:#c2362b,color:#4d1410\n");
    out
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Runs => "runs",
        Kind::Cached => "cached",
        Kind::Skipped => "skipped",
        Kind::Depends => "depends",
        Kind::Fails => "fails",
    }
}

/// Writes what would end the label or start a tag as entities.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '#' => out.push_str("#35;"),
            '&' => out.push_str("#amp;"),
            '`' => out.push_str("#96;"),
            // `\n` is a new line there, and `%%{` begins a directive.
            '\\' => out.push_str("#92;"),
            '%' => out.push_str("#37;"),
            c => out.push(c),
        }
    }
    out
}
