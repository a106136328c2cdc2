//! `actions/checkout`.

use super::inputs::{Inputs, Outputs, input, pair};
use crate::agent::copy::{At, copy_tree};
use crate::agent::job::{Job, class_of};
use crate::agent::keep::within;
use crate::agent::scope::Failed;

impl Job<'_> {
    /// The tree is there already; another place in it gets a copy.
    pub(super) fn checkout(&mut self, inputs: &Inputs) -> Result<Outputs, Failed> {
        let repository = input(inputs, "repository");
        let github = self.github();
        let text = |name: &str| github.get(name).map(|v| v.to_text().to_string()).unwrap_or_default();
        if !repository.is_empty() && repository != text("repository") {
            return Err(Failed::user(format!(
                "actions/checkout: only this repository's tree is here, not {repository}; clone it in a `run:` step"
            )));
        }
        let commit = self.spec.source.commit.clone();
        let reference = input(inputs, "ref");
        let same = ["", "HEAD", commit.as_str()].contains(&reference)
            || reference == text("ref")
            || reference == text("ref_name")
            || reference == text("head_ref");
        if !same {
            return Err(Failed::user(format!(
                "actions/checkout: the work folder holds the tree of {commit}; `ref: {reference}` is another one; start the run on that ref"
            )));
        }
        let path = input(inputs, "path");
        if !path.is_empty() && path != "." {
            let to = self.place.project.join(path);
            if !within(&self.place.root, &to) {
                return Err(Failed::user(format!(
                    "actions/checkout: `path: {path}` lies outside of the work folder"
                )));
            }
            let from = self.place.root.clone();
            copy_tree(At(&self.fence, &from), At(&self.fence, &to))
                .map_err(|e| Failed::new(class_of(&e), format!("actions/checkout: {path}: {e}")))?;
        }
        let dirty = if self.spec.source.dirty { " with the changes of the working copy" } else { "" };
        self.output
            .note(&format!("the tree of {commit}{dirty} is in the work folder already; nothing to fetch"));
        Ok(vec![pair("ref", text("ref")), pair("commit", commit)])
    }
}
