//! A hub's objects on their way to somebody's folder: they pass through a folder of nobody's, some at a time.

use super::moving::in_parallel;
use super::objects::HubObjects;
use crate::store::{Content, FileObjects, Objects as _, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often it is looked how much has come.
const LOOK: Duration = Duration::from_millis(200);

/// A hub's objects as content.
pub struct Passing<'a> {
    hub: &'a HubObjects,
    folder: Arc<FileObjects>,
    came: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Passing<'a> {
    /// Lets them pass through this folder, which is made; `came` hears how many more bytes are here while they come.
    pub fn new(
        hub: &'a HubObjects,
        folder: &Path,
        came: &'a (dyn Fn(u64) + Sync),
    ) -> Result<Self, StoreError> {
        Ok(Self { hub, folder: Arc::new(FileObjects::open(folder)?), came })
    }
}

impl Content for Passing<'_> {
    fn bring(&self, digests: &[String]) -> Result<(), StoreError> {
        let (end, ended) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut told, mut over) = (0, false);
                while !over {
                    over = ended.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout);
                    // What comes again, after a transfer that broke, is not told again.
                    let here = self.folder.bytes();
                    (self.came)(here.saturating_sub(told));
                    told = told.max(here);
                }
            });
            let done = in_parallel(digests, |digest| self.hub.fetch(digest, &self.folder));
            drop(end);
            done
        })
    }

    fn read(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        self.folder.get(digest)
    }

    fn done(&self, digests: &[String]) {
        digests.iter().for_each(|digest| self.folder.discard(digest));
    }
}
