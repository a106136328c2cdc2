//! Runs the steps of one `JobSpec` where it stands; the one step runner of all back ends.
//!
//! `supervisor` hosts all jobs of an engine; `job` runs one attempt; `step` one step. Processes are
//! in `process` and `children`, what they print in `output`.

mod builtin;
mod checkpoint;
mod children;
mod composite;
mod control;
mod copy;
mod environment;
mod fence;
mod frames;
mod gate;
mod hash_files;
mod home;
mod job;
mod keep;
mod launcher;
mod lay_in;
mod link;
mod oom;
mod output;
mod place;
mod process;
mod rows;
mod saved;
mod saver;
mod scope;
mod script;
mod sha256;
mod shell;
mod shim;
mod step;
mod supervisor;
mod temp;
mod validate;
mod variables;
mod workers;

pub use builtin::Caches;
pub use checkpoint::{Checkpoints, checkpoint_folder};
pub use children::{Children, MARK, below, has_mark, processes, reap, signal};
pub use control::{Control, Wish};
pub use frames::{Frames, invalid};
pub use hash_files::{hash_files, matches};
pub use job::{Surroundings, run};
pub use launcher::{Launcher, Running, find};
pub use link::{Link, Uplink, now};
pub use place::remove as remove_folder;
pub use place::{FreshFolders, Left, Place, Places, file_name, log_path, log_path_of, node_log_path};
pub use saved::{ActionCaches, Saved};
pub use shim::{Bring, Brought, Door, Row, ShimError, ShimLauncher, serve};
pub use supervisor::{Host, supervise};
pub use temp::TempFolders;
