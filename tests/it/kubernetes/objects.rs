//! Where artifacts and the cache are: in the hub's folder, on its volume; and what is said when they are gone.

use super::*;

/// A job that the cache keeps, and one that consumes what it made.
const CHAIN: &str = "  a:
    cache: true
    steps: [{ run: 'echo made > x' }]
    produces: { x: x }
  b:
    needs: a
    consumes: { x: '${{ needs.a.artifacts.x }}' }
    steps: [{ run: 'cat x' }]
";

/// Takes the namespace's hub away and waits for the next one.
pub(super) fn replace_hub(namespace: &str) {
    let pod = || {
        let chosen = ["-n", namespace, "-l", "app.kubernetes.io/name=tidegate-hub"];
        let names =
            ["get", "pods", "-o", "jsonpath={.items[?(@.status.containerStatuses[0].ready)].metadata.name}"];
        kubectl(&[names.as_slice(), &chosen].concat()).trim().to_owned()
    };
    let former = wait("a hub is ready", || Some(pod()).filter(|name| !name.is_empty()));
    kubectl(&["delete", "pod", "-n", namespace, &former, "--wait=true", "--grace-period=1"]);
    wait("another hub is ready", || {
        let now = pod();
        (!now.is_empty() && !now.contains(&former)).then_some(())
    });
}

/// A folder of the node as a volume that any user may write to; it goes with the namespace's test.
pub(super) struct Volume {
    pub(super) name: String,
}

impl Volume {
    pub(super) fn new(namespace: &Namespace) -> Self {
        let name = format!("hub-{}", namespace.0);
        let path = format!("/tmp/{name}");
        apply_volume(&name, &path);
        let made = Self { name };
        made.on_the_node(namespace, "open", "chmod 777 /volume");
        made
    }

    /// A command of root in a pod that has the folder.
    pub(super) fn on_the_node(&self, namespace: &Namespace, pod: &str, command: &str) {
        let (space, path) = (&namespace.0, format!("/tmp/{}", self.name));
        apply(&format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{pod}","namespace":"{space}"}},"spec":{{"restartPolicy":"Never",
"volumes":[{{"name":"volume","hostPath":{{"path":"{path}","type":"DirectoryOrCreate"}}}}],
"containers":[{{"name":"c","image":"{IMAGE}","command":["sh","-c","{command}"],"volumeMounts":[{{"name":"volume","mountPath":"/volume"}}]}}]}}}}"#
        ));
        wait("the folder is ready", || {
            let phase = kubectl(&["get", "pod", "-n", space, pod, "-o", "jsonpath={.status.phase}"]);
            (phase.trim() == "Succeeded").then_some(())
        });
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        kubectl(&["delete", "persistentvolume", &self.name, "--wait=false"]);
    }
}

#[test]
fn a_hub_with_a_volume_keeps_what_earlier_jobs_made() {
    let _guard = beside();
    let namespace = Namespace::new("volume", "");
    let volume = Volume::new(&namespace);
    let (space, class) = (&namespace.0, &volume.name);
    let project =
        made(CHAIN, &format!("  namespace: {space}\n  hub: {{ volume: 1Gi, storage-class: {class} }}\n"));
    let first = run(&project, &[]).code(0);
    first.nowhere("emptyDir").nowhere("from cache");
    let claim = kubectl(&["get", "pvc", "-n", space, "tidegate-hub", "-o", "jsonpath={.status.phase}"]);
    assert_eq!(claim.trim(), "Bound");
    replace_hub(space);
    // Neither the artifact nor the cached result is gone.
    run(&project, &[]).code(0).stdout("1 from cache");
    project.tidegate(["runs", "logs", "2", "b"]).code(0).stdout("made");
    wait_gone(&project);
    volume.on_the_node(&namespace, "clean", "rm -rf /volume/*");
}

#[test]
fn what_a_hub_without_a_volume_lost_is_named_and_made_again() {
    let _guard = beside();
    let namespace = Namespace::new("no-volume", "");
    let space = &namespace.0;
    let jobs = "  a:
    cache: true
    steps: [{ run: 'echo made > x' }]
    produces: { x: x }
  wait: { needs: a, steps: [{ run: 'echo started; until test -e /tmp/go || test $GITHUB_RUN_NUMBER = 2; do sleep 0.2; done' }] }
  b:
    needs: [a, wait]
    consumes: { x: '${{ needs.a.artifacts.x }}' }
    steps: [{ run: 'cat x' }]
";
    let project = made(jobs, &format!("  namespace: {space}\n"));
    let child = spawn(&project, &[]);
    wait("the second job runs", || {
        let log = project.tidegate(["runs", "logs", "1", "wait"]).stdout;
        log.contains("started").then_some(())
    });
    replace_hub(space);
    let_go(&project, "wait");
    let done = project.done(child).code(1);
    done.stderr("they live as long as its pod").stdout("not at the hub any more").stdout("emptyDir");
    // The cache does not rely on it either.
    run(&project, &[]).code(0).nowhere("from cache");
    project.tidegate(["runs", "logs", "2", "b"]).code(0).stdout("made");
    wait_gone(&project);
}

#[test]
fn a_hub_of_another_shape_stays_and_is_named() {
    let _guard = beside();
    let namespace = Namespace::new("shape", "");
    let project = made(CHAIN, &format!("  namespace: {}\n", namespace.0));
    run(&project, &[]).code(0);
    let uid = || {
        kubectl(&[
            "get",
            "deployment",
            "-n",
            &namespace.0,
            "tidegate-hub",
            "-o",
            "jsonpath={.metadata.generation}",
        ])
    };
    let before = uid();
    let settings = format!(
        "kubernetes:\n  namespace: {}\n  hub: {{ volume: 3Gi, storage-class: nowhere }}\n",
        namespace.0
    );
    std::fs::write(project.path().join(".ml/config.yaml"), settings).unwrap();
    let done = run(&project, &[]).code(0);
    done.stderr("not on a volume of 3Gi").stderr("delete deployment tidegate-hub");
    assert_eq!(uid(), before);
    wait_gone(&project);
}

#[test]
fn two_runs_of_one_project_each_hear_of_their_pods() {
    let project = project("  a: { steps: [{ run: 'echo started; sleep 5; echo done' }] }\n");
    let (first, second) = (spawn(&project, &[]), spawn(&project, &[]));
    project.done(first).code(0).nowhere("attempt 2");
    project.done(second).code(0).nowhere("attempt 2");
    for run in ["1", "2"] {
        project.tidegate(["runs", "logs", run]).code(0).stdout("done");
    }
    wait_gone(&project);
}
