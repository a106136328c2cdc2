//! Matrices by GitHub's rules, reasons in words, plans, and how long a large one takes to think of.

use super::*;
use crate::job::Conclusion;
use crate::run::{JobEvaluation, ReadySettings};
use crate::trigger::EventFacts;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tidegate_lang::expr::Status;
use tidegate_lang::source::{FileId, load};
use tidegate_lang::value::Value;
use tidegate_lang::workflow::{Dialect, Workflow, parse};

fn workflow(text: &str) -> Workflow {
    let (node, found) = load(FileId(0), text);
    assert!(found.is_empty(), "{found:?}");
    let (workflow, found) = parse(&node.unwrap(), text, FileId(0), Dialect::Tidegate);
    let errors: Vec<_> =
        found.iter().filter(|d| d.severity == tidegate_lang::source::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    workflow
}

fn job(body: &str) -> Workflow {
    workflow(&format!("on: push\njobs:\n  j:\n    steps: [{{ run: x }}]\n{body}"))
}

fn status(success: bool) -> Status {
    Status { success, failure: !success, cancelled: false }
}

fn evaluated(body: &str, contexts: &Contexts) -> JobEvaluation {
    let workflow = job(body);
    evaluate_job(&workflow, &workflow.jobs[0], contexts)
}

fn matrices(body: &str) -> Vec<Json> {
    match evaluated(body, &Contexts::new().with_status(status(true))) {
        JobEvaluation::Instances { instances, .. } => {
            instances.iter().map(|one| one.matrix.clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_vector_varies_fastest() {
    assert_eq!(
        matrices("    strategy: { matrix: { a: [1, 2], b: [x, y] } }"),
        [
            json!({"a": 1, "b": "x"}),
            json!({"a": 1, "b": "y"}),
            json!({"a": 2, "b": "x"}),
            json!({"a": 2, "b": "y"})
        ]
    );
}

#[test]
fn exclude_takes_a_part_for_the_whole_and_compares_loosely() {
    let body = "    strategy:\n      matrix:\n        Hello: [{ a: X, l: [1, 2, 3] }, { a: y, l: [] }, '', 0, z]\n        exclude: [{ hello: { A: x, l: [1] } }, { hello: null }]\n";
    assert_eq!(matrices(body), [json!({"Hello": {"a": "y", "l": []}}), json!({"Hello": "z"})]);
}

#[test]
fn include_extends_originals_and_adds_what_fits_none() {
    let body = "    strategy:\n      matrix:\n        fruit: [apple, pear]\n        animal: [cat, dog]\n        include:\n          - color: green\n          - color: pink\n            animal: cat\n          - fruit: apple\n            shape: circle\n          - fruit: banana\n          - fruit: banana\n            animal: cat\n";
    assert_eq!(
        matrices(body),
        [
            json!({"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"}),
            json!({"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"}),
            json!({"fruit": "pear", "animal": "cat", "color": "pink"}),
            json!({"fruit": "pear", "animal": "dog", "color": "green"}),
            json!({"fruit": "banana"}),
            json!({"fruit": "banana", "animal": "cat"}),
        ]
    );
}

#[test]
fn a_list_that_an_expression_gives_is_spliced_in() {
    let body = "    strategy:\n      matrix:\n        a: [1, \"${{ fromJSON('[2, 3]') }}\"]\n";
    assert_eq!(matrices(body), [json!({"a": 1}), json!({"a": 2}), json!({"a": 3})]);
    let whole = "    strategy: { matrix: \"${{ fromJSON(vars.m) }}\" }";
    let contexts =
        Contexts::new().with_status(status(true)).with("vars", Value::from(&json!({"m": "{\"a\":[7]}"})));
    let JobEvaluation::Instances { instances, .. } = evaluated(whole, &contexts) else { panic!() };
    assert_eq!(instances[0].matrix, json!({"a": 7}));
}

#[test]
fn a_matrix_that_is_wrong_says_what() {
    for (body, part) in [
        ("    strategy: { matrix: { a: [1], exclude: [{ b: 1 }] } }", "names `b`"),
        ("    strategy: { matrix: { a: [1], exclude: [{ a: 1 }] } }", "no instances"),
        ("    strategy: { matrix: \"${{ fromJSON('[1]') }}\" }", "must be a mapping"),
        ("    strategy: { matrix: { a: \"${{ fromJSON('{}') }}\" } }", "must be a list"),
    ] {
        match evaluated(body, &Contexts::new().with_status(status(true))) {
            JobEvaluation::Failed { reason } => assert!(reason.contains(part), "{reason}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn skipping_is_explained_with_the_values() {
    let github = Value::from(&json!({"ref": "refs/heads/x", "event": {"labels": ["a", "b"]}}));
    let needs = Value::from(&json!({"prep": {"result": "failure"}, "other": {"result": "success"}}));
    let ok = Contexts::new().with("github", github).with("needs", needs);
    for (condition, success, reason) in [
        ("github.ref == 'refs/heads/main'", true, Some("github.ref is refs/heads/x, not refs/heads/main")),
        ("github.ref != 'refs/heads/x'", true, Some("github.ref is refs/heads/x")),
        ("github.actor", true, Some("github.actor is not set")),
        (
            "true && contains(github.event.labels, 'c')",
            true,
            Some("github.event.labels is [a, b], which does not contain c"),
        ),
        (
            "github.ref == 'a' || github.ref == 'b'",
            true,
            Some("github.ref is refs/heads/x, not a, and github.ref is refs/heads/x, not b"),
        ),
        ("success()", false, Some("success() is false")),
        ("github.ref", false, Some("prep failed")),
        ("always()", false, None),
        ("failure()", false, None),
        ("failure()", true, Some("failure() is false")),
    ] {
        let contexts = ok.clone().with_status(status(success));
        match (evaluated(&format!("    if: {condition}"), &contexts), reason) {
            (JobEvaluation::Skipped { reason }, Some(expected)) => {
                assert_eq!(reason, expected, "{condition}");
            }
            (JobEvaluation::Instances { .. }, None) => {}
            (other, _) => panic!("{condition}: {other:?}"),
        }
    }
}

#[test]
fn names_are_those_of_github() {
    for (body, name) in [
        ("    strategy: { matrix: { a: [{ x: 1, y: [b, true] }], c: [0.5] } }", "j (1, b, true, 0.5)"),
        ("    name: Fit\n    strategy: { matrix: { a: [1] } }", "Fit (1)"),
        ("    name: Fit ${{ matrix.a }}\n    strategy: { matrix: { a: [1] } }", "Fit 1"),
        ("    name: Fit ${{ github.x }}", "j"),
    ] {
        let contexts = Contexts::new().with_status(status(true)).with("github", Value::from(&json!({})));
        let JobEvaluation::Instances { instances, .. } = evaluated(body, &contexts) else { panic!("{body}") };
        let expected = if name == "j" { "Fit" } else { name };
        assert_eq!(instances[0].display, expected, "{body}");
    }
}

#[test]
fn status_looks_at_all_above() {
    use Conclusion::{Failure, Skipped, Success};
    assert!(job_status(&[], false).success);
    assert!(!job_status(&[Success, Skipped], false).success);
    assert!(job_status(&[Success, Failure], false).failure);
    assert!(!job_status(&[Success], true).success);
}

fn settings(body: &str, tree: &TreeDigests) -> ReadySettings {
    let workflow = job(body);
    let facts = CacheFacts { workflow: "w.yml", tree, place: Place::Machine, image: "", project: "" };
    match evaluate_instance(&workflow, &workflow.jobs[0], &Contexts::new(), &facts) {
        crate::run::InstanceSettings::Ready(settings) => *settings,
        crate::run::InstanceSettings::Failed { reason } => panic!("{reason}"),
    }
}

#[test]
fn resources_and_retries_have_one_unit() {
    let made = settings(
        "    resources: { cpu: 500m, memory: 16Gi, gpu: { count: 2, product: A100 } }\n    retry: { attempts: 3, on: [oom], backoff: { initial: 10s, max: 5m }, oom: { memory-factor: 1.5 } }\n    timeout-minutes: 2\n",
        &TreeDigests::default(),
    );
    assert_eq!(
        (made.resources.cpu_millis, made.resources.memory_bytes, made.resources.gpus),
        (500, 16 << 30, 2)
    );
    assert_eq!((made.retry.attempts, made.retry.backoff_initial, made.retry.backoff_max), (3, 10.0, 300.0));
    assert_eq!(made.timeout_seconds, Some(120.0));
}

#[test]
fn a_cache_key_depends_on_what_it_should() {
    let tree = |a: &str, b: &str| {
        TreeDigests::new(BTreeMap::from([
            ("train/a.py".to_owned(), a.to_owned()),
            ("docs/b.md".to_owned(), b.to_owned()),
        ]))
    };
    let key = |body: &str, tree: &TreeDigests| settings(body, tree).cache.unwrap().key;
    let base = key("    cache: { inputs: [train/**] }", &tree("1", "1"));
    assert_eq!(base, key("    cache: { inputs: [train/**] }", &tree("1", "2")), "a file that is no input");
    assert_eq!(
        base,
        key("    name: other\n    cache: { inputs: [train/**] }", &tree("1", "1")),
        "a name for people"
    );
    assert_ne!(base, key("    cache: { inputs: [train/**] }", &tree("2", "1")), "an input");
    assert_ne!(base, key("    cache: { inputs: [train/**] }\n    env: { A: b }", &tree("1", "1")), "env");
    assert_ne!(base, key("    cache: { inputs: [train/**], key: k }", &tree("1", "1")), "key");
    assert_ne!(
        key("    cache: true", &tree("1", "1")),
        key("    cache: true", &tree("1", "2")),
        "the whole tree"
    );
}

#[test]
fn what_projects_of_one_store_keep_is_apart() {
    let tree = TreeDigests::default();
    let key = |project: &str| {
        let workflow = job("    cache: { inputs: [gone] }\n");
        let facts = CacheFacts { workflow: "w.yml", tree: &tree, place: Place::Pods, image: "", project };
        match evaluate_instance(&workflow, &workflow.jobs[0], &Contexts::new(), &facts) {
            crate::run::InstanceSettings::Ready(settings) => settings.cache.unwrap(),
            crate::run::InstanceSettings::Failed { reason } => panic!("{reason}"),
        }
    };
    let (own, one, other) = (key(""), key("github.com/acme/a"), key("github.com/acme/b"));
    assert!(own.key != one.key && one.key != other.key && own.key != other.key);
    assert_eq!(one, key("github.com/acme/a"));
    assert_eq!(one.parts["project"], "github.com/acme/a");
    assert!(!own.parts.contains_key("project"), "a store of its own is as it was");
}

/// `check` does not know what an expression gives; a pod is not made of it all the same.
#[test]
fn volumes_that_expressions_give_are_judged_when_they_are_known() {
    let tree = TreeDigests::default();
    let vars = json!({ "twice": "b:/y/", "ours": "/run/tidegate", "shm": "1Gi", "none": "0" });
    let contexts = Contexts::new().with("vars", Value::from(&vars));
    let reason = |body: &str| {
        let workflow = job(body);
        let (pods, project) = (Place::Pods, "");
        let facts = CacheFacts { workflow: "w.yml", tree: &tree, place: pods, image: "x", project };
        let before = absent(&workflow, &workflow.jobs[0], Place::Pods);
        assert!(before.is_empty(), "{body}: {before:?}");
        match evaluate_instance(&workflow, &workflow.jobs[0], &contexts, &facts) {
            crate::run::InstanceSettings::Ready(_) => String::new(),
            crate::run::InstanceSettings::Failed { reason } => reason,
        }
    };
    for (body, words) in [
        (
            "    container: { image: x, volumes: ['a:/y', \"${{ vars.twice }}\"] }\n",
            "`container.volumes`: `b:/y/`: `a:/y` is there already",
        ),
        (
            "    services: { db: { image: x, volumes: [\"a:${{ vars.ours }}\"] } }\n",
            "`services.db.volumes`: `a:/run/tidegate`: /run/tidegate is Tidegate's own",
        ),
        (
            "    resources: { shm: \"${{ vars.shm }}\" }\n    container: { image: x, volumes: ['a:/dev/shm'] }\n",
            "`container.volumes`: `a:/dev/shm`: `resources.shm` of this job",
        ),
        (
            "    resources: { shm: \"${{ vars.none }}\" }\n    container: { image: x, volumes: ['a:/dev/shm'] }\n",
            "",
        ),
    ] {
        let found = reason(body);
        assert!(found.starts_with(words) && (found.is_empty() == words.is_empty()), "{body}: {found}");
    }
}

fn planned(workflow: &Workflow, facts: &EventFacts) -> Plan {
    let github = json!({"ref": facts.reference, "event_name": facts.name});
    let contexts = Contexts::new().with("github", Value::from(&github)).with("vars", Value::from(&json!({})));
    plan(&PlanInput {
        place: Place::Machine,
        image: "",
        workflow,
        called: &BTreeMap::new(),
        path: "w.yml",
        contexts: &contexts,
        facts,
        tree: &TreeDigests::default(),
        cached: &|_, keys| {
            keys.iter().map(|_| CacheAnswer::Miss { differs: Vec::new(), since: None }).collect()
        },
        jobs: &select_jobs(workflow, &[]).unwrap(),
        matrix: &[],
    })
}

#[test]
fn what_is_not_known_is_never_made_up() {
    let workflow = workflow(
        "on: push\njobs:\n  a:\n    steps: [{ run: x }]\n    outputs: { m: x }\n    produces: { f: f.csv }\n  b:\n    needs: a\n    strategy: { matrix: { m: \"${{ fromJSON(needs.a.outputs.m) }}\" } }\n    steps: [{ run: x }]\n  c:\n    needs: a\n    if: needs.a.outputs.m == 'x' && github.ref == 'refs/heads/main'\n    steps: [{ run: x }]\n  d:\n    needs: c\n    steps: [{ run: x }]\n  e:\n    needs: a\n    if: needs.a.outputs.m == 'x'\n    consumes: { f: \"${{ needs.a.artifacts.f }}\" }\n    steps: [{ run: \"echo ${{ needs.a.outputs.m }} ${{ github.ref }}\" }]\n",
    );
    let facts =
        EventFacts { name: "push".to_owned(), reference: "refs/heads/x".to_owned(), ..EventFacts::default() };
    let plan = planned(&workflow, &facts);
    let of = |id: &str| plan.jobs.iter().find(|job| job.id == id).unwrap();
    assert!(of("b").instances.is_empty() && of("b").later[0].key == "strategy.matrix");
    assert_eq!(
        of("c").fate,
        Fate::Skipped { reason: "github.ref is refs/heads/x, not refs/heads/main".to_owned() }
    );
    assert_eq!(of("d").fate, Fate::Skipped { reason: "c does not run".to_owned() });
    assert_eq!(of("e").fate, Fate::Depends { on: "needs.a.outputs.m == 'x'".to_owned() });
    assert_eq!(of("e").later[0].key, "consumes.f");
    assert_eq!(of("e").steps[0].text, "echo ${{ needs.a.outputs.m }} refs/heads/x");
}

#[test]
fn a_large_matrix_is_planned_whole() {
    let hundred: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let list = hundred.join(", ");
    let workflow =
        job(&format!("    strategy: {{ matrix: {{ a: [{list}], b: [{list}] }} }}\n    cache: true\n"));
    let facts =
        EventFacts { name: "push".to_owned(), reference: "refs/heads/x".to_owned(), ..EventFacts::default() };
    let plan = planned(&workflow, &facts);
    assert_eq!(plan.jobs[0].instances.len(), 10_000);
    assert_eq!(plan.jobs[0].instances[9_999].display, "j (99, 99)");
}

/// What is said of a key without effect names the place where the job runs, and no other.
#[test]
fn keys_without_effect_are_said_of_where_the_job_runs() {
    let body = "    queue: q\n    spot: true\n    pod-template: t.yaml\n    container: alpine\n    resources: { shm: 1Gi, ephemeral-storage: 1Gi, gpu: { count: 1, memory: 40Gi } }\n    checkpoint: { path: c, every: 1m }\n    consumes: { i: { from: \"${{ data.x }}\", mount: shared } }\n";
    let text = format!(
        "on: push\ndata: {{ x: y }}\njobs:\n  j:\n    steps: [{{ run: x, container: b, resources: {{ cpu: 1 }} }}]\n{body}"
    );
    let workflow = workflow(&text);
    let keys = |place| {
        let parts = absent(&workflow, &workflow.jobs[0], place);
        assert!(parts.iter().all(|part| !part.blocking));
        parts.into_iter().map(|part| (part.key, part.words)).collect::<Vec<_>>()
    };
    let both = ["consumes.i.mount"];
    let pods = keys(Place::Pods);
    assert_eq!(pods.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), both);
    for (key, words) in &pods {
        assert!(
            ![" here", "this machine", "process"].iter().any(|place| words.contains(place)),
            "{key}: {words}"
        );
    }
    let in_containers: Vec<String> = keys(Place::Containers).into_iter().map(|(key, _)| key).collect();
    let wanted = [
        "queue",
        "spot",
        "pod-template",
        "resources.ephemeral-storage",
        "resources.gpu.memory",
        "checkpoint.every",
        "consumes.i.mount",
    ];
    assert_eq!(in_containers, wanted);
    let here = keys(Place::Machine);
    let only_here: Vec<&str> =
        here.iter().map(|(key, _)| key.as_str()).filter(|key| !both.contains(key)).collect();
    let wanted = [
        "container",
        "resources.shm",
        "queue",
        "spot",
        "pod-template",
        "resources.ephemeral-storage",
        "resources.gpu.memory",
        "checkpoint.every",
        "steps[0].container",
        "steps[0].resources",
    ];
    assert_eq!(only_here, wanted);
}

/// What jobs in images ask for in vain, where the file says it without an expression.
#[test]
fn what_images_and_nodes_do_not_give_is_said_of_the_file() {
    let said = |job: &str, place| {
        let workflow = workflow(&format!(
            "on: push\ndefaults: {{ container: alpine }}\njobs:\n  j:\n    steps: [{{ run: x }}]\n{job}"
        ));
        let parts = absent(&workflow, &workflow.jobs[0], place);
        parts
            .iter()
            .map(|part| format!("{}{}: {}", if part.blocking { "!" } else { "" }, part.key, part.words))
            .collect::<Vec<_>>()
    };
    let both = [
        (
            "    python: { requirements: r.txt }\n",
            "python: the image brings its own Python; what r.txt names",
        ),
        ("    python: { packages: [x] }\n", "python: the image brings its own Python"),
        (
            "    services: { db: { image: x, ports: ['80:5432'] } }\n",
            "services.db.ports: 80 is not mapped; steps reach it at db:5432",
        ),
        ("    services: { db: { image: x, ports: [x] } }\n", "!services.db.ports: `x` is no port"),
        (
            "    services: { a: { image: x, ports: [5] }, b: { image: x, ports: [5] } }\n",
            "!services: `a` and `b` both listen on port 5",
        ),
        (
            "    services: { db: { image: x, options: --health-retries x } }\n",
            "!services.db.options: `--health-retries x` is no number",
        ),
        (
            "    services: { db: { image: x, options: --name y } }\n",
            "services.db.options: --name y has no effect",
        ),
    ];
    let pods = [
        (
            "    container: { image: x, volumes: ['/x:/y'] }\n",
            "!container.volumes: `/x:/y`: a pod has no folder",
        ),
        ("    container: { image: x, volumes: [/data] }\n", "container.volumes: it has no effect in a pod"),
        (
            "    container: { image: x, volumes: ['data:/y:ro,z'] }\n",
            "container.volumes: z of `data:/y:ro,z` has no effect in a pod",
        ),
        (
            "    services: { db: { image: x, volumes: ['data:/y:nocopy'] } }\n",
            "services.db.volumes: nocopy of `data:/y:nocopy` has no effect in a pod",
        ),
        (
            "    container: { image: x, volumes: ['a:/y', 'b:/y'] }\n",
            "!container.volumes: `b:/y`: `a:/y` is there already; give each a folder of its own",
        ),
        (
            "    services: { db: { image: x, volumes: ['a:/run/tidegate/own'] } }\n",
            "!services.db.volumes: `a:/run/tidegate/own`: /run/tidegate is Tidegate's own",
        ),
        (
            "    resources: { shm: 1Gi }\n    container: { image: x, volumes: ['a:/dev/shm'] }\n",
            "!container.volumes: `a:/dev/shm`: `resources.shm` of this job lies there; leave one",
        ),
        ("    runs-on: gpu-pool\n", "runs-on: `gpu-pool` chooses no node; `resources`"),
        ("    runs-on: { group: big }\n", "runs-on: `big` chooses no node"),
        (
            "    services: { db: { image: x, volumes: ['/x:/y'] } }\n",
            "!services.db.volumes: `/x:/y`: a pod has no folder",
        ),
        (
            "    services: { db: { image: x, options: --cpus 1 } }\n",
            "services.db.options: --cpus 1 has no effect in a pod",
        ),
        (
            "    resources: { gpu: { count: 1, vendor: amd, memory: 40Gi } }\n",
            "!resources.gpu.memory: only NVIDIA's node labels",
        ),
    ];
    for (job, words) in both.iter().chain(&pods) {
        let said = said(job, Place::Pods);
        assert!(said.len() == 1 && said[0].starts_with(words), "{job}: {said:?}");
    }
    for (job, words) in &both {
        let said = said(job, Place::Containers);
        assert!(said.len() == 1 && said[0].starts_with(words), "{job}: {said:?}");
    }
    let nothing = [
        "    runs-on: ubuntu-latest\n",
        "    runs-on: [self-hosted, linux, x64]\n",
        "    resources: { gpu: { count: 1, vendor: nvidia, memory: 40Gi } }\n",
        "    services: { db: { image: x, ports: ['5432:5432'], volumes: ['data:/y', /z], options: --health-cmd y } }\n",
        "    services: { db: { image: x, volumes: ['${{ github.ref }}:/y'] } }\n",
        "    container: { image: x, volumes: ['data:/y', 'more:/z:ro', '${{ github.ref }}:/y'] }\n",
        "    resources: { shm: 1Gi }\n    services: { db: { image: x, volumes: ['a:/dev/shm'] } }\n",
        "    resources: { shm: 0 }\n    container: { image: x, volumes: ['a:/dev/shm'] }\n",
    ];
    for job in nothing {
        assert_eq!(said(job, Place::Pods), Vec::<String>::new(), "{job}");
    }
}

/// Kubernetes takes no such name for a host; an engine of containers does.
#[test]
fn services_that_a_pod_cannot_give_a_host_to() {
    let text = "on: push\njobs:\n  j:\n    container: alpine\n    services: { DB_main: { image: x }, cache-1: { image: y } }\n    steps: [{ run: x }]\n";
    let workflow = workflow(text);
    let pods = absent(&workflow, &workflow.jobs[0], Place::Pods);
    assert_eq!(
        pods.iter().map(|p| (p.key.as_str(), p.blocking)).collect::<Vec<_>>(),
        [("services.DB_main", true)]
    );
    assert!(absent(&workflow, &workflow.jobs[0], Place::Containers).is_empty());
}

/// Built-in actions run beside the image, so what only the image has is out of their reach.
#[test]
fn paths_of_an_image_are_said_before_it_runs() {
    let step = |action: &str, path: &str| {
        format!("      - {{ uses: 'actions/{action}@v4', with: {{ key: k, path: {path:?} }} }}\n")
    };
    let steps = [
        step("cache", "~/.cache/pip\nmodels\n!~/x"),
        step("upload-artifact", "/tmp/out/*.log"),
        step("download-artifact", "${{ runner.temp }}/x"),
        step("cache/save", "~tilde"),
        step("checkout", "/elsewhere"),
        "      - validate: { data: /data/rows.csv, schema: schema.json }\n".to_owned(),
        "      - gate: { metrics: { a: { min: 1 } }, baseline: ~/base.json }\n".to_owned(),
    ];
    let head = "on: push\njobs:\n  j:\n    metrics: [/tmp/m.json, m.json]\n    params: p.json\n    steps:\n";
    let workflow = workflow(&format!("{head}{}", steps.concat()));
    let keys = |place| {
        let parts = absent(&workflow, &workflow.jobs[0], place);
        parts.into_iter().map(|part| format!("{}: {}", part.key, part.words)).collect::<Vec<_>>()
    };
    assert_eq!(keys(Place::Machine), Vec::<String>::new());
    for place in [Place::Containers, Place::Pods] {
        let said = keys(place);
        let starts = [
            "metrics: /tmp/m.json is in the image",
            "steps[0].with.path: ~/.cache/pip is in the image where its user has a home folder there, and the action",
            "steps[1].with.path: /tmp/out/*.log is in the image, and the action",
            "steps[5].validate.data: /data/rows.csv is in the image",
            "steps[6].gate.baseline: ~/base.json is in the image",
        ];
        assert_eq!(said.len(), starts.len(), "{said:?}");
        said.iter().zip(starts).for_each(|(said, start)| assert!(said.starts_with(start), "{said}"));
    }
}
