//! Which folder a job gets: the first that nobody uses, in this process or another.

use super::repair::{Memory, Wanted, open, remove_folder, repair};
use crate::store::{FileObjects, StoreError, io};
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_flow::job::SourceSpec;

/// How many folders that cannot be used one request puts up with.
const SPOILED: u32 = 3;

/// A work folder in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The whole tree.
    pub root: PathBuf,
    /// The project's folder in it: `GITHUB_WORKSPACE`.
    pub project: PathBuf,
    /// Whether it is the user's own tree, never to be changed or removed.
    pub in_place: bool,
}

/// All work folders of a store.
#[derive(Debug)]
pub struct Workspaces {
    folder: PathBuf,
    objects: Arc<FileObjects>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Slots of this process that no job uses, the last used at the end.
    free: Vec<Slot>,
    busy: HashMap<PathBuf, Slot>,
    /// Not to be used again by this process, and locked against others.
    retired: Vec<Slot>,
    /// The next number to try.
    next: u32,
    /// The tree that was wanted last: jobs of a run want the same.
    tree: Option<(String, Arc<Wanted>)>,
}

/// A folder that this process has locked. Beside the tree there is nothing in it, so that a job
/// that writes to `..` finds and leaves nothing there: lock and memory lie one level up.
#[derive(Debug)]
struct Slot {
    folder: PathBuf,
    memory: Memory,
    /// Released when it is closed, also by the death of this process.
    _lock: File,
}

impl Slot {
    fn root(&self) -> PathBuf {
        self.folder.join("tree")
    }

    fn memory_path(folder: &Path) -> PathBuf {
        folder.with_extension("json")
    }

    /// Writes what is remembered. If that fails, the next process reads the files once more.
    fn remember(&self) {
        let path = Self::memory_path(&self.folder);
        if let Ok(bytes) = serde_json::to_vec(&self.memory) {
            let new = path.with_extension("new");
            let _ = fs::write(&new, bytes).and_then(|()| fs::rename(&new, path));
        }
    }

    /// Makes the slot hold the tree and nothing else.
    fn fill(&mut self, wanted: &Wanted, objects: &FileObjects) -> Result<(), StoreError> {
        let root = self.root();
        tidy(&self.folder)?;
        let changed = repair(&root, wanted, &mut self.memory, objects).or_else(|_| {
            // Something a job left resists: start from nothing, and let that fail if it must.
            remove_folder(&root)?;
            self.memory = Memory::default();
            repair(&root, wanted, &mut self.memory, objects)
        })?;
        if changed {
            self.remember();
        }
        Ok(())
    }
}

/// Removes all but the tree from a slot's folder.
fn tidy(folder: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(folder) {
        Ok(meta) if meta.is_dir() => open(folder, meta.permissions().mode())?,
        Ok(_) => fs::remove_file(folder).map_err(|e| io("removing", folder, e))?,
        Err(_) => {}
    }
    fs::create_dir_all(folder).map_err(|e| io("making", folder, e))?;
    for entry in fs::read_dir(folder).map_err(|e| io("reading", folder, e))? {
        let entry = entry.map_err(|e| io("reading", folder, e))?;
        if entry.file_name() == "tree" {
            continue;
        }
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_folder(&path)?;
        } else {
            fs::remove_file(&path).map_err(|e| io("removing", &path, e))?;
        }
    }
    Ok(())
}

impl Workspaces {
    /// Keeps work folders below `folder`.
    pub fn new(folder: impl Into<PathBuf>, objects: Arc<FileObjects>) -> Self {
        Self { folder: folder.into(), objects, state: Mutex::default() }
    }

    /// Gives a job a folder that holds exactly its tree.
    pub fn prepare(&self, source: &SourceSpec) -> Result<Workspace, StoreError> {
        if let Some(path) = &source.in_place {
            let root = PathBuf::from(path);
            return Ok(Workspace { project: inside(&root, &source.project), root, in_place: true });
        }
        let wanted = self.wanted(&source.tree)?;
        let mut tries = 0;
        let slot = loop {
            let mut slot = self.take()?;
            match slot.fill(&wanted, &self.objects) {
                Ok(()) => break slot,
                // A job left something that cannot be removed: this folder is of no more use, the
                // next one may be. A full disk is the same everywhere.
                Err(e) => {
                    self.state().retired.push(slot);
                    tries += 1;
                    if tries > SPOILED || matches!(e, StoreError::Full(_) | StoreError::Missing(_)) {
                        return Err(e);
                    }
                }
            }
        };
        let root = slot.root();
        let project = inside(&root, &source.project);
        let made = fs::create_dir_all(&project).map_err(|e| io("making", &project, e));
        self.state().busy.insert(root.clone(), slot);
        made.map(|()| Workspace { root, project, in_place: false })
    }

    /// Takes a folder back; the next job repairs it.
    pub fn release(&self, root: &Path) {
        let mut state = self.state();
        if let Some(slot) = state.busy.remove(root) {
            state.free.push(slot);
        }
    }

    /// Takes a folder back that somebody may still write to: no other job of this process gets it.
    pub fn retire(&self, root: &Path) {
        let mut state = self.state();
        if let Some(slot) = state.busy.remove(root) {
            state.retired.push(slot);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self, tree: &str) -> Result<Arc<Wanted>, StoreError> {
        if tree.is_empty() {
            return Ok(Arc::default());
        }
        if let Some((known, wanted)) = &self.state().tree
            && known == tree
        {
            return Ok(wanted.clone());
        }
        let wanted = Arc::new(Wanted::new(self.objects.manifest(tree)?.entries)?);
        self.state().tree = Some((tree.to_owned(), wanted.clone()));
        Ok(wanted)
    }

    fn take(&self) -> Result<Slot, StoreError> {
        let mut state = self.state();
        if let Some(slot) = state.free.pop() {
            return Ok(slot);
        }
        loop {
            let folder = self.folder.join(state.next.to_string());
            state.next = state.next.saturating_add(1);
            fs::create_dir_all(&self.folder).map_err(|e| io("making", &self.folder, e))?;
            let path = folder.with_extension("lock");
            let lock = File::create(&path).map_err(|e| io("locking", &path, e))?;
            match lock.try_lock() {
                Ok(()) => {
                    let memory = fs::read(Slot::memory_path(&folder)).ok();
                    let memory = memory.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                    return Ok(Slot { folder, memory: memory.unwrap_or_default(), _lock: lock });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(io("locking", &path, e)),
            }
        }
    }
}

fn inside(root: &Path, project: &str) -> PathBuf {
    if project.is_empty() { root.to_owned() } else { root.join(project) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Objects as _;
    use std::os::unix::fs::symlink;

    struct Place {
        folder: tempfile::TempDir,
        objects: Arc<FileObjects>,
        source: SourceSpec,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let objects = Arc::new(FileObjects::open(folder.path().join("objects")).unwrap());
            let tree = folder.path().join("from");
            fs::create_dir_all(tree.join("sub/empty")).unwrap();
            for name in ["a", "sub/b", "sub/c"] {
                fs::write(tree.join(name), name).unwrap();
            }
            symlink("sub/b", tree.join("link")).unwrap();
            let tree = objects.put_path(&tree).unwrap().digest;
            let source = SourceSpec { tree, project: "sub".to_owned(), ..SourceSpec::default() };
            Self { folder, objects, source }
        }

        fn workspaces(&self) -> Workspaces {
            Workspaces::new(self.folder.path().join("work"), self.objects.clone())
        }

        fn holds(&self, workspace: &Workspace) -> bool {
            self.objects.put_path(&workspace.root).unwrap().digest == self.source.tree
        }
    }

    #[test]
    fn whatever_a_job_did_the_next_finds_the_tree() {
        let place = Place::new();
        let all = place.workspaces();
        let outside = place.folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("b"), "mine").unwrap();
        let touch = |path: PathBuf, time: &str| {
            let done = std::process::Command::new("touch").args(["-d", time]).arg(path).status();
            assert!(done.unwrap().success());
        };
        let mess: [&dyn Fn(&Path); 15] = [
            &|_| {},
            &|root| fs::write(root.join("a"), "A").unwrap(),
            &|root| fs::write(root.join("new"), "x").unwrap(),
            &|root| fs::remove_dir_all(root.join("sub")).unwrap(),
            &|root| {
                fs::remove_dir_all(root.join("sub")).unwrap();
                symlink(&outside, root.join("sub")).unwrap();
            },
            &|root| {
                fs::remove_file(root.join("a")).unwrap();
                fs::hard_link(outside.join("b"), root.join("a")).unwrap();
            },
            &|root| {
                fs::create_dir_all(root.join("deep/er")).unwrap();
                fs::set_permissions(root.join("deep"), fs::Permissions::from_mode(0o500)).unwrap();
                fs::set_permissions(root.join("sub"), fs::Permissions::from_mode(0o000)).unwrap();
            },
            &|root| fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o755)).unwrap(),
            // Beside the tree, and in place of the tree.
            &|root| fs::write(root.join("../beside"), "x").unwrap(),
            &|root| {
                fs::remove_dir_all(root).unwrap();
                symlink(&outside, root).unwrap();
            },
            // As many bytes, and the time they had before.
            &|root| {
                fs::write(root.join("a"), "b").unwrap();
                touch(root.join("a"), "2001-01-01");
            },
            // A second name of the file, by which it could be written later.
            &|root| {
                fs::hard_link(
                    root.join("a"),
                    outside.join(format!("{}", fs::read_dir(&outside).unwrap().count())),
                )
                .unwrap();
            },
            // Folders that hand their group on to what is made in them.
            &|root| fs::set_permissions(root.join("sub"), fs::Permissions::from_mode(0o2755)).unwrap(),
            &|root| {
                fs::remove_file(root.join("a")).unwrap();
                fs::create_dir_all(root.join("a/in/the/way")).unwrap();
            },
            &|root| {
                fs::remove_dir_all(root.join("sub/empty")).unwrap();
                let fifo = std::process::Command::new("mkfifo").arg(root.join("sub/empty")).status();
                assert!(fifo.unwrap().success());
            },
        ];
        for (i, mess) in mess.iter().enumerate() {
            let workspace = all.prepare(&place.source).unwrap();
            assert!(place.holds(&workspace), "before {i}");
            assert!(!workspace.root.join("../beside").exists(), "before {i}");
            let mode = fs::metadata(workspace.root.join("sub")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755, "before {i}");
            for name in fs::read_dir(&outside).unwrap().flatten().filter(|n| n.file_name() != "b") {
                // Who has an earlier job's file by another name does not write to this tree.
                fs::write(name.path(), "through the other name").unwrap();
            }
            assert_eq!(fs::read_to_string(workspace.root.join("a")).unwrap(), "a", "before {i}");
            assert_eq!(workspace.project, workspace.root.join("sub"));
            mess(&workspace.root);
            all.release(&workspace.root);
        }
        assert!(place.holds(&all.prepare(&place.source).unwrap()));
        assert_eq!(fs::read_to_string(outside.join("b")).unwrap(), "mine");
    }

    #[test]
    fn a_file_changed_behind_its_times_is_found_while_it_is_young() {
        let place = Place::new();
        let all = place.workspaces();
        for _ in 0..50 {
            let workspace = all.prepare(&place.source).unwrap();
            fs::write(workspace.root.join("a"), "b").unwrap();
            all.release(&workspace.root);
            let again = all.prepare(&place.source).unwrap();
            assert_eq!(fs::read_to_string(again.root.join("a")).unwrap(), "a");
            all.release(&again.root);
        }
    }

    #[test]
    fn jobs_at_the_same_time_and_other_processes_get_folders_of_their_own() {
        let place = Place::new();
        let (one, other) = (place.workspaces(), place.workspaces());
        let roots = [&one, &one, &other].map(|w| w.prepare(&place.source).unwrap().root);
        assert!(roots[0] != roots[1] && roots[0] != roots[2] && roots[1] != roots[2]);
        one.release(&roots[1]);
        assert_eq!(one.prepare(&SourceSpec::default()).unwrap().root, roots[1]);
        assert!(!roots[1].join("a").exists(), "an empty tree is empty");
    }

    #[test]
    fn a_folder_that_is_still_written_to_is_not_used_again() {
        let place = Place::new();
        let all = place.workspaces();
        let first = all.prepare(&place.source).unwrap();
        all.retire(&first.root);
        let second = all.prepare(&place.source).unwrap();
        assert_ne!(first.root, second.root);
        assert_ne!(place.workspaces().prepare(&place.source).unwrap().root, first.root, "nor by others");
    }

    #[test]
    fn the_memory_forgets_files_of_other_trees() {
        let place = Place::new();
        let all = place.workspaces();
        let first = all.prepare(&place.source).unwrap();
        all.release(&first.root);
        let empty = all.prepare(&SourceSpec::default()).unwrap();
        all.release(&empty.root);
        let memory = fs::read_to_string(Slot::memory_path(first.root.parent().unwrap())).unwrap();
        assert!(!memory.contains("sub/b"), "{memory}");
    }

    #[test]
    fn unchanged_files_are_kept_also_by_the_next_process() {
        use std::os::unix::fs::MetadataExt as _;
        let place = Place::new();
        let inode = |all: &Workspaces| {
            let workspace = all.prepare(&place.source).unwrap();
            let inode = fs::metadata(workspace.root.join("a")).unwrap().ino();
            all.release(&workspace.root);
            inode
        };
        let first = inode(&place.workspaces());
        assert_eq!(inode(&place.workspaces()), first);
    }
}
