//! Checked workflow and event give a plan: what would run, and why.
