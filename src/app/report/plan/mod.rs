//! A plan as text, JSON, YAML, mermaid, dot and a picture.

mod dot;
mod graph;
mod layout;
mod mermaid;
mod svg;
mod table;
mod text;
mod words;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;
