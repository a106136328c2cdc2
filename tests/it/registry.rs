//! The registry of `tests/cluster`, which lets in nobody without a password, and jobs in its images, on every back end
//! that has images. `TIDEGATE_REGISTRY` is its address.

use crate::harness::{Done, Project};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Two of its users.
pub const ADA: (&str, &str) = ("ada", "lovelace-12");
pub const BEN: (&str, &str) = ("ben", "nevis-1345");

pub fn address() -> String {
    std::env::var("TIDEGATE_REGISTRY")
        .expect("TIDEGATE_REGISTRY is what `tests/cluster/cluster registry` prints")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(name)
}

#[track_caller]
fn python(args: &[&str]) -> String {
    let done = Command::new("python3").args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// An image that is nowhere but in the registry.
pub struct Private {
    /// Its name, with a tag.
    pub name: String,
    /// Name and digest, as a record has it.
    pub resolved: String,
}

/// Pushes busybox under a name that no other run of the tests has. Another `mark` is another image.
pub fn push(name: &str, tag: &str, mark: &str) -> Private {
    pushed(name, tag, &[mark])
}

/// The same, said to be for another kind of machine.
pub fn push_for(machine: &str, name: &str) -> Private {
    pushed(name, "1", &[name, machine])
}

fn pushed(name: &str, tag: &str, more: &[&str]) -> Private {
    static BUSYBOX: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    let (_, archive) = BUSYBOX.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("busybox.tar").to_str().unwrap().to_owned();
        python(&[script("images.py").to_str().unwrap(), "busybox", &archive]);
        (folder, archive)
    });
    let repository = format!("{}/{name}-{}", address(), std::process::id());
    let name = format!("{repository}:{tag}");
    let script = script("push.py");
    let digest = python(&[&[script.to_str().unwrap(), archive, &name, ADA.0, ADA.1], more].concat());
    Private { name, resolved: format!("{repository}@{digest}") }
}

/// Gives the project its secrets; the options of a run that has them.
pub fn secrets(project: &Project) -> [&'static str; 2] {
    let text = format!("ADA={}\nBEN={}\nWRONG=open-sesame\n", ADA.1, BEN.1);
    project.write("secrets", &text);
    project.write(".gitignore", "secrets\n");
    ["--secret-file", "secrets"]
}

/// Credentials as a workflow has them.
pub fn credentials(user: &str, secret: &str) -> String {
    format!("credentials: {{ username: {user}, password: '${{{{ secrets.{secret} }}}}' }}")
}

/// The images of a job, of one of its steps and of a service, each with credentials of its own; the job goes on once it
/// has a file `/tmp/go`.
pub struct Three {
    pub images: [Private; 3],
    pub jobs: String,
}

pub fn three(name: &str) -> Three {
    let images = ["job", "step", "db"].map(|part| push(&format!("{name}/{part}"), "1", part));
    let [job, step, db] = &images;
    let jobs = format!(
        "  a:
    container: {{ image: '{}', {} }}
    services: {{ db: {{ image: '{}', {}, entrypoint: sh, command: \"-c 'while true; do echo from the service | nc -l -p 8080; done'\" }} }}
    steps:
      - {{ run: 'echo in the step', container: {{ image: '{}', {} }} }}
      - {{ run: 'until nc db 8080 </dev/null; do sleep 0.1; done; echo in the job; while [ ! -e /tmp/go ]; do sleep 0.1; done' }}
",
        job.name,
        credentials(ADA.0, "ADA"),
        db.name,
        credentials(BEN.0, "BEN"),
        step.name,
        credentials(BEN.0, "BEN"),
    );
    Three { images, jobs }
}

/// Jobs that no registry lets in: no credentials, wrong ones, those of another image of the job.
pub struct Refused {
    pub jobs: String,
    /// Job and image that it cannot have.
    pub expected: Vec<(&'static str, String)>,
}

pub fn refused(name: &str) -> Refused {
    let images = ["none", "wrong", "right", "service", "job", "other"]
        .map(|part| push(&format!("{name}/{part}"), "1", part).name);
    let [none, wrong, right, service, job, other] = &images;
    let (ada, bad) = (credentials(ADA.0, "ADA"), credentials(ADA.0, "WRONG"));
    let db = |image: &str, credentials: &str| {
        format!(
            "services: {{ db: {{ image: '{image}', {credentials}, entrypoint: sleep, command: '600' }} }}"
        )
    };
    let step = "steps: [{ run: 'echo never' }]";
    let jobs = format!(
        "  none: {{ container: '{none}', {step} }}
  wrong: {{ container: {{ image: '{wrong}', {bad} }}, {step} }}
  service: {{ container: {{ image: '{right}', {ada} }}, {}, {step} }}
  job: {{ container: {{ image: '{job}', {bad} }}, {}, {step} }}
",
        db(service, &bad),
        db(other, &ada)
    );
    let expected = [("none", none), ("wrong", wrong), ("service", service), ("job", job)];
    Refused { jobs, expected: expected.map(|(id, image)| (id, image.clone())).into() }
}

/// Each of them says which image, and what to change.
#[track_caller]
pub fn named(done: &Done, refused: &Refused) {
    for (id, image) in &refused.expected {
        let said = done.stdout.lines().filter(|line| line.contains(image) && line.contains("image: "));
        assert!(said.clone().any(|line| line.contains("`credentials`")), "{id}, {image}:\n{}", done.stdout);
    }
    assert!(!done.stdout.contains("never"), "{}", done.stdout);
    nothing_secret(&done.stdout);
    nothing_secret(&done.stderr);
}

/// No password, neither as it is nor as registries and Kubernetes write it.
#[track_caller]
pub fn nothing_secret(text: &str) {
    // `ada:lovelace-12`, `ben:nevis-1345`; then the passwords at each of base 64's three places.
    const ENCODED: [&str; 4] =
        ["YWRhOmxvdmVsYWNlLTEy", "YmVuOm5ldmlzLTEzND", "bG92ZWxhY2UtMT", "bmV2aXMtMTM0N"];
    for secret in [ADA.1, BEN.1, "open-sesame"].iter().chain(&ENCODED) {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

/// The same of all files below a folder.
#[track_caller]
pub fn nothing_secret_below(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            nothing_secret_below(&path);
        } else if entry.file_type().unwrap().is_file() {
            nothing_secret(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
        }
    }
}

/// What a run's record says of its images.
pub fn recorded(project: &Project, run: &str) -> String {
    project.tidegate(["runs", "show", run, "--format", "json"]).stdout
}
