//! Earlier runs: their list, one in full, and what differs between two.
//!
//! Not here: where they are read (`cli/runs`), a run while it goes on (`report/terminal`).

mod collected;
mod diff;
mod difference;
mod downloaded;
mod list;
mod show;

pub use collected::{Figures, Part, collected, collected_json};
pub use diff::{Side, compare};
pub use difference::{Change, Difference};
pub use downloaded::{Laid, downloaded, downloaded_json, laid};
pub use list::{Line, list, list_json};
pub use show::{show, show_json};
