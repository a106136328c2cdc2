//! Cases of other projects whose jobs run in images, and why each case that runs nowhere here does not.

use crate::conformance_expressions::conformance;
use crate::conformance_runs::{Case, Cases, changed_repository};
use crate::images::PYTHON;
use std::fs;

/// Cases of act whose jobs run in images, and that need nothing of these images but a shell or Python.
const IN_IMAGES: [&str; 7] = [
    "fail",
    "job-container",
    "job-container-non-root",
    "services-empty-image",
    "shells/bash",
    "shells/python",
    "shells/sh",
];
/// What their files name; no test machine has it.
const THEIR_IMAGES: [&str; 4] =
    ["catthehacker/ubuntu:runner-latest", "node:16-buster-slim", "node:16-buster", "alpine:latest"];

/// Cases of act that ask for containers and run nowhere here, and why.
const NO_CONTAINERS: &[(&str, &str)] = &[
    ("actions-environment-and-context-tests", DOCKER_ACTIONS),
    ("container-hostname", "`container.options` has no effect in a pod, as `check --on kubernetes` says"),
    ("job-container-invalid-credentials", "GitHub refuses the file"),
    ("local-action-docker-url", DOCKER_ACTIONS),
    ("local-action-dockerfile", DOCKER_ACTIONS),
    ("local-action-via-composite-dockerfile", DOCKER_ACTIONS),
    ("model/container-volumes", "folders of the machine are not for pods, as `check --on kubernetes` says"),
    ("mysql-service-container-with-health-check", THEIR_SERVICES),
    ("services", THEIR_SERVICES),
    ("services-host-network", THEIR_SERVICES),
    ("services-with-container", THEIR_SERVICES),
    ("shells/pwsh", "PowerShell is on no test machine"),
];
const DOCKER_ACTIONS: &str = "Docker actions do not run: docs/deviations.md";
const THEIR_SERVICES: &str = "its services' images are on no test machine";
/// Classes of cases, and cases, that run nowhere here, and why.
const NOWHERE: &[(&str, &str)] = &[
    ("D-node", "JavaScript actions do not run: docs/deviations.md"),
    ("F-network", "actions of other repositories are not fetched in tests"),
    ("W-windows", "Windows"),
    ("defaults-run", "about act's own container"),
    ("if-env-act", "about a variable of act's own"),
    ("input-from-cli", "GitHub refuses what it passes"),
];

/// The cases of act whose jobs run in images, in one that every test machine with images has.
pub fn act_in_images() -> Cases {
    let from = conformance("nektos+act").join("pkg/runner/testdata");
    let file = |case: &str| {
        let there = |end| from.join(format!("{case}/push.{end}")).exists();
        format!("{case}/push.{}", if there("yml") { "yml" } else { "yaml" })
    };
    let folder = changed_repository(&from, |folder| {
        for case in IN_IMAGES {
            let path = folder.join(file(case));
            let mut text = fs::read_to_string(&path).unwrap();
            for image in THEIR_IMAGES {
                text = text.replace(image, PYTHON);
            }
            fs::write(path, text).unwrap();
        }
    });
    let case = |name: &&str| Case {
        name: (*name).to_owned(),
        expected: if *name == "fail" { "failure" } else { "success" }.to_owned(),
        folder: folder.path().to_path_buf(),
        arguments: vec![file(name), "--event".to_owned(), "push".to_owned()],
    };
    Cases::new(IN_IMAGES.iter().map(case).collect(), vec![folder])
}

/// None of act's cases is left out without a word.
#[test]
fn every_case_of_act_runs_or_has_a_reason() {
    let table = fs::read_to_string(conformance("nektos+act").join("EXPECTED.tsv")).unwrap();
    let listed = |of: &[(&str, &str)], name: &str| of.iter().any(|(known, _)| *known == name);
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [case, _, _, class, local, ..] = columns[..] else { continue };
        let ways = [
            matches!(local, "yes" | "yes-with-setup"),
            IN_IMAGES.contains(&case),
            listed(NO_CONTAINERS, case),
            listed(NOWHERE, case) || listed(NOWHERE, class),
        ];
        assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{case} ({class}): {ways:?}");
    }
}
