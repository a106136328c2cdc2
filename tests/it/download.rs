//! `tidegate runs download`: what a run kept, laid into a folder as `gh run download` does it, and nothing anywhere else.

use crate::harness::{Done, Project};
use serde_json::Value as Json;

/// A matrix whose instances keep one of the same name, a folder with everything that a folder can hold, and an upload.
const WORKFLOW: &str = r"
on: workflow_dispatch
jobs:
  fit:
    strategy: { matrix: { c: [low, high] } }
    steps: [{ run: 'echo ${{ matrix.c }} > model.bin' }]
    produces: { model: model.bin }
  best:
    steps:
      - run: |
          echo best > model.bin
          mkdir -p all/empty all/sub; echo a > all/sub/a; ln -s sub/a all/link
          printf '#!/bin/sh\necho runs\n' > all/run.sh; chmod +x all/run.sh
      - uses: actions/upload-artifact@v4
        with: { name: report, path: all/sub }
    produces: { model: model.bin, all: all }
";

fn ran() -> Project {
    let project = Project::workflow(WORKFLOW);
    project.tidegate(["run"]).code(0);
    project
}

fn download(project: &Project, more: &[&str]) -> Done {
    project.tidegate([&["runs", "download"], more].concat())
}

/// Everything below a folder, sorted, with what links point to.
fn below(project: &Project, folder: &str) -> String {
    let line = format!(
        r"cd {folder} && find . -mindepth 1 \( -type l -printf '%P -> %l\n' -o -type d -empty -printf '%P/\n' -o -type f -printf '%P\n' \) | sort | paste -sd' '"
    );
    project.shell(&line).code(0).stdout.trim_end().to_owned()
}

#[test]
fn each_artifact_has_a_folder_of_its_name() {
    let project = ran();
    let done = download(&project, &["1", "--dir", "out"]).code(0);
    done.stdout("✓ all")
        .stdout("best  2 files, 22 B → out/all")
        .stdout("fit (c=high)")
        .stdout("→ out/model/fit/1");
    assert_eq!(
        below(&project, "out"),
        "all/empty/ all/link -> sub/a all/run.sh all/sub/a model/best/model.bin model/fit/0/model.bin \
         model/fit/1/model.bin report/a"
    );
    project.shell("cat out/model/fit/*/model.bin out/model/best/model.bin out/all/link out/report/a; out/all/run.sh").stdout("low\nhigh\nbest\na\na\nruns\n");
    // Without a run, the newest; without a folder, here.
    download(&project, &["--pattern", "rep*"]).code(0).stdout("→ report\n\n1 artifact: 1 file, 2 B\n");
    project.shell("cat report/a").stdout("a\n");
}

#[test]
fn one_artifact_goes_straight_into_the_folder() {
    let project = ran();
    download(&project, &["1", "--name", "all", "--dir", "out/deep"]).code(0).stdout("→ out/deep");
    assert_eq!(below(&project, "out/deep"), "empty/ link -> sub/a run.sh sub/a");
    let one = ["1", "-n", "model", "--job", "fit", "--matrix", "c=high", "-D", "one", "--format", "json"];
    let done: Json = serde_json::from_str(&download(&project, &one).code(0).stdout).unwrap();
    assert_eq!(below(&project, "one"), "model.bin");
    project.shell("cat one/model.bin").stdout("high\n");
    let artifact = &done["artifacts"][0];
    assert_eq!(
        (&artifact["of"], &artifact["path"], &artifact["bytes"]),
        (&"fit (c=high)".into(), &"one".into(), &5.into())
    );
    assert_eq!((&done["number"], &done["collected"]), (&1.into(), &serde_json::json!([])));
    // Several of that name: apart, and still without a folder of the name.
    download(&project, &["1", "--name", "model", "--dir", "three"]).code(0);
    assert_eq!(below(&project, "three"), "best/model.bin fit/0/model.bin fit/1/model.bin");
}

#[test]
fn what_a_run_does_not_have_is_said() {
    let project = ran();
    let done = download(&project, &["1", "--name", "modell", "--dir", "out"]).code(2);
    done.stderr("run 1 kept no artifact `modell`").stderr("its artifacts: all, model, report");
    download(&project, &["1", "--pattern", "x*"]).code(2).stderr("kept no artifact `x*`");
    download(&project, &["1", "--job", "fitt"]).code(2).stderr("no job `fitt`").stderr("its jobs: fit, best");
    download(&project, &["1", "--job", "fit", "--name", "all"]).code(2).stderr("its artifacts: model");
    download(&project, &["7"]).code(2).stderr("there is no run 7");
    project.write(
        ".ml/workflows/test.yml",
        "on: workflow_dispatch\njobs: { a: { steps: [{ run: 'true' }] } }\n",
    );
    project.tidegate(["run"]).code(0);
    download(&project, &["2"]).code(2).stderr("run 2 kept no artifact").stderr("runs show 2");
    Project::new().tidegate(["runs", "download"]).code(2);
    project.shell("ls out").code(2);
}

#[test]
fn what_is_there_stays_unless_it_may_be_replaced() {
    let project = ran();
    project.sh("mkdir -p out/all/sub && echo mine > out/all/sub/a && echo other > out/all/other");
    let done = download(&project, &["1", "--name", "all", "--pattern", "report", "--dir", "out"]).code(2);
    let done = done.stderr(
        "the artifact `all` (best) of run 1 was not written: [PROJECT]/out/all/sub/a is there already",
    );
    done.stderr("`--force` replaces files that are there; `--dir DIR` writes elsewhere");
    assert_eq!(below(&project, "out"), "all/other all/sub/a", "nothing was written, nor of the others");
    project.shell("cat out/all/sub/a").stdout("mine\n");
    download(&project, &["1", "--name", "all", "--pattern", "report", "--dir", "out", "--force"]).code(0);
    project.shell("cat out/all/sub/a out/all/other").stdout("a\nother\n");
    // Again, all of it.
    let done = download(&project, &["1", "--name", "all", "--dir", "out/all"]).code(2);
    done.stderr("out/all/link is there already, and 2 more");
    // A folder is not replaced by a file.
    project.sh("mkdir -p other/run.sh/x");
    let done = download(&project, &["1", "--name", "all", "--dir", "other", "--force"]).code(2);
    done.stderr("other/run.sh is a folder, where a file is to go");
    project.sh("echo file > plain");
    download(&project, &["1", "--dir", "plain"]).code(4).stderr("cannot write to plain");
}

/// What lies in the folder already may lead out of it.
#[test]
fn nothing_is_written_through_links() {
    let project = ran();
    project.sh("mkdir -p outside out/all two/sub && echo theirs > outside/a && ln -s ../../outside out/all/sub && ln -s ../../outside/a two/sub/a");
    for force in [&[][..], &["--force"]] {
        let args = [&["1", "--name", "all", "--pattern", "report", "--dir", "out"], force].concat();
        let done = download(&project, &args).code(2);
        done.stderr("out/all/sub is a link, where a folder is needed: it is not followed")
            .stderr("move it away");
    }
    // A link in the place of a file is replaced itself.
    download(&project, &["1", "--name", "all", "--dir", "two"]).code(2).stderr("two/sub/a is there already");
    download(&project, &["1", "--name", "all", "--dir", "two", "--force"]).code(0);
    project.shell("cat outside/a; ls outside; cat two/sub/a").stdout("theirs\na\na\n");
    // To the folder itself a person's own link may lead.
    project.sh("mkdir real && ln -s real to");
    download(&project, &["1", "--name", "report", "--dir", "to"]).code(0);
    project.shell("cat real/a").stdout("a\n");
}

/// An upload is what it was given, and nothing of another one whose name is like its own, or of the agent's.
#[test]
fn an_upload_holds_nothing_of_another_one() {
    let project = Project::workflow(
        "on: workflow_dispatch
jobs:
  a:
    steps:
      - run: echo 1 > one; echo 2 > two; echo 3 > three
      - { uses: actions/upload-artifact@v4, with: { name: x, path: one } }
      - { uses: actions/upload-artifact@v4, with: { name: x, path: two, overwrite: true } }
      - { uses: actions/upload-artifact@v4, with: { name: 'a b', path: two } }
      - { uses: actions/upload-artifact@v4, with: { name: a-b, path: three } }
",
    );
    project.tidegate(["run"]).code(0);
    download(&project, &["1", "--dir", "out"]).code(0);
    assert_eq!(below(&project, "out"), "a b/two a-b/three x/two");
}

/// `upload-artifact` lets a name through that is no folder's.
#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let project = Project::workflow(
        "on: workflow_dispatch
jobs:
  a:
    steps:
      - run: echo x > x
      - { uses: actions/upload-artifact@v4, with: { name: '..', path: x } }
",
    );
    project.tidegate(["run"]).code(0);
    let done = download(&project, &["1", "--dir", "in/out"]).code(2);
    done.stderr("the artifact `..` has a name that no folder can have").stderr("straight into `--dir`");
    project.shell("ls in").code(2);
    download(&project, &["1", "--name", "..", "--dir", "in/out"]).code(0);
    assert_eq!(below(&project, "in"), "out/x");
}

#[test]
fn what_was_collected_or_is_damaged_is_said() {
    let project = ran();
    let digest = |name: &str| {
        let shown = project.tidegate(["runs", "show", "1", "--format", "json"]).stdout;
        let shown: Json = serde_json::from_str(&shown).unwrap();
        let best = &shown["jobs"][1]["instances"][0]["receipt"]["artifacts"][name]["digest"];
        best.as_str().unwrap().to_owned()
    };
    let place = |digest: &str| format!(".tidegate/objects/{}/{}", &digest[..2], &digest[2..]);
    project.sh("echo other > $(grep -rlx best .tidegate/objects)");
    let done = download(&project, &["1", "--dir", "out"]).code(4);
    let done =
        done.stderr("the artifact `model` (best) of run 1 was not written: it is not what its digest says");
    done.stderr("runs rerun 1");
    // What came before it is whole, and nothing is there of it.
    assert_eq!(
        below(&project, "out"),
        "all/empty/ all/link -> sub/a all/run.sh all/sub/a model/fit/0/model.bin model/fit/1/model.bin"
    );
    // What is gone does not keep the rest from coming.
    project.sh(&format!("rm {} {}", place(&digest("model")), place(&digest("all"))));
    let done = download(&project, &["1", "--dir", "rest", "--format", "json"]).code(2);
    let done = done
        .stderr("the artifacts `all` (best), `model` (best) of run 1 are not kept any more: `runs gc` freed");
    let said: Json =
        serde_json::from_str(&done.stderr("`tidegate runs rerun 1` makes them again").stdout).unwrap();
    assert_eq!(
        (said["artifacts"].as_array().unwrap().len(), &said["collected"]),
        (3, &serde_json::json!(["all", "model"]))
    );
    assert_eq!(below(&project, "rest"), "model/fit/0/model.bin model/fit/1/model.bin report/a");
    let done = download(&project, &["1", "--name", "all", "--dir", "none"]).code(2);
    done.stderr("the artifact `all` (best) of run 1 is not kept any more").nowhere("1 artifact");
    project.shell("ls none").code(2);
}

/// Artifacts of a run that goes on, as far as they are there.
#[test]
fn a_run_that_goes_on_has_what_it_has() {
    let project = Project::workflow(
        "on: workflow_dispatch
jobs:
  a: { steps: [{ run: 'echo x > x' }], produces: { x: x } }
  b: { needs: a, steps: [{ run: 'echo started; while ! test -e $HOME/go; do sleep 0.1; done; echo y > y' }], produces: { y: y } }
",
    );
    let child = project.spawn(["run"]);
    crate::harness::until("the second job runs", || {
        project.tidegate(["runs", "logs", "1", "b"]).stdout.contains("started").then_some(())
    });
    download(&project, &["1", "--dir", "out"])
        .code(0)
        .stderr("run 1 has not ended: this is what its jobs have kept so far");
    assert_eq!(below(&project, "out"), "x/x");
    project.write("go", "");
    project.done(child).code(0);
}
