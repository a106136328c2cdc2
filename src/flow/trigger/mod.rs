//! Does this event start this workflow, and if not, which filter said so.

mod inputs;

pub use inputs::coerce;
