//! Lays kept artifacts into a person's folder: beside it first, then moved to their place, so that no file is ever half
//! there. What is there stays unless it may be replaced, and nothing is written outside of the folder, whatever a list
//! says or whatever links lie there.
//!
//! Not here: what an artifact is to become (`parcel`), which ones (the command line).

use super::beside::Beside;
use super::objects::{CHUNK, io, make_folders};
use super::parcel::{DeliveryError, Parcel};
use super::{EntryKind, FileObjects, Manifest, Objects as _, StoreError};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Objects that are brought at once, and their bytes.
const WINDOW: (usize, u64) = (64, 4 * CHUNK as u64);

/// Where content comes from.
pub trait Content {
    /// Makes objects ready to be read.
    fn bring(&self, digests: &[String]) -> Result<(), StoreError>;
    /// Returns an object that was brought; its digest is checked.
    fn read(&self, digest: &str) -> Result<Vec<u8>, StoreError>;
    /// These are not needed for now.
    fn done(&self, digests: &[String]);

    /// Returns a kept list.
    fn list(&self, digest: &str) -> Result<Manifest, StoreError> {
        let one = [digest.to_owned()];
        self.bring(&one)?;
        let list = Manifest::read(digest, &self.read(digest)?);
        self.done(&one);
        list
    }
}

/// A store's own objects.
impl Content for FileObjects {
    fn bring(&self, _: &[String]) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        self.get(digest)
    }

    fn done(&self, _: &[String]) {}
}

/// A folder that artifacts are laid into.
#[derive(Debug)]
pub struct Delivery {
    folder: PathBuf,
    /// It was made for this.
    made: bool,
    /// Where files are until they are whole.
    beside: Beside,
    replace: bool,
}

impl Delivery {
    /// Makes the folder if it is not there. With `replace`, files that are there are replaced.
    pub fn open(folder: &Path, replace: bool) -> Result<Self, StoreError> {
        let made = !folder.exists();
        fs::create_dir_all(folder).map_err(|e| io("making", folder, e))?;
        // Links on the way to it are the person's own.
        let folder = folder.canonicalize().map_err(|e| io("making", folder, e))?;
        let beside = Beside::make(&folder)?;
        Ok(Self { folder, made, beside, replace })
    }

    /// Where files are until they are whole; it goes with this.
    pub fn beside(&self) -> &Path {
        self.beside.path()
    }

    /// Refuses an artifact that something is in the way of; changes nothing.
    pub fn check(&self, parcel: &Parcel) -> Result<(), DeliveryError> {
        parcel.check(&self.folder, self.replace)
    }

    /// Lays an artifact into the folder; `moved` hears how many bytes have come.
    pub fn lay(
        &self,
        parcel: &Parcel,
        content: &dyn Content,
        moved: &dyn Fn(u64),
    ) -> Result<(), DeliveryError> {
        let at = self.beside.path().join("whole");
        fs::create_dir(&at).map_err(|e| io("making", &at, e))?;
        for (path, kind) in parcel.entries() {
            let to = at.join(path);
            make_folders(&at, path.parent().unwrap_or(Path::new("")))?;
            match kind {
                EntryKind::Folder => make_folders(&at, path)?,
                EntryKind::Link { target } => {
                    let target = super::text_path(target);
                    std::os::unix::fs::symlink(target, &to).map_err(|e| io("linking", &to, e))?;
                }
                EntryKind::File { executable, .. } => drop(create(&to, *executable)?),
            }
        }
        fill(&at, parcel, content, moved)?;
        // Somebody may have put something there meanwhile.
        self.check(parcel)?;
        for (path, kind) in parcel.entries() {
            let below = parcel.below().join(path);
            if matches!(kind, EntryKind::Folder) {
                make_folders(&self.folder, &below)?;
                continue;
            }
            make_folders(&self.folder, below.parent().unwrap_or(Path::new("")))?;
            let to = self.folder.join(&below);
            fs::rename(at.join(path), &to).map_err(|e| io("writing", &to, e))?;
        }
        fs::remove_dir_all(&at).map_err(|e| io("removing", &at, e).into())
    }

    /// Takes away what is not whole, and the folder if nothing came into it that was made for this.
    pub fn clear(&self) {
        self.beside.clear();
        if self.made {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.clear();
    }
}

fn create(path: &Path, executable: bool) -> Result<File, StoreError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    made.map_err(|e| io("writing", path, e))
}

/// Fills files that are there and empty, in order, some objects at a time.
fn fill(at: &Path, parcel: &Parcel, content: &dyn Content, moved: &dyn Fn(u64)) -> Result<(), StoreError> {
    let pieces: Vec<(&Path, &String, u64)> = parcel.pieces().collect();
    let mut rest = pieces.as_slice();
    let mut open: Option<(&Path, File)> = None;
    while !rest.is_empty() {
        let (window, later) = rest.split_at(window(rest));
        rest = later;
        let digests: BTreeSet<&String> = window.iter().map(|(_, digest, _)| *digest).collect();
        let digests: Vec<String> = digests.into_iter().cloned().collect();
        content.bring(&digests)?;
        for (path, digest, _) in window {
            let bytes = content.read(digest)?;
            let whole = at.join(path);
            let wrong = |e| io("writing", &whole, e);
            let file = match &mut open {
                Some((of, file)) if of == path => file,
                other => {
                    let file = OpenOptions::new().append(true).open(&whole).map_err(wrong)?;
                    &mut other.insert((path, file)).1
                }
            };
            file.write_all(&bytes).map_err(wrong)?;
            moved(bytes.len() as u64);
        }
        content.done(&digests);
    }
    Ok(())
}

/// How many pieces are brought next: at least one.
fn window(pieces: &[(&Path, &String, u64)]) -> usize {
    let mut bytes = 0_u64;
    let fits = |(_, _, size): &&(&Path, &String, u64)| {
        bytes = bytes.saturating_add(*size);
        bytes <= WINDOW.1
    };
    pieces.iter().take(WINDOW.0).take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, link_stays_below};
    use super::*;
    use std::cell::{Cell, RefCell};

    struct Place {
        folder: tempfile::TempDir,
        objects: FileObjects,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let objects = FileObjects::open(folder.path().join("objects")).unwrap();
            Self { folder, objects }
        }

        fn delivery(&self) -> Delivery {
            Delivery::open(&self.folder.path().join("out"), true).unwrap()
        }

        /// A file whose content is in these pieces.
        fn file(&self, path: &str, pieces: &[&str]) -> Entry {
            let chunks: Vec<String> =
                pieces.iter().map(|piece| self.objects.put(piece.as_bytes()).unwrap()).collect();
            let whole = pieces.concat();
            let digest = blake3::hash(whole.as_bytes()).to_hex().to_string();
            let chunks = if chunks.len() == 1 { Vec::new() } else { chunks };
            let kind = EntryKind::File { executable: false, size: whole.len() as u64, digest, chunks };
            Entry { path: path.to_owned(), kind }
        }

        /// Everything below the test's folder but the objects.
        fn all(&self) -> Vec<String> {
            let mut found = Vec::new();
            let mut open = vec![self.folder.path().to_owned()];
            while let Some(folder) = open.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    let below = path.strip_prefix(self.folder.path()).unwrap();
                    if below != Path::new("objects") {
                        found.push(below.display().to_string());
                        if path.symlink_metadata().unwrap().is_dir() {
                            open.push(path);
                        }
                    }
                }
            }
            found.sort();
            found
        }
    }

    fn parcel(entries: Vec<Entry>) -> Result<Parcel, StoreError> {
        let list = Manifest { version: Manifest::VERSION, tree: true, entries };
        Parcel::new("0", list, PathBuf::from("x"), "x")
    }

    #[test]
    fn a_file_of_many_pieces_comes_whole_and_in_order() {
        let place = Place::new();
        let pieces: Vec<String> = (0..200).map(|n| format!("piece {n}\n")).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let entries = vec![place.file("a", &["one"]), place.file("b/big", &pieces), place.file("c", &[""])];
        let moved = Cell::new(0);
        let delivery = place.delivery();
        delivery.lay(&parcel(entries).unwrap(), &place.objects, &|n| moved.set(moved.get() + n)).unwrap();
        drop(delivery);
        assert_eq!(place.all(), ["out", "out/x", "out/x/a", "out/x/b", "out/x/b/big", "out/x/c"]);
        assert_eq!(fs::read_to_string(place.folder.path().join("out/x/b/big")).unwrap(), pieces.concat());
        assert_eq!(moved.get(), 3 + pieces.concat().len() as u64);
    }

    /// What is brought is told once it is not needed, and never is all of it there at once.
    #[test]
    fn only_some_objects_are_there_at_once() {
        struct Passing<'a>(&'a FileObjects, RefCell<BTreeSet<String>>, Cell<usize>);
        impl Content for Passing<'_> {
            fn bring(&self, digests: &[String]) -> Result<(), StoreError> {
                self.1.borrow_mut().extend(digests.iter().cloned());
                self.2.set(self.2.get().max(self.1.borrow().len()));
                Ok(())
            }

            fn read(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
                assert!(self.1.borrow().contains(digest), "read before it was brought");
                self.0.get(digest)
            }

            fn done(&self, digests: &[String]) {
                digests.iter().for_each(|digest| assert!(self.1.borrow_mut().remove(digest)));
            }
        }
        let place = Place::new();
        let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        // The same content again, too.
        let entries = names.iter().map(|name| place.file(name, &[&name[..1], name])).collect();
        let passing = Passing(&place.objects, RefCell::default(), Cell::new(0));
        place.delivery().lay(&parcel(entries).unwrap(), &passing, &|_| {}).unwrap();
        assert!(passing.1.borrow().is_empty() && passing.2.get() <= WINDOW.0, "{}", passing.2.get());
        assert_eq!(fs::read_to_string(place.folder.path().join("out/x/123")).unwrap(), "1123");
        let large: Vec<(&Path, &String, u64)> = vec![(Path::new("a"), &names[0], CHUNK as u64); 9];
        assert_eq!((window(&large), window(&large[..1])), (4, 1));
    }

    #[test]
    fn a_list_that_leads_out_is_refused() {
        let place = Place::new();
        let link = |path: &str, target: &str| Entry {
            path: path.to_owned(),
            kind: EntryKind::Link { target: target.to_owned() },
        };
        let hostile = [
            vec![place.file("../a", &["x"])],
            vec![place.file("/tmp/a", &["x"])],
            vec![place.file("a/../../b", &["x"])],
            vec![place.file("", &["x"])],
            vec![place.file("a", &["x"]), place.file("a", &["y"])],
            vec![link("a", "/etc")],
            vec![link("a/b", "../../c")],
            vec![Entry { path: "../x".to_owned(), kind: EntryKind::Folder }],
        ];
        for entries in hostile {
            let shown = format!("{entries:?}");
            assert!(parcel(entries).is_err(), "{shown}");
        }
        let one =
            |entries| Parcel::new("0", Manifest { version: 1, tree: false, entries }, PathBuf::new(), "f");
        assert!(one(vec![link("", "f")]).is_err() && one(Vec::new()).is_err());
        assert!(one(vec![place.file("../ignored", &["x"])]).is_ok(), "its name is the one that it is given");
        let away = |below: &str| {
            let list = Manifest { version: 1, tree: true, entries: vec![place.file("a", &["x"])] };
            Parcel::new("0", list, PathBuf::from(below), "f")
        };
        assert!(away("..").is_err() && away("a/../b").is_err() && away("/x").is_err() && away("").is_ok());
        assert!(!place.folder.path().join("out").exists());
    }

    /// Links that stay below by themselves may lead out together; nothing is written through one.
    #[test]
    fn nothing_is_written_through_links_of_the_list() {
        let place = Place::new();
        let link = |path: &str, target: &str| Entry {
            path: path.to_owned(),
            kind: EntryKind::Link { target: target.to_owned() },
        };
        assert!(link_stays_below(Path::new("m"), Path::new("a/b/l/..")));
        for at in ["a/b/l/y", "m/y", "m"] {
            let mut entries =
                vec![place.file("a/b/f", &["x"]), link("a/b/l", "../.."), link("m", "a/b/l/..")];
            if at == "m" {
                // A file under a file.
                entries = vec![place.file("m", &["x"]), place.file("m/y", &["x"])];
            } else {
                entries.push(place.file(at, &["x"]));
            }
            let delivery = place.delivery();
            let done = delivery.lay(&parcel(entries).unwrap(), &place.objects, &|_| {});
            assert!(matches!(done, Err(DeliveryError::Store(StoreError::Path { .. }))), "{done:?}");
            drop(delivery);
            assert!(place.all().is_empty(), "{:?}", place.all());
        }
    }

    #[test]
    fn what_does_not_come_whole_does_not_come() {
        let place = Place::new();
        let entries = || vec![place.file("a", &["one"]), place.file("b", &["two", "three"])];
        let parcel = parcel(entries()).unwrap();
        place.objects.discard(&place.objects.put(b"three").unwrap());
        let delivery = place.delivery();
        let done = delivery.lay(&parcel, &place.objects, &|_| {});
        assert!(matches!(done, Err(DeliveryError::Store(StoreError::Missing(_)))), "{done:?}");
        drop(delivery);
        assert!(place.all().is_empty(), "{:?}", place.all());
        // What is there stays as it was.
        fs::create_dir_all(place.folder.path().join("out/x")).unwrap();
        fs::write(place.folder.path().join("out/x/a"), "mine").unwrap();
        let delivery = place.delivery();
        assert!(delivery.lay(&parcel, &place.objects, &|_| {}).is_err());
        delivery.clear();
        assert_eq!(place.all(), ["out", "out/x", "out/x/a"]);
        assert_eq!(fs::read_to_string(place.folder.path().join("out/x/a")).unwrap(), "mine");
        let careful = Delivery::open(&place.folder.path().join("out"), false).unwrap();
        assert!(matches!(careful.check(&parcel), Err(DeliveryError::There { others: 0, .. })));
        entries();
        assert!(delivery_of(&careful, &parcel, &place).is_err());
    }

    fn delivery_of(delivery: &Delivery, parcel: &Parcel, place: &Place) -> Result<(), DeliveryError> {
        delivery.lay(parcel, &place.objects, &|_| {})
    }
}
