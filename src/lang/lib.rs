//! What a workflow file says: text, places, values, expressions, the typed
//! workflow and the rules it must keep.
//!
//! Nothing here reads a file, a clock, an environment variable or a random
//! number: what is needed comes in as an argument, so the same text always
//! gives the same answer.
//!
//! ```text
//! bytes → source::Node → workflow::Workflow → check::Checked<Workflow>
//! ```

pub mod check;
pub mod expr;
pub mod source;
pub mod value;
pub mod workflow;
