//! Images of a real registry that wants credentials: those of jobs, steps and services, those of the settings, and
//! Tidegate's own.

use super::*;
use crate::registry::{
    ADA, Refused, Three, address, credentials, named, nothing_secret, nothing_secret_below, push, push_for,
    recorded, refused, secrets, three,
};

/// What everybody of the cluster may read who reads no Secrets.
fn seen(project: &Project) -> String {
    let chosen = selector(project);
    let objects = kubectl(&["get", "jobs,pods", "-l", &chosen, "-o", "yaml"]);
    assert!(objects.contains("imagePullSecrets"), "{objects}");
    let events = kubectl(&["get", "events", "-o", "yaml"]);
    format!("{objects}{events}")
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_job_a_step_and_a_service_have_credentials_of_their_own() {
    let Three { images, jobs } = three("three");
    let project = project(&jobs);
    let secret = secrets(&project);
    let plan = ["plan", "--on", "kubernetes", "--format", "yaml"];
    let plan = project.tidegate_with(plan, &[("KUBECONFIG", &kubeconfig())]).code(0);
    nothing_secret(&plan.stdout);
    let child = spawn(&project, &secret);
    wait_log(&project, "in the job");
    nothing_secret(&seen(&project));
    // A kubelet takes a second to say which image it started, a busy one some more.
    wait("the node says what it started", || {
        let ids = "jsonpath={.items[*].status.containerStatuses[*].imageID} {.items[*].status.initContainerStatuses[*].imageID}";
        let said = kubectl(&["get", "pods", "-l", &selector(&project), "-o", ids]);
        images.iter().all(|image| said.contains(&image.resolved)).then_some(())
    });
    let_go(&project, "a");
    nothing_secret(&project.done(child).code(0).stdout);
    let logs =
        project.tidegate(["runs", "logs", "1"]).stdout("in the step").stdout("from the service").stdout;
    nothing_secret(&logs);
    let record = recorded(&project, "1");
    for (part, image) in ["steps", "steps-1", "service-db"].iter().zip(&images) {
        let pair = format!("\"{part}\":\"{}\"", image.resolved);
        assert!(record.contains(&pair), "{pair} is not in {record}");
    }
    nothing_secret_below(&project.path().join(".tidegate"));
    wait_gone(&project);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_image_that_the_registry_does_not_give_says_which_credentials_to_change() {
    let refused: Refused = refused("refused");
    let project = project_with(&refused.jobs, "  image-patience: 3\n");
    let secret = secrets(&project);
    named(&run(&project, &secret).code(1), &refused);
    nothing_secret_below(&project.path().join(".tidegate"));
    wait_gone(&project);
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_image_for_another_kind_of_machine() {
    let machine = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    let image = push_for(machine, "foreign").name;
    let login = credentials(ADA.0, "ADA");
    let jobs = format!("  a: {{ container: {{ image: '{image}', {login} }}, steps: [{{ run: 'true' }}] }}\n");
    let project = project_with(&jobs, "  image-patience: 3\n");
    let secret = secrets(&project);
    let done = run(&project, &secret).code(1).stdout("image: ").stdout(&image);
    done.stdout("it is made for another kind of machine than the node")
        .stdout("docker buildx build --platform");
    wait_gone(&project);
}

/// A project of a namespace, with a Secret `regcred` for the registry if wanted.
fn settings(namespace: &Namespace, agent: &str, pull: bool) -> String {
    let space = &namespace.0;
    if pull {
        let server = format!("--docker-server={}", address());
        let (user, password) =
            (format!("--docker-username={}", ADA.0), format!("--docker-password={}", ADA.1));
        kubectl(&["create", "secret", "docker-registry", "regcred", "-n", space, &server, &user, &password]);
    }
    let secrets = if pull { "  image-pull-secrets: [regcred]\n" } else { "" };
    format!("  namespace: {space}\n{secrets}{agent}")
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn secrets_of_the_settings_are_for_every_image() {
    let _guard = beside();
    let image = push("settings", "1", "settings").name;
    let namespace = Namespace::new("regcred", "");
    let jobs = format!("  a: {{ container: '{image}', steps: [{{ run: 'echo ran' }}] }}\n");
    let project = made(&jobs, &settings(&namespace, "", true));
    run(&project, &[]).code(0);
    project.tidegate(["runs", "logs", "1"]).stdout("ran");
}

/// `agent-image --push` by a podman that is logged in; then hub, agents and an engine of the cluster come from there.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn tidegates_own_image_comes_from_a_registry_too() {
    let _guard = beside();
    let repository = format!("{}/acme-{}", address(), std::process::id());
    let pushed = pushed(&repository);
    assert!(pushed.starts_with(&repository), "{pushed}");
    let jobs = "  a: { steps: [{ run: 'echo ran' }] }\n";
    let agent = format!("  agent-image: {pushed}\n");
    let namespace = Namespace::new("private", "");
    let project = made(jobs, &settings(&namespace, &agent, true));
    run(&project, &[]).code(0);
    let hub = ["get", "deployment", "-n", &namespace.0, "tidegate-hub", "-o", "jsonpath={..image}"];
    assert_eq!(kubectl(&hub).trim(), pushed);
    project.tidegate(["runs", "logs", "1"]).stdout("ran");
}

/// Pushes Tidegate's image with a podman that has a storage of its own; returns its name.
fn pushed(repository: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        path(name)
    };
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        path("root"),
        path("run")
    );
    let registries = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", address());
    let env = [
        ("TIDEGATE_CONTAINER_ENGINE", "podman".to_owned()),
        ("CONTAINERS_STORAGE_CONF", write("storage.conf", &storage)),
        ("CONTAINERS_REGISTRIES_CONF", write("registries.conf", &registries)),
        ("REGISTRY_AUTH_FILE", path("auth.json")),
    ];
    let login = ["login", "--username", ADA.0, "--password", ADA.1, &address()];
    let logged_in = Command::new("podman").args(login).envs(env.clone()).output().unwrap();
    assert!(logged_in.status.success(), "{}", String::from_utf8_lossy(&logged_in.stderr));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/agent-image");
    let done = Command::new(script).args(["--push", repository]).envs(env).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).lines().last().unwrap_or_default().to_owned()
}

/// As Kubernetes does it: `latest` is asked for each time, another tag where the node does not have it. The record says
/// what ran.
#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_image_that_was_pushed_again_is_recorded_as_it_ran() {
    let _guard = beside();
    let namespace = Namespace::new("again", "");
    let place = settings(&namespace, "", true);
    let always = "spec: { containers: [{ name: steps, imagePullPolicy: Always }] }\n";
    let (mut former, mut latest) = (push("again", "1", "one"), push("again", "latest", "one"));
    let jobs = format!(
        // A kubelet takes a second to say which image it started, a busy one some more.
        "  fixed: {{ container: '{0}', steps: [{{ run: 'sleep 8' }}] }}
  latest: {{ container: '{1}', steps: [{{ run: 'sleep 8' }}] }}
  always: {{ needs: fixed, pod-template: always.yaml, container: '{0}', steps: [{{ run: 'sleep 8' }}] }}
",
        former.name, latest.name
    );
    let project = made(&jobs, &place);
    project.write("always.yaml", always);
    run(&project, &[]).code(0);
    let record = recorded(&project, "1");
    assert_eq!(record.matches(&former.resolved).count(), 3, "{record}");
    let first = former;
    (former, latest) = (push("again", "1", "two"), push("again", "latest", "two"));
    assert_eq!(former.resolved, latest.resolved);
    run(&project, &[]).code(0);
    // The node had the first one; then it was told to ask.
    let record = recorded(&project, "2");
    assert_eq!(record.matches(&first.resolved).count(), 1, "{record}");
    assert_eq!(record.matches(&former.resolved).count(), 2, "{record}");
}
