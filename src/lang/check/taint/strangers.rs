//! The contexts and outputs whose text anyone can choose.
//!
//! The list of contexts is GitHub's ("Secure use reference", script injection) with what the
//! payloads of its events hold beside them.

use crate::check::access::Segment;

/// Paths below `github`; `*` stands for one segment.
const CONTEXTS: &[&str] = &[
    "head_ref",
    "event.issue.title",
    "event.issue.body",
    "event.pull_request.title",
    "event.pull_request.body",
    "event.pull_request.head.ref",
    "event.pull_request.head.label",
    "event.pull_request.head.repo.default_branch",
    "event.pull_request.head.repo.description",
    "event.pull_request.head.repo.homepage",
    "event.changes.title.from",
    "event.changes.body.from",
    "event.comment.body",
    "event.comment.path",
    "event.review.body",
    "event.review_comment.body",
    "event.discussion.title",
    "event.discussion.body",
    "event.answer.body",
    "event.pages.*.page_name",
    "event.pages.*.title",
    "event.commits.*.message",
    "event.commits.*.author.email",
    "event.commits.*.author.name",
    "event.commits.*.committer.email",
    "event.commits.*.committer.name",
    "event.head_commit.message",
    "event.head_commit.author.email",
    "event.head_commit.author.name",
    "event.head_commit.committer.email",
    "event.head_commit.committer.name",
    "event.merge_group.head_commit.message",
    "event.merge_group.head_commit.author.email",
    "event.merge_group.head_commit.author.name",
    "event.merge_group.head_commit.committer.email",
    "event.merge_group.head_commit.committer.name",
    "event.check_suite.head_branch",
    "event.check_suite.pull_requests.*.head.ref",
    "event.check_run.check_suite.head_branch",
    "event.check_run.pull_requests.*.head.ref",
    "event.workflow_run.head_branch",
    "event.workflow_run.display_title",
    "event.workflow_run.head_commit.message",
    "event.workflow_run.head_commit.author.email",
    "event.workflow_run.head_commit.author.name",
    "event.workflow_run.head_commit.committer.email",
    "event.workflow_run.head_commit.committer.name",
    "event.workflow_run.head_repository.description",
    "event.workflow_run.pull_requests.*.head.ref",
    "event.forkee.description",
    "event.client_payload",
];

/// Variables that the runner sets to such text.
pub(super) const VARIABLES: &[&str] = &["GITHUB_HEAD_REF"];

/// Outputs of well-known actions that hold names of files or branches of a pull request: the
/// action, and how the output's name ends.
const OUTPUTS: &[(&str, &str)] = &[
    ("tj-actions/changed-files", "_files"),
    ("step-security/changed-files", "_files"),
    ("dorny/paths-filter", "_files"),
    ("tj-actions/branch-names", "head_ref_branch"),
    ("tj-actions/branch-names", "current_branch"),
    ("xt0rted/pull-request-comment-branch", "head_ref"),
    ("alessbell/pull-request-comment-branch", "head_ref"),
    ("potiuk/get-workflow-origin", "sourceheadbranch"),
];

/// Tells whether a path below `github` is such text. With `whole`, an object that holds such text
/// counts, too.
pub(super) fn writes(segments: &[Segment], whole: bool) -> bool {
    CONTEXTS.iter().any(|pattern| {
        let parts = || pattern.split('.');
        let (length, wanted) = (segments.len(), parts().count());
        let open = *pattern == "event.client_payload";
        let long_enough = length == wanted || (open && length > wanted) || (whole && length < wanted);
        long_enough
            && segments.iter().zip(parts()).all(|(segment, part)| match segment {
                Segment::Any => true,
                Segment::Name(name) => name.eq_ignore_ascii_case(part),
            })
    })
}

/// Tells whether an action of another repository gives such text out under a name.
pub(super) fn writes_output(uses: &str, output: &str) -> bool {
    let action = uses.split('@').next().unwrap_or(uses);
    let output = output.to_ascii_lowercase();
    OUTPUTS.iter().any(|(name, end)| action.eq_ignore_ascii_case(name) && output.ends_with(end))
}
