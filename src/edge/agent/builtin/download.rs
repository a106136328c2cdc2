//! `actions/download-artifact`.

use super::files::expand_home;
use super::inputs::{Inputs, Outputs, input, pair};
use crate::agent::hash_files::matches;
use crate::agent::job::Job;
use crate::agent::place::file_name;
use crate::agent::scope::Failed;
use std::path::Path;
use tidegate_flow::job::{Answer, ArtifactRef, Question};

impl Job<'_> {
    pub(super) fn download(&mut self, inputs: &Inputs) -> Result<Outputs, Failed> {
        let mut all = match self.link.ask(Question::Uploads) {
            Some(Answer::Uploads(all)) => all,
            Some(Answer::Unavailable(reason)) => {
                return Err(Failed::user(format!("download-artifact: {reason}")));
            }
            Some(_) => return Err(Failed::user("download-artifact: the engine answered something else")),
            None => return Err(Failed::user("cancelled while the artifacts were asked for")),
        };
        all.extend(self.uploads.clone());
        let other_run = input(inputs, "run-id");
        if !other_run.is_empty() && other_run != self.spec.run {
            return Err(Failed::user(
                "download-artifact: artifacts of other runs are not there; use `consumes`, or take `run-id` away",
            ));
        }
        let ids: Vec<&str> = input(inputs, "artifact-ids").split(',').map(str::trim).collect();
        if ids != [""] {
            all.retain(|_, artifact| ids.contains(&artifact.digest.as_str()));
        }
        let name = input(inputs, "name");
        self.can_reach("download-artifact", input(inputs, "path"))?;
        let folder = match input(inputs, "path") {
            "" => self.place.project.clone(),
            path => self.place.project.join(expand_home(path, &self.base)),
        };
        if name.is_empty() {
            let pattern = match input(inputs, "pattern") {
                "" => "*",
                pattern => pattern,
            };
            let merge = input(inputs, "merge-multiple") == "true";
            for (name, artifact) in all.iter().filter(|(n, _)| matches(pattern, n)) {
                let to = if merge { folder.clone() } else { folder.join(name) };
                self.lay_out(artifact, name, &to)?;
            }
        } else {
            let known = all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let artifact = all.get(name).ok_or_else(|| {
                Failed::user(format!(
                    "download-artifact: there is no artifact `{name}` in this run; there are: {known}"
                ))
            })?;
            self.lay_out(artifact, name, &folder)?;
        }
        Ok(vec![pair("download-path", folder.to_string_lossy())])
    }

    fn lay_out(&mut self, artifact: &ArtifactRef, name: &str, to: &Path) -> Result<(), Failed> {
        let staged = self.staging.join("downloads").join(file_name(name));
        self.fetch(artifact, &staged)?;
        self.lay_down("download-artifact", name, &staged, to)?;
        self.output.note(&format!("laid out artifact `{name}` in {}", to.display()));
        Ok(())
    }
}
