//! `plan --on kubernetes`: the manifests, and what the API server says to them before anything is made.

use super::{Namespace, kubeconfig, kubectl, project};
use crate::harness::{Done, Project};

fn plan(project: &Project, more: &[&str]) -> Done {
    let args = [&["plan", "--on", "kubernetes"], more].concat();
    project.tidegate_with(args, &[("KUBECONFIG", &kubeconfig())])
}

#[test]
fn the_server_is_asked_before_anything_is_submitted() {
    let project = project(
        "  a: { resources: { cpu: 2 }, steps: [{ run: 'true' }] }
  b:
    pod-template: .ml/t.yaml
    resources: { cpu: 0.1 }
    container: { image: 'docker.io/test/busybox:1', credentials: { username: me, password: '${{ secrets.PULL }}' } }
    steps: [{ run: 'true' }]
",
    );
    let namespace = Namespace::new("plan", "");
    namespace.quota("requests.cpu", "1");
    let space = namespace.0.as_str();
    project.write(".ml/t.yaml", "spec:\n  priorityClassName: nowhere\n");
    let done = plan(&project, &["--server", "--namespace", space]).code(2);
    done.stderr("a: the Pod would be refused").stderr("exceeded quota: small").stderr("nowhere");
    // Without the quota and the class nothing is said, and nothing was made.
    project.write(".ml/t.yaml", "spec: { priority: ~ }\n");
    plan(&project, &["--server"]).code(0);
    let made = kubectl(&["get", "jobs,pods", "-n", space, "-o", "name"]);
    assert_eq!(made.trim(), "");
    // What the API server would take is what `--format yaml` prints.
    let text = plan(&project, &["--format", "yaml"]).code(0).stdout;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let said =
        kubectl(&["create", "--dry-run=server", "--validate=strict", "-f", file.path().to_str().unwrap()]);
    assert_eq!(
        said.matches("created (server dry run)").count(),
        5,
        "a Job and a Secret each, and one to pull with: {said}"
    );
    // What the template itself has wrong is shown in it.
    project.write(".ml/t.yaml", "spec:\n  priorty: '{{ matrix.nope }}'\n");
    let done = plan(&project, &["--server"]).code(2);
    done.stderr("matrix.nope").stderr(".ml/t.yaml:2:").stderr("^");
}

/// Names of hosts and containers: what the plan takes, the API server takes.
#[test]
fn services_have_names_that_the_api_server_takes() {
    let long = "a".repeat(50);
    let project = project(&format!(
        "  a: {{ services: {{ db-main: {{ image: x }}, {long}x: {{ image: x }}, {long}y: {{ image: x }} }}, steps: [{{ run: 'true' }}] }}\n"
    ));
    plan(&project, &["--server"]).code(0);
    project.write(
        ".ml/workflows/test.yml",
        "on: workflow_dispatch\njobs: { a: { container: x, services: { DB_main: { image: x } }, steps: [{ run: 'true' }] } }\n",
    );
    plan(&project, &["--server"]).code(2).stdout("`services.DB_main`: steps could not reach it");
}
