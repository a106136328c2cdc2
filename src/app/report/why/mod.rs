//! Why a job ran, was skipped, came from the cache, or failed.

mod answer;
mod keyed;
mod text;

pub use answer::{Answer, Evidence, InstanceAnswer, KeyPart, Origin, answer};
pub use keyed::Keyed;
pub use text::text;
