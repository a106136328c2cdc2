//! What programs want to find wherever they run as whom: a home folder, and that git trusts the work folder. For steps that
//! run in images only.
//!
//! GitHub gives a container `HOME=/github/home`; here the image's own stands where its user may write to it.

use super::job::{Job, class_of};
use super::scope::Failed;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// The home folder of users that have none, below the attempt's folder for temporary files.
const HOME: &str = "_home";
/// What git reads instead of its system's file, which it names.
const GIT: &str = "_gitconfig";

/// System's files of git as distributions and as its own `make` build it; one that is not there counts for nothing
/// (git-config(1), "Includes").
const SYSTEMS: [&str; 2] = ["/etc/gitconfig", "/usr/local/etc/gitconfig"];

impl Job<'_> {
    /// Gives steps a `HOME` if their container's user has none, and has git trust the work folder, which is of another user
    /// (git, "safe.directory"). A `GIT_CONFIG_SYSTEM` of image or workflow stays, and a `HOME` that serves the user.
    ///
    /// The file of a git that was built for another folder still ([`SYSTEMS`]) is not read. `GIT_CONFIG_COUNT` would hide none,
    /// but git counts `safe.directory` there from 2.38 on only.
    pub(super) fn set_up_home(&mut self) -> Result<(), Failed> {
        if !self.around.in_image {
            return Ok(());
        }
        let (home, git) = (self.temp.join(HOME), self.temp.join(GIT));
        let folders = [self.place.root.as_path(), self.place.project.as_path()];
        let made = once(std::fs::create_dir(&home)).and_then(|()| once(write_new(&git, &config(&folders))));
        made.map_err(|e| Failed::new(class_of(&e), format!("cannot make the steps' home folder: {e}")))?;
        self.base.entry("HOME".into()).or_insert_with(|| OsString::from(home));
        self.base.entry("GIT_CONFIG_SYSTEM".into()).or_insert_with(|| OsString::from(git));
        Ok(())
    }
}

/// What is there since an earlier container stays: steps may have put something else in its place.
fn once(made: io::Result<()>) -> io::Result<()> {
    made.or_else(|e| if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })
}

fn write_new(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(file)?.write_all(text.as_bytes())
}

/// The image's own settings, and the folders that are safe (git-config(1), "Syntax").
fn config(folders: &[&Path]) -> String {
    let mut text = "[include]\n".to_owned();
    SYSTEMS.iter().for_each(|file| text.push_str(&format!("\tpath = {file}\n")));
    text.push_str("[safe]\n");
    for folder in folders {
        let quoted = folder.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        text.push_str(&format!("\tdirectory = \"{quoted}\"\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_value_whatever_it_holds() {
        let text = config(&[Path::new("/work/a b#c"), Path::new("/w\"\\x\ny")]);
        assert_eq!(
            text,
            "[include]\n\tpath = /etc/gitconfig\n\tpath = /usr/local/etc/gitconfig\n[safe]\n\tdirectory = \"/work/a b#c\"\n\tdirectory = \"/w\\\"\\\\x\\ny\"\n"
        );
    }
}
