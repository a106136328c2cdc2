//! Stored and sent forms, apart from the domain types: one module a version.

pub mod v1;
