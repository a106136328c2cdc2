//! What a gate says.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_lang::workflow::BoundKind;

/// The answer of a `gate` or `validate` step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether what follows may run.
    pub outcome: Outcome,
    /// Each bound with its numbers, in file order.
    pub findings: Vec<Finding>,
}

/// Pass, fail, or nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every bound holds.
    Pass,
    /// At least one does not.
    Fail,
    /// It could not be judged (a registry was down): the tool failed, the gate says nothing.
    Undecided,
}

/// One bound, one expectation or one rule of a validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The metric, or the expectation's text, or the rule (`rows`, `schema`).
    pub subject: String,
    /// The kind of bound; `None` for expectations and validation rules.
    pub kind: Option<BoundKind>,
    /// The measured value; `None` if missing or not a finite number.
    pub value: Option<f64>,
    /// The bound as a number, after percentages and the baseline were worked in.
    pub bound: Option<f64>,
    /// The baseline's value, for relative bounds.
    pub baseline: Option<f64>,
    /// Distance to the bound: positive is to spare, negative is short by.
    pub margin: Option<f64>,
    /// Whether it holds.
    pub holds: bool,
    /// What to say in words where numbers do not: "the metric is missing", "NaN", "row 17: …".
    pub note: Option<String>,
}

/// The metrics a gate compares with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// Metrics by name, and where they are from (`run 6`, `digits@production`).
    Metrics {
        /// For people.
        from: String,
        /// Values.
        metrics: BTreeMap<String, f64>,
    },
    /// There is none yet: absolute bounds decide alone, and there must be one.
    Absent,
}
