//! The one integration binary: one file a feature.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod agent;
mod agent_actions;
mod architecture;
mod bad_input;
mod check;
mod commands;
mod conformance_actionlint;
mod conformance_expressions;
mod conformance_parser;
mod conformance_runs;
#[cfg(feature = "cluster")]
mod container;
mod diff;
mod docs;
mod download;
mod durability;
mod eval;
mod examples;
mod executor;
mod gates;
mod gc;
mod harness;
mod hostile;
#[cfg(feature = "cluster")]
mod images;
mod in_process;
mod init;
mod keys;
mod keys_in_pods;
#[cfg(feature = "cluster")]
mod kubernetes;
mod plan;
mod pod_agent;
mod python;
#[cfg(feature = "cluster")]
mod registry;
mod reports;
mod resume;
mod rules_docs;
mod run;
mod runner_half;
mod runs;
mod schema;
mod sources;
mod store_kill;
mod store_trouble;
#[cfg(feature = "cluster")]
mod trace;
mod two_engines;
mod untrusted_text;
mod watch;
mod why;
mod work_folder;
