//! Which folder a job gets: the first that nobody uses, in this process or another.

use super::repair::{Memory, Wanted, remove_folder, repair};
use crate::store::{FileObjects, StoreError, io};
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_flow::job::SourceSpec;

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
    /// The next number to try.
    next: u32,
    /// The tree that was wanted last: jobs of a run want the same.
    tree: Option<(String, Arc<Wanted>)>,
}

/// A folder that this process has locked.
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

    /// Writes what is remembered. If that fails, the next process reads the files once more.
    fn remember(&self) {
        if let Ok(bytes) = serde_json::to_vec(&self.memory) {
            let new = self.folder.join("memory.new");
            let _ = fs::write(&new, bytes).and_then(|()| fs::rename(&new, self.folder.join("memory.json")));
        }
    }
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
        let mut slot = self.take()?;
        let root = slot.root();
        let repaired = repair(&root, &wanted, &mut slot.memory, &self.objects).or_else(|_| {
            // Something a job left resists: start from nothing, and let that fail if it must.
            remove_folder(&root)?;
            slot.memory = Memory::default();
            repair(&root, &wanted, &mut slot.memory, &self.objects)
        });
        match repaired {
            Ok(true) => slot.remember(),
            Ok(false) => {}
            Err(e) => {
                self.state().free.push(slot);
                return Err(e);
            }
        }
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
            fs::create_dir_all(&folder).map_err(|e| io("making", &folder, e))?;
            let path = folder.join("lock");
            let lock = File::create(&path).map_err(|e| io("locking", &path, e))?;
            match lock.try_lock() {
                Ok(()) => {
                    let memory = fs::read(folder.join("memory.json")).ok();
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
    use std::os::unix::fs::{PermissionsExt as _, symlink};

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
        let mess: [&dyn Fn(&Path); 8] = [
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
        ];
        for (i, mess) in mess.iter().enumerate() {
            let workspace = all.prepare(&place.source).unwrap();
            assert!(place.holds(&workspace), "before {i}");
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
