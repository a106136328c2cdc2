//! The files of an attempt, as its agent opens them.
//!
//! Where steps run in containers they see less than their agent: a link that a step left must not lead the agent
//! out of the folders that both see. A path is followed part by part below opened folders, so it makes no
//! difference what is put in the place of what while it is followed. Without images steps may open whatever the
//! agent may, and links go wherever they go.
//!
//! Not here: which files an action wants (`builtin`), what it does with them (`copy`).

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, mkdirat, open, openat, readlinkat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux itself follows (`path_resolution(7)`).
const MOST_LINKS: u32 = 40;
/// How often a name is taken again after somebody else took it.
const TRIES: u32 = 10;

const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Why a path is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Outside {
    /// It was asked for.
    #[error(
        "{} is not in the folders that the steps share with Tidegate's agent: the work folder and RUNNER_TEMP", .0.display()
    )]
    Path(PathBuf),
    /// Something on the way leads there.
    #[error(
        "a link leads to {}, out of the folders that the steps share with Tidegate's agent", .0.display()
    )]
    Link(PathBuf),
}

impl Outside {
    /// Tells whether this is why something failed.
    pub(super) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

/// The folders that an attempt's agent enters on behalf of its steps; `None`: all there are.
#[derive(Debug, Default)]
pub(super) struct Fence(Option<Vec<Root>>);

#[derive(Debug)]
struct Root {
    path: PathBuf,
    folder: OwnedFd,
}

impl Fence {
    /// Stays in these folders, which are there; nobody else changed them yet.
    pub(super) fn around(folders: Vec<PathBuf>) -> io::Result<Self> {
        let opened = folders.into_iter().map(|path| {
            let flags = PLACE | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            Ok(Root { folder: open(&path, flags, Mode::empty())?, path })
        });
        opened.collect::<io::Result<_>>().map(|roots| Self(Some(roots)))
    }

    /// Tells whether it keeps anything out.
    pub(super) fn stands(&self) -> bool {
        self.0.is_some()
    }

    /// Tells whether a path, as it is written, is inside.
    pub(super) fn holds(&self, path: &Path) -> bool {
        self.0.as_ref().is_none_or(|roots| enter(roots, path).is_some())
    }

    /// What is at a path, links followed; `None` where there is nothing, or nothing to see.
    pub(super) fn kind(&self, path: &Path) -> io::Result<Option<FileType>> {
        match self.find(path) {
            Ok(found) => kind_of(&found).map(Some),
            Err(error) if Outside::is(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Finds what is at a path, links followed, without opening it.
    pub(super) fn find(&self, path: &Path) -> io::Result<OwnedFd> {
        self.walk(path, true, false)
    }

    /// Opens a file to read it. What is none is refused: a pipe would wait for a writer.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        open_file(&self.find(path)?)
    }

    /// Finds what is at a path, which may be a link.
    pub(super) fn find_itself(&self, path: &Path) -> io::Result<OwnedFd> {
        self.walk(path, false, false)
    }

    /// Where a link leads, as it says itself; `None` if there is none at this path.
    pub(super) fn link(&self, path: &Path) -> Option<PathBuf> {
        let found = self.find_itself(path).ok()?;
        (kind_of(&found).ok()? == FileType::Symlink).then_some(())?;
        target(&found).ok()
    }

    /// Reads a file of at most so many bytes.
    pub(super) fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let size = file.metadata()?.len();
        if size > limit {
            return Err(io::Error::other(format!("{size} bytes, at most {limit} are read")));
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Lists files and links below a folder.
    pub(super) fn list(&self, folder: &Path, files: &mut Vec<PathBuf>) {
        let Ok(found) = self.find(folder) else { return };
        let Ok(entries) = std::fs::read_dir(handle(&found)) else { return };
        for entry in entries.filter_map(Result::ok) {
            let path = folder.join(entry.file_name());
            match entry.file_type() {
                Ok(t) if t.is_dir() => self.list(&path, files),
                Ok(_) => files.push(path),
                Err(_) => {}
            }
        }
    }

    /// Makes a file, and the folders above it; what else is there gives way, links included.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        self.put(path, |folder, name| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            openat(folder, name, flags, Mode::from_raw_mode(0o666)).map(File::from)
        })
    }

    /// Makes a file with this content.
    pub(super) fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        self.create(path)?.write_all(text)
    }

    /// Makes a link, and the folders above it; what else is there gives way.
    pub(super) fn make_link(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.put(path, |folder, name| rustix::fs::symlinkat(target, folder, name))
    }

    /// Makes a folder and those above it.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        if !self.stands() {
            std::fs::create_dir_all(path)?;
        }
        let made = self.walk(path, true, true)?;
        if kind_of(&made)? == FileType::Directory { Ok(made) } else { Err(Errno::NOTDIR.into()) }
    }

    fn put<T>(&self, path: &Path, make: impl Fn(&OwnedFd, &OsStr) -> Result<T, Errno>) -> io::Result<T> {
        let name = path.file_name().ok_or(Errno::ISDIR)?;
        let folder = self.make_folder(path.parent().unwrap_or(Path::new("/")))?;
        let mut made = make(&folder, name);
        for _ in 0..TRIES {
            if !matches!(made, Err(Errno::EXIST)) {
                break;
            }
            match unlinkat(&folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => made = make(&folder, name),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(made?)
    }

    /// Follows a path; the last part is followed or taken as it is, and made as a folder where it is missing.
    fn walk(&self, path: &Path, follow: bool, make: bool) -> io::Result<OwnedFd> {
        let Some(roots) = &self.0 else {
            let flags = if follow { PLACE } else { PLACE | OFlags::NOFOLLOW };
            return Ok(open(path, flags, Mode::empty())?);
        };
        let outside = || io::Error::other(Outside::Path(path.to_owned()));
        let (mut root, mut todo) = enter(roots, path).ok_or_else(outside)?;
        let mut below: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            let folder = below.last().unwrap_or(&root.folder);
            let leads = if name == ".." {
                if below.pop().is_some() {
                    continue;
                }
                // Out of this folder, and perhaps into the other one.
                root.path.parent().unwrap_or(&root.path).to_owned()
            } else {
                let found = step(folder, &name, make)?;
                if kind_of(&found)? != FileType::Symlink || (todo.is_empty() && !follow) {
                    below.push(found);
                    continue;
                }
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = target(&found)?;
                if target.is_relative() {
                    push(&target, &mut todo);
                    continue;
                }
                target
            };
            let whole = todo.iter().rev().fold(leads, |path, part| path.join(part));
            (root, todo) = enter(roots, &whole).ok_or_else(|| io::Error::other(Outside::Link(whole)))?;
            below.clear();
        }
        match below.pop() {
            Some(found) => Ok(found),
            None => Ok(openat(&root.folder, ".", PLACE, Mode::empty())?),
        }
    }
}

/// One part of a path, not followed.
fn step(folder: &OwnedFd, name: &OsStr, make: bool) -> Result<OwnedFd, Errno> {
    let look = || openat(folder, name, PLACE | OFlags::NOFOLLOW, Mode::empty());
    match look() {
        Err(Errno::NOENT) if make => match mkdirat(folder, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => look(),
            Err(error) => Err(error),
        },
        found => found,
    }
}

/// The folder that a path is in, and its parts below that, the next one last.
fn enter<'a>(roots: &'a [Root], path: &Path) -> Option<(&'a Root, Vec<OsString>)> {
    let of = |path: &Path| {
        let all = roots.iter().filter_map(|root| Some((root, path.strip_prefix(&root.path).ok()?)));
        let (root, below) = all.min_by_key(|(_, below)| below.components().count())?;
        let mut todo = Vec::new();
        push(below, &mut todo);
        Some((root, todo))
    };
    of(path).or_else(|| {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => _ = plain.pop(),
                part => plain.push(part),
            }
        }
        of(&plain)
    })
}

/// Adds the parts of a path, the first one last.
fn push(path: &Path, todo: &mut Vec<OsString>) {
    let parts = path.components().filter(|part| !matches!(part, Component::CurDir | Component::RootDir));
    todo.extend(parts.rev().map(|part| part.as_os_str().to_owned()));
}

fn target(link: &OwnedFd) -> Result<PathBuf, Errno> {
    readlinkat(link, "", Vec::new()).map(|target| OsString::from_vec(target.into_bytes()).into())
}

/// A path to what was found, whatever is at its own path by now (`proc_pid_fd(5)`).
pub(super) fn handle(found: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(found.as_raw_fd().to_string())
}

/// What was found.
pub(super) fn kind_of(found: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(found)?.st_mode))
}

fn open_file(found: &OwnedFd) -> io::Result<File> {
    match kind_of(found)? {
        FileType::RegularFile => File::open(handle(found)),
        FileType::Directory => Err(Errno::ISDIR.into()),
        FileType::Symlink => Err(Errno::LOOP.into()),
        _ => Err(io::Error::other("neither a file nor a folder: it cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A work folder with a folder for temporary files beside it, and something that is not theirs.
    fn site() -> (tempfile::TempDir, PathBuf, PathBuf, Fence) {
        let base = tempfile::tempdir().unwrap();
        let (work, temp) = (base.path().join("work/1"), base.path().join("tmp/1"));
        for folder in [&work.join("a/b"), &temp.join("_temp"), &base.path().join("own")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(base.path().join("own/key"), "secret").unwrap();
        std::fs::write(work.join("a/file"), "mine").unwrap();
        let fence = Fence::around(vec![work.clone(), temp.clone()]).unwrap();
        (base, work, temp, fence)
    }

    #[test]
    fn links_are_followed_inside_and_nowhere_else() {
        let (base, work, temp, fence) = site();
        for (link, target, inside) in [
            ("near", "a/file".into(), true),
            ("up", "a/b/../../a/file".into(), true),
            ("whole", work.join("a/file"), true),
            ("folder", "a".into(), true),
            ("beside", "../../tmp/1/note".into(), true),
            ("key", base.path().join("own/key"), false),
            ("far", "../../own/key".into(), false),
            ("above", "..".into(), false),
            ("host", "/etc/hostname".into(), false),
            ("twice", "key".into(), false),
            ("proc", "/proc/self/environ".into(), false),
        ] {
            symlink(target, work.join(link)).unwrap();
            let found = fence.find(&work.join(link));
            let outside = found.as_ref().is_err_and(Outside::is);
            assert_eq!(!outside, inside, "{link}: {found:?}");
        }
        std::fs::write(temp.join("note"), "beside").unwrap();
        let read = |path: &str| fence.read(&work.join(path), 100).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(read("up").unwrap(), "mine");
        assert_eq!(read("folder/file").unwrap(), "mine");
        assert_eq!(read("beside").unwrap(), "beside");
        assert_eq!(read("a/../a/file").unwrap(), "mine");
        assert!(Outside::is(&read("../../own/key").unwrap_err()));
        assert!(Outside::is(&read("above/own/key").unwrap_err()));
        symlink("loop", work.join("loop")).unwrap();
        assert!(read("loop").is_err() && fence.kind(&work.join("loop")).unwrap().is_none());
        assert!(
            fence.holds(&work.join("x/y")) && !fence.holds(base.path()) && !fence.holds(Path::new("/root"))
        );
        assert_eq!(Fence::default().read(&work.join("key"), 100).unwrap(), b"secret");
    }

    #[test]
    fn what_is_written_goes_through_no_link() {
        let (base, work, _, fence) = site();
        let key = base.path().join("own/key");
        symlink(&key, work.join("script")).unwrap();
        symlink(base.path().join("own"), work.join("out")).unwrap();
        fence.write(&work.join("script"), b"new").unwrap();
        assert!(!work.join("script").is_symlink());
        let wrong = fence.write(&work.join("out/key"), b"new").unwrap_err();
        assert!(wrong.to_string().contains("a link leads to"), "{wrong}");
        assert!(Outside::is(&fence.make_folder(&work.join("out/deep/er")).unwrap_err()));
        assert_eq!(std::fs::read(&key).unwrap(), b"secret");
        assert_eq!(std::fs::read_dir(base.path().join("own")).unwrap().count(), 1);
        // A folder that somebody puts in the place of the work folder is not entered.
        std::fs::rename(&work, base.path().join("work/away")).unwrap();
        symlink(base.path().join("own"), &work).unwrap();
        fence.write(&work.join("late"), b"new").unwrap();
        assert!(base.path().join("work/away/late").exists());
        assert!(fence.read(&work.join("key"), 100).is_err());
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let (_base, work, _, fence) = site();
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mkfifoat(rustix::fs::CWD, work.join("pipe"), mode).unwrap();
        for fence in [fence, Fence::default()] {
            let wrong = fence.read(&work.join("pipe"), 100).unwrap_err().to_string();
            assert!(wrong.contains("neither a file nor a folder"), "{wrong}");
        }
    }
}
