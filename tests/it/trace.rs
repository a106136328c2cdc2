//! Traces: what a run did, names and times aside.
//!
//! A trace is what `run --format json` prints, which is the log. `DIFFERS` is all that may differ between two places, each
//! with its reason; the order of events is compared within each job and instance, because jobs that run beside each other
//! end as they like.

use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::Path;

/// What may differ: an event, or a part of one below its kind, and why.
const DIFFERS: &[(&str, &str)] = &[
    ("run-created.run", "a name"),
    ("run-created.contexts", "names and times of the run; what jobs read of them shows in what they do"),
    ("run-created.source", "the tree of a repository made for the test; its commit has a time"),
    ("run-created.options.on", "where it runs"),
    ("run-created.options.image", "what jobs without a `container` run in, where there are images"),
    ("slot-granted.gpus", "devices of this machine; a cluster gives its own"),
    ("attempt-started.token", "a name"),
    ("attempt-started.spec", "kept only where an attempt outlives its engine"),
    ("attempt-ready.notes", "what has no effect here has one there"),
    ("images-told", "only a cluster tells images after a receipt"),
    ("attempt-waiting", "only a cluster lets an attempt wait for a place"),
    ("service-ended", "only a cluster starts a service again"),
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
pub type Trace = BTreeMap<String, Vec<String>>;

/// One event of a log.
struct Read {
    /// The run, a job, or an instance by its job and its place there.
    about: String,
    kind: String,
    body: Json,
}

/// Reads a log as it was printed; the run's name comes with it.
fn read(log: &str) -> (String, Vec<Read>) {
    let (mut jobs, mut instances): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let (mut run, mut found) = (String::new(), Vec::new());
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
        found.push(Read { about, kind: kind.clone(), body });
    }
    (run, found)
}

/// Names every event of a log that every run of the workflow has, in its order: `step-ended train[1] 2` is the third end of a step of the job's second
/// instance, in whatever order the jobs get on.
pub fn names(log: &str) -> Vec<Option<String>> {
    let mut seen = BTreeMap::<String, u32>::new();
    let (_, events) = read(log);
    let mut name = |event: &Read| {
        if DIFFERS.iter().any(|(what, _)| *what == event.kind) {
            return None;
        }
        let name = format!("{} {}", event.kind, event.about);
        let nth = seen.entry(name.clone()).and_modify(|n| *n += 1).or_default();
        Some(format!("{name} {nth}"))
    };
    events.iter().map(&mut name).collect()
}

/// Reads a log as it was printed; `without` are events that are passed over.
pub fn trace(log: &str, folders: &[&Path], without: &[&str]) -> Trace {
    let (run, events) = read(log);
    let mut found = Trace::new();
    for Read { about, kind, mut body } in events {
        if without.contains(&kind.as_str()) || DIFFERS.iter().any(|(what, _)| *what == kind) {
            continue;
        }
        let hit = body.get("hit").map(|hit| !hit.is_null());
        for (what, _) in DIFFERS {
            let mut path = what.split('.');
            if path.next() == Some(kind.as_str()) {
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
pub fn difference(a: &Trace, b: &Trace) -> String {
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

/// The comparison itself can fail: another output, another order, an event more.
#[test]
fn a_difference_is_seen() {
    let log = r#"{"v":1,"at":1,"kind":{"run-created":{"run":"01A","jobs":[{"id":"a","display":"a","needs":[]}]}}}
{"v":1,"at":2,"kind":{"job-evaluated":{"job":0,"outcome":{"instances":{"instances":[{"display":"a"}]}}}}}
{"v":1,"at":3,"kind":{"attempt-ended":{"instance":0,"attempt":1,"receipt":{"outputs":{"x":"1"},"log":7}}}}
"#;
    let read = |log: &str| trace(log, &[], &[]);
    let same = log.replace("01A", "01B").replace("\"log\":7", "\"log\":9");
    assert_eq!(difference(&read(log), &read(&same)), "");
    for (from, to) in
        [("\"x\":\"1\"", "\"x\":\"2\""), ("\"attempt\":1", "\"attempt\":2"), ("attempt-ended", "step-ended")]
    {
        assert!(!difference(&read(log), &read(&log.replace(from, to))).is_empty(), "{from}");
    }
    let named = ["run-created run 0", "job-evaluated a 0", "attempt-ended a[0] 0"];
    assert!(names(log).iter().flatten().eq(&named));
    assert!(trace(log, &[], &["job-evaluated"]).keys().eq(["a[0]", "run"]));
}
