//! `volumes` of a `container:` as a pod has them: empty folders, by name where one is given.

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

#[cfg(test)]
mod tests {
    use super::*;

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
