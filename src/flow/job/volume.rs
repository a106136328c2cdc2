//! `volumes` of a `container:` as a pod has them: empty folders, by name where one is given.

use std::path::{Component, Path, PathBuf};

/// One of `volumes`: `/path`, `name:/path`, `name:/path:ro`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodVolume<'a> {
    /// Its name: one name in a job is one folder; `None`: a folder of its container alone.
    pub name: Option<&'a str>,
    /// Where the container has it.
    pub path: &'a str,
    /// `ro`.
    pub read_only: bool,
    /// Other options of `docker create --volume`.
    pub options: &'a str,
}

/// Reads a volume; `None` for a folder of the machine and for what is none.
pub fn pod_volume(written: &str) -> Option<PodVolume<'_>> {
    let mut parts = written.split(':');
    let (first, path, options, more) = (parts.next()?, parts.next(), parts.next(), parts.next());
    let Some(path) = path else {
        return first.starts_with('/').then_some(PodVolume {
            name: None,
            path: first,
            read_only: false,
            options: "",
        });
    };
    // Docker's own names; what begins with `/` or `.` is a folder of the machine.
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let named = first.starts_with(|c: char| c.is_ascii_alphanumeric()) && first.chars().all(plain);
    let options = options.unwrap_or_default();
    (named && path.starts_with('/') && more.is_none()).then(|| PodVolume {
        name: Some(first),
        path,
        read_only: options.split(',').any(|option| option == "ro"),
        options: if matches!(options, "ro" | "rw") { "" } else { options },
    })
}

/// What Tidegate has in the containers of a pod, the work folder too; in most images `/var/run` leads to `/run`.
const OURS: [&str; 2] = ["/run/tidegate", "/var/run/tidegate"];
/// Where container runtimes mount nothing (runc, `checkProcMount`).
const KERNEL: &str = "/proc";

/// Tells why a container of a pod cannot have a volume where it is written; `before`: those of the same container. The API
/// server takes a path once (`VolumeMount.mountPath`).
pub fn no_place(written: &str, before: &[String]) -> Option<String> {
    let at = folder(written)?;
    if OURS.iter().any(|ours| at.starts_with(ours)) {
        return Some(format!("`{written}`: /run/tidegate is Tidegate's own; choose another folder"));
    }
    if at == Path::new("/") || at.starts_with(KERNEL) {
        return Some(format!("`{written}`: no volume can be there; choose another folder"));
    }
    let other = before.iter().find(|other| folder(other).as_ref() == Some(&at))?;
    Some(format!("`{written}`: `{other}` is there already; give each a folder of its own"))
}

/// Tells whether a volume lies where `resources.shm` does.
pub fn is_shared_memory(written: &str) -> bool {
    folder(written).is_some_and(|at| at == Path::new("/dev/shm"))
}

/// The folder of a volume as a container runtime reads it.
fn folder(written: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::from("/");
    for part in Path::new(pod_volume(written)?.path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_volume_can_be() {
        let table = [
            ("/data", &[][..], None),
            ("data:/data", &["more:/data/more", "/datum"][..], None),
            ("data:/data", &["/other", "more:/data/:ro"][..], Some("`more:/data/:ro` is there already")),
            ("/a//b/./c", &["x:/a/b/c"][..], Some("is there already")),
            ("x:/run/tidegate", &[][..], Some("Tidegate's own")),
            ("/run/tidegate/shared/work:ro", &[][..], None),
            ("x:/run/tidegate/shared/work", &[][..], Some("Tidegate's own")),
            ("x:/run/a/../tidegate/bin", &[][..], Some("Tidegate's own")),
            ("x:/var/run/tidegate", &[][..], Some("Tidegate's own")),
            ("x:/run/tidegates", &[][..], None),
            ("x:/run", &[][..], None),
            ("x:/", &[][..], Some("no volume can be there")),
            ("x:/..", &[][..], Some("no volume can be there")),
            ("/proc/x", &[][..], Some("no volume can be there")),
            ("x:/dev/shm", &[][..], None),
            ("/x:/y", &[][..], None),
        ];
        for (written, before, wanted) in table {
            let before: Vec<String> = before.iter().map(|&b| b.to_owned()).collect();
            let found = no_place(written, &before);
            match wanted {
                None => assert_eq!(found, None, "{written}"),
                Some(words) => {
                    assert!(found.as_ref().is_some_and(|f| f.contains(words)), "{written}: {found:?}");
                }
            }
        }
        for (written, wanted) in
            [("x:/dev/shm/", true), ("/dev/shm:ro", false), ("/dev/shm", true), ("x:/dev/shm/a", false)]
        {
            assert_eq!(is_shared_memory(written), wanted, "{written}");
        }
    }

    #[test]
    fn a_volume_has_a_name_or_is_its_containers_alone() {
        let table = [
            ("/data", Some((None, "/data", false, ""))),
            ("data:/data", Some((Some("data"), "/data", false, ""))),
            ("data:/data:ro", Some((Some("data"), "/data", true, ""))),
            ("data:/data:rw", Some((Some("data"), "/data", false, ""))),
            ("data:/data:ro,z", Some((Some("data"), "/data", true, "ro,z"))),
            ("/x:/y", None),
            ("./x:/y", None),
            ("../x:/y:ro", None),
            ("~/x:/y", None),
            ("data:y", None),
            ("data", None),
            ("a:/b:ro:c", None),
            ("", None),
        ];
        for (written, wanted) in table {
            let found = pod_volume(written).map(|v| (v.name, v.path, v.read_only, v.options));
            assert_eq!(found, wanted, "{written}");
        }
    }
}
