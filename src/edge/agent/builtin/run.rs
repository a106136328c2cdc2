//! From an action's name to what it does, during the step and after the last one.

use super::inputs::{Inputs, Outputs, input};
use crate::agent::job::Job;
use crate::agent::scope::Failed;

/// What is left to do after the steps.
#[derive(Clone, Debug)]
pub enum Post {
    /// `actions/cache`: keep these paths under this key.
    SaveCache {
        /// The key.
        key: String,
        /// Patterns as written, a line each.
        paths: String,
    },
}

impl Job<'_> {
    /// Runs a built-in action; `None` if the name is none of them.
    pub(in crate::agent) fn run_builtin(
        &mut self,
        uses: &str,
        inputs: &Inputs,
    ) -> Option<Result<Outputs, Failed>> {
        let name = uses.split('@').next().unwrap_or_default().to_ascii_lowercase();
        self.look_at_inputs(&name, inputs);
        Some(match name.as_str() {
            "actions/checkout" => self.checkout(inputs),
            "actions/upload-artifact" => self.upload(inputs),
            "actions/download-artifact" => self.download(inputs),
            "actions/cache" => self.cache(inputs, true),
            "actions/cache/restore" => self.cache(inputs, false),
            "actions/cache/save" => {
                let (key, paths) = (input(inputs, "key").to_owned(), input(inputs, "path").to_owned());
                self.save_cache(&key, &paths).map(|()| Vec::new())
            }
            _ => return None,
        })
    }

    /// Does what the steps left to do, the last one first; a failure there is a warning, as at GitHub.
    pub(in crate::agent) fn run_post(&mut self) {
        while let Some(post) = self.post.pop() {
            if self.failed.is_some() || self.stopping() {
                continue;
            }
            let Post::SaveCache { key, paths } = post;
            if let Err(failed) = self.save_cache(&key, &paths) {
                self.output.note(&format!("##[warning]{}", failed.reason));
            }
        }
    }
}
