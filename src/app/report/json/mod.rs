//! Events as JSON, one a line, in the stored form of the log.

mod lines;

pub use lines::line;
