//! What a workflow does in containers as it does elsewhere, and what only containers do.

use super::{engine, nothing_left, project, run, spawn, tidegate, wait_log};
use crate::harness::Project;
use crate::images::{GOES_AND_COMES, OWN_IMAGES, PASSES_ON, goes_and_comes, own_images, passes_on};

#[test]
fn outputs_artifacts_metrics_a_matrix_and_the_cache() {
    let project = project(PASSES_ON);
    passes_on(&project, || run(&project, &[]));
    run(&project, &[]).code(0).stdout("1 from cache");
    // A process of the machine is another place.
    project.tidegate(["run"]).code(0).nowhere("from cache");
    tidegate(&project, &["runs", "rerun", "1"]).code(0);
    nothing_left(&project);
}

#[test]
fn a_step_has_an_image_of_its_own_and_steps_that_always_run_do() {
    let project = project(GOES_AND_COMES);
    goes_and_comes(&project, || run(&project, &[]));
    nothing_left(&project);
}

const SERVICE: &str = "  a:
    services:
      web:
        image: docker.io/test/busybox:1
        ports: ['8080:8080']
        env: { WORD: '${{ secrets.WORD }}', PLAIN: 'x${{ github.run_number }}' }
        options: --health-cmd \"test -e /tmp/ready\" --health-interval 1s --health-retries 60 --cpus 1 --name web
        entrypoint: sh
        command: -c \"sleep 1; touch /tmp/ready; while true; do echo \\\"$WORD $PLAIN\\\" | nc -l -p 8080; done\"
    container: { image: 'docker.io/test/busybox:1', env: { OWN: '${{ secrets.WORD }}' } }
    steps:
      - run: 'nc web 8080 < /dev/null | sed s/hush/found/; echo $OWN | sed s/hush/own/; while [ ! -e go ]; do sleep 0.1; done'
";

/// The first step waits for the health check; no secret is where other people of the machine can read it.
#[test]
fn a_service_is_healthy_first_and_has_a_secret_that_nobody_sees() {
    let project = project(SERVICE);
    project.write("secrets", "WORD=hush-7\n");
    let child = spawn(&project, &["--secret-file", "secrets"]);
    wait_log(&project, "own-7");
    let names = super::containers(&project);
    assert_eq!(names.len(), 3, "{names:?}");
    for name in &names {
        let inspected = engine(&["inspect", name]);
        assert!(inspected.contains("tidegate.dev/attempt") && !inspected.contains("hush-7"), "{inspected}");
    }
    for pid in
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok())
    {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("hush-7"), "{}", String::from_utf8_lossy(&line));
    }
    // The work folder is the agent's and the steps', at one path.
    let work = project.path().join(".tidegate/containers");
    let attempt = std::fs::read_dir(work).unwrap().next().unwrap().unwrap().path().join("work");
    let tree = std::fs::read_dir(attempt).unwrap().next().unwrap().unwrap().path();
    std::fs::write(tree.join("go"), "").unwrap();
    project.done(child).code(0);
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("found-7 x1").stdout("own-7").nowhere("hush-7");
    nothing_left(&project);
}

#[test]
fn what_docker_does_not_do_is_said_before_it_runs() {
    let project = project(
        "  a:
    nodes: 2
    steps: [{ run: 'true' }]
  b:
    queue: q
    container: { image: x, ports: [80], options: '--name b --cpus 1' }
    resources: { ephemeral-storage: 1Gi, gpu: { count: 1, memory: 40Gi } }
    steps: [{ run: 'true' }, { container: x, gate: { expect: ['metrics.acc > 0'] } }]
",
    );
    let checked = project.tidegate(["check", "--on", "container"]).code(2);
    let checked = checked
        .stdout("error[back-end]: `nodes`: training on several nodes needs `--on kubernetes`")
        .stdout("`queue`: queues are those of a cluster")
        .stdout("`container.ports`: no port is mapped to this machine")
        .stdout("`container.options`: --name b has no effect")
        .stdout("`resources.ephemeral-storage`")
        .stdout("`resources.gpu.memory`")
        .stdout("`steps[1].container`: gates, validations and built-in actions run beside the containers of steps");
    checked.nowhere("--cpus");
    project
        .tidegate(["plan", "--on", "container"])
        .stdout("`nodes`: training on several nodes needs `--on kubernetes`");
    let bare = Project::workflow("on: workflow_dispatch\njobs: { a: { steps: [{ run: 'true' }] } }\n").git();
    bare.tidegate(["plan", "--on", "container"]).code(2).stdout("it names no image");
    run(&bare, &["--image", super::IMAGE]).code(0);
    let own = Project::workflow(OWN_IMAGES).git();
    own_images(&own, || run(&own, &[]), 0);
    bare.tidegate_with(["run", "--on", "container"], &[("PATH", "/nowhere")])
        .code(4)
        .stderr("neither docker nor podman is installed")
        .stderr("help: install one of them");
    let missing = [("TIDEGATE_CONTAINER_ENGINE", "nerdctl")];
    bare.tidegate_with(["run", "--on", "container"], &missing)
        .code(4)
        .stderr("there is no container engine `nerdctl`");
}

/// The image's user, a root that cannot be written, no shell and no libc: the shim needs nothing.
#[test]
fn any_user_and_a_read_only_root() {
    let project = project(
        "  a:
    container: { image: 'docker.io/test/busybox:1', options: '--user 65534:65534 --read-only --cap-drop ALL', volumes: ['/tmp'] }
    checkpoint: c
    steps:
      - run: 'id -u; echo made > made; echo state > c/state; touch /x || echo no root'
      - run: 'rm made; cat c/state; echo x > ~/x && echo at home'
",
    );
    run(&project, &[]).code(0);
    project
        .tidegate(["runs", "logs", "1"])
        .stdout("65534")
        .stdout("no root")
        .stdout("state")
        .stdout("at home");
    nothing_left(&project);
}

#[test]
fn limits_are_the_containers_own() {
    let project = project(
        "  a:
    resources: { memory: 64Mi, shm: 8Mi, cpu: 1 }
    steps: [{ run: 'df -k /dev/shm | tail -1; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true' }]
",
    );
    run(&project, &[]).code(0);
    project.tidegate(["runs", "logs", "1"]).stdout("8192").stdout("67108864");
}

#[test]
fn in_place_is_the_tree_itself() {
    let project = project("  a: { steps: [{ run: 'echo here > made' }] }\n");
    run(&project, &["--in-place"]).code(0);
    assert_eq!(std::fs::read_to_string(project.path().join("made")).unwrap(), "here\n");
}

/// The tree's own folder is its first content; another job's is nowhere to be seen.
#[test]
fn a_checkpoint_is_its_jobs_alone() {
    let steps = "[{ run: 'cat c/start; ls -A $(dirname $(readlink c)) | wc -l; echo x >> c/n; [ $(wc -l < c/n) = 2 ] && echo again' }]";
    let job = |id: &str| {
        format!("  {id}: {{ checkpoint: c, retry: {{ attempts: 2, on: [failure] }}, steps: {steps} }}\n")
    };
    let project = project(&(job("a") + &job("b")));
    project.write("c/start", "from the tree\n");
    run(&project, &[]).code(0);
    let logs = project.tidegate(["runs", "logs", "1"]).stdout;
    assert_eq!(logs.matches("from the tree\n1\n").count(), 2, "{logs}");
    assert_eq!(logs.matches("again").count(), 2, "{logs}");
    let kept = std::fs::read_dir(project.path().join(".tidegate/checkpoints")).unwrap().count();
    assert_eq!(kept, 2);
    nothing_left(&project);
}

/// The example of the README, unchanged.
#[test]
fn the_digits_example_and_again_from_the_cache() {
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".mlflow-examples/digits");
    let project = Project::new();
    project.sh(&format!("cp -r '{}/.' .", from.display()));
    let project = project.git();
    let args = [".ml/workflows/digits.yml", "--image", crate::images::PYTHON];
    run(&project, &args).code(0);
    run(&project, &args).code(0).stdout("from cache");
    nothing_left(&project);
}
