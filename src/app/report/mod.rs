//! Events of a run as text: for a terminal, as JSON, JUnit and Markdown. Strings only.
//!
//! Reports see the same [`RunEvent`](tidegate_flow::run::RunEvent)s live and in replay. Not here:
//! where the text goes.

pub mod check;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod plan;
pub mod runs;
pub mod terminal;
pub mod why;

mod changes;
mod number;
mod style;
mod verdict;
mod view;

pub use changes::{FileChange, Hunk, TextChange};
pub use number::{bytes, count, duration, metric};
pub use style::{Style, cut, one_line, shown_name};
pub use verdict::verdict_lines;
pub use view::{InstanceState, InstanceView, JobView, RunView, StepView};
