//! Text that strangers write, followed from where it enters to where it ends.
//!
//! `strangers` knows the sources, `flow` follows expressions through variables, matrices, outputs,
//! inputs of actions and of called workflows, `outputs` through what steps and jobs give out, `script` reads which output a shell line writes.
//! Not here: what is said of it (`rules/untrusted_text`).

mod flow;
mod outputs;
mod script;
mod strangers;

pub(super) use flow::{Body, Handing, Reached, Target};
