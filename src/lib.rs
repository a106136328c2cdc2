//! Tidegate: a GitHub Actions-style workflow engine for machine learning.
//!
//! The map of the house, a crate a floor; imports go down, never up:
//!
//! - `tidegate-lang` (`src/lang`): what a workflow file says. Pure.
//! - `tidegate-flow` (`src/flow`): what should happen. Pure and deterministic.
//! - `tidegate-edge` (`src/edge`): effects, each behind a small trait.
//! - [`app`] (`src/app`): assembly: the engine, reports, configuration, the command line.

pub mod app;
