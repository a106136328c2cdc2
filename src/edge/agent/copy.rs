//! Copies between an attempt's folders and the agent's own.
//!
//! Not here: how a path is followed (`fence`).

use super::fence::{Fence, Outside, kind_of};
use rustix::fs::FileType;
use std::io;
use std::path::Path;

/// A path, and the fence that it is followed within.
#[derive(Clone, Copy)]
pub(super) struct At<'a>(pub(super) &'a Fence, pub(super) &'a Path);

/// Copies a file, or what a link says that leads to none, over whatever is there.
pub(super) fn copy_file(from: At<'_>, to: At<'_>) -> io::Result<()> {
    let found = from.0.find(from.1);
    match found.as_ref().map(kind_of) {
        Ok(Ok(FileType::RegularFile)) => {}
        Err(error) if Outside::is(error) => return found.map(drop),
        _ => {
            if let Some(target) = from.0.link(from.1) {
                return to.0.make_link(&target, to.1);
            }
        }
    }
    let from = from.0.open(from.1)?;
    let mut made = to.0.create(to.1)?;
    io::copy(&mut &from, &mut made)?;
    made.set_permissions(from.metadata()?.permissions())
}

/// Copies a file or a folder into place, keeping what is there beside it. A target inside of the source is left
/// out of the copy.
pub(super) fn copy_tree(from: At<'_>, to: At<'_>) -> io::Result<()> {
    if from.0.kind(from.1)? != Some(FileType::Directory) {
        return copy_file(from, to);
    }
    to.0.make_folder(to.1)?;
    let mut files = Vec::new();
    from.0.list(from.1, &mut files);
    for file in files.iter().filter(|f| !f.starts_with(to.1)) {
        let below = file.strip_prefix(from.1).unwrap_or(file);
        copy_file(At(from.0, file), At(to.0, &to.1.join(below)))
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", below.display())))?;
    }
    Ok(())
}
