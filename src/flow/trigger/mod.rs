//! Does this event start this workflow, and if not, which filter said so.
