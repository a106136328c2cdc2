//! Text that strangers write, in a place where it becomes a program, an image or a path.
//!
//! The list of contexts is GitHub's ("Secure use reference", script injection).

use crate::check::access::{Access, Segment, expressions};
use crate::check::sites::{Sink, Site};
use crate::check::{Facts, Level, Rule};
use crate::expr::{BinaryOp, Expr, ExprKind, Template};
use crate::source::Diagnostic;
use crate::workflow::{Env, Tree, TreeKind};

pub(super) const RULE: Rule = Rule {
    id: "untrusted-text",
    level: Level::Tidegate,
    about: "text that strangers can write flows into a script, an image or a path",
    check,
};

/// Paths below `github` whose text anyone can choose; `*` stands for one segment.
const UNTRUSTED: &[&str] = &[
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
    "event.comment.body",
    "event.review.body",
    "event.review_comment.body",
    "event.discussion.title",
    "event.discussion.body",
    "event.pages.*.page_name",
    "event.commits.*.message",
    "event.commits.*.author.email",
    "event.commits.*.author.name",
    "event.head_commit.message",
    "event.head_commit.author.email",
    "event.head_commit.author.name",
    "event.head_commit.committer.email",
    "event.head_commit.committer.name",
    "event.merge_group.head_commit.message",
    "event.merge_group.head_commit.author.email",
    "event.merge_group.head_commit.author.name",
    "event.workflow_run.head_branch",
    "event.workflow_run.display_title",
    "event.workflow_run.head_commit.message",
    "event.workflow_run.head_commit.author.email",
    "event.workflow_run.head_commit.author.name",
    "event.workflow_run.head_repository.description",
    "event.workflow_run.pull_requests.*.head.ref",
    "event.client_payload",
];

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for site in facts.sites.iter().filter(|s| s.sink != Sink::Value) {
        let into = match site.sink {
            Sink::Script => "a script",
            Sink::Image => "the name of an image",
            Sink::Path | Sink::Value => "a path or a command line",
        };
        for (expr, inside) in expressions(site.template) {
            let mut parts = Vec::new();
            taints(expr, facts, site, Way::default(), &mut parts);
            for (part, name) in parts {
                let text = format!("anyone can write `{name}`, and here it becomes part of {into}");
                let mut diagnostic = Diagnostic::error(RULE.id, facts.context.place(inside, part), text);
                diagnostic = match site.sink {
                    Sink::Script => {
                        let variable = variable(&name);
                        diagnostic
                            .label("runs whatever it contains")
                            .help(format!(
                                "pass it as a variable: `env: {{ {variable}: \"${{{{ {name} }}}}\" }}`"
                            ))
                            .help(format!("and use it in the script as `\"${variable}\"`"))
                    }
                    _ => diagnostic.help("use a value that only people with write access can choose"),
                };
                found.push(diagnostic);
            }
        }
    }
    found
}

/// A name for the variable that carries the text: the last two segments.
fn variable(path: &str) -> String {
    let parts: Vec<&str> = path.split(['.', '[', ']', '*']).filter(|p| !p.is_empty()).collect();
    let last = parts.iter().rev().take(2).rev().filter(|p| !matches!(**p, "github" | "event"));
    last.map(|p| p.to_ascii_uppercase().replace('-', "_")).collect::<Vec<_>>().join("_")
}

/// How an expression is looked at.
#[derive(Clone, Copy, Default)]
struct Way {
    /// Whether a whole object becomes text, as in `toJSON(github.event)`.
    whole: bool,
    /// How many variables, matrix values and outputs were followed.
    followed: u8,
}

impl Way {
    /// So many are followed: the rest would be a riddle, or a circle.
    const FARTHEST: u8 = 4;

    fn next(self) -> Option<Self> {
        (self.followed < Self::FARTHEST).then_some(Self { whole: false, followed: self.followed + 1 })
    }
}

/// Collects the parts of an expression whose text reaches its value. Comparisons and tests give
/// only true or false, so what is in them does no harm.
fn taints<'e>(
    expr: &'e Expr,
    facts: &Facts<'_>,
    site: &Site<'_>,
    way: Way,
    found: &mut Vec<(&'e Expr, String)>,
) {
    if let Some(access) = Access::of(expr) {
        let direct = access.is("github") && matches_any(&access.segments, way.whole);
        if direct || way.next().is_some_and(|way| is_carried(&access, facts, site, way)) {
            found.push((expr, spelled(&access)));
        }
        return;
    }
    match &expr.kind {
        ExprKind::Binary(BinaryOp::Or, a, b) => {
            taints(a, facts, site, way, found);
            taints(b, facts, site, way, found);
        }
        ExprKind::Binary(BinaryOp::And, _, b) => taints(b, facts, site, way, found),
        ExprKind::Call(name, arguments) => {
            let name = name.to_ascii_lowercase();
            if matches!(name.as_str(), "contains" | "startswith" | "endswith" | "hashfiles") {
                return;
            }
            for argument in arguments {
                taints(argument, facts, site, Way { whole: name == "tojson", ..way }, found);
            }
        }
        ExprKind::Property(base, _) | ExprKind::Star(base) | ExprKind::Index(base, _) => {
            taints(base, facts, site, way, found);
        }
        _ => {}
    }
}

fn matches_any(segments: &[Segment], whole: bool) -> bool {
    UNTRUSTED.iter().any(|pattern| {
        let pattern: Vec<&str> = pattern.split('.').collect();
        let open = *pattern.last().unwrap_or(&"") == "client_payload";
        let long_enough = segments.len() == pattern.len()
            || (open && segments.len() > pattern.len())
            || (whole && segments.len() < pattern.len());
        long_enough
            && segments.iter().zip(&pattern).all(|(segment, part)| match segment {
                Segment::Any => true,
                Segment::Name(name) => name.eq_ignore_ascii_case(part),
            })
    })
}

fn spelled(access: &Access) -> String {
    let mut text = access.context.to_string();
    for segment in &access.segments {
        match segment {
            Segment::Name(name) => {
                text.push('.');
                text.push_str(name);
            }
            Segment::Any => text.push_str(".*"),
        }
    }
    text
}

/// Tells whether a variable, a matrix value or a job's output was made of such text: pasting it is
/// the same as pasting what it was made of.
fn is_carried(access: &Access, facts: &Facts<'_>, site: &Site<'_>, way: Way) -> bool {
    let of = |template: &Template, site: &Site<'_>| {
        let mut parts = Vec::new();
        expressions(template).for_each(|(expr, _)| taints(expr, facts, site, way, &mut parts));
        !parts.is_empty()
    };
    let Some(name) = access.name(0) else { return false };
    if access.is("env") && access.segments.len() == 1 {
        let layers: [Option<&Env>; 3] =
            [site.step.map(|s| &s.env), site.job.map(|j| &j.env), Some(&facts.workflow.env)];
        let value = layers.into_iter().flatten().find_map(|env| {
            env.variables.iter().find(|(n, _)| n.value.eq_ignore_ascii_case(name)).map(|(_, t)| t)
        });
        return value.is_some_and(|template| of(template, site));
    }
    if access.is("matrix") {
        let matrix = site.job.and_then(|j| j.strategy.as_ref()).and_then(|s| s.matrix.as_ref());
        let mut templates = Vec::new();
        if let Some(matrix) = matrix {
            vectors(matrix, name, &mut templates);
        }
        return templates.into_iter().any(|template| of(template, site));
    }
    if access.is("needs") && access.name(1).is_some_and(|n| n.eq_ignore_ascii_case("outputs")) {
        let Some(job) = facts.job(name) else { return false };
        let Some(wanted) = access.name(2) else { return false };
        let output = job.outputs.iter().find(|(n, _)| n.value.eq_ignore_ascii_case(wanted));
        let site = Site { job: Some(job), step: None, ..*site };
        return output.is_some_and(|(_, template)| of(template, &site));
    }
    false
}

/// Collects what one value of a matrix may come from: its vector, `include`, or the expression that
/// gives the whole.
fn vectors<'t>(matrix: &'t Tree, name: &str, found: &mut Vec<&'t Template>) {
    match &matrix.kind {
        TreeKind::Template(template) => found.push(template),
        TreeKind::Sequence(items) => items.iter().for_each(|item| vectors(item, name, found)),
        TreeKind::Mapping(entries) => {
            for (key, value) in entries {
                if key.value.raw.eq_ignore_ascii_case(name) {
                    all(value, found);
                } else if &*key.value.raw == "include" {
                    vectors(value, name, found);
                }
            }
        }
        TreeKind::Literal(_) => {}
    }
}

fn all<'t>(tree: &'t Tree, found: &mut Vec<&'t Template>) {
    match &tree.kind {
        TreeKind::Template(template) => found.push(template),
        TreeKind::Sequence(items) => items.iter().for_each(|item| all(item, found)),
        TreeKind::Mapping(entries) => entries.iter().for_each(|(_, value)| all(value, found)),
        TreeKind::Literal(_) => {}
    }
}
