//! The examples under `.mlflow-examples` on the cluster, as they are.

use super::scheduling::evict;
use super::{Place, beside, kubectl, run, selector, spawn, wait, wait_gone, wait_logs};
use crate::harness::Project;
use crate::images::PYTHON;
use std::path::Path;

/// An example in a repository of its own. The image that its files name is on no test cluster: `image` is written instead.
fn example(name: &str) -> Place {
    let project = Project::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(".mlflow-examples").join(name);
    copy(&from, &from, &project);
    Place { project: project.git(), _guard: beside() }
}

fn copy(root: &Path, folder: &Path, project: &Project) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != ".tidegate") {
                copy(root, &path, project);
            }
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        project.write(name, &text.replace("python:3.12", PYTHON));
    }
}

#[test]
fn digits_as_it_is_then_from_the_cache_then_with_a_gpu_each() {
    let project = example("digits");
    let file = ".ml/workflows/digits.yml";
    let done = run(&project, &[file, "--image", PYTHON]).code(0);
    done.stdout("6 of 6").stdout("best accuracy 0.9889: model=svm c=1").stdout("0.0389 to spare");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("SVC: accuracy 0.989");
    project.tidegate(["runs", "show", "1"]).code(0).stdout("model (417 kB").nowhere("collected");
    // Only the gate is judged anew.
    run(&project, &[file, "--image", PYTHON]).code(0).stdout("7 from cache");

    run(&project, &[".ml/workflows/gpus.yml", "--image", PYTHON]).code(0).stdout("6 of 6");
    let logs = project.tidegate(["runs", "logs", "3"]).code(0);
    let devices = logs.stdout.lines().filter(|line| line.contains("GPU ") && !line.contains("none")).count();
    assert_eq!(devices, 6, "{}", logs.stdout);
    wait_gone(&project);
}

#[test]
fn reviews_stops_at_data_that_drifted() {
    let project = example("reviews");
    run(&project, &["--image", PYTHON]).code(0);
    run(&project, &["--image", PYTHON, "--data", "reviews=drifted"]).code(3).stdout("row 17");
    wait_gone(&project);
}

#[test]
fn boosting_is_killed_half_way_and_goes_on() {
    let project = example("boosting");
    run(&project, &["--image", PYTHON]).code(0).stdout("attempt 2");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("of them from a checkpoint");
    wait_gone(&project);
}

#[test]
fn two_nodes_train_together() {
    let project = example("cluster");
    run(&project, &[".ml/workflows/nodes.yml"]).code(0).stdout("slope");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("node 0 of 2").stdout("slope 2.0");
    project.tidegate(["runs", "logs", "1", "train", "--node", "1"]).code(0).stdout("node 1 of 2");
    wait_gone(&project);
}

#[test]
fn a_template_adds_a_volume_and_a_toleration() {
    let project = example("cluster");
    run(&project, &[".ml/workflows/template.yml"]).code(0);
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("scratch of 10 MiB, 1000 bytes").stdout("scratch of 20 MiB");
    wait_gone(&project);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_spot_job_is_preempted_twice_and_resumes() {
    let project = example("cluster");
    // A label of this test's own: another one takes the usual one away.
    project.write(".ml/config.yaml", "kubernetes: { spot: { labels: { tests/pool: cheap } } }\n");
    kubectl(&["label", "nodes", "--all", "--overwrite", "tests/pool=cheap"]);
    // Long enough that evictions which take their time come before its end.
    let mut child = spawn(&project, &[".ml/workflows/spot.yml", "--input", "epochs=120"]);
    for (attempt, epoch) in [("1", "epoch 10 "), ("2", " loss ")] {
        wait_logs(&project, &["--attempt", attempt], epoch);
        evict(&project, &mut child, attempt);
    }
    project.done(child).code(0).stdout("preempted").stdout("attempt 3");
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("of 120 epochs from a checkpoint");
    wait("no pod is left", || {
        kubectl(&["get", "pods", "-l", &selector(&project), "-o", "name"]).trim().is_empty().then_some(())
    });
}
