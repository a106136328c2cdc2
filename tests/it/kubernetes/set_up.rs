//! Pods that have a node and yet never run a step: something is missing, or fails before.

use super::*;

/// A job whose pod is changed by a template.
fn with_template(template: &str) -> Place {
    with_template_and(template, "")
}

/// The same for one that is given up soon.
fn given_up(template: &str) -> Place {
    with_template_and(template, "  image-patience: 4\n")
}

fn with_template_and(template: &str, settings: &str) -> Place {
    let jobs = "  a: { pod-template: .ml/own.yaml, steps: [{ run: 'echo ran' }] }\n";
    let place = project_with(jobs, settings);
    place.write(".ml/own.yaml", template);
    place
}

#[test]
fn a_config_map_that_a_volume_needs_is_missing() {
    let project = given_up(
        "spec:
  volumes: [{ name: settings, configMap: { name: no-such-map } }]
  containers: [{ name: steps, volumeMounts: [{ name: settings, mountPath: /settings }] }]
",
    );
    let done = run(&project, &[]).code(1).stdout("unschedulable: a volume of its pod cannot be mounted");
    done.stdout("\"no-such-map\" not found").stdout("or change the pod template");
    wait_gone(&project);
}

#[test]
fn a_config_map_that_a_variable_needs_is_missing() {
    let project = given_up(
        "spec:
  containers:
    - name: steps
      env: [{ name: X, valueFrom: { configMapKeyRef: { name: no-such-map, key: x } } }]
",
    );
    let done =
        run(&project, &[]).code(1).stdout("unschedulable: what the container `steps` needs is not there");
    done.stdout("\"no-such-map\" not found");
    wait_gone(&project);
}

#[test]
fn a_secret_that_a_volume_needs_is_missing() {
    let project = given_up(
        "spec:
  volumes: [{ name: keys, secret: { secretName: no-such-secret } }]
  containers: [{ name: steps, volumeMounts: [{ name: keys, mountPath: /keys }] }]
",
    );
    let policy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(policy.path(), "allow: { secrets: [no-such-secret] }").unwrap();
    let done = run(&project, &["--policy", policy.path().to_str().unwrap()]).code(1);
    done.stdout("unschedulable").stdout("\"no-such-secret\" not found");
    wait_gone(&project);
}

fn init(command: &str) -> String {
    format!("spec:\n  initContainers: [{{ name: fetch, image: '{IMAGE}', command: {command} }}]\n")
}

#[test]
fn an_init_container_that_fails_is_quoted() {
    let project = with_template(&init("[sh, -c, 'echo the lake is shut; exit 3']"));
    let done =
        run(&project, &[]).code(1).stdout("failure: the init container `fetch` of its pod ended with exit 3");
    done.stdout("│ the lake is shut").nowhere("attempt 2");
    wait_gone(&project);
}

#[test]
fn an_init_container_that_cannot_be_started() {
    let project = given_up(&init("[/no/such/program]"));
    let done = run(&project, &[]).code(1).stdout("image: the init container `fetch` cannot be started");
    done.stdout("/no/such/program").nowhere("attempt 2");
    wait_gone(&project);
}

#[test]
fn an_init_container_that_does_not_end_is_named() {
    let project = with_template(&init("[sleep, '600']"));
    let child = spawn(&project, &[]);
    wait("it is said that it waits", || {
        let said = project.tidegate(["runs", "show", "1"]).stdout;
        said.contains("waits: the init container `fetch` of its pod still runs").then_some(())
    });
    interrupt(&child);
    project.done(child).code(5).stdout("waits: the init container `fetch`");
    wait_gone(&project);
}

fn service(more: &str) -> Place {
    project(&format!(
        "  a:
    services: {{ db: {{ image: '{IMAGE}', {more} }} }}
    steps: [{{ run: 'echo ran' }}]
"
    ))
}

#[test]
fn a_service_that_never_gets_healthy_is_quoted() {
    let project = service(
        "command: 'sh -c \"echo starting up with $PW; sleep 600\"', env: { PW: '${{ secrets.PW }}' }, \
         options: --health-cmd false --health-interval 1s --health-retries 3",
    );
    let done = run(&project, &["--secret", "PW=hushhush"]).code(1);
    let done = done.stdout("failure: the service `db` did not get healthy").stdout("--health-retries");
    done.stdout("│ starting up with ***").nowhere("hushhush").nowhere("attempt 2");
    wait_gone(&project);
}

#[test]
fn a_service_that_ends_is_quoted() {
    let project = service(
        "command: 'sh -c \"echo no room for tables; exit 7\"', \
         options: --health-cmd false --health-interval 5s --health-retries 30",
    );
    let done = run(&project, &[]).code(1).stdout("failure: the service `db` ended with exit 7");
    done.stdout("│ no room for tables").nowhere("attempt 2");
    wait_gone(&project);
}

#[test]
fn a_wrong_template_is_shown_with_its_place() {
    let project = with_template("spec:\n  volumes: [{ name: '{{ matrix.nope }}', emptyDir: {} }]\n");
    let done = run(&project, &[]).code(1).stdout("failure: .ml/own.yaml:2:");
    done.stdout("│ 2 |").stdout("^");
    wait_gone(&project);
}
