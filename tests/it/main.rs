//! The one integration binary: one file a feature.

mod architecture;
mod commands;
mod harness;
mod conformance_expressions;
