//! Which container engine there is.

use super::engine::{Bounds, CallError, ContainerEngine, Kind, words};
use crate::agent::find;
use std::ffi::OsStr;
use std::path::Path;

/// Those that are looked for, in this order.
const KNOWN: [&str; 2] = ["docker", "podman"];

/// Why no container engine can be used.
#[derive(Debug, thiserror::Error)]
pub enum NoEngine {
    /// None of them is installed.
    #[error("neither docker nor podman is installed")]
    None,
    /// The one that was chosen is not there.
    #[error("there is no container engine `{0}`")]
    Missing(String),
    /// Those that are there do not answer.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Silent(Vec<CallError>),
}

/// Finds the engine to use: `wanted`, a name or a path, or else the first of docker and podman that
/// answers. `path` is the variable `PATH`.
pub fn find_engine(wanted: Option<&str>, path: &OsStr) -> Result<ContainerEngine, NoEngine> {
    let here = std::env::current_dir().unwrap_or_default();
    let mut silent = Vec::new();
    for name in wanted.map_or_else(|| KNOWN.to_vec(), |one| vec![one]) {
        let Some(program) = find(name, path, &here) else { continue };
        let engine = ContainerEngine { kind: kind(&program), program };
        // It reaches docker's daemon, and opens podman's storage.
        match engine.call(&words("ps --quiet --last 1"), Bounds::minutes(1)) {
            Ok(_) => return Ok(engine),
            Err(error) => silent.push(error),
        }
    }
    match wanted {
        _ if !silent.is_empty() => Err(NoEngine::Silent(silent)),
        Some(wanted) => Err(NoEngine::Missing(wanted.to_owned())),
        None => Err(NoEngine::None),
    }
}

/// What a program is; podman may be installed under the name `docker`.
fn kind(program: &Path) -> Kind {
    let asked = ContainerEngine { program: program.to_owned(), kind: Kind::Docker };
    let said = asked.call(&["--version".to_owned()], Bounds::minutes(1)).unwrap_or_default();
    if said.to_lowercase().contains("podman") { Kind::Podman } else { Kind::Docker }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_that_answers_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let path = folder.path().as_os_str();
        assert!(matches!(find_engine(None, path), Err(NoEngine::None)));
        assert!(matches!(find_engine(Some("nerdctl"), path), Err(NoEngine::Missing(_))));
        write(
            "docker",
            "#!/bin/sh\n[ \"$1\" = ps ] && echo Error: no daemon >&2 && exit 1\necho Docker version 28\n",
        );
        assert_eq!(find_engine(None, path).unwrap_err().to_string(), "docker ps: no daemon");
        write("podman", "#!/bin/sh\necho podman version 4.3.1\n");
        assert_eq!(find_engine(None, path).unwrap().kind, Kind::Podman);
        write("docker", "#!/bin/sh\necho podman version 4.3.1\n");
        let found = find_engine(None, path).unwrap();
        assert_eq!((found.kind, found.program), (Kind::Podman, folder.path().join("docker")));
    }
}
