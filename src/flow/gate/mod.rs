//! Metrics and thresholds give a verdict: data with the numbers in it.

mod judge;
mod limit;
mod verdict;

pub use judge::{Case, Reference, judge};
pub use limit::{Limit, LimitError};
pub use verdict::{Baseline, Finding, Outcome, Verdict};
