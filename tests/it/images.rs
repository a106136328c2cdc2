//! Jobs in images, and what they show on every back end that has images: containers of this machine, and pods.

use crate::harness::{Done, Project};

/// An image with Python, bash and all that the examples ask for.
pub const PYTHON: &str = "docker.io/test/python:1";

/// Outputs, an artifact, metrics, a summary, and a matrix that needs them; `data.txt` is of the dirty tree.
pub const PASSES_ON: &str = "  one:
    cache: true
    outputs: { x: '${{ steps.s.outputs.x }}' }
    steps:
      - { id: s, run: 'cat data.txt; echo x=41 >> $GITHUB_OUTPUT; echo kept > out.txt; echo {\\\"acc\\\":0.5} > m.json' }
      - { run: \"echo '## fine' ${{ hashFiles('data.txt') }} >> $GITHUB_STEP_SUMMARY\" }
      # A kubelet takes a second to say which image it started, a busy one some more.
      - { run: sleep 8 }
    produces: { out: out.txt }
    metrics: m.json
  two:
    needs: one
    strategy: { matrix: { m: [1, 2] } }
    consumes: { in.txt: '${{ needs.one.artifacts.out }}' }
    steps: [{ run: 'echo $(cat in.txt) ${{ needs.one.outputs.x }} ${{ matrix.m }}' }]
";

/// Runs [`PASSES_ON`] for the first time.
#[track_caller]
pub fn passes_on(project: &Project, run: impl FnOnce() -> Done) {
    project.write("data.txt", "from the dirty tree\n");
    run().code(0).stdout("acc 0.5").stdout("2 of 2").stdout("3 instances");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("from the dirty tree").stdout("kept 41 1").stdout("kept 41 2");
    let shown = project.tidegate(["runs", "show", "1", "--format", "json"]).code(0);
    let shown = shown.stdout("## fine 0a49f2c1679f2e1f");
    // Each of the three jobs knows which image it ran in.
    let images = shown.stdout.matches("\"images\":{\"steps\":\"docker.io/test/busybox").count();
    assert_eq!(images, 3, "{}", shown.stdout);
    assert_eq!(shown.stdout.matches("@sha256:").count(), 3, "{}", shown.stdout);
}

/// A step in Python's image between two in the job's; then one fails, and only what always runs does.
pub const GOES_AND_COMES: &str = r#"  a:
    outputs: { x: '${{ steps.p.outputs.x }}' }
    steps:
      - { run: 'echo one > file; which python3 || echo no python' }
      - { id: p, container: 'docker.io/test/python:1', shell: bash, run: 'python3 -c "print(open(\"file\").read() + \"two\")" | tee -a file; echo x=41 >> $GITHUB_OUTPUT' }
      - { run: 'cat file; echo "three ${{ steps.p.outputs.x }}"; which python3 || echo again no python; exit 9' }
      - { container: 'docker.io/test/python:1', shell: bash, run: 'echo never' }
      - { if: 'always()', run: 'echo cleaned up' }
"#;

/// Runs [`GOES_AND_COMES`] for the first time.
#[track_caller]
pub fn goes_and_comes(project: &Project, run: impl FnOnce() -> Done) {
    run().code(1).stdout("exit 9");
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("no python\n")
        .stdout("two")
        .stdout("three 41")
        .stdout("again no python")
        .stdout("cleaned up")
        .nowhere("\nnever\n");
}

/// No image but those of steps, and a gate between two of one image.
pub const OWN_IMAGES: &str = r#"on: workflow_dispatch
jobs:
  b:
    metrics: m.json
    steps:
      - uses: actions/checkout@v4
      - { container: 'docker.io/test/busybox:1', run: 'echo {\"acc\":0.9} > m.json; touch /tmp/here' }
      - gate: { metrics: { acc: { min: 0.5 } } }
      - { container: 'docker.io/test/busybox:1', run: 'ls /tmp/here && echo in the same container' }
"#;

/// Runs [`OWN_IMAGES`], perhaps with more jobs.
#[track_caller]
pub fn own_images(project: &Project, run: impl FnOnce() -> Done, code: i32) -> Done {
    let done = run().code(code);
    project.tidegate(["runs", "logs", "1", "b"]).code(0).stdout("in the same container");
    done
}

/// A step that takes more memory than its job has, and four times as much at its second attempt. One whose own container
/// has too little, though its job has enough.
pub const WANTS_MEMORY: &str = "  a:
    resources: { memory: 40Mi }
    retry: { attempts: 2, on: [oom], oom: { memory-factor: 4 } }
    steps: [{ run: 'seq 200; head -c 80000000 /dev/zero | tail -c 80000000 > /dev/null' }]
  b:
    resources: { memory: 300Mi }
    retry: { attempts: 2, on: [oom], oom: { memory-factor: 5 } }
    steps:
      - run: 'true'
      - container: 'docker.io/test/python:1'
        resources: { memory: 40Mi }
        run: 'head -c 80000000 /dev/zero | tail -c 80000000 > /dev/null'
";

/// Runs [`WANTS_MEMORY`].
#[track_caller]
pub fn wants_memory(project: &Project, run: impl FnOnce() -> Done) {
    let done = run().code(0).stdout("oom: killed ").stdout("attempt 2");
    let done = done.stdout("; again now with 160 MiB (`oom.memory-factor` 4)").nowhere("`resources.memory`");
    done.stdout("; again now with 200 MiB for `steps[1]` (`oom.memory-factor` 5)")
        .nowhere("resources.memory`");
    // What it said just before is kept.
    project.tidegate(["runs", "logs", "1", "a", "--attempt", "1"]).code(0).stdout("\n199\n200\n");
}
