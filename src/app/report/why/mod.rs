//! Why a job ran, was skipped, came from the cache, or failed.

mod answer;
mod text;

pub use answer::{Answer, InstanceAnswer, KeyPart, Origin, answer};
pub use text::text;
