//! One language, one trace: the same workflow gives the same events as processes, in containers and on
//! a cluster.
//!
//! A trace is what `run --format json` prints, which is the log. `DIFFERS` is all that may differ, each
//! with its reason; the order of events is compared within each job and instance, because jobs that
//! run beside each other end as they like. Needs the cluster that `KUBECONFIG` names.

use crate::conformance_runs::{Case, act, runner_server};
use crate::images::PYTHON;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const PLACES: [&str; 3] = ["local", "container", "kubernetes"];

/// Runs at once: those on the cluster mostly wait.
const AT_ONCE: usize = 8;

/// What may differ: an event, or a part of one below its kind, and why.
const DIFFERS: &[(&str, &str)] = &[
    ("run-created.run", "a name"),
    ("run-created.contexts", "names and times of the run; what jobs read of them shows in what they do"),
    ("run-created.source", "the tree of a repository made for the test; its commit has a time"),
    ("run-created.options.on", "where it runs"),
    ("attempt-started.token", "a name"),
    ("attempt-started.spec", "kept only where an attempt outlives its engine"),
    ("attempt-ready.notes", "what has no effect here has one there"),
    ("images-told", "only a cluster tells images after a receipt"),
    ("attempt-waiting", "only a cluster lets an attempt wait for a place"),
    ("step-started.log", "bytes of a log that holds paths and names"),
    ("step-ended.log", "the same"),
    ("attempt-ended.receipt.log", "the same"),
    ("attempt-ended.receipt.duration_ms", "time"),
    ("attempt-ended.receipt.images", "a process has no image, and each engine resolves one by itself"),
    (
        "instance-evaluated.settings.ready.image",
        "jobs without a `container` run in `--image`, where there are images",
    ),
    ("instance-evaluated.settings.ready.python", "an image brings its Python along"),
    ("instance-evaluated.settings.ready.pod", "asked of containers and pods only"),
    ("instance-evaluated.settings.ready.notes", "what has no effect here has one there"),
    ("instance-evaluated.settings.ready.cache.key", "each place has a cache of its own"),
    ("instance-evaluated.settings.ready.cache.parts.back end", "the same"),
    ("instance-evaluated.settings.ready.cache.parts.image", "the same: what makes a job's result there"),
    ("instance-evaluated.settings.ready.cache.parts.environment", "the same"),
    ("cache-answered.hit", "a receipt with the parts above; that there is one is compared"),
    ("retry-scheduled.due", "time"),
    ("run-ended.ms", "time"),
    ("run-ended.duration_ms", "time"),
];

/// Metrics that measure time.
const TIMES: [&str; 1] = ["latency_ms"];

/// Events by what they are about, in order.
type Trace = BTreeMap<String, Vec<String>>;

/// Reads a log as it was printed.
fn trace(log: &str, folders: &[&Path]) -> Trace {
    let (mut jobs, mut instances): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let (mut run, mut found) = (String::new(), Trace::new());
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let event: Json = serde_json::from_str(line).unwrap();
        let (kind, body) = event["kind"].as_object().unwrap().iter().next().unwrap();
        let mut body = body.clone();
        if kind == "run-created" {
            body["run"].as_str().unwrap().clone_into(&mut run);
        }
        for job in body["jobs"].as_array().into_iter().flatten() {
            jobs.push(job["display"].as_str().unwrap().to_owned());
        }
        if let Some(made) = body.pointer("/outcome/instances/instances").and_then(Json::as_array) {
            let job = &jobs[number(&body["job"])];
            instances.extend((0..made.len()).map(|index| format!("{job}[{index}]")));
        }
        let about = match (body.get("instance").or(body.get("caller")), body.get("job")) {
            (Some(instance), _) if instance.is_number() => instances[number(instance)].clone(),
            (_, Some(job)) => jobs[number(job)].clone(),
            _ => "run".to_owned(),
        };
        // Numbers are given as jobs begin; they are the same by name.
        for part in ["instance", "caller", "job"] {
            body.as_object_mut().unwrap().remove(part);
        }
        for job in body["jobs"].as_array_mut().into_iter().flatten() {
            for needed in job["needs"].as_array_mut().into_iter().flatten() {
                *needed = jobs[number(needed)].clone().into();
            }
        }
        if DIFFERS.iter().any(|(what, _)| what == kind) {
            continue;
        }
        let hit = body.get("hit").map(|hit| !hit.is_null());
        for (what, _) in DIFFERS {
            let mut path = what.split('.');
            if path.next() == Some(kind) {
                remove(&mut body, &path.collect::<Vec<_>>());
            }
        }
        if let (Some(hit), Some(body)) = (hit, body.as_object_mut()) {
            body.insert("hit".to_owned(), hit.into());
        }
        forget_times(&mut body);
        let text = placeless(&sorted(&body).to_string().replace(&run, "RUN"), folders);
        found.entry(about).or_default().push(format!("{kind} {text}"));
    }
    found
}

fn number(json: &Json) -> usize {
    usize::try_from(json.as_u64().unwrap()).unwrap()
}

/// Removes a part, if it is there.
fn remove(json: &mut Json, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(map) = json.as_object_mut() else { return };
    match map.get_mut(*first) {
        Some(_) if rest.is_empty() => drop(map.remove(*first)),
        Some(inner) => remove(inner, rest),
        None => {}
    }
}

/// Takes out what measures time.
fn forget_times(json: &mut Json) {
    match json {
        Json::Object(map) => {
            for name in TIMES {
                if map.get(name).is_some_and(Json::is_number) {
                    map.insert(name.to_owned(), "time".into());
                }
            }
            if map.get("subject").and_then(Json::as_str).is_some_and(|name| TIMES.contains(&name)) {
                let measured = |name: &String| name == "value" || name == "margin";
                for (_, value) in map.iter_mut().filter(|(name, _)| measured(name)) {
                    *value = "time".into();
                }
            }
            map.values_mut().for_each(forget_times);
        }
        Json::Array(list) => list.iter_mut().for_each(forget_times),
        _ => {}
    }
}

fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(map) => {
            let inner: BTreeMap<&String, Json> = map.iter().map(|(k, v)| (k, sorted(v))).collect();
            Json::Object(inner.into_iter().map(|(k, v)| (k.clone(), v)).collect::<Map<_, _>>())
        }
        Json::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Takes out paths of work folders.
fn placeless(text: &str, folders: &[&Path]) -> String {
    let mut text = text.to_owned();
    let names = folders.iter().map(|folder| folder.display().to_string()).chain(["/run/tidegate".to_owned()]);
    for name in names {
        while let Some(at) = text.find(&name) {
            let rest = &text[at..];
            let ends = |c: char| c.is_whitespace() || "\"'\\:,;)".contains(c);
            let end = rest.find(ends).unwrap_or(rest.len());
            text.replace_range(at..at + end, "PATH");
        }
    }
    text
}

/// Says how two traces differ; empty where they do not.
fn difference(a: &Trace, b: &Trace) -> String {
    let mut text = String::new();
    let none = Vec::new();
    let all: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for about in all {
        let (here, there) = (a.get(about).unwrap_or(&none), b.get(about).unwrap_or(&none));
        for at in 0..here.len().max(there.len()) {
            let (one, other) = (here.get(at), there.get(at));
            if one != other {
                let show = |line: Option<&String>| line.map_or("nothing", |l| l.as_str()).to_owned();
                text += &format!("  {about}, event {at}:\n    {}\n    {}\n", show(one), show(other));
                break;
            }
        }
    }
    text
}

/// Calls each task, some at once; results in the order of the tasks.
fn side_by_side<T: Sync, R: Send>(tasks: &[T], call: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(task) = tasks.get(at)
                {
                    let result = call(task);
                    done.lock().unwrap().insert(at, result);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

/// What a place needs to know.
fn environment() -> Vec<(&'static str, String)> {
    let config =
        std::env::var("KUBECONFIG").expect("KUBECONFIG names the cluster; `bash tests/all cluster` sets it");
    super::env().into_iter().chain([("KUBECONFIG", config)]).collect()
}

fn borrowed<'a>(env: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    env.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Compares the traces of one workflow by place with the first; adds what differs.
fn compare(name: &str, traces: &[(i32, Trace, String)], wrong: &mut Vec<String>) {
    let Some(((code, trace, text), others)) = traces.split_first() else { return };
    for ((other_code, other, other_text), place) in others.iter().zip(&PLACES[1..]) {
        let differs = difference(trace, other);
        if code != other_code || !differs.is_empty() {
            wrong.push(format!(
                "{name}: local ended with {code}, {place} with {other_code}\n{differs}{text}{other_text}"
            ));
        }
    }
}

/// Processes of this machine have no image.
fn image(place: &str) -> &[&str] {
    if place == "local" { &[] } else { &["--image", PYTHON] }
}

#[test]
fn conformance_runs_give_one_trace() {
    let (act, server, env) = (act(), runner_server(), environment());
    let cases: Vec<&Case> =
        act.cases.iter().chain(&server.cases).filter(|case| case.expected != "rejected").collect();
    let tasks: Vec<(&Case, &str)> =
        cases.iter().flat_map(|case| PLACES.map(|place| (*case, place))).collect();
    let done = side_by_side(&tasks, |(case, place)| {
        let more = [&["--on", place, "--format", "json"], image(place)].concat();
        let (code, log, err) = case.run(&more, &borrowed(&env));
        let by_code = BY_CODE.iter().any(|(name, _)| case.name == *name);
        let log = if by_code { String::new() } else { log };
        (code, trace(&log, &[&case.folder, &std::env::temp_dir()]), err)
    });
    let mut wrong = Vec::new();
    for (case, traces) in cases.iter().zip(done.chunks(PLACES.len())) {
        compare(&case.name, traces, &mut wrong);
    }
    let (right, all) = (cases.len() - wrong.len().min(cases.len()), cases.len());
    println!("trace: {right} of {all} conformance runs give one trace on three back ends");
    assert!(all >= 50, "only {all} cases were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Cases of which only the exit code is compared, and why.
const BY_CODE: &[(&str, &str)] = &[
    (
        "-W testworkflows/issue70/main2.yml",
        "one instance fails while the other sleeps a second: who is first is chance",
    ),
    ("-W testworkflows/issue70/main4.yml", "the same"),
];

/// Files that differ between this machine and an image, and why: the order in which its libraries add
/// numbers depends on their builds and threads. The metrics made of them agree to 9 digits.
const MADE_OF_FLOATS: [&str; 1] = ["model.joblib"];

/// A trace without what the libraries of a machine and of an image make different.
fn rounded(trace: &Trace) -> Trace {
    fn round(json: &mut Json) {
        match json {
            Json::Object(map) => {
                if map.get("name").and_then(Json::as_str).is_some_and(|name| MADE_OF_FLOATS.contains(&name)) {
                    map.remove("digest");
                    map.remove("size");
                }
                map.remove("artifact_bytes");
                // Its key's part is made of those digests.
                if map.contains_key("commands") {
                    map.remove("consumes");
                }
                map.values_mut().for_each(round);
            }
            Json::Array(list) => list.iter_mut().for_each(round),
            Json::Number(number) if number.is_f64() => {
                *json = format!("{:.9}", number.as_f64().unwrap_or_default()).into();
            }
            _ => {}
        }
    }
    let line = |line: &String| {
        let (kind, body) = line.split_once(' ').unwrap();
        let mut body: Json = serde_json::from_str(body).unwrap();
        round(&mut body);
        format!("{kind} {body}")
    };
    trace.iter().map(|(about, lines)| (about.clone(), lines.iter().map(line).collect())).collect()
}

/// An example in a repository of its own.
fn example(name: &str) -> tempfile::TempDir {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".mlflow-examples").join(name);
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "cp -r '{}/.' . && git init -q -b main && git add -A && git -c user.name=t -c user.email=t@t commit -q -m x",
        from.display()
    );
    assert!(Command::new("sh").args(["-c", &line]).current_dir(folder.path()).status().unwrap().success());
    folder
}

#[test]
fn examples_give_one_trace_and_again_from_the_cache() {
    let env = environment();
    let home = std::env::var("HOME").unwrap_or_default();
    let runs = [
        ("digits", "digits.yml", 2),
        ("digits", "too-good.yml", 1),
        ("reviews", "reviews.yml", 1),
        ("boosting", "boosting.yml", 1),
    ];
    let tasks: Vec<_> = runs.iter().flat_map(|run| PLACES.map(|place| (*run, place))).collect();
    let done = side_by_side(&tasks, |((name, file, times), place)| {
        let folder = example(name);
        (0..*times)
            .map(|_| {
                let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
                    .args(["run", &format!(".ml/workflows/{file}"), "--on", place, "--format", "json"])
                    .args(image(place))
                    .current_dir(folder.path())
                    .env_remove("GITHUB_ACTIONS")
                    .env("HOME", &home)
                    .envs(
                        env.iter()
                            .filter(|(name, _)| *place != "local" || *name != "XDG_CACHE_HOME")
                            .cloned(),
                    )
                    .output()
                    .unwrap();
                let (out, err) =
                    (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                let code = output.status.code().unwrap_or(-1);
                (code, trace(&out, &[folder.path()]), err.into_owned())
            })
            .collect::<Vec<_>>()
    });
    let mut wrong = Vec::new();
    for ((name, file, times), places) in runs.iter().zip(done.chunks(PLACES.len())) {
        for time in 0..*times {
            let traces: Vec<_> = places.iter().map(|runs| runs[time].clone()).collect();
            let name = format!("{name}/{file}, run {}", time + 1);
            let alike: Vec<_> =
                traces.iter().map(|(code, trace, text)| (*code, rounded(trace), text.clone())).collect();
            compare(&name, &alike, &mut wrong);
            // Two that run one image agree in everything.
            let differs = difference(&traces[1].1, &traces[2].1);
            if !differs.is_empty() {
                wrong.push(format!("{name}: container and kubernetes\n{differs}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The comparison itself can fail: another output, another order, an event more.
#[test]
fn a_difference_is_seen() {
    let log = r#"{"v":1,"at":1,"kind":{"run-created":{"run":"01A","jobs":[{"id":"a","display":"a","needs":[]}]}}}
{"v":1,"at":2,"kind":{"job-evaluated":{"job":0,"outcome":{"instances":{"instances":[{"display":"a"}]}}}}}
{"v":1,"at":3,"kind":{"attempt-ended":{"instance":0,"attempt":1,"receipt":{"outputs":{"x":"1"},"log":7}}}}
"#;
    let read = |log: &str| trace(log, &[]);
    let same = log.replace("01A", "01B").replace("\"log\":7", "\"log\":9");
    assert_eq!(difference(&read(log), &read(&same)), "");
    for (from, to) in
        [("\"x\":\"1\"", "\"x\":\"2\""), ("\"attempt\":1", "\"attempt\":2"), ("attempt-ended", "step-ended")]
    {
        assert!(!difference(&read(log), &read(&log.replace(from, to))).is_empty(), "{from}");
    }
}
