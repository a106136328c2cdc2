//! Saves a checkpoint folder elsewhere while the steps run: what a pod keeps dies with it.

use super::fence::handle;
use super::link::Link;
use crate::store::Objects;
use rustix::fs::{Mode, OFlags, open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};
use tidegate_flow::job::MessageBody;

/// A folder that changes while it is read is read again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// A thread that saves a folder each time it has changed.
pub(super) struct Saver {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Saver {
    /// Starts to save `folder` every so often. Each save is said over `link`.
    pub(super) fn start(
        folder: PathBuf,
        every: Duration,
        objects: Arc<dyn Objects>,
        link: Arc<Link>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        // This very folder, whatever a step puts in its place.
        let opened = open(&folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let folder = handle(&opened);
        // Before the first step: what it writes at once is a change, too.
        let mut saved = stamp(&folder);
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            let _opened = opened;
            let mut pause = every;
            loop {
                let last = !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
                let now = stamp(&folder);
                pause = every;
                if now != saved {
                    if save(&folder, &now, &*objects, &link, last) {
                        saved = now;
                    } else {
                        pause = every.min(AGAIN);
                    }
                }
                if last {
                    return;
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Saves what changed since, and ends. To be called when nothing writes any more.
    pub(super) fn finish(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Saves a folder once; false: it changed meanwhile, or could not be kept.
fn save(folder: &Path, before: &Stamp, objects: &dyn Objects, link: &Link, last: bool) -> bool {
    let Ok(artifact) = objects.put_path(folder) else { return false };
    // Half of one state and half of the next is none.
    if !last && stamp(folder) != *before {
        return false;
    }
    link.say(MessageBody::Saved { artifact });
    link.flush();
    true
}

/// Path, size and time of every file, in order.
type Stamp = Vec<(PathBuf, u64, Duration)>;

fn stamp(folder: &Path) -> Stamp {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                open.push(entry.path());
            }
            let time =
                meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            found.push((entry.path(), meta.len(), time));
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{Control, Uplink};
    use crate::store::FileObjects;
    use std::sync::Mutex;
    use tidegate_flow::job::{ArtifactRef, JobMessage};

    #[derive(Default)]
    struct Heard(Mutex<Vec<ArtifactRef>>);

    impl Uplink for Heard {
        fn send(&self, message: JobMessage, _: bool) {
            if let MessageBody::Saved { artifact } = message.body {
                self.0.lock().unwrap().push(artifact);
            }
        }

        fn flush(&self) {}
    }

    #[test]
    fn what_changed_is_saved_once_and_the_last_state_too() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let objects = Arc::new(FileObjects::open(folder.path().join("objects")).unwrap());
        let heard = Arc::new(Heard::default());
        let link = Arc::new(Link::new("t", heard.clone(), Arc::new(Control::new())));
        let saver = Saver::start(data.clone(), Duration::from_millis(5), objects.clone(), link).unwrap();
        // At once: a file that is there and empty would be a state of its own.
        let write = |text: &str| {
            std::fs::write(folder.path().join("new"), text).unwrap();
            std::fs::rename(folder.path().join("new"), data.join("a")).unwrap();
        };
        write("1");
        let deadline = std::time::Instant::now() + Duration::from_mins(4);
        while heard.0.lock().unwrap().is_empty() {
            assert!(std::time::Instant::now() < deadline, "nothing was saved");
            std::thread::sleep(Duration::from_millis(1));
        }
        write("last");
        saver.finish();
        let saved = heard.0.lock().unwrap().clone();
        objects.fetch(saved.last().unwrap(), &folder.path().join("again")).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("again/a")).unwrap(), "last");
        assert_eq!(saved.len(), 2, "{saved:?}");
    }
}
