//! One language, one trace: the same workflow gives the same events as processes, in containers and on
//! a cluster.
//! Needs the cluster that `KUBECONFIG` names.

use super::conformance::act_in_images;
use crate::conformance_runs::{Case, DEVIATIONS, act, runner_server};
use crate::images::PYTHON;
use crate::trace::{Trace, difference, trace};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const PLACES: [&str; 3] = ["local", "container", "kubernetes"];

/// Runs at once: those on the cluster mostly wait.
const AT_ONCE: usize = 8;

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
fn compare(name: &str, places: &[&str], traces: &[(i32, Trace, String)], wrong: &mut Vec<String>) {
    let Some(((code, trace, text), others)) = traces.split_first() else { return };
    for ((other_code, other, other_text), place) in others.iter().zip(&places[1..]) {
        let differs = difference(trace, other);
        if code != other_code || !differs.is_empty() {
            let first = places[0];
            wrong.push(format!(
                "{name}: {first} ended with {code}, {place} with {other_code}\n{differs}{text}{other_text}"
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
    let (act, server) = (act(), runner_server());
    let runs: Vec<&Case> = act.cases.iter().chain(&server.cases).collect();
    let all = one_trace_each(&runs, &PLACES);
    println!("trace: {all} conformance runs give one trace on three back ends");
    assert!(all >= 65, "only {all} cases were found");
}

/// What their jobs run in, processes of this machine do not have.
#[test]
fn conformance_runs_in_images_give_one_trace() {
    let all = one_trace_each(&act_in_images().cases.iter().collect::<Vec<_>>(), &PLACES[1..]);
    println!("trace: {all} conformance runs in images give one trace");
}

#[track_caller]
fn one_trace_each(cases: &[&Case], places: &[&str]) -> usize {
    let env = environment();
    let cases: Vec<&Case> = cases.iter().copied().filter(|case| case.expected != "rejected").collect();
    let tasks: Vec<(&Case, &str)> =
        cases.iter().flat_map(|case| places.iter().map(|place| (*case, *place))).collect();
    let done = side_by_side(&tasks, |(case, place)| {
        let more = [&["--on", place, "--format", "json"], image(place)].concat();
        let (code, log, err) = case.run(&more, &borrowed(&env));
        let by_code = BY_CODE.iter().any(|(name, _)| case.name == *name);
        let log = if by_code { String::new() } else { log };
        (code, trace(&log, &[&case.folder, &std::env::temp_dir()], &[]), err)
    });
    let mut wrong = Vec::new();
    for (case, traces) in cases.iter().zip(done.chunks(places.len())) {
        compare(&case.name, places, traces, &mut wrong);
        let known = DEVIATIONS.contains(&case.name.as_str());
        if !known && (case.expected == "success") != (traces[0].0 == 0) {
            wrong.push(format!("{}: expected {}\n{}", case.name, case.expected, traces[0].2));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    cases.len()
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

/// One file of the examples.
struct Example {
    folder: &'static str,
    file: &'static str,
    /// Where it gives one trace.
    places: &'static [&'static str],
    more: &'static [&'static str],
    /// Runs of it there, one after the other.
    times: usize,
    /// Why not everywhere, as `plan` says it on the other back ends than the cluster.
    why: Option<&'static str>,
}

const fn everywhere(folder: &'static str, file: &'static str, times: usize) -> Example {
    Example { folder, file, places: &PLACES, more: &[], times, why: None }
}

/// Every workflow under `.mlflow-examples`.
const EXAMPLES: &[Example] = &[
    everywhere("digits", "digits.yml", 2),
    everywhere("digits", "too-good.yml", 1),
    // On a machine without GPUs its jobs run alone.
    everywhere("digits", "gpus.yml", 1),
    everywhere("reviews", "reviews.yml", 1),
    everywhere("boosting", "boosting.yml", 1),
    Example { more: &["--input", "epochs=3"], ..everywhere("cluster", "spot.yml", 1) },
    // Elsewhere it fails for want of the volume that its template adds; one instance, because the first that fails stops the other.
    Example {
        places: &["local", "container"],
        more: &["--matrix", "size=1"],
        why: Some("templates are for pods; it has no effect here"),
        ..everywhere("cluster", "template.yml", 1)
    },
    Example {
        places: &["kubernetes"],
        why: Some("training on several nodes needs `--on kubernetes`"),
        ..everywhere("cluster", "nodes.yml", 1)
    },
];

/// An example in a repository of its own. The image that its files name is on no test machine, nor is a node that is marked as a
/// spot node.
fn example(name: &str) -> tempfile::TempDir {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".mlflow-examples").join(name);
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "cp -r '{}/.' . && sed -i 's|python:3.12|{PYTHON}|' .ml/workflows/*.yml && \
         echo 'kubernetes: {{ spot: {{ labels: {{ kubernetes.io/os: linux }} }} }}' > .ml/config.yaml && \
         git init -q -b main && git add -A && git -c user.name=t -c user.email=t@t commit -q -m x",
        from.display()
    );
    assert!(Command::new("sh").args(["-c", &line]).current_dir(folder.path()).status().unwrap().success());
    folder
}

/// Calls `tidegate` in an example as its user would.
fn called(folder: &tempfile::TempDir, place: &str, args: &[&str]) -> (i32, String, String) {
    let home = std::env::var("HOME").unwrap_or_default();
    // Debian has no `python` without a 3 behind it.
    let path = std::env::var("PATH").unwrap_or_default();
    let tools = tempfile::tempdir().unwrap();
    let python =
        path.split(':').map(|folder| PathBuf::from(folder).join("python3")).find(|file| file.exists());
    std::os::unix::fs::symlink(python.unwrap(), tools.path().join("python")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(args)
        .args(["--on", place])
        .args(image(place))
        .current_dir(folder.path())
        .env_remove("GITHUB_ACTIONS")
        .env("HOME", &home)
        .env("PATH", format!("{path}:{}", tools.path().display()))
        .envs(environment().into_iter().filter(|(name, _)| place != "local" || *name != "XDG_CACHE_HOME"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn examples_give_one_trace_and_again_from_the_cache() {
    let tasks: Vec<_> =
        EXAMPLES.iter().flat_map(|each| each.places.iter().map(move |place| (each, *place))).collect();
    let done = side_by_side(&tasks, |(each, place)| {
        let (folder, file) = (example(each.folder), format!(".ml/workflows/{}", each.file));
        let args = [&["run", &file, "--format", "json"], each.more].concat();
        let run = |_| {
            let (code, out, err) = called(&folder, place, &args);
            (code, trace(&out, &[folder.path()], &[]), err)
        };
        (0..each.times).map(run).collect::<Vec<_>>()
    });
    let (mut wrong, mut done) = (Vec::new(), done.into_iter());
    for each in EXAMPLES {
        let runs: Vec<_> = done.by_ref().take(each.places.len()).collect();
        for time in 0..each.times {
            let traces: Vec<_> = runs.iter().map(|runs| runs[time].clone()).collect();
            let name = format!("{}/{}, run {}", each.folder, each.file, time + 1);
            let alike: Vec<_> =
                traces.iter().map(|(code, trace, text)| (*code, rounded(trace), text.clone())).collect();
            compare(&name, each.places, &alike, &mut wrong);
            // Two that run one image agree in everything.
            if let [_, container, kubernetes] = &traces[..] {
                let differs = difference(&container.1, &kubernetes.1);
                if !differs.is_empty() {
                    wrong.push(format!("{name}: container and kubernetes\n{differs}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each file under the examples is traced, and one that is not everywhere says itself why.
#[test]
fn every_example_is_traced_or_says_why_not() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".mlflow-examples");
    let mut there = Vec::new();
    for project in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        for file in std::fs::read_dir(project.join(".ml/workflows")).into_iter().flatten() {
            let project = project.file_name().unwrap().to_str().unwrap();
            there.push(format!("{project}/{}", file.unwrap().file_name().to_str().unwrap()));
        }
    }
    let mut known: Vec<_> = EXAMPLES.iter().map(|each| format!("{}/{}", each.folder, each.file)).collect();
    there.sort();
    known.sort();
    assert_eq!(there, known, "each has a row in `EXAMPLES`");
    for each in EXAMPLES.iter().filter(|each| each.places != PLACES) {
        let (folder, file) = (example(each.folder), format!(".ml/workflows/{}", each.file));
        for place in PLACES {
            let (_, out, err) = called(&folder, place, &["plan", &file]);
            let says = (out + &err).contains(each.why.unwrap());
            assert_eq!(says, place != "kubernetes", "{} on {place}", each.file);
        }
    }
}
