//! A workflow and an event give a plan; and the evaluation that plan and engine share: `if`,
//! `strategy`, the keys of an instance, the spec of an attempt.
//!
//! Not here: reading files, asking the cache, the state of a run.

mod absent;
mod build;
mod cache;
mod call;
mod consume;
mod contexts;
mod declare;
mod display;
mod estimate;
mod evaluate;
mod fate;
mod gates;
mod in_images;
mod instance;
mod job;
mod known;
mod matrix;
mod measure;
mod model;
mod needs;
mod order;
mod outline;
mod pod;
mod reads;
mod reason;
mod select;
mod service;
mod spec;
mod steps;
mod strip;
mod unshared;
mod volumes;

pub use absent::{Absent, Place, absent, absent_action, absent_triggers};
pub use build::{PlanInput, plan};
pub use cache::{CacheFacts, TreeDigests, is_cache_input};
pub use call::{call_contexts, call_outputs, call_secrets};
pub use consume::artifact_value;
pub use contexts::{Contexts, FileHasher};
pub use declare::declare_jobs;
pub use estimate::{Estimate, estimate};
pub use gates::{KeptGate, kept_gates};
pub use instance::{concurrency, evaluate_instance};
pub use job::{evaluate_job, instance_contexts, job_status};
pub use model::{
    CacheAnswer, Fate, Later, Plan, PlannedGate, PlannedInstance, PlannedJob, PlannedSource, PlannedStep,
};
pub use needs::{InstanceFacts, NeedFacts, jobs_context, needs_context, word};
pub use select::{matrix_filters, matrix_fits, select_jobs};
pub use spec::{Attempt, job_spec};
pub use steps::step_specs;

#[cfg(test)]
mod tests;
