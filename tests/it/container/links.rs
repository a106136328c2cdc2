//! What steps leave leads their agent, which sees all of this machine, nowhere.

use super::{nothing_left, project, run};
use std::path::Path;

/// A folder of this machine that no container has.
fn host() -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    for file in ["read", "script", "output"] {
        std::fs::write(host.path().join(file), "marker-of-the-host").unwrap();
    }
    host
}

/// It has what it had.
#[track_caller]
fn untouched(host: &Path) {
    let mut there: Vec<_> =
        std::fs::read_dir(host).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert_eq!(there, ["output", "read", "script"]);
    for file in there {
        assert_eq!(std::fs::read_to_string(host.join(&file)).unwrap(), "marker-of-the-host", "{file}");
    }
}

/// No file below a folder has the marker.
#[track_caller]
fn nowhere(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            nowhere(&path);
        } else if entry.file_type().unwrap().is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains("marker-of-the-host"), "{}", path.display());
        }
    }
}

#[test]
fn links_to_this_machine_are_neither_read_nor_written_through() {
    let host = host();
    let there = host.path().display();
    let step = |uses: &str, with: &str| {
        format!("      - {{ uses: 'actions/{uses}', continue-on-error: true, with: {{ {with} }} }}\n")
    };
    let project = project(&format!(
        "  a:
    metrics: m.json
    steps:
      - run: |
          mkdir ok; echo fine > ok/file; ln -s {there} out; ln -s {there}/read m.json
          ln -s {there}/script $RUNNER_TEMP/2.sh; ln -s {there}/output $RUNNER_TEMP/../2_output
          for at in uploads downloads cache cache-save; do ln -s {there} $RUNNER_TEMP/../$at; done
{}{}{}{}{}{}      - {{ id: second, run: 'echo said=so >> $GITHUB_OUTPUT' }}
      - run: 'echo the second ${{{{ steps.second.outcome }}}} ${{{{ steps.second.outputs.said }}}}'
      - run: 'io=$(dirname $(dirname $(dirname $RUNNER_TEMP)))/io; mv $io $io-away; ln -s {there} $io'
      - {{ run: 'echo nobody', continue-on-error: true }}
",
        step("upload-artifact@v4", "name: good, path: ok"),
        step("upload-artifact@v4", "name: a, path: out"),
        step("upload-artifact@v4", "name: b, path: out/read"),
        step("download-artifact@v4", "name: good, path: out"),
        step("cache/save@v4", "key: k, path: out"),
        step("checkout@v4", "path: copy"),
    ));
    run(&project, &[]).code(0);
    let log = project.tidegate(["runs", "logs", "1"]).stdout;
    assert!(log.matches("a link leads to").count() >= 5, "{log}");
    assert!(
        log.contains("kept 1 files as artifact `good`") && log.contains("the second success so"),
        "{log}"
    );
    untouched(host.path());
    nowhere(&project.path().join(".tidegate"));
    nothing_left(&project);
}

/// `~` is a folder of the image, not of whoever starts the run.
#[test]
fn a_home_is_the_images_and_its_cache_is_refused() {
    let home = tempfile::tempdir_in(std::env::var("HOME").unwrap()).unwrap();
    std::fs::write(home.path().join("read"), "marker-of-the-host").unwrap();
    let name = home.path().file_name().unwrap().to_string_lossy().into_owned();
    let project = project(&format!(
        "  a:
    container: {{ image: '{}', env: {{ HOME: '{}' }} }}
    steps:
      - {{ run: 'mkdir -p /tmp/out; echo x > /tmp/out/x' }}
      - {{ uses: 'actions/cache@v4', continue-on-error: true, with: {{ key: k, path: '~/{name}' }} }}
      - {{ uses: 'actions/upload-artifact@v4', continue-on-error: true, with: {{ path: /tmp/out }} }}
",
        super::IMAGE,
        std::env::var("HOME").unwrap()
    ));
    let plan = super::tidegate(&project, &["plan", "--on", "container"]);
    plan.stdout(&format!("~/{name} is in the image")).stdout("/tmp/out is in the image");
    run(&project, &[]).code(0);
    let log = project.tidegate(["runs", "logs", "1"]).stdout;
    assert_eq!(log.matches("only the work folder and RUNNER_TEMP are shared").count(), 2, "{log}");
    nowhere(&project.path().join(".tidegate"));
    nothing_left(&project);
}
