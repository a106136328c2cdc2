//! Rights of an engine outside of the cluster: the Role `tidegate-runner` has those that it uses and no other; who lacks
//! some is told which, and goes without what is not needed.

use super::rights::EVERYTHING;
use super::*;
use crate::kubernetes::detach::accounts::{Account, Audit, Use, bind, printed, restart};
use crate::kubernetes::objects::Volume;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};

/// Artifacts that travel from job to job.
const ARTIFACTS: &str = "  makes: { steps: [{ run: 'echo flour > flour' }], produces: { flour: flour } }
  takes: { needs: makes, consumes: { flour: '${{ needs.makes.artifacts.flour }}' }, steps: [{ run: 'grep flour flour' }] }
";

/// A project of somebody who runs in a namespace by an account of it.
struct Outside {
    account: Account,
    project: Project,
}

impl Outside {
    fn tidegate(&self, args: &[&str]) -> Done {
        self.project.tidegate_with(args, &self.account.env())
    }

    fn run(&self, more: &[&str]) -> Done {
        self.tidegate(&args(more))
    }

    fn spawn(&self, more: &[&str]) -> Child {
        self.project.spawn_with(args(more), &self.account.env())
    }

    /// Waits until the log of a run has the first word of the job that takes its time.
    fn wait_started(&self, run: &str) {
        wait("the job has begun", || {
            self.project.tidegate(["runs", "logs", run]).stdout.contains("started").then_some(())
        });
    }

    /// Lets the job go on that waits for a queue: nobody has Kueue here.
    fn let_go(&self, space: &Namespace) {
        let chosen = format!("{},tidegate.dev/job=queued", selector(&self.project));
        let job = wait("the Job of the queue is there", || {
            let job = kubectl(&["get", "jobs", "-n", &space.0, "-l", &chosen, "-o", "name"]);
            (!job.trim().is_empty()).then_some(job)
        });
        let free = r#"{"spec":{"suspend":false}}"#;
        kubectl(&["patch", job.trim(), "-n", &space.0, "--type=merge", "-p", free]);
    }
}

/// Waits until the API server goes by the rights that an account was given, or that were taken: it hears of both a moment
/// later.
fn in_force(space: &Namespace, rights: &[&str], given: bool) {
    let who = format!("--as=system:serviceaccount:{}:ada", space.0);
    for right in rights {
        let (verb, resource) = right.split_once(' ').unwrap();
        // After a slash, kubectl would take a name.
        let (resource, below) = resource.split_once('/').unwrap_or((resource, ""));
        let below = format!("--subresource={below}");
        wait(&format!("{right}: {given}"), || {
            // It ends with 1 where the answer is no.
            let asked = ["auth", "can-i", verb, resource, &below, "-n", &space.0, &who];
            let done = command(&kubectl_program(), &asked).output().unwrap();
            (String::from_utf8_lossy(&done.stdout).trim() == if given { "yes" } else { "no" }).then_some(())
        });
    }
}

fn in_namespace(space: &Namespace, more: &str) -> String {
    format!("  namespace: {}\n{more}", space.0)
}

/// As an admin of the namespace does it.
fn make_role(project: &Project) {
    let done =
        project.tidegate_with(["install", "--for", "runner"], &[("KUBECONFIG", &kubeconfig())]).code(0);
    done.stdout("the Role `tidegate-runner` is in namespace").stdout("kubectl create rolebinding");
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_engine_outside_uses_each_of_its_rights_and_needs_no_other() {
    let _guard = CLUSTER.write().unwrap_or_else(PoisonError::into_inner);
    let space = Namespace::new("outside", "");
    let volume = Volume::new(&space);
    let hub = format!("  hub: {{ volume: 1Gi, storage-class: {} }}\n", volume.name);
    let project = made(&format!("{EVERYTHING}{ARTIFACTS}"), &in_namespace(&space, &hub));
    // Goes first: the usual API server is back before others use it.
    let audit = Audit::start();
    make_role(&project);
    let ada = Outside { account: Account::with(&space, "ada", "tidegate-runner"), project };
    let secret = ["--secret", "WORD=hush"];
    ada.tidegate(&["plan", "--on", "kubernetes", "--server"]).code(0);
    let killed = |mut child: Child| {
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let child = ada.spawn(&secret);
    ada.wait_started("1");
    killed(child);
    ada.let_go(&space);
    ada.run(&[&["--resume", "1"][..], &secret].concat()).code(0).nowhere("attempt 2").nowhere("may not");
    ada.tidegate(&["runs", "download", "1", "--dir", "out"]).code(0).stdout("✓ flour");
    let plain = [&["--job", "plain"][..], &secret].concat();
    let cancelled = ada.spawn(&plain);
    wait("the next run is there", || {
        ada.project.tidegate(["runs", "show", "2"]).code.is_some_and(|code| code == 0).then_some(())
    });
    let left = ada.spawn(&plain);
    ada.wait_started("2");
    ada.tidegate(&["runs", "cancel", "2"]).code(0);
    ada.wait_started("3");
    killed(left);
    ada.project.done(cancelled).code(5);
    // As if the store had been put back from before the run.
    let id = std::fs::read(ada.project.path().join(".tidegate/id")).unwrap();
    std::fs::remove_dir_all(ada.project.path().join(".tidegate")).unwrap();
    ada.project.write(".ml/workflows/test.yml", "on: push\njobs: { b: { steps: [{ run: 'true' }] } }\n");
    ada.project.tidegate(["run", "--on", "local"]).code(0);
    std::fs::write(ada.project.path().join(".tidegate/id"), id).unwrap();
    let gone = ada.tidegate(&["runs", "gc", "--on", "kubernetes"]).code(0);
    gone.stdout("2 Jobs and Secrets removed").stdout("at the hub:");
    let rights = printed(&ada.project, &["--for", "runner"]);
    let mut found = audit.of(&ada.account.name, &rights);
    // Only API servers of 1.35 and later ask for this one, too.
    found.used.insert(("create pods/portforward".to_owned(), None));
    // Everybody may ask what they may do (ClusterRole `system:basic-user`).
    let questions = "create selfsubjectaccessreviews.authorization.k8s.io".to_owned();
    let whole = Use { used: rights, beyond: BTreeSet::from([questions]), denied: BTreeSet::new() };
    assert_eq!(found, whole, "what was used, and what the Role has");
}

#[test]
fn who_lacks_rights_is_told_which_and_how_to_get_them() {
    let _guard = beside();
    let space = Namespace::new("lacking", "");
    let project = made("  a: { steps: [{ run: 'true' }] }\n", &in_namespace(&space, ""));
    let ada = Outside { account: Account::new(&space, "ada"), project };
    let refused =
        |done: Done| done.code(4).stderr("install --for runner").stderr("lacks rights in namespace");
    // All at once, and nothing was made.
    let done = refused(ada.run(&[]));
    done.stderr("create, delete, get, list, watch `jobs`").stderr("create, get `pods/portforward`");
    let made = kubectl(&["get", "jobs,deployments,secrets,services", "-n", &space.0, "-o", "name"]);
    assert_eq!(made.trim(), "");
    refused(ada.tidegate(&["runs", "gc", "--on", "kubernetes"])).stderr("delete, get, list `secrets`");
    let done = ada.tidegate(&["plan", "--on", "kubernetes", "--server"]).code(2);
    done.stderr("cannot create resource \"jobs\"").stderr("install --for runner");
    // Some have all but one.
    make_role(&ada.project);
    bind(&space, "ada", "tidegate-runner");
    without(&space, &["get pods/portforward"]);
    in_force(&space, &["list jobs.batch", "create pods/portforward"], true);
    in_force(&space, &["get pods/portforward"], false);
    let done = refused(ada.run(&[])).stderr(": get `pods/portforward`\n");
    assert!(!done.stderr.contains("`jobs`"), "{}", done.stderr);
    // What puts up a hub is needed where there is none.
    make_role(&ada.project);
    without(&space, &["create deployments"]);
    in_force(&space, &["get pods/portforward"], true);
    in_force(&space, &["create deployments.apps"], false);
    let done = ada.run(&[]).code(4).stderr("cannot create resource \"deployments\"");
    done.stderr("install --for runner");
    make_role(&ada.project);
    in_force(&space, &["create deployments.apps"], true);
    ada.run(&[]).code(0);
    without(&space, &["create deployments", "create services"]);
    in_force(&space, &["create deployments.apps", "create services"], false);
    ada.run(&[]).code(0);
}

/// Takes rights out of the Role: a verb and a resource each.
fn without(space: &Namespace, rights: &[&str]) {
    let get = ["get", "role", "tidegate-runner", "-n", &space.0, "-o", "json"];
    let mut role: Json = serde_json::from_str(&kubectl(&get)).unwrap();
    let mut taken = 0;
    for rule in role["rules"].as_array_mut().unwrap() {
        let resource = rule["resources"][0].as_str().unwrap().to_owned();
        let verbs = rule["verbs"].as_array_mut().unwrap();
        taken += verbs.len();
        verbs.retain(|verb| !rights.contains(&format!("{} {resource}", verb.as_str().unwrap()).as_str()));
        taken -= verbs.len();
    }
    assert_eq!(taken, rights.len(), "each was there");
    role["rules"]
        .as_array_mut()
        .unwrap()
        .retain(|rule| rule["verbs"].as_array().is_some_and(|v| !v.is_empty()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), role.to_string()).unwrap();
    kubectl(&["replace", "-f", file.path().to_str().unwrap()]);
}

#[test]
fn a_run_does_without_what_only_gives_it_words() {
    let _guard = beside();
    let space = Namespace::new("words", "");
    let jobs = "  queued: { queue: nobodys, steps: [{ run: 'echo started' }] }\n";
    let project = made(jobs, &in_namespace(&space, ""));
    make_role(&project);
    let only_words = [
        "list events",
        "watch events",
        "get pods/log",
        "deletecollection pods",
        "get configmaps",
        "create pods/portforward",
        "list workloads",
    ];
    without(&space, &only_words);
    let ada = Outside { account: Account::with(&space, "ada", "tidegate-runner"), project };
    let mut child = ada.spawn(&[]);
    let said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut wanted = vec![
        "this account may not list, watch `events`: ",
        "this account may not get `pods/log`: ",
        "this account may not deletecollection `pods`: ",
        "this account may not create `pods/portforward`: ",
        "this account may not get `configmaps` `tidegate-policy`: ",
        // Said when there is something to ask.
        "this account may not list `workloads.kueue.x-k8s.io`: ",
    ];
    for line in said {
        wanted.retain(|text| !line.contains(text));
        if wanted.is_empty() {
            break;
        }
    }
    assert!(wanted.is_empty(), "not said: {wanted:?}");
    ada.let_go(&space);
    ada.project.done(child).code(0);
}

/// A job that waits to be let go, and one after it.
const TWO: &str = "  a: { steps: [{ run: 'echo started; while ! test -e /tmp/go; do sleep 0.1; done' }] }
  b: { needs: a, steps: [{ run: 'true' }] }
";

fn two(space: &Namespace) -> (Outside, Child) {
    let project = made(TWO, &in_namespace(space, ""));
    make_role(&project);
    let ada = Outside { account: Account::with(space, "ada", "tidegate-runner"), project };
    let child = ada.spawn(&[]);
    ada.wait_started("1");
    kubectl(&["delete", "rolebinding", "ada", "-n", &space.0]);
    in_force(space, &["create jobs.batch"], false);
    (ada, child)
}

fn let_first_go(space: &Namespace) {
    let pod = kubectl(&["get", "pods", "-n", &space.0, "-l", "tidegate.dev/job=a", "-o", "name"]);
    kubectl(&["exec", "-n", &space.0, pod.trim(), "-c", "steps", "--", "/bin/busybox", "touch", "/tmp/go"]);
}

#[test]
fn a_job_waits_for_the_rights_that_its_run_had() {
    let _guard = beside();
    let space = Namespace::new("away", "");
    let (ada, child) = two(&space);
    let_first_go(&space);
    wait("it is said what the second job waits for", || {
        let said = ada.project.tidegate(["runs", "show", "1"]).stdout;
        said.contains("cannot create resource \"jobs\"").then_some(())
    });
    bind(&space, "ada", "tidegate-runner");
    ada.project.done(child).code(0).nowhere("attempt 2");
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_run_that_may_see_nothing_any_more_goes_on_when_it_may() {
    let _guard = CLUSTER.write().unwrap_or_else(PoisonError::into_inner);
    let space = Namespace::new("blind", "");
    let (ada, mut child) = two(&space);
    // What is watched and connected already, nobody takes away.
    restart(&[]);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut heard = |wanted: &[&str]| {
        let mut wanted = wanted.to_vec();
        while !wanted.is_empty() {
            let line = said.next().unwrap_or_else(|| panic!("not said: {wanted:?}"));
            wanted.retain(|text| !line.contains(text));
        }
    };
    heard(&["does not let this engine see its Jobs and pods any more", "the hub does not answer"]);
    let_first_go(&space);
    bind(&space, "ada", "tidegate-runner");
    heard(&["lets this engine see its Jobs and pods again", "the hub answers again"]);
    ada.project.done(child).code(0).nowhere("attempt 2");
}
