//! Rights in a namespace with an engine: it has those that it uses and no other, people who hand over have fewer.

use super::*;
use crate::kubernetes::detach::accounts::{Account, Audit, Use, printed};
use std::collections::BTreeSet;

/// What takes every right of an engine.
pub(super) const EVERYTHING: &str = "  plain:
    env: { WORD: '${{ secrets.WORD }}' }
    steps: [{ run: 'echo started; sleep 20; test $WORD = hush' }]
  service:
    services:
      web:
        image: docker.io/test/busybox:1
        env: { WORD: '${{ secrets.WORD }}' }
        entrypoint: sh
        command: -c \"while true; do echo $WORD | nc -l -p 8080; done\"
    steps: [{ run: 'until nc web 8080 < /dev/null; do sleep 0.2; done' }]
  nodes: { nodes: 2, steps: [{ run: 'echo $NODE_RANK' }] }
  pulled:
    container: { image: 'docker.io/test/busybox:1', credentials: { username: me, password: '${{ secrets.WORD }}' } }
    steps: [{ run: 'true' }]
  queued: { queue: nobodys, steps: [{ run: 'true' }] }
  broken:
    continue-on-error: true
    services:
      web: { image: 'docker.io/test/busybox:1', entrypoint: sh, command: '-c \"echo I am wrong; exit 3\"', options: '--health-cmd false --health-interval 5s --health-retries 30' }
    steps: [{ run: 'true' }]
";

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn the_engine_uses_each_of_its_rights_and_needs_no_other() {
    let guard = CLUSTER.write().unwrap_or_else(PoisonError::into_inner);
    let space = Namespace::new("rights", "");
    let project = made(EVERYTHING, &format!("  namespace: {}\n", space.0));
    let place = Detached { space, place: Place { _guard: Guard::Alone(guard), project } };
    // Goes first: the usual API server is back before others use it.
    let audit = Audit::start();
    place.tidegate(&["install"]).code(0);
    let number = place.submit(&["--secret", "WORD=hush"]);
    place.wait_log(&number, "started");
    let job = place.kubectl(&["get", "jobs", "-l", "tidegate.dev/job=queued", "-o", "name"]);
    place.kill_engine();
    // Nobody has Kueue here.
    place.kubectl(&["patch", job.trim(), "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    place.watch(&number).code(0);
    let cancelled = place.submit(&["--secret", "WORD=hush", "--job", "plain"]);
    place.wait_log(&cancelled, "started");
    place.asked(&["runs", "cancel", &cancelled]).code(0);
    place.watch(&cancelled).code(5);
    place.wait_gone();
    let account = format!("system:serviceaccount:{}:tidegate-engine", place.space.0);
    let rights = printed(&place.place.project, &[]);
    let whole = Use { used: rights.clone(), beyond: BTreeSet::new(), denied: BTreeSet::new() };
    assert_eq!(audit.of(&account, &rights), whole, "what it used, and what it was given");
}

#[test]
fn a_person_with_the_users_role_hands_over_and_looks_and_no_more() {
    let place = Detached::new("user", "  a: { steps: [{ run: 'echo mine | tee m' }], produces: { m: m } }\n");
    place.tidegate(&["install", "--for", "user"]).code(0).stdout("tidegate-user");
    let ada = Account::with(&place.space, "ada", "tidegate-user");
    let ada = ada.env();
    let project = &place.place.project;
    let done =
        project.tidegate_with(["run", "--on", "kubernetes", "--detach", "--format", "json"], &ada).code(0);
    let run = serde_json::from_str::<Json>(&done.stdout).unwrap()["run"].as_str().unwrap().to_owned();
    wait("the engine has it", || {
        let list = project.tidegate_with(["runs", "list", "--on", "kubernetes"], &ada).code(0);
        list.stdout.contains("test").then_some(())
    });
    project.tidegate_with(["runs", "watch", &run, "--on", "kubernetes"], &ada).code(0).stdout("passed");
    project.tidegate_with(["runs", "logs", &run, "--on", "kubernetes"], &ada).code(0).stdout("mine");
    let download = ["runs", "download", &run, "--on", "kubernetes", "--dir", "out"];
    project.tidegate_with(download, &ada).code(0).stdout("✓ m");
    // Nor may they run without the engine.
    let refused = project.tidegate_with(["run", "--on", "kubernetes"], &ada).code(4);
    refused.stderr("lacks rights in namespace").stderr("create, delete, get, list, watch `jobs`");
}
