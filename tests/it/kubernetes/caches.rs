//! `actions/cache` in pods: what one saved others find, in later runs too.

use super::{kubeconfig, project, run, wait_gone};

const JOBS: &str = "  make:
    steps:
      - { id: c, uses: actions/cache@v4, with: { path: kept, key: 'deps-${{ inputs.lock }}', restore-keys: deps- } }
      - { run: 'echo make had ${{ steps.c.outputs.cache-matched-key }}, hit ${{ steps.c.outputs.cache-hit }}' }
      - { if: \"steps.c.outputs.cache-hit != 'true'\", run: 'mkdir -p kept; echo made for ${{ inputs.lock }} >> kept/f' }
  use:
    needs: make
    nodes: 2
    steps:
      - { uses: actions/cache/restore@v4, with: { path: kept, key: 'deps-${{ inputs.lock }}', fail-on-cache-miss: true } }
      - { run: 'echo node $NODE_RANK has; cat kept/f' }
";

#[test]
fn what_a_pod_saved_another_one_finds() {
    let project = project(JOBS);
    let text = std::fs::read_to_string(project.path().join(".ml/workflows/test.yml")).unwrap();
    let on = "on: { workflow_dispatch: { inputs: { lock: { type: string, default: one } } } }";
    project.write(".ml/workflows/test.yml", &text.replacen("on: workflow_dispatch", on, 1));
    let logs =
        |number: &str, node: &str| project.tidegate(["runs", "logs", number, "use", "--node", node]).code(0);

    run(&project, &[]).code(0);
    let made = project.tidegate(["runs", "logs", "1", "make"]).code(0);
    made.stdout("Cache not found for input keys: deps-one").stdout("Cache saved with key: deps-one");
    logs("1", "0").stdout("node 0 has").stdout("made for one");
    logs("1", "1").stdout("node 1 has").stdout("made for one");

    // A later run has it, one with other dependencies the nearest.
    run(&project, &[]).code(0);
    let found = project.tidegate(["runs", "logs", "2", "make"]).code(0);
    found.stdout("make had deps-one, hit true").nowhere("saved");
    run(&project, &["--input", "lock=two"]).code(0);
    project.tidegate(["runs", "logs", "3", "make"]).code(0).stdout("make had deps-one, hit false");
    logs("3", "1").stdout("made for one").stdout("made for two");

    // What nobody used for long is forgotten.
    let gc = ["runs", "gc", "--on", "kubernetes", "--keep", "0s"];
    project.tidegate_with(gc, &[("KUBECONFIG", &kubeconfig())]).code(0);
    run(&project, &[]).code(0);
    project.tidegate(["runs", "logs", "4", "make"]).code(0).stdout("make had , hit");
    wait_gone(&project);
}

#[test]
fn each_node_gets_what_the_run_has_uploaded() {
    let project = project(
        "  up: { steps: [{ run: 'echo theirs > f' }, { uses: actions/upload-artifact@v4, with: { name: f, path: f } }] }
  down:
    needs: up
    nodes: 2
    steps:
      - { uses: actions/download-artifact@v4, with: { name: f, path: got } }
      - { run: 'cat got/f; echo node $NODE_RANK > mine' }
      - { uses: actions/upload-artifact@v4, with: { name: mine, path: mine } }
  last: { needs: down, steps: [{ uses: actions/download-artifact@v4, with: { name: mine, path: . } }, { run: 'cat mine' }] }
",
    );
    run(&project, &[]).code(0);
    for node in ["0", "1"] {
        project.tidegate(["runs", "logs", "1", "down", "--node", node]).code(0).stdout("theirs");
    }
    let other = project.tidegate(["runs", "logs", "1", "down", "--node", "1"]).code(0);
    other.stdout("this node's artifact `mine` does not count").nowhere("kept 1 files");
    project.tidegate(["runs", "logs", "1", "last"]).code(0).stdout("node 0");
    wait_gone(&project);
}
