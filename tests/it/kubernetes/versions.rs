//! An image of Tidegate whose version is another one than the engine's: a real one, said to be so.

use super::*;

const OWN: &str = env!("CARGO_PKG_VERSION");
/// What `tests/cluster/agent-image` makes.
const IMAGE_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tidegate-image.tar");
const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/images.py");

/// Gives the cluster an image with the same program, but each digit of its version is a nine; its version.
fn other_image() -> String {
    let other = OWN.replace(|c: char| c.is_ascii_digit(), "9");
    assert_ne!(other, OWN);
    let place = Project::new();
    let pattern = OWN.replace('.', "\\.");
    // `10.1.0` stands in rules of time zones.
    place.sh(&format!(
        "tar -xOf {IMAGE_FILE} layer.tar | tar -xOf - tidegate |
             LC_ALL=C sed -E 's/(^|[^0-9]){pattern}/\\1{other}/g' > program && chmod +x program &&
         test \"$(./program --version)\" = 'tidegate {other}' &&
         python3 {IMAGES} tidegate other.tar program {other}"
    ));
    cluster(&["load", place.path().join("other.tar").to_str().unwrap()]);
    other
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn an_agent_image_of_another_version_is_named_and_nothing_is_left() {
    let _guard = beside();
    let namespace = Namespace::new("version", "");
    let other = other_image();
    let jobs = "  a: { retry: { attempts: 3 }, steps: [{ run: 'echo the step' }] }\n";
    let project = made(jobs, &format!("  namespace: {}\n", namespace.0));
    let image = format!("docker.io/tidegate/tidegate:{other}");
    let done = run(&project, &["--agent-image", &image]).code(1).nowhere("attempt 2");
    done.stdout(&format!(
        "image: the agent image has Tidegate {other}, this engine is {OWN}: `--agent-image` (or `kubernetes: agent-image` \
         in .ml/config.yaml) has to name the image of this version"
    ));
    project.tidegate(["runs", "logs", "1"]).nowhere("the step");
    let left = || kubectl(&["get", "jobs,pods,secrets", "-A", "-l", &selector(&project), "-o", "name"]);
    assert!(selector(&project).len() > 30, "{}", selector(&project));
    wait("its Job, pod and Secret are gone", || left().trim().is_empty().then_some(()));
    // As it was told to; the hub, which was put up from that image, is named.
    let done = run(&project, &[]).code(0);
    done.stderr(&format!("runs the image {image}, and agents run docker.io/tidegate/tidegate:{OWN}"));
    project.tidegate(["runs", "logs", "2"]).code(0).stdout("the step");
}
