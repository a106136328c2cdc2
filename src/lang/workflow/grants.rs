//! What `permissions` grant, and what a called workflow may ask of its caller.
//!
//! Not here: reading the key (`parse`), following calls (`link`).

use super::{Job, Permissions, Workflow};
use crate::source::Diagnostic;

/// The scopes of `permissions`. Source: GitHub's page "Workflow syntax", `permissions`.
pub(super) const SCOPES: [&str; 20] = [
    "actions",
    "artifact-metadata",
    "attestations",
    "checks",
    "code-quality",
    "contents",
    "copilot-requests",
    "deployments",
    "discussions",
    "drives",
    "id-token",
    "issues",
    "models",
    "packages",
    "pages",
    "pull-requests",
    "repository-projects",
    "security-events",
    "statuses",
    "vulnerability-alerts",
];

/// One level for each scope, in the order of [`SCOPES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Grants([Level; SCOPES.len()]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum Level {
    #[default]
    None,
    Read,
    Write,
}

impl Level {
    fn of(word: &str) -> Self {
        match word {
            "read" | "read-all" => Self::Read,
            "write" | "write-all" => Self::Write,
            _ => Self::None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl Grants {
    /// Returns what a `permissions` key grants: a scope that a map does not name is granted nothing.
    pub fn of(permissions: &Permissions) -> Self {
        if let Some(all) = &permissions.all {
            return Self([Level::of(&all.value); SCOPES.len()]);
        }
        let mut grants = Self::default();
        for (scope, level) in &permissions.scopes {
            if let Some(place) = SCOPES.iter().position(|s| *s == scope.value)
                && let Some(granted) = grants.0.get_mut(place)
            {
                *granted = Level::of(&level.value);
            }
        }
        grants
    }

    /// Returns GitHub's restricted default: contents and packages may be read.
    pub fn restricted() -> Self {
        let mut grants = Self::default();
        for (scope, granted) in SCOPES.iter().zip(&mut grants.0) {
            if matches!(*scope, "contents" | "packages") {
                *granted = Level::Read;
            }
        }
        grants
    }

    /// Returns GitHub's permissive default: everything but identity tokens may be written.
    pub fn permissive() -> Self {
        let mut grants = Self([Level::Write; SCOPES.len()]);
        for (scope, granted) in SCOPES.iter().zip(&mut grants.0) {
            if *scope == "id-token" {
                *granted = Level::None;
            }
        }
        grants
    }

    /// Lists what is asked beyond `self`: the request and the grant, as words.
    fn beyond(&self, asked: &Self) -> Option<(String, String)> {
        let over: Vec<(&str, Level, Level)> = SCOPES
            .iter()
            .zip(asked.0.iter().zip(&self.0))
            .filter(|(_, (asked, granted))| asked > granted)
            .map(|(scope, (asked, granted))| (*scope, *asked, *granted))
            .collect();
        let words = |level: fn(&(&str, Level, Level)) -> Level| {
            let all: Vec<String> = over.iter().map(|o| format!("{}: {}", o.0, level(o).word())).collect();
            all.join(", ")
        };
        (!over.is_empty()).then(|| (words(|o| o.1), words(|o| o.2)))
    }
}

/// Reports what a called workflow, or a job in it, asks for beyond what its caller was granted.
pub(super) fn escalation(
    caller: &Job,
    path: &str,
    target: &Workflow,
    granted: Grants,
    found: &mut Vec<Diagnostic>,
) {
    let mut refuse = |who: String, permissions: &Permissions| {
        if let Some((asked, allowed)) = granted.beyond(&Grants::of(permissions)) {
            let text = format!("{who} asks for `{asked}`, and its caller is allowed `{allowed}`");
            found.push(
                Diagnostic::error("call-permissions", caller.id.span, text)
                    .related(permissions.span, "asked for here")
                    .help("grant it in the `permissions` of the calling job"),
            );
        }
    };
    if let Some(permissions) = &target.permissions {
        refuse(format!("`{path}`"), permissions);
    }
    for job in &target.jobs {
        if let Some(permissions) = &job.permissions {
            refuse(format!("the job `{}` of `{path}`", job.id.value), permissions);
        }
    }
}
