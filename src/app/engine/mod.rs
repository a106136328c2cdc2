//! The loop: admit, append, apply, decide, carry out.
