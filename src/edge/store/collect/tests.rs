//! A collector beside users of a store.

use super::Collect;
use crate::store::Store;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tidegate_flow::job::ArtifactRef;

const OLD: Duration = Duration::from_hours(48);

fn make_old(store: &Store, artifact: &ArtifactRef) {
    let objects = store.file_objects();
    let Ok(manifest) = objects.manifest(&artifact.digest) else { return };
    let parts = manifest.entries.iter().flat_map(|entry| entry.kind.objects());
    for digest in parts.chain([&artifact.digest]) {
        let place = store.dir().join("objects").join(&digest[..2]).join(&digest[2..]);
        let _ = File::open(place).and_then(|file| file.set_modified(SystemTime::now() - OLD));
    }
}

fn store_and_folder() -> (tempfile::TempDir, Store, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    fs::create_dir_all(&from).unwrap();
    for name in 0..20 {
        fs::write(from.join(name.to_string()), format!("content {name}")).unwrap();
    }
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store, from)
}

#[test]
fn what_is_old_and_unneeded_goes_unless_it_is_claimed_or_found() {
    let (_folder, mut store, from) = store_and_folder();
    let artifact = store.objects().put_path(&from).unwrap();
    let count = |store: &mut Store, also: &[String]| {
        let wanted = Collect { also: also.to_vec(), ..Collect::default() };
        store.collect(&wanted).unwrap().objects.count
    };
    assert_eq!(count(&mut store, &[]), 0, "young");
    make_old(&store, &artifact);
    assert_eq!(count(&mut store, std::slice::from_ref(&artifact.digest)), 0, "needed");
    assert!(store.objects().claim(&artifact).unwrap());
    assert_eq!(count(&mut store, &[]), 0, "claimed");
    make_old(&store, &artifact);
    assert_eq!(store.objects().put_path(&from).unwrap(), artifact);
    assert_eq!(count(&mut store, &[]), 0, "found");
    make_old(&store, &artifact);
    assert_eq!(count(&mut store, &[]), 21, "20 files and their list");
    assert!(!store.objects().claim(&artifact).unwrap(), "gone");
}

/// Whoever claimed or put something has it, however the collector's steps fall between.
#[test]
fn a_collector_beside_a_user_takes_nothing_that_is_in_use() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let (folder, store, from) = store_and_folder();
    let artifact = store.objects().put_path(&from).unwrap();
    let over = AtomicBool::new(false);
    /// Ends the collector also when the user panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (mut claimed, mut put, gone) = (0_u64, 0_u64, AtomicU64::new(0));
    let dir = store.dir().to_owned();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = Store::open(&dir).unwrap();
            while !over.load(Ordering::Relaxed) {
                let swept = other.collect(&Collect::default()).unwrap();
                gone.fetch_add(swept.objects.count, Ordering::Relaxed);
            }
        });
        let _user = Over(&over);
        let end = std::time::Instant::now() + Duration::from_mins(3);
        // Until all ways were gone often, on a slow machine, too.
        while (claimed < 60 || put < 60 || gone.load(Ordering::Relaxed) == 0)
            && std::time::Instant::now() < end
        {
            make_old(&store, &artifact);
            if claimed < put || (claimed + put) % 2 == 0 {
                if store.objects().claim(&artifact).unwrap() {
                    claimed += 1;
                } else {
                    store.objects().put_path(&from).unwrap();
                    put += 1;
                }
            } else {
                store.objects().put_path(&from).unwrap();
                put += 1;
            }
            let to = folder.path().join("to");
            store.objects().fetch(&artifact, &to).unwrap();
            fs::remove_dir_all(to).unwrap();
        }
    });
    let gone = gone.into_inner();
    assert!(claimed >= 60 && put >= 60 && gone > 0, "{claimed} claimed, {put} put, {gone} gone");
}
