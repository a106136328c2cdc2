//! Where attempts run: on this machine, in containers, on a cluster.

pub mod inside;
pub mod local;
pub mod machine;
