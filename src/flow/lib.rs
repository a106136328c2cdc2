//! What should happen: triggers, plans, gates, the state machine of a run and the queue over all
//! runs, and the forms in which they are stored and sent.
//!
//! Pure and deterministic: time and ids are arguments.
//!
//! ```text
//! Checked<Workflow> (+ event) → plan::Plan → run::Run ⇄ run::Command
//! ```

pub mod gate;
pub mod job;
pub mod plan;
pub mod queue;
pub mod run;
pub mod trigger;
pub mod wire;
