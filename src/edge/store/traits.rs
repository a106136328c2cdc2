//! The doors of the store, so that tests can put a fault behind each.

use std::path::Path;
use tidegate_flow::job::{ArtifactRef, Receipt};
use tidegate_flow::queue::{Capacity, Request};
use tidegate_flow::run::{RunEvent, RunSummary};

/// When an append must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// A killed process loses nothing; a power cut may lose it.
    Process,
    /// Forced to disk before the call returns.
    Disk,
}

/// A run this process may append to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRun {
    /// ULID.
    pub run: String,
    /// For people.
    pub number: u64,
    /// Grows with every owner; an append under an older one is refused.
    pub epoch: u64,
}

/// A line of a list of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// ULID.
    pub run: String,
    /// For people.
    pub number: u64,
    /// Path of the workflow file.
    pub workflow: String,
    /// Event, branch and commit as people read them.
    pub event: String,
    /// See `event`; empty outside a repository.
    pub branch: String,
    /// See `event`.
    pub commit: String,
    /// Milliseconds since 1970.
    pub created: i64,
    /// `None` while it runs or was interrupted.
    pub summary: Option<RunSummary>,
    /// Process id of the living owner, if one is alive.
    pub owner: Option<u32>,
}

impl RunRow {
    /// It has not ended: it runs, or can be taken up again.
    pub fn is_open(&self) -> bool {
        self.summary.is_none()
    }

    /// An engine runs it.
    pub fn is_run(&self) -> bool {
        self.is_open() && self.owner.is_some()
    }
}

/// The log of all runs.
pub trait RunLog: Send {
    /// Makes a run with its first event in it and takes it. The number is the store's: the event is
    /// kept with it in, whatever `RunCreated::number` said.
    fn create(&mut self, first: &RunEvent) -> Result<OwnedRun, StoreError>;
    /// Takes a run that exists; refused while its owner is alive.
    fn own(&mut self, run: &str) -> Result<OwnedRun, StoreError>;
    /// Appends in order, all or none; refused if somebody else owns the run by now.
    fn append(&mut self, run: &OwnedRun, events: &[RunEvent], sync: Sync) -> Result<(), StoreError>;
    /// Returns a run's events from position `from` (0: the first).
    fn events(&self, run: &str, from: u64) -> Result<Vec<RunEvent>, StoreError>;
    /// Returns a run's first event, which says what it is, and reads no more of its log.
    fn first_event(&self, run: &str) -> Result<RunEvent, StoreError>;
    /// Returns the newest runs first.
    fn list(&self, limit: usize) -> Result<Vec<RunRow>, StoreError>;
    /// Returns the newest run before `before` of a project's workflow on a branch that ended with success. `project`:
    /// [`RunCreated::project`](tidegate_flow::run::RunCreated::project).
    fn last_good(
        &self,
        project: &str,
        workflow: &str,
        branch: &str,
        before: u64,
    ) -> Result<Option<RunRow>, StoreError>;
    /// Finds a run by number, ULID or the start of one.
    fn find(&self, name: &str) -> Result<Option<RunRow>, StoreError>;
    /// Tells whether what is left of a run must stay: `goes_on` says so of its row. What cannot be found out is left
    /// alone.
    fn may_go_on(&self, run: &str, goes_on: fn(&RunRow) -> bool) -> bool {
        let found = self.find(run);
        found.map_or(true, |row| row.is_some_and(|row| row.run.eq_ignore_ascii_case(run) && goes_on(&row)))
    }
    /// Gives the run back: after its end, or when the owner stops.
    fn release(&mut self, run: &OwnedRun) -> Result<(), StoreError>;
    /// Leaves a wish for the owner: `cancel` or `kill`, with a reason.
    fn request(&mut self, run: &str, wish: &str, reason: &str) -> Result<(), StoreError>;
    /// Takes the wishes that are there.
    fn wishes(&mut self, run: &OwnedRun) -> Result<Vec<(String, String)>, StoreError>;
    /// Stands in the line over all runs of the store: leaves with what is done, joins with what is
    /// wanted, and lets whoever is next on this machine go on. Leases live as long as this store is
    /// open; those of dead processes are taken away.
    fn stand(
        &mut self,
        machine: &Capacity,
        leave: &[String],
        join: &[(String, Request)],
    ) -> Result<Line, StoreError>;
    /// Tells whether another process has written something since this was asked last. Cheap.
    fn changed(&mut self) -> Result<bool, StoreError>;
    /// Looks up a cached receipt.
    fn cached(&self, key: &str) -> Result<Option<CacheEntry>, StoreError>;
    /// Looks up many at once, in order.
    fn cached_many(&self, keys: &[String]) -> Result<Vec<Option<CacheEntry>>, StoreError>;
    /// Keeps a receipt under its key, with the key's parts for `why`.
    fn keep(&mut self, key: &tidegate_flow::run::CacheKey, entry: &CacheEntry) -> Result<(), StoreError>;
}

/// A receipt that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheEntry {
    /// The run it is from.
    pub run: String,
    /// That run's number.
    pub number: u64,
    /// What it gave.
    pub receipt: Receipt,
}

/// The line over all runs of a store, as one engine sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// All that this engine asked for and did not leave.
    pub mine: Vec<Place>,
    /// Whether other living engines stand in it.
    pub others: bool,
    /// Processes whose requests were answered, or which hold what is waited for.
    pub wake: Vec<u32>,
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As it was asked.
    pub key: String,
    /// GPUs by index, once granted.
    pub held: Option<Vec<u32>>,
    /// It holds a group that a newcomer wants: it is to stop.
    pub stop: Option<String>,
    /// A newcomer took its place in this group: it is in the line no more.
    pub replaced: Option<String>,
}

/// Content by digest.
pub trait Objects: Send + std::marker::Sync {
    /// Keeps bytes; returns their blake3 in hex.
    fn put(&self, bytes: &[u8]) -> Result<String, StoreError>;
    /// Returns bytes.
    fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError>;
    /// Keeps a file or folder: chunks of 64 MiB and a manifest; links out of it are refused.
    fn put_path(&self, path: &Path) -> Result<ArtifactRef, StoreError>;
    /// Tells whether all of an artifact is there, and keeps collections away from it for as long as it
    /// takes to log that it is needed: whoever takes over what an earlier run made asks this first.
    fn claim(&self, artifact: &ArtifactRef) -> Result<bool, StoreError>;
    /// Lays an artifact out at a path that does not exist yet; digests are verified.
    fn fetch(&self, artifact: &ArtifactRef, to: &Path) -> Result<(), StoreError>;
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another living process owns the run.
    #[error("run {number} belongs to process {pid}")]
    Owned {
        /// The run.
        number: u64,
        /// The owner.
        pid: u32,
    },
    /// Another process took the run over meanwhile.
    #[error("run {0} was taken over by another process")]
    TakenOver(u64),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoSuchRun(String),
    /// More than one run has a name that starts so.
    #[error("more than one run is called {0}…; say more of its name")]
    Ambiguous(String),
    /// A newer Tidegate wrote it.
    #[error("the store {path} has version {found}; this tidegate knows versions up to {known}")]
    Newer {
        /// Where.
        path: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Nothing is kept under the digest.
    #[error("object {0} is not in the store any more: `runs gc` frees what only old runs need")]
    Missing(String),
    /// The content is not what its digest says.
    #[error("object {0} is damaged")]
    Damaged(String),
    /// A path that cannot be kept.
    #[error("{path}: {reason}")]
    Path {
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// No room on the disk.
    #[error("no space left for the store in {0}")]
    Full(String),
    /// The file system said no.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database is damaged, or something else lies in its place.
    #[error("the log {path} cannot be read: {source}")]
    Corrupt {
        /// The file.
        path: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// SQLite said no.
    #[error("the store's log: {0}")]
    Log(#[from] rusqlite::Error),
    /// An event that cannot be read.
    #[error("event {seq} of run {run}: {reason}")]
    Decode {
        /// The run.
        run: String,
        /// Position.
        seq: u64,
        /// Why.
        reason: String,
    },
}
