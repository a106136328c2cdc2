//! What the cluster says of a pod that its node refuses or cannot begin is what a person reads; and what they are told
//! while a pod waits says what to change.

use super::*;

/// Writes the template and returns the project.
fn with(template: &str, job: &str, settings: &str) -> Place {
    let place = project_with(job, settings);
    place.write(".ml/templates/own.yaml", template);
    place
}

/// Binds a pod to the cluster's node, as a scheduler does that knows nothing of what the node has left.
fn bind(pod: &str) {
    let node = kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let binding = serde_json::json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node.trim()}});
    std::fs::write(file.path(), binding.to_string()).unwrap();
    let path = format!("/api/v1/namespaces/default/pods/{pod}/binding");
    kubectl(&["create", "--raw", &path, "-f", file.path().to_str().unwrap()]);
}

#[test]
fn a_pod_that_its_node_refuses_says_why_and_is_tried_again() {
    let project = with(
        "spec: { schedulerName: nobody }\n",
        "  a:
    pod-template: .ml/templates/own.yaml
    resources: { cpu: 500 }
    retry: { infra: 1 }
    steps: [{ run: 'echo never' }]
",
        "",
    );
    let child = spawn(&project, &[]);
    let first = pod(&project);
    bind(&first);
    // The first one's may be there still.
    let second = wait("there is another pod", || {
        let chosen = format!("{},tidegate.dev/attempt=2", selector(&project));
        let found = kubectl(&["get", "pods", "-l", &chosen, "-o", "jsonpath={.items[*].metadata.name}"]);
        (!found.trim().is_empty()).then(|| found.trim().to_owned())
    });
    bind(&second);
    let done = project.done(child).code(4);
    let done = done.stdout("lost: its node did not take the pod that was bound to it (OutOfcpu): ");
    let done = done.stdout("requested: 500020").stdout("infrastructure retry 1 of 1");
    done.stdout("1 of 1 infrastructure retries").nowhere("without a receipt");
    wait_gone(&project);
}

/// A kind of runtime that no node has.
struct NoRuntime(String);

impl NoRuntime {
    fn new() -> Self {
        let name = format!("test-none-{}", std::process::id());
        apply(&format!(
            r#"{{"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{{"name":"{name}"}},"handler":"nope"}}"#
        ));
        Self(name)
    }
}

impl Drop for NoRuntime {
    fn drop(&mut self) {
        let _ = command(&kubectl_program(), &["delete", "runtimeclass", &self.0, "--wait=false"]).output();
    }
}

#[test]
fn a_sandbox_that_its_node_cannot_make_is_waited_for_no_longer_than_the_patience() {
    let class = NoRuntime::new();
    let project = with(
        &format!("spec: {{ runtimeClassName: {} }}\n", class.0),
        "  a: { pod-template: .ml/templates/own.yaml, retry: { infra: 0 }, steps: [{ run: 'echo never' }] }\n",
        "  image-patience: 6\n",
    );
    let done = run(&project, &[]).code(4);
    let done = done.stdout("waits: its node cannot make the sandbox of its pod: ");
    done.stdout("lost: its node cannot make the sandbox").stdout("nope");
    wait_gone(&project);
}

#[test]
fn what_no_node_is_or_has_is_said_in_the_words_of_the_workflow_and_for_how_long() {
    let project = project(
        "  a: { resources: { gpu: { count: 1, product: No-Such-GPU } }, steps: [{ run: 'echo never' }] }
  b: { resources: { cpu: 500 }, steps: [{ run: 'echo never' }] }
",
    );
    let child = spawn(&project, &[]);
    let shown = |text: &str| {
        wait(&format!("it is shown: {text}"), || {
            let said = project.tidegate(["runs", "show", "1"]).stdout;
            said.contains(text).then_some(said)
        })
    };
    shown("waits: no node has `gpu.product` No-Such-GPU; ask for what some node has");
    let said =
        shown("waits: no node has 500 cpu free; ask for less in `resources`, or let the cluster grow (0/");
    assert_eq!(said.matches("attempt 1, for ").count(), 2, "{said}");
    let json = project.tidegate(["runs", "show", "1", "--format", "json"]).code(0);
    assert_eq!(json.stdout.matches("\"waiting_since\":1").count(), 2, "{}", json.stdout);
    cancelled(&project, child);
}
