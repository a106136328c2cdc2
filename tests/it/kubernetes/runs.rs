//! What a workflow does on a cluster as it does elsewhere: outputs, artifacts, gates, cache, failures.

use super::*;
use crate::images::{OWN_IMAGES, PASSES_ON, WANTS_MEMORY, own_images, passes_on, wants_memory};

#[test]
fn outputs_artifacts_metrics_and_a_matrix() {
    let project = project(PASSES_ON);
    passes_on(&project, || run(&project, &[]));
    wait_gone(&project);
}

#[test]
fn a_job_shorter_than_a_second_has_its_image_by_digest() {
    let project = project("  a: { cache: true, steps: [{ run: 'true' }] }\n");
    for (number, how) in [("1", "1 instance"), ("2", "from cache")] {
        run(&project, &[]).code(0).stdout(how);
        let shown = project.tidegate(["runs", "show", number, "--format", "json"]).code(0);
        shown.stdout("\"images\":{\"steps\":\"docker.io/test/busybox").stdout("@sha256:");
        project.tidegate(["runs", "show", number]).code(0).stdout("steps=docker.io/test/busybox");
    }
    // The run had ended before its node said so: nobody waits for that but the program's end.
    let events = project.tidegate(["runs", "watch", "1", "--format", "json"]).code(0).stdout;
    let told = events.find("\"images-told\"").unwrap_or(usize::MAX);
    assert!(told > events.find("\"run-ended\"").unwrap(), "{events}");
    wait_gone(&project);
}

#[test]
fn a_failing_step_says_its_exit_code_and_last_lines() {
    let project = project("  a: { steps: [{ run: 'echo last words >&2; exit 7' }] }\n");
    run(&project, &[]).code(1).stdout("exit 7").stdout("last words");
    wait_gone(&project);
}

#[test]
fn a_gate_stops_a_run_and_the_cache_knows_where_things_are() {
    let project = project(
        "  a:
    cache: true
    steps: [{ run: 'echo {\\\"acc\\\":0.5} > m.json; echo x > x' }]
    metrics: { files: m.json, goals: { acc: max } }
    produces: { x: x }
  b:
    needs: a
    consumes: { x: '${{ needs.a.artifacts.x }}' }
    steps: [{ run: 'cat x; echo {\\\"acc\\\":0.5} > m.json' }, { gate: { metrics: { acc: { min: 0.9 } } } }]
    metrics: m.json
",
    );
    run(&project, &[]).code(3).stdout("acc 0.5 < 0.9");
    run(&project, &[]).code(3).stdout("from cache");
    // What pods keep is not on this machine: another back end has its own cache.
    project.tidegate(["run"]).code(3).nowhere("from cache");
}

#[test]
fn a_step_killed_for_memory_is_tried_again_with_more() {
    let project = project(WANTS_MEMORY);
    wants_memory(&project, || run(&project, &[]));
    wait_gone(&project);
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let jobs = "  a: { container: 'docker.io/test/nowhere:1', steps: [{ run: 'true' }] }\n";
    let project = project_with(jobs, "  image-patience: 4\n");
    run(&project, &[]).code(1).stdout("image").stdout("docker.io/test/nowhere:1");
    wait_gone(&project);
}

#[test]
fn a_pod_that_no_node_takes_waits_and_is_gone_after_a_cancel() {
    let project = project("  a: { resources: { gpu: 9 }, steps: [{ run: 'true' }] }\n");
    let child = spawn(&project, &[]);
    wait("the pod is there", || {
        let pods = kubectl(&["get", "pods", "-l", &selector(&project), "-o", "name"]);
        (selector(&project).len() > 30 && !pods.trim().is_empty()).then_some(())
    });
    cancelled(&project, child);
    wait_gone(&project);
}

#[test]
fn a_cancel_runs_what_always_runs() {
    let project = project(
        "  a:
    steps: [{ run: 'echo started; sleep 600' }, { if: 'always()', run: 'echo cleaned up' }]
",
    );
    let child = spawn(&project, &[]);
    wait("the step says something", || {
        let logs = project.tidegate(["runs", "logs", "1"]);
        logs.stdout.contains("started").then_some(())
    });
    cancelled(&project, child);
    project.tidegate(["runs", "logs", "1"]).stdout("cleaned up");
    wait_gone(&project);
}

#[test]
fn a_pod_deleted_by_force_is_lost_and_tried_again() {
    let project = project(
        "  a:
    steps: [{ run: 'echo started; test $GITHUB_RUN_NUMBER = 1; test \"${{ strategy.job-index }}\" = 0; case $HOSTNAME in *-0-1-*) sleep 600;; esac; echo done' }]
",
    );
    let child = spawn(&project, &[]);
    wait("the step says something", || {
        project.tidegate(["runs", "logs", "1"]).stdout.contains("started").then_some(())
    });
    kubectl(&["delete", "pods", "-l", &selector(&project), "--force", "--grace-period=0", "--wait=false"]);
    project.done(child).code(0).stdout("lost").stdout("attempt 2");
    wait_gone(&project);
}

#[test]
fn a_step_out_of_time_is_ended() {
    let project = project("  a: { steps: [{ timeout-minutes: 0.02, run: 'sleep 600' }] }\n");
    run(&project, &[]).code(1).stdout("timed out");
}

#[test]
fn gpus_are_those_of_the_node() {
    let project = project(
        "  a:
    resources: { gpu: { count: 2, product: NVIDIA-A100-SXM4-80GB, memory: 40Gi } }
    steps: [{ run: 'echo devices $NVIDIA_VISIBLE_DEVICES' }]
",
    );
    run(&project, &[]).code(0);
    let logs = project.tidegate(["runs", "logs", "1"]).stdout;
    let devices = logs.lines().find_map(|l| l.strip_prefix("devices ")).unwrap_or_default().to_owned();
    assert_eq!(devices.split(',').count(), 2, "{logs}");
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_secret_is_only_where_it_must_be() {
    let project = project(
        "  a:
    env: { TOKEN: '${{ secrets.TOKEN }}' }
    steps: [{ run: 'echo token $TOKEN; ls /run/tidegate; while ! test -e /tmp/go; do sleep 0.2; done' }]
",
    );
    let child = spawn(&project, &["--secret", "TOKEN=hush-only-5"]);
    wait_log(&project, "token");
    let mut seen = kubectl(&["get", "jobs,pods", "-l", &selector(&project), "-o", "yaml"]);
    assert!(seen.contains("tidegate.dev/attempt"), "{seen}");
    let name = pod(&project);
    let events = wait("the cluster tells of its pod", || {
        Some(kubectl(&["get", "events", "-o", "yaml"])).filter(|events| events.contains(&name))
    });
    // Every process of the node: of the pod's containers, of the hub, of the cluster.
    let processes = cluster(&["enter", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\000' ' '"]);
    assert!(processes.contains("tidegate hub") && processes.contains("shim"), "{processes}");
    let env = [("KUBECONFIG", kubeconfig()), ("TOKEN", "hush-only-5".to_owned())];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let plan = project.tidegate_with(["plan", "--on", "kubernetes", "--format", "yaml"], &env).code(0);
    let plan = plan.stdout("kind: Job").stdout;
    seen += &(events + &processes + &plan);
    for value in ["hush-only-5", "aHVzaC1vbmx5LT"] {
        assert!(!seen.contains(value), "{value} is seen in {seen}");
    }
    let_go(&project, "a");
    project.done(child).code(0).nowhere("hush-only-5");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0).stdout("token ***").nowhere("hush-only-5");
    drop(logs.nowhere("\nsecret\n"));
    wait_gone(&project);
}

#[test]
fn a_secret_is_not_read_from_another_steps_process() {
    let project = project(
        "  a:
    steps:
      - env: { TOKEN: '${{ secrets.TOKEN }}' }
        run: echo the first step has ${#TOKEN} letters
      - run: |
          cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline > seen 2>refused || true
          w=hush; echo $w-hush-7 > control
          found=$(grep -rsl $w-hush-7 control seen /run/tidegate/shared/io /run/tidegate/shared/tmp /tmp || true)
          test $found = control
          grep -q 'can.t open ./proc/1/environ' refused
          dd if=/proc/1/mem of=/dev/null bs=1 count=1 2>&1 | grep -q 'Permission denied'
",
    );
    let done = run(&project, &["--secret", "TOKEN=hush-hush-7"]);
    let logs = project.tidegate(["runs", "logs", "1"]).stdout;
    assert!(logs.contains("has 11 letters"), "{logs}");
    done.code(0);
    wait_gone(&project);
}

#[test]
fn jobs_without_an_image_are_told_so_unless_they_need_none() {
    let more = "  a: { steps: [{ run: 'true' }] }\n  c: { steps: [{ uses: actions/checkout@v4 }] }\n";
    let project = Project::workflow(&format!("{OWN_IMAGES}{more}")).git();
    let done = own_images(&project, || run(&project, &[]), 1);
    // What only the agent does needs no image.
    done.stdout("names no image").stdout("✓ c");
    wait_gone(&project);
}
