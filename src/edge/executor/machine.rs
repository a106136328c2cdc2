//! What this machine has for jobs: memory within the limits set for this process, and GPUs.
//!
//! Cores are the standard library's (`available_parallelism` knows affinity and CPU quotas of control
//! groups).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of memory that this process and what it starts may use: the machine's, or the smallest limit
/// of the control groups it is in.
pub fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = info.totalram.saturating_mul(u64::from(info.mem_unit));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit(&groups, Path::new("/sys/fs/cgroup")).map_or(machine, |limit| limit.min(machine))
}

/// The smallest memory limit of the groups that `/proc/self/cgroup` lists, and of those above them.
fn limit(groups: &str, mount: &Path) -> Option<u64> {
    let mut smallest: Option<u64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (top, name) = if controllers.is_empty() {
            (mount.to_owned(), "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            (mount.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        // In a container the path may be the host's: then only the top is there.
        for folder in Path::new(path.trim_start_matches('/')).ancestors() {
            let text = std::fs::read_to_string(top.join(folder).join(name)).unwrap_or_default();
            if let Ok(bytes) = text.trim().parse::<u64>() {
                smallest = Some(smallest.map_or(bytes, |s| s.min(bytes)));
            }
        }
    }
    smallest
}

/// Indexes of the GPUs that jobs may use, as `nvidia-smi` counts them: those that
/// `CUDA_VISIBLE_DEVICES` leaves, and none where there is no `nvidia-smi`.
pub fn gpus() -> Vec<u32> {
    let asked = Command::new("nvidia-smi")
        .args(["--query-gpu=index,uuid", "--format=csv,noheader"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match asked {
        Ok(said) if said.status.success() => {
            let visible = std::env::var_os("CUDA_VISIBLE_DEVICES");
            chosen(&String::from_utf8_lossy(&said.stdout), visible.as_deref())
        }
        _ => Vec::new(),
    }
}

/// The indexes that `--gpus N` means.
pub fn told(count: u32) -> Vec<u32> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let listed: Vec<u32> = visible.split(',').filter_map(|v| v.trim().parse().ok()).collect();
    let count_ = usize::try_from(count).unwrap_or(usize::MAX);
    if listed.len() >= count_ { listed.into_iter().take(count_).collect() } else { (0..count).collect() }
}

/// Reads `INDEX, UUID` lines and takes what `CUDA_VISIBLE_DEVICES` names, by index or by the start of
/// the UUID; like CUDA, everything behind a name that is unknown is invisible.
fn chosen(listed: &str, visible: Option<&OsStr>) -> Vec<u32> {
    let all: BTreeMap<u32, &str> = listed
        .lines()
        .filter_map(|line| line.split_once(','))
        .filter_map(|(index, uuid)| Some((index.trim().parse().ok()?, uuid.trim())))
        .collect();
    let Some(visible) = visible else { return all.into_keys().collect() };
    let find = |name: &str| match name.parse::<u32>() {
        Ok(index) => all.contains_key(&index).then_some(index),
        Err(_) if name.is_empty() => None,
        Err(_) => all.iter().find(|(_, uuid)| uuid.starts_with(name)).map(|(index, _)| *index),
    };
    let visible = visible.to_string_lossy();
    visible.split(',').map(|name| find(name.trim())).map_while(|found| found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "0, GPU-aa11\n1, GPU-bb22\n";

    #[test]
    fn gpus_are_those_that_are_visible() {
        for (visible, want) in [
            (None, vec![0, 1]),
            (Some("1"), vec![1]),
            (Some("1,0"), vec![1, 0]),
            (Some("GPU-bb"), vec![1]),
            (Some("1,7,0"), vec![1]),
            (Some(""), vec![]),
            (Some("-1"), vec![]),
        ] {
            assert_eq!(chosen(TWO, visible.map(OsStr::new)), want, "{visible:?}");
        }
        assert_eq!(chosen("NVIDIA-SMI has failed because it couldn't communicate", None), Vec::<u32>::new());
    }

    #[test]
    fn the_smallest_limit_of_all_groups_counts() {
        let mount = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = mount.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("a/memory.max", "1000\n");
        put("a/b/memory.max", "max\n");
        put("memory/c/memory.limit_in_bytes", "500\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit("0::/a/b\n", mount.path()), Some(1000));
        assert_eq!(limit("4:memory:/c\n0::/a/b\n", mount.path()), Some(500));
        assert_eq!(limit("0::/elsewhere\n", mount.path()), None);
        assert_eq!(limit("nonsense", mount.path()), None);
        assert!(memory() > 1 << 20);
    }
}
