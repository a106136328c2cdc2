//! `actions/upload-artifact`.

use super::inputs::{Inputs, Outputs, input, pair};
use crate::agent::copy::{At, copy_file};
use crate::agent::fence::Fence;
use crate::agent::job::{Job, class_of};
use crate::agent::scope::Failed;
use std::path::Path;

impl Job<'_> {
    pub(super) fn upload(&mut self, inputs: &Inputs) -> Result<Outputs, Failed> {
        let name = match input(inputs, "name") {
            "" => "artifact",
            name => name,
        };
        self.not_secret("upload-artifact", "artifact's name", name)?;
        if let Some(wrong) = name.chars().find(|c| "\":<>|*?\r\n\\/".contains(*c)) {
            return Err(Failed::user(format!(
                "upload-artifact: the artifact name `{name}` is not valid: it contains {wrong:?}"
            )));
        }
        let overwrite = input(inputs, "overwrite") == "true";
        if self.uploads.contains_key(name) && !overwrite {
            return Err(Failed::user(format!(
                "upload-artifact: an artifact `{name}` exists already; set `overwrite: true`, or use another name"
            )));
        }
        let hidden = input(inputs, "include-hidden-files") == "true";
        let paths = input(inputs, "path");
        if paths.is_empty() {
            return Err(Failed::user("upload-artifact: `path` is missing"));
        }
        self.can_reach("upload-artifact", paths)?;
        let staged = self.staged("uploads", name)?;
        let count = self.gather(paths, hidden, &staged)?;
        if count == 0 {
            let text = format!(
                "No files were found with the provided path: {}. No artifacts will be uploaded.",
                paths.replace('\n', ", ")
            );
            return match input(inputs, "if-no-files-found") {
                "error" => Err(Failed::user(text)),
                "ignore" => Ok(Vec::new()),
                _ => {
                    self.output.note(&format!("##[warning]{text}"));
                    Ok(Vec::new())
                }
            };
        }
        let artifact = self.put(&staged, name)?;
        self.output.note(&if self.follows() {
            format!("this node's artifact `{name}` does not count: node 0's does")
        } else {
            format!("kept {count} files as artifact `{name}`")
        });
        let digest = artifact.digest.clone();
        self.uploads.insert(name.to_owned(), artifact);
        Ok(vec![pair("artifact-id", digest.clone()), pair("artifact-digest", digest)])
    }

    /// Copies what the patterns choose below their least common folder, as upload-artifact does.
    fn gather(&self, patterns: &str, hidden: bool, to: &Path) -> Result<usize, Failed> {
        let (files, base) = self.choose("upload-artifact", patterns, hidden)?;
        let own = Fence::default();
        for file in &files {
            let target = to.join(file.strip_prefix(&base).unwrap_or(file));
            copy_file(At(&self.fence, file), At(&own, &target)).map_err(|e| {
                Failed::new(class_of(&e), format!("upload-artifact: cannot take {}: {e}", file.display()))
            })?;
        }
        Ok(files.len())
    }
}
