//! The inputs of the built-in actions: which there are, what they hold, which do nothing here.

use crate::agent::job::Job;
use crate::agent::scope::Failed;

/// The inputs of each action: those that do something, those that cannot, and why.
type ActionInputs = (&'static str, &'static [&'static str], &'static [&'static str], &'static str);
const CACHE: &[&str] = &["path", "key", "restore-keys", "fail-on-cache-miss", "lookup-only"];
const CACHE_IDLE: &[&str] = &["upload-chunk-size", "enableCrossOsArchive", "save-always"];
const INPUTS: &[ActionInputs] = &[
    (
        "actions/checkout",
        &["repository", "ref", "path"],
        &[
            "token",
            "ssh-key",
            "ssh-known-hosts",
            "ssh-strict",
            "ssh-user",
            "persist-credentials",
            "clean",
            "filter",
            "sparse-checkout",
            "sparse-checkout-cone-mode",
            "fetch-depth",
            "fetch-tags",
            "show-progress",
            "lfs",
            "submodules",
            "set-safe-directory",
            "github-server-url",
        ],
        "the tree is there already, as it lies in the working copy, without history and submodules",
    ),
    (
        "actions/upload-artifact",
        &["name", "path", "if-no-files-found", "overwrite", "include-hidden-files"],
        &["retention-days", "compression-level", "archive"],
        "artifacts are kept in the store as they are",
    ),
    (
        "actions/download-artifact",
        &["name", "path", "pattern", "merge-multiple", "artifact-ids", "run-id"],
        &["github-token", "repository", "skip-decompress"],
        "artifacts come from this run",
    ),
    ("actions/cache", CACHE, CACHE_IDLE, "caches are kept in the store as they are"),
    ("actions/cache/restore", CACHE, CACHE_IDLE, "caches are kept in the store as they are"),
    ("actions/cache/save", &["path", "key"], CACHE_IDLE, "caches are kept in the store as they are"),
];

/// What an action gives.
pub(super) type Outputs = Vec<(String, String)>;
/// Inputs as given, by name.
pub(super) type Inputs = [(String, String)];

/// An input's value without space around it; empty where it is not given. Names know no case.
pub(super) fn input<'a>(inputs: &'a Inputs, name: &str) -> &'a str {
    inputs.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v.trim())
}

/// One output.
pub(super) fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

impl Job<'_> {
    /// Says which inputs do nothing: unknown ones, and those that make no sense here.
    pub(super) fn look_at_inputs(&mut self, action: &str, inputs: &Inputs) {
        let Some((_, used, idle, why)) = INPUTS.iter().find(|(name, ..)| *name == action) else { return };
        for (given, value) in inputs.iter().filter(|(_, value)| !value.trim().is_empty()) {
            let is = |known: &&str| given.eq_ignore_ascii_case(known);
            if idle.iter().any(is) {
                let usual = value.trim() == "false" || (*given == "fetch-depth" && value.trim() == "1");
                if !usual {
                    self.output.note(&format!("{action}: `{given}` has no effect here: {why}"));
                }
            } else if !used.iter().any(is) {
                let valid = used.iter().chain(*idle).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
                let text = format!("Unexpected input(s) '{given}', valid inputs are [{valid}]");
                self.output.issue("warning", &text);
            }
        }
    }

    /// Refuses a name that would be stored although it holds a secret.
    pub(super) fn not_secret(&self, action: &str, what: &str, name: &str) -> Result<(), Failed> {
        if self.output.masks.finds(name) {
            return Err(Failed::user(format!("{action}: the {what} holds a secret, and it would be stored")));
        }
        Ok(())
    }
}
