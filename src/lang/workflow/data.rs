//! `data`: sources that runs pin and consume.

use crate::expr::Template;
use crate::source::Spanned;

/// One source.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSource {
    /// Its name, as in the context `data.<name>`.
    pub name: Spanned<String>,
    /// A path, or `s3://`, `gs://`, `az://`, `https://`.
    pub uri: Template,
    /// Globs of what belongs to it; empty: everything.
    pub include: Vec<Spanned<String>>,
    /// Globs of what does not.
    pub exclude: Vec<Spanned<String>>,
}
