//! What a repository says about itself: commit, branch, where it comes from, who works in it.

use super::GitError;
use super::remote::remote_name;
use git2::{ObjectType, Repository};

/// What git says about a working copy; empty text where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The commit, 40 hex digits.
    pub sha: String,
    /// `refs/heads/…`, or `refs/tags/…` where a tag is checked out.
    pub reference: String,
    /// The branch or tag by its short name.
    pub branch: String,
    /// The branch others start from.
    pub default_branch: String,
    /// `owner/name` of where it comes from, else the folder's name.
    pub repository: String,
    /// Host and path of where it comes from, `github.com/owner/name`; empty where that is no other machine.
    pub remote: String,
    /// Who commits here.
    pub actor: String,
    /// First line of the commit's message.
    pub subject: String,
    /// Paths that the commit changed against its first parent.
    pub changed: Vec<String>,
}

/// Asks a repository. What it cannot say stays empty: a run needs none of it.
pub fn facts(repository: &Repository) -> Facts {
    let mut facts = Facts::default();
    // Also right before the first commit, when HEAD names a branch that is not there yet.
    if let Ok(head) = repository.find_reference("HEAD")
        && let Ok(Some(target)) = head.symbolic_target()
    {
        target.clone_into(&mut facts.reference);
    }
    if let Some(commit) = repository.head().ok().and_then(|h| h.peel_to_commit().ok()) {
        facts.sha = commit.id().to_string();
        commit.summary().ok().flatten().unwrap_or_default().clone_into(&mut facts.subject);
        facts.changed = changed(repository, &commit).unwrap_or_default();
        if facts.reference.is_empty() {
            facts.reference = tag_of(repository, commit.id()).unwrap_or_default();
        }
    }
    let short = facts.reference.strip_prefix("refs/heads/").or(facts.reference.strip_prefix("refs/tags/"));
    short.unwrap_or_default().clone_into(&mut facts.branch);
    facts.default_branch = default_branch(repository).unwrap_or_else(|| facts.branch.clone());
    let url = url(repository);
    facts.repository = name(repository, &url);
    facts.remote = remote_name(&url);
    let config = repository.config().and_then(|mut c| c.snapshot());
    facts.actor = config.ok().and_then(|c| c.get_string("user.name").ok()).unwrap_or_default();
    facts
}

fn changed(repository: &Repository, commit: &git2::Commit) -> Result<Vec<String>, GitError> {
    let parent = commit.parent(0).ok().map(|p| p.tree()).transpose()?;
    let diff = repository.diff_tree_to_tree(parent.as_ref(), Some(&commit.tree()?), None)?;
    let path = |delta: git2::DiffDelta| {
        let file = delta.new_file().path_bytes().or(delta.old_file().path_bytes());
        file.map(|p| String::from_utf8_lossy(p).into_owned())
    };
    Ok(diff.deltas().filter_map(path).collect())
}

fn tag_of(repository: &Repository, commit: git2::Oid) -> Option<String> {
    let tags = repository.references_glob("refs/tags/*").ok()?;
    let mut names = tags.filter_map(|tag| {
        let tag = tag.ok()?;
        let target = tag.peel(ObjectType::Commit).ok()?.id();
        (target == commit).then(|| tag.name().ok().map(str::to_owned)).flatten()
    });
    names.next()
}

fn default_branch(repository: &Repository) -> Option<String> {
    if let Ok(head) = repository.find_reference("refs/remotes/origin/HEAD")
        && let Ok(Some(target)) = head.symbolic_target()
    {
        return target.strip_prefix("refs/remotes/origin/").map(str::to_owned);
    }
    let exists = |name: &&str| repository.find_reference(&format!("refs/heads/{name}")).is_ok();
    ["main", "master"].into_iter().find(exists).map(str::to_owned)
}

fn url(repository: &Repository) -> String {
    let origin = repository.find_remote("origin").ok();
    origin.and_then(|o| o.url().ok().map(str::to_owned)).unwrap_or_default()
}

fn name(repository: &Repository, url: &str) -> String {
    let trimmed = url.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = trimmed.rsplit(['/', ':']).filter(|p| !p.is_empty());
    if let (Some(name), Some(owner)) = (parts.next(), parts.next()) {
        return format!("{owner}/{name}");
    }
    let folder = repository.workdir().and_then(|w| w.file_name());
    folder.map(|f| f.to_string_lossy().into_owned()).unwrap_or_default()
}
