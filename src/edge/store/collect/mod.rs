//! Collection: what no kept run needs and is older than the grace age is removed. Marks come from
//! the log; the log itself stays.
//!
//! Not here: what an event refers to (`flow::run`), how users of the store are kept safe (`claim`).

mod collection;
mod mark;
mod sweep;
#[cfg(test)]
mod tests;

pub use collection::{Amount, Collect, Collected, KeptLists, Strike};
