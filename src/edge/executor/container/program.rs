//! The static program that the first process of a step's container is: it must run in any image.

use super::engine::{Bounds, CallError, ContainerEngine};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no such program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It needs libraries of this machine, or is for another.
    #[error("{0} is not a static program of this machine")]
    NotStatic(PathBuf),
    /// It cannot be read or kept.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Tidegate's own image cannot be had.
    #[error("this tidegate is not a static program, and its image {image} cannot be had")]
    Image {
        /// Which.
        image: String,
        /// What the container engine said.
        source: CallError,
    },
}

/// Finds a static `tidegate`: the one that was named, else the running one, else that of Tidegate's
/// image, which is copied once to `cache`.
pub fn static_program(
    named: Option<&Path>,
    own: &Path,
    engine: &ContainerEngine,
    image: &str,
    cache: &Path,
) -> Result<PathBuf, ProgramError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ProgramError::Io { path, source }
    };
    if let Some(named) = named {
        let named = std::path::absolute(named).map_err(io(named))?;
        return if is_static(&named).map_err(io(&named))? {
            Ok(named)
        } else {
            Err(ProgramError::NotStatic(named))
        };
    }
    if is_static(own).unwrap_or(false) {
        return Ok(own.to_owned());
    }
    of_image(engine, image, cache)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    id: String,
}

fn of_image(engine: &ContainerEngine, image: &str, cache: &Path) -> Result<PathBuf, ProgramError> {
    let wrong = |source| ProgramError::Image { image: image.to_owned(), source };
    let call = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        engine.call(&args, Bounds::minutes(10))
    };
    let inspect = ["image", "inspect", image].map(str::to_owned);
    let ask = || engine.ask::<Vec<Found>>(&inspect, Bounds::minutes(1));
    let found = match ask() {
        Ok(found) => found,
        Err(_) => {
            call(&["pull", "--quiet", image]).map_err(wrong)?;
            ask().map_err(wrong)?
        }
    };
    let id = found.first().map(|found| found.id.trim_start_matches("sha256:").to_owned()).unwrap_or_default();
    let folder = cache.join(&id);
    let kept = folder.join("tidegate");
    if kept.is_file() {
        return Ok(kept);
    }
    let io = |source| ProgramError::Io { path: folder.clone(), source };
    std::fs::create_dir_all(&folder).map_err(io)?;
    // Several may do this at once: each has a file of its own until it is whole.
    let new = folder.join(format!(".new-{}", std::process::id()));
    let container = call(&["create", image]).map_err(wrong)?;
    let container = container.trim();
    let copied = call(&["cp", &format!("{container}:/tidegate"), &new.display().to_string()]);
    let removed = engine.remove(&[container.to_owned()]);
    let whole = copied.and(removed.map(|()| String::new())).map_err(wrong).and_then(|_| {
        if !is_static(&new).map_err(io)? {
            return Err(ProgramError::NotStatic(kept.clone()));
        }
        std::fs::rename(&new, &kept).map_err(io)
    });
    if whole.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    whole.map(|()| kept)
}

/// Tells whether an ELF program names no interpreter, that is, needs no dynamic linker (elf(5)).
fn is_static(path: &Path) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const PT_INTERP: u32 = 3;
    let mut file = std::fs::File::open(path)?;
    let mut head = [0_u8; 64];
    file.read_exact(&mut head)?;
    // 64 bits, little endian, as all machines are that this runs on.
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let number = |bytes: &[u8], at: usize, size: usize| -> u64 {
        let bytes = bytes.get(at..at + size).unwrap_or_default();
        bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (at, size, count) = (number(&head, 0x20, 8), number(&head, 0x36, 2), number(&head, 0x38, 2));
    file.seek(SeekFrom::Start(at))?;
    let mut table = Vec::new();
    file.take(size * count).read_to_end(&mut table)?;
    let step = usize::try_from(size).unwrap_or(usize::MAX).max(4);
    Ok(table.chunks(step).all(|entry| number(entry, 0, 4) != u64::from(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(is_static(&own).unwrap(), cfg!(target_env = "musl"));
        let text = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(text.path(), [b'#'; 100]).unwrap();
        assert!(!is_static(text.path()).unwrap());
    }
}
