//! Images of a real registry that wants credentials.

use super::{containers, engine, nothing_left, project, run, spawn, tidegate, wait_log};
use crate::registry::{
    Three, named, nothing_secret, nothing_secret_below, push, recorded, refused, secrets, three,
};

#[test]
#[ignore = "needs the registry of tests/cluster"]
fn a_job_a_step_and_a_service_have_credentials_of_their_own() {
    let Three { images, jobs } = three("three-here");
    let project = project(&jobs);
    let secret = secrets(&project);
    nothing_secret(&tidegate(&project, &["plan", "--on", "container"]).code(0).stdout);
    let child = spawn(&project, &secret);
    wait_log(&project, "in the job");
    let names = containers(&project);
    for name in &names {
        nothing_secret(&engine(&["inspect", name]));
    }
    let steps = names.iter().find(|name| name.ends_with("-1-steps")).unwrap();
    engine(&["exec", steps, "touch", "/tmp/go"]);
    nothing_secret(&project.done(child).code(0).stdout);
    project.tidegate(["runs", "logs", "1"]).stdout("in the step").stdout("from the service");
    // One image may have come by another name before: each has the digest of its own.
    let record = recorded(&project, "1");
    for (part, image) in ["steps", "steps-1", "service-db"].iter().zip(&images) {
        let pair = format!("\"{part}\":\"{}\"", image.resolved);
        assert!(record.contains(&pair), "{pair} is not in {record}");
    }
    nothing_secret_below(&project.path().join(".tidegate"));
    nothing_left(&project);
}

#[test]
#[ignore = "needs the registry of tests/cluster"]
fn an_image_that_the_registry_does_not_give_says_which_credentials_to_change() {
    let refused = refused("refused-here");
    let project = project(&refused.jobs);
    let secret = secrets(&project);
    named(&run(&project, &secret).code(1), &refused);
    nothing_secret_below(&project.path().join(".tidegate"));
    nothing_left(&project);
}

/// One image by two names: the record has the one that the job says.
#[test]
#[ignore = "needs the registry of tests/cluster"]
fn an_image_of_two_names_is_recorded_by_the_jobs_own() {
    let images = ["other", "own"].map(|name| push(&format!("{name}-name"), "1", "same"));
    let job = |id: &str, image: &str, needs: &str| {
        let ada = crate::registry::credentials(crate::registry::ADA.0, "ADA");
        format!("  {id}: {{ {needs}container: {{ image: '{image}', {ada} }}, steps: [{{ run: 'true' }}] }}\n")
    };
    let jobs = job("a", &images[0].name, "") + &job("b", &images[1].name, "needs: a, ");
    let project = project(&jobs);
    run(&project, &secrets(&project)).code(0);
    let record = recorded(&project, "1");
    for image in &images {
        let pair = format!("\"steps\":\"{}\"", image.resolved);
        assert_eq!(record.matches(&pair).count(), 1, "{record}");
    }
}
