//! A step's own `container`, and `services`.

use super::{project, run, wait_gone};

const PYTHON: &str = "docker.io/test/python:1";

#[test]
fn a_step_has_an_image_of_its_own_and_the_next_one_goes_back() {
    let project = project(&format!(
        "  a:
    outputs: {{ x: '${{{{ steps.p.outputs.x }}}}' }}
    steps:
      - {{ run: 'echo one > file; which python3 || echo no python' }}
      - {{ id: p, container: '{PYTHON}', shell: bash, run: 'python3 -c \"print(open(\\\"file\\\").read() + \\\"two\\\")\" | tee -a file; echo x=41 >> $GITHUB_OUTPUT' }}
      - {{ run: 'cat file; echo \"three ${{{{ steps.p.outputs.x }}}}\"; which python3 || echo again no python' }}
"
    ));
    run(&project, &[]).code(0);
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("no python\n").stdout("two").stdout("three 41").stdout("again no python");
    wait_gone(&project);
}

#[test]
fn a_failed_step_in_one_container_and_an_always_step_in_the_next() {
    let project = project(&format!(
        "  a:
    steps:
      - {{ run: 'exit 9' }}
      - {{ container: '{PYTHON}', shell: bash, run: 'echo never' }}
      - {{ if: 'always()', run: 'echo cleaned up' }}
"
    ));
    run(&project, &[]).code(1).stdout("exit 9");
    project.tidegate(["runs", "logs", "1"]).stdout("cleaned up").nowhere("\nnever\n");
    wait_gone(&project);
}

#[test]
fn a_service_is_healthy_before_the_first_step_and_has_its_secret() {
    let project = project(
        "  a:
    services:
      web:
        image: docker.io/test/busybox:1
        ports: [8080]
        env: { WORD: '${{ secrets.WORD }}', PLAIN: 'x${{ github.run_number }}' }
        options: --health-cmd \"test -e /tmp/ready\" --health-interval 1s --health-retries 20 --cpus 1
        entrypoint: sh
        command: -c \"sleep 3; touch /tmp/ready; while true; do echo \\\"$WORD $PLAIN\\\" | nc -l -p 8080; done\"
    steps: [{ run: 'nc web 8080 < /dev/null | sed s/hush/found/' }]
",
    );
    let done = run(&project, &["--secret", "WORD=hush-7"]).code(0);
    drop(done);
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("found-7 x1").nowhere("hush-7");
    let plan = project.tidegate(["plan", "--on", "kubernetes"]).code(0);
    plan.stdout("`services.web.options`: --cpus 1 has no effect in a pod");
    wait_gone(&project);
}
