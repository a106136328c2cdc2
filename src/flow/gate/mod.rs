//! Metrics and thresholds give a verdict: data with the numbers in it.

mod verdict;

pub use verdict::{Baseline, Finding, Outcome, Verdict};
