//! The static types of contexts: what is known of `steps`, `needs`, `matrix`, … before anything
//! runs, and what expressions over them must be.

mod build;
mod github;
mod infer;
mod matrix;
mod types;

pub(super) use build::Scopes;
pub(super) use infer::{Finding, Problem, infer};
pub(super) use matrix::instance_count;
pub(super) use types::{Kind, Type};
