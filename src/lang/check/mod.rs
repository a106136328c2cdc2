//! The rules a workflow must keep, for what needs several sections at once.
//!
//! `rules/` holds one file a rule: its name with dashes is the rule's id and its anchor in
//! `docs/rules.md`. What all of them look at (every template of the file with the types its
//! contexts have there) is worked out once in [`Facts`]. Not here: shape and type of single keys
//! (`workflow`), the legality of a context at a key (`expr::check`), printing (`source::render`).
//!
//! To add a rule: write `rules/my_rule.rs` with a `pub(super) const RULE: Rule`, name it in
//! `rules/mod.rs`, and give it a section with an example in `docs/rules.md`; a test runs it.

mod access;
mod cases;
mod checked;
mod context;
mod facts;
mod printing;
mod rule;
mod rules;
mod scope;
mod sites;
mod suggest;
mod taint;

pub use checked::{Checked, check, check_one};
pub use context::{CheckContext, LocalAction, local_actions, no_actions};
pub use rule::{Level, Rule};
pub use rules::RULES;
pub use suggest::mend;

use facts::Facts;

/// Scripts of twelve random words each, the same ones every time.
#[cfg(test)]
fn random_scripts(words: &'static [&'static str], mut state: u64) -> impl Iterator<Item = String> {
    let mut word = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).ok()? % words.len();
        words.get(at).copied()
    };
    std::iter::repeat_with(move || (0..12).filter_map(|_| word()).collect()).take(20_000)
}
