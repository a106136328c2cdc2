//! The decision over GitHub's own rules: "Workflow syntax", `on`, and "Events that trigger workflows".

use super::{Decision, EventFacts, decide};
use serde_json::{Value as Json, json};
use tidegate_lang::source::{FileId, load};
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Dialect, Workflow, parse};

fn workflow(on: &str, dialect: Dialect) -> Workflow {
    let text = format!("on: {on}\njobs: {{ a: {{ runs-on: x, steps: [{{ run: x }}] }} }}\n");
    let (node, findings) = load(FileId(0), &text);
    assert!(findings.is_empty(), "{text}");
    parse(&node.unwrap(), &text, FileId(0), dialect).0
}

/// The decision in one line: `yes`, or the filter that said no.
fn asked(on: &str, facts: &EventFacts) -> String {
    match decide(&workflow(on, Dialect::Github), facts) {
        Decision::Start(_) => "yes".to_owned(),
        Decision::NoStart(no) => no.filter,
        Decision::Refused { problems } => problems.join("; "),
    }
}

fn push(reference: &str, changed: &[&str]) -> EventFacts {
    let changed = changed.iter().map(|path| (*path).to_owned()).collect();
    EventFacts::from_payload("push", &json!({}), reference, Some(changed))
}

#[test]
fn branches_and_tags() {
    let branches = "{ push: { branches: [main, 'mona/octocat', 'releases/**'] } }";
    let ignore = "{ push: { branches-ignore: ['mona/octocat', 'releases/**-alpha'] } }";
    let order = "{ push: { branches: ['releases/**', '!releases/**-alpha'] } }";
    let wrong_order = "{ push: { branches: ['!releases/**-alpha', 'releases/**'] } }";
    let tags = "{ push: { tags: [v2, 'v1.*'] } }";
    let tags_ignore = "{ push: { tags-ignore: ['v1.*'] } }";
    let both = "{ push: { branches: [main], tags: [v1] } }";
    let table = [
        (branches, "refs/heads/main", "yes"),
        (branches, "refs/heads/mona/octocat", "yes"),
        (branches, "refs/heads/releases/10", "yes"),
        (branches, "refs/heads/releases/beta/3", "yes"),
        (branches, "refs/heads/mona/other", "branches"),
        (branches, "refs/tags/main", "branches"),
        (ignore, "refs/heads/mona/octocat", "branches-ignore"),
        (ignore, "refs/heads/releases/beta/3-alpha", "branches-ignore"),
        (ignore, "refs/heads/releases/beta/3", "yes"),
        (ignore, "refs/tags/v1", "branches"),
        (order, "refs/heads/releases/10-alpha", "branches"),
        (order, "refs/heads/releases/10", "yes"),
        (wrong_order, "refs/heads/releases/10-alpha", "yes"),
        (tags, "refs/tags/v2", "yes"),
        (tags, "refs/tags/v1.9.1", "yes"),
        (tags, "refs/tags/v3", "tags"),
        (tags, "refs/heads/main", "tags"),
        (tags_ignore, "refs/tags/v1.0", "tags-ignore"),
        (tags_ignore, "refs/tags/v2", "yes"),
        (both, "refs/heads/main", "yes"),
        (both, "refs/tags/v1", "yes"),
        (both, "refs/tags/v2", "tags"),
        ("push", "refs/tags/v2", "yes"),
        ("[push, pull_request]", "refs/heads/x", "yes"),
        ("[pull_request]", "refs/heads/x", "on"),
    ];
    for (on, reference, wanted) in table {
        assert_eq!(asked(on, &push(reference, &["a"])), wanted, "{on} {reference}");
    }
}

#[test]
fn paths() {
    let keep = "{ push: { paths: ['**.js'] } }";
    let ignore = "{ push: { paths-ignore: ['docs/**'] } }";
    let order = "{ push: { paths: ['sub-project/**', '!sub-project/docs/**'] } }";
    let branch_too = "{ push: { branches: [main], paths: ['**.js'] } }";
    let table: [(&str, &str, &[&str], &str); 13] = [
        (keep, "refs/heads/main", &["a.py", "src/b.js"], "yes"),
        (keep, "refs/heads/main", &["a.py"], "paths"),
        (keep, "refs/heads/main", &[], "paths"),
        (keep, "refs/tags/v1", &["a.py"], "yes"),
        (ignore, "refs/heads/main", &["docs/a.md"], "paths-ignore"),
        (ignore, "refs/heads/main", &["docs/a.md", "b.py"], "yes"),
        (order, "refs/heads/main", &["sub-project/index.js"], "yes"),
        (order, "refs/heads/main", &["sub-project/src/index.js"], "yes"),
        (order, "refs/heads/main", &["sub-project/docs/readme.md"], "paths"),
        (order, "refs/heads/main", &["sub-project/docs/readme.md", "sub-project/x"], "yes"),
        (branch_too, "refs/heads/main", &["a.js"], "yes"),
        (branch_too, "refs/heads/main", &["a.py"], "paths"),
        (branch_too, "refs/heads/dev", &["a.js"], "branches"),
    ];
    for (on, reference, changed, wanted) in table {
        assert_eq!(asked(on, &push(reference, changed)), wanted, "{on} {changed:?}");
    }
    let unknown = EventFacts { changed: None, ..push("refs/heads/main", &[]) };
    assert_eq!(asked(keep, &unknown), "yes", "nobody knows what changed");
}

#[test]
fn types_and_what_other_events_bring() {
    let pr = |action: &str, base: &str| json!({ "action": action, "pull_request": { "number": 1, "base": { "ref": base } } });
    let run = |name: &str, branch: &str| json!({ "action": "completed", "workflow_run": { "name": name, "head_branch": branch } });
    let queue = json!({ "action": "checks_requested", "merge_group": { "base_ref": "refs/heads/main" } });
    let after = "{ workflow_run: { workflows: [Build], types: [completed], branches: ['releases/**'] } }";
    let table: [(&str, &str, Json, &str); 16] = [
        ("pull_request", "pull_request", pr("opened", "main"), "yes"),
        ("pull_request", "pull_request", pr("synchronize", "main"), "yes"),
        ("pull_request", "pull_request", pr("labeled", "main"), "types"),
        ("{ pull_request: { types: [labeled] } }", "pull_request", pr("labeled", "main"), "yes"),
        ("{ pull_request: { types: [labeled] } }", "pull_request", pr("opened", "main"), "types"),
        ("{ pull_request: { branches: [main] } }", "pull_request", pr("opened", "main"), "yes"),
        ("{ pull_request: { branches: [main] } }", "pull_request", pr("opened", "dev"), "branches"),
        (
            "{ pull_request: { branches-ignore: [dev] } }",
            "pull_request",
            pr("opened", "dev"),
            "branches-ignore",
        ),
        ("pull_request_target", "pull_request_target", pr("closed", "main"), "types"),
        ("issues", "issues", json!({ "action": "labeled" }), "yes"),
        (after, "workflow_run", run("Build", "releases/1"), "yes"),
        (after, "workflow_run", run("Build", "main"), "branches"),
        (after, "workflow_run", run("Test", "releases/1"), "workflows"),
        ("{ merge_group: { branches: [main] } }", "merge_group", queue.clone(), "yes"),
        ("{ merge_group: { branches: [dev] } }", "merge_group", queue, "branches"),
        ("{ schedule: [{ cron: '0 3 * * 1' }] }", "schedule", json!({ "schedule": "0 3 * * 1" }), "yes"),
    ];
    for (on, event, payload, wanted) in table {
        let facts = EventFacts::from_payload(event, &payload, "refs/heads/main", None);
        assert_eq!(asked(on, &facts), wanted, "{on} {event} {payload}");
    }
    let other = EventFacts::from_payload("schedule", &json!({ "schedule": "1 1 * * *" }), "", None);
    assert_eq!(asked("{ schedule: [{ cron: '0 3 * * 1' }] }", &other), "schedule");
}

const INPUTS: &str = "{ workflow_dispatch: { inputs: {
  text: { type: string, default: a },
  must: { required: true },
  count: { type: number, default: 7 },
  on: { type: boolean },
  pick: { type: choice, options: [small, large] },
  where: { type: environment } } } }";

fn dispatch(given: &[(&str, &str)], dialect: Dialect, event: &str) -> Result<Json, String> {
    let mut facts = EventFacts::from_payload(event, &json!({}), "refs/heads/main", None);
    facts.inputs = given.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    facts.by_hand = event == "workflow_dispatch";
    match decide(&workflow(INPUTS, dialect), &facts) {
        Decision::Start(start) => Ok(start.inputs),
        Decision::Refused { problems } => Err(problems.join("; ")),
        Decision::NoStart(no) => Err(no.words),
    }
}

#[test]
fn inputs_have_types_defaults_choices_and_may_be_required() {
    let by_hand = |given: &[(&str, &str)]| dispatch(given, Dialect::Github, "workflow_dispatch");
    assert_eq!(
        by_hand(&[("must", "x")]),
        Ok(json!({ "text": "a", "must": "x", "count": 7, "on": false, "pick": "small", "where": "" }))
    );
    assert_eq!(
        by_hand(&[("must", "x"), ("COUNT", "1e2"), ("on", "True"), ("pick", "large"), ("where", "prod")]),
        Ok(json!({ "text": "a", "must": "x", "count": 100, "on": true, "pick": "large", "where": "prod" }))
    );
    let table: [(&[(&str, &str)], &str); 6] = [
        (&[], "the input `must` is required"),
        (&[("must", "")], "the input `must` is required"),
        (&[("must", "x"), ("count", "many")], "the input `count` must be a number, not 'many'"),
        (&[("must", "x"), ("on", "yes")], "the input `on` must be true or false, not 'yes'"),
        (&[("must", "x"), ("pick", "huge")], "the input `pick` must be one of small, large, not 'huge'"),
        (&[("must", "x"), ("cuont", "1")], "there is no input `cuont`; did you mean `count`?"),
    ];
    for (given, wanted) in table {
        assert_eq!(by_hand(given), Err(wanted.to_owned()), "{given:?}");
    }
}
