//! A step's own `container`, and `services`.

use super::{let_go, project, run, spawn, wait_gone};
use crate::images::{GOES_AND_COMES, goes_and_comes};
use std::io::{BufRead as _, BufReader};

#[test]
fn a_step_has_an_image_of_its_own_and_steps_that_always_run_do() {
    let project = project(GOES_AND_COMES);
    goes_and_comes(&project, || run(&project, &[]));
    wait_gone(&project);
}

/// Beside it, one that shares a folder by name with the steps, and ends under them: it is started again, and that is said.
#[test]
fn a_service_is_healthy_before_the_first_step_and_has_its_secret() {
    let project = project(
        "  a:
    services:
      web:
        image: docker.io/test/busybox:1
        ports: [8080]
        env: { WORD: '${{ secrets.WORD }}', PLAIN: 'x${{ github.run_number }}' }
        options: --health-cmd \"test -e /tmp/ready\" --health-interval 1s --health-retries 240 --cpus 1
        entrypoint: sh
        command: -c \"sleep 3; touch /tmp/ready; while true; do echo \\\"$WORD $PLAIN\\\" | nc -l -p 8080; done\"
    steps: [{ run: 'nc web 8080 < /dev/null | sed s/hush/found/' }]
  b:
    timeout-minutes: 10
    services:
      frail:
        image: docker.io/test/busybox:1
        volumes: ['shelf:/out', /var/own]
        entrypoint: sh
        command: -c \"echo $$ >> /out/came; nc -l -p 9090 > /var/own/said; exit 7\"
    container: { image: 'docker.io/test/busybox:1', volumes: ['shelf:/in:ro'] }
    steps:
      - run: |
          until echo stop | nc frail 9090; do sleep 0.2; done
          until [ $(wc -l < /in/came) = 2 ]; do sleep 0.2; done
          touch /in/x || echo read only
          while ! test -e /tmp/go; do sleep 0.2; done
          exit 3
",
    );
    let mut child = spawn(&project, &["--secret", "WORD=hush-7"]);
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = "the service `frail` ended with exit 7 while steps ran, and is started again";
    assert!(said.any(|line| line.contains(told)), "not said: {told}");
    let_go(&project, "b");
    let end = "; the service `frail` ended with exit 7 while steps ran";
    let rest: Vec<String> = said.collect();
    project.done(child).code(1);
    assert!(rest.iter().any(|line| line.contains(end)), "{rest:?}");
    project.tidegate(["runs", "logs", "1", "b"]).code(0).stdout("read only");
    let logs = project.tidegate(["runs", "logs", "1", "a"]).code(0);
    logs.stdout("found-7 x1").nowhere("hush-7");
    let plan = project.tidegate(["plan", "--on", "kubernetes"]).code(0);
    plan.stdout("`services.web.options`: --cpus 1 has no effect in a pod");
    wait_gone(&project);
}
