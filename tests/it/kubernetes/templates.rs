//! `pod-template`: a team's own volumes, tolerations and variables, and what the policy says to them.

use super::{Namespace, Place, left, project, run, spawn, wait, wait_gone};

const STEP: &str = "  a:
    pod-template: .ml/templates/own.yaml
    strategy: { matrix: { pool: [blue] } }
    steps: [{ run: 'ls -d /scratch; echo \"pool $POOL\"; while ! test -e /scratch/go; do sleep 0.1; done' }]
";

fn with(template: &str, job: &str) -> Place {
    let place = project(job);
    place.write(".ml/templates/own.yaml", template);
    place
}

#[test]
fn a_template_adds_a_volume_and_a_toleration() {
    let project = with(
        "spec:
  tolerations: [{ key: 'pool-{{ matrix.pool }}', operator: Exists, effect: NoSchedule }]
  volumes: [{ name: scratch, emptyDir: { sizeLimit: '{{ 8 * run.number }}Mi' } }]
  containers:
    - name: steps
      env: [{ name: POOL, value: '{{ matrix.pool }}' }]
      volumeMounts: [{ name: scratch, mountPath: /scratch }]
",
        STEP,
    );
    let child = spawn(&project, &[]);
    let pod = wait("the step runs", || {
        let said = project.tidegate(["runs", "logs", "1"]).stdout;
        said.contains("pool blue")
            .then(|| super::kubectl(&["get", "pods", "-l", &super::selector(&project), "-o", "json"]))
    });
    let pods: serde_json::Value = serde_json::from_str(&pod).unwrap();
    let spec = &pods["items"][0]["spec"];
    let has = |list: &str, what: serde_json::Value| {
        assert!(spec[list].as_array().unwrap().contains(&what), "{list}: {}", spec[list]);
    };
    has("tolerations", serde_json::json!({"key": "pool-blue", "operator": "Exists", "effect": "NoSchedule"}));
    has("volumes", serde_json::json!({"name": "scratch", "emptyDir": {"sizeLimit": "8Mi"}}));
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    super::kubectl(&["exec", &name, "-c", "steps", "--", "/bin/busybox", "touch", "/scratch/go"]);
    project.done(child).code(0);
    project.tidegate(["runs", "logs", "1"]).stdout("/scratch");
    wait_gone(&project);
}

/// Asks for a folder of the node, and says who the steps are.
const HOST: &str = "spec:
  volumes: [{ name: scratch, hostPath: { path: /tmp, type: Directory } }]
  containers: [{ name: steps, volumeMounts: [{ name: scratch, mountPath: /scratch, readOnly: true }] }]
";
const WHO: &str = "  a:
    pod-template: .ml/templates/own.yaml
    steps: [{ run: 'echo \"I am $(id -u)\"; echo x > made; echo x > ~/made && echo at home; ls -d /scratch || true' }]
";

fn policy(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_template_asks_for_what_the_policy_does_not_allow() {
    let project = with(HOST, WHO);
    run(&project, &[]).code(1).stdout(".ml/templates/own.yaml:2:").stdout("the node's folder /tmp");
    assert_eq!(left(&project).trim(), "", "nothing was made");
    // A policy of the checkout is none.
    project.write("policy.yaml", "allow: { host-path: [/tmp] }\n");
    run(&project, &["--policy", "policy.yaml"]).code(2).stderr("lies in the checkout");
    let outside = policy("allow: { host-path: [/tmp] }\n");
    run(&project, &["--policy", outside.path().to_str().unwrap()]).code(0);
}

#[test]
fn the_namespaces_policy_goes_before_the_engines() {
    let project = with(HOST, WHO);
    let outside = policy("allow: { host-path: [/tmp] }\n");
    let namespace = Namespace::new("policy-first", "");
    let text = "--from-literal=policy.yaml=restricted: { run-as: 1000 }";
    super::kubectl(&["create", "configmap", "tidegate-policy", "-n", &namespace.0, text]);
    let args = ["--namespace", &namespace.0, "--policy", outside.path().to_str().unwrap()];
    run(&project, &args).code(1).stdout("the node's folder /tmp");
    // What it demands is so.
    project.write(".ml/templates/own.yaml", "spec:\n  volumes: [{ name: scratch, emptyDir: {} }]\n");
    run(&project, &args).code(0);
    // The image knows no such user, who has a home all the same.
    project.tidegate(["runs", "logs", "2"]).stdout("I am 1000").stdout("at home");
}

#[test]
fn what_is_wrong_with_a_template_is_said_with_its_place() {
    for (template, words) in [
        ("spec:\n  nodeSelectro: { a: b }\n", "own.yaml:2:3: a pod has no field `spec.nodeSelectro`"),
        ("spec:\n  nodeSelector: { a: '{{ gpu.kind }}' }\n", "own.yaml:2:22: what it names is not there"),
    ] {
        let project =
            with(template, "  a: { pod-template: .ml/templates/own.yaml, steps: [{ run: 'true' }] }\n");
        run(&project, &[]).code(1).stdout(words);
    }
    let project = project("  a: { pod-template: .ml/templates/none.yaml, steps: [{ run: 'true' }] }\n");
    run(&project, &[]).code(1).stdout("no such file in the tree");
}

/// The image is Tidegate's own: from scratch, one static program.
#[test]
fn an_image_needs_no_shell_no_libc_no_root_that_is_written_and_no_known_user() {
    let project = with(
        "spec:
  containers:
    - name: steps
      securityContext: { runAsUser: 12345, runAsGroup: 12345, readOnlyRootFilesystem: true }
",
        "  a:
    container: docker.io/tidegate/tidegate:0.1.0
    pod-template: .ml/templates/own.yaml
    steps:
      - shell: /tidegate check {0}
        run: |
          on: push
          jobs: { x: { steps: [{ run: 'true' }] } }
",
    );
    let plan = project.tidegate(["plan", "--on", "kubernetes", "--format", "yaml"]).code(0);
    plan.stdout("runAsUser: 12345").stdout("readOnlyRootFilesystem: true");
    run(&project, &[]).code(0);
    project.tidegate(["runs", "logs", "1"]).code(0).stdout("nothing wrong in 1 file");
    wait_gone(&project);
}
