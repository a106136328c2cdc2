//! `runs rerun --on kubernetes`: a run of the engine in the cluster, run again by it.

use super::*;
use crate::kubernetes::objects::replace_hub;

const WORKFLOW: &str = "on: { workflow_dispatch: { inputs: { x: { default: '1' } } } }
data: { raw: { uri: raw } }
defaults: { container: 'docker.io/test/busybox:1', run: { shell: sh } }
jobs:
  a:
    steps: [{ run: 'echo made by ${{ github.run_number }} > out' }]
    produces: { out: out }
  b:
    needs: a
    consumes: { out: '${{ needs.a.artifacts.out }}', in/: '${{ data.raw }}' }
    env: { TOKEN: '${{ secrets.TOKEN }}' }
    steps:
      - run: 'cat out in/a.csv; echo input ${{ inputs.x }}; test $(echo $TOKEN | wc -c) = 6; test ! -e fail.txt'
";

#[test]
fn a_run_of_the_engine_is_run_again_by_it() {
    let place = Detached::new("again", "");
    place.write(".ml/workflows/test.yml", WORKFLOW);
    place.write("raw/a.csv", "as it was pinned\n");
    place.write(".gitignore", "raw/\n");
    place.write("fail.txt", "");
    let secret = ["--secret", "TOKEN=hush!"];
    let number = place.submit(&[&["--input", "x=41"][..], &secret].concat());
    place.watch(&number).code(1).stdout(&format!("runs rerun {number} --failed --on kubernetes"));
    place.write("raw/a.csv", "changed since\n");
    std::fs::remove_file(place.path().join("fail.txt")).unwrap();
    let again = |args: &[&str]| {
        let args = [&["runs", "rerun"], args, &["--on", "kubernetes", "--format", "json"], &secret].concat();
        place.number(&place.tidegate(&args).code(0).stdout).to_string()
    };
    // What succeeded is taken over; the tree is the one that is here now.
    let second = again(&[&number, "--failed"]);
    place.watch(&second).code(0);
    let shown = place.asked(&["runs", "show", &second]).code(0);
    shown.stdout("taken over");
    let logs = place.asked(&["runs", "logs", &second]).code(0);
    logs.stdout("made by 1").stdout("as it was pinned").stdout("input 41");
    assert_eq!(place.pods_made(3), [1; 3]);
    // A job that succeeded, and what needs it.
    let third = again(&[&second, "--from", "a"]);
    place.watch(&third).code(0);
    place.asked(&["runs", "logs", &third]).code(0).stdout(&format!("made by {third}"));
    assert_eq!(place.pods_made(5), [1; 5]);
    // What it kept comes here, and nothing of it through the engine's pod.
    let download = |to: &str| place.asked(&["runs", "download", &third, "--dir", to]);
    download("got").code(0).stdout("✓ out").stdout("→ got/out");
    place.shell("cat got/out/out").stdout(&format!("made by {third}\n"));
    std::fs::remove_dir_all(place.path().join("got")).unwrap();
    // What the hub has no more is made again, and with it what needs it.
    replace_hub(&place.space.0);
    download("none")
        .code(2)
        .stderr("is not at the hub")
        .stderr(&format!("runs rerun {third} --on kubernetes"));
    let last = again(&[&number, "--failed"]);
    place.watch(&last).code(0);
    place
        .asked(&["runs", "logs", &last])
        .code(0)
        .stdout(&format!("made by {last}"))
        .stdout("as it was pinned");
    place.wait_gone();
}

#[test]
fn what_cannot_be_run_again_is_said() {
    let place = Detached::new("not-again", "  a: { steps: [{ run: 'echo started; sleep 600' }] }\n");
    let number = place.submit(&[]);
    place.wait_log(&number, "started");
    let on = ["--on", "kubernetes"];
    let asked = |args: &[&str]| place.tidegate(&[args, &on].concat());
    asked(&["runs", "rerun", &number]).code(2).stderr("has not ended").stderr("runs watch 1 --on kubernetes");
    asked(&["runs", "download", &number])
        .code(2)
        .stderr("has not ended")
        .stderr("runs watch 1 --on kubernetes");
    asked(&["runs", "rerun", "99"]).code(2).stderr("there is no run 99");
    asked(&["runs", "rerun", &number, "--gpus", "1"]).code(2).stderr("`--gpus` is about this machine");
    let done = asked(&["run", "--detach", "--resume", &number]).code(2);
    done.stderr("goes on with its runs by itself").stderr("runs watch 1 --on kubernetes");
    asked(&["runs", "cancel", &number]).code(0);
    place.watch(&number).code(5);
    asked(&["runs", "rerun", &number, "--from", "z"]).code(2).stderr("no job `z`").stderr("its jobs: a");
    place.wait_gone();
}
