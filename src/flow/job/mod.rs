//! One attempt of one instance, as the agent sees it: what it is given (`JobSpec`), what it says
//! (`JobMessage`), what it is asked (`AgentRequest`); command files, workflow commands and masking.

mod class;
mod message;
mod spec;

pub use class::{Conclusion, FailureClass};
pub use message::*;
pub use spec::*;
