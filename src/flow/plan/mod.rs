//! A workflow and an event give a plan; and the evaluation that plan and engine share: `if`,
//! `strategy`, the keys of an instance, the spec of an attempt.
//!
//! Not here: reading files, asking the cache, the state of a run.

mod absent;
mod cache;
mod call;
mod consume;
mod contexts;
mod declare;
mod display;
mod evaluate;
mod instance;
mod job;
mod matrix;
mod measure;
mod needs;
mod reads;
mod reason;
mod spec;
mod steps;

pub use absent::{Absent, absent, absent_triggers};
pub use cache::{CacheFacts, TreeDigests};
pub use call::{call_contexts, call_outputs, call_secrets};
pub use consume::artifact_value;
pub use contexts::{Contexts, FileHasher};
pub use declare::declare_jobs;
pub use instance::{concurrency, evaluate_instance};
pub use job::{evaluate_job, instance_contexts, job_status};
pub use needs::{InstanceFacts, NeedFacts, jobs_context, needs_context, word};
pub use spec::{Attempt, job_spec};
pub use steps::step_specs;
