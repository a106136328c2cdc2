//! A hub whose disk is full: what fails says so, and what can wait does.

use super::*;
use std::io::{BufRead as _, BufReader};

/// A file system of 8 MiB on the node, as the volume that a hub claims.
struct Small {
    name: String,
    path: String,
}

impl Small {
    fn new(namespace: &Namespace) -> Self {
        let name = format!("small-{}", namespace.0);
        let made = Self { path: format!("/tmp/{name}"), name };
        let Self { name, path } = &made;
        made.on_the_node("mkdir -p $d && mount -t tmpfs -o size=8m,mode=777 none $d");
        apply_volume(name, path);
        made
    }

    fn on_the_node(&self, script: &str) {
        cluster(&["enter", "sh", "-c", &format!("d={}; {script}", self.path)]);
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        kubectl(&["delete", "persistentvolume", &self.name, "--wait=false"]);
        self.on_the_node("umount -l $d; rmdir $d");
    }
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_hub_whose_disk_is_full() {
    let jobs = "  a:
    retry: { attempts: 2, on: [disk] }
    produces: { big: big }
    steps: [{ run: 'case $HOSTNAME in *-0-1-*) n=16;; *) n=1;; esac; dd if=/dev/urandom of=big bs=1M count=$n' }]
  b:
    needs: a
    steps:
      - run: 'echo started; while ! test -e /tmp/go; do sleep 0.1; done; seq 400000; echo the end of it'
";
    let _guard = beside();
    let namespace = Namespace::new("small", "");
    let small = Small::new(&namespace);
    let space = &namespace.0;
    let hub = format!("  namespace: {space}\n  hub: {{ volume: 1Gi, storage-class: {} }}\n", small.name);
    let project = made(jobs, &hub);
    let mut child = spawn(&project, &[]);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    wait_log(&project, "started");
    small.on_the_node("dd if=/dev/zero of=$d/ballast bs=64k 2>/dev/null; true");
    let pod = kubectl(&["get", "pods", "-n", space, "-l", "tidegate.dev/job=b", "-o", "name"]);
    kubectl(&["exec", "-n", space, pod.trim(), "-c", "steps", "--", "/bin/busybox", "touch", "/tmp/go"]);
    // What the hub cannot keep waits, and the engine is told; with room again all of it comes.
    assert!(said.any(|line| line.contains("the hub's disk takes nothing")));
    small.on_the_node("rm $d/ballast");
    assert!(said.any(|line| line.contains("the hub's disk takes something again")));
    let done = project.done(child).code(0);
    done.stdout("disk").stdout("no space left for the store in the hub (`kubernetes: hub: { volume");
    let log = project.tidegate(["runs", "logs", "1", "b"]).code(0);
    log.stdout("started\n1\n2\n").stdout("\n399999\n400000\nthe end of it\n");
}
