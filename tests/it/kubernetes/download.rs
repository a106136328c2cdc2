//! `runs download` of what pods kept: it is at the hub, and comes from there whole or not at all.

use super::objects::replace_hub;
use super::*;

/// 70 MB are two chunks.
const JOBS: &str = "  a:
    steps:
      - run: 'head -c 70000000 /dev/urandom > big; md5sum big; mkdir d; echo one > d/one; ln -s one d/link'
      - { uses: actions/upload-artifact@v4, with: { name: seen, path: d/one } }
    produces: { big: big, d: d }
";

#[test]
fn what_pods_kept_is_fetched_from_the_hub() {
    let _guard = beside();
    let namespace = Namespace::new("download", "");
    let project = made(JOBS, &format!("  namespace: {}\n", namespace.0));
    run(&project, &[]).code(0);
    let log = project.tidegate(["runs", "logs", "1"]).code(0).stdout;
    let sum = log.lines().find(|line| line.ends_with("  big")).unwrap().to_owned();
    project.shell("du -sm .tidegate/objects | cut -f1").stdout("1\n");
    let kubeconfig = kubeconfig();
    let env = [("KUBECONFIG", &*kubeconfig)];
    let done = project.tidegate_with(["runs", "download", "1", "--dir", "out"], &env).code(0);
    done.stdout("✓ big").stdout("1 file, 70 MB → out/big").stdout("3 artifacts: 3 files, 70 MB");
    project.shell("cd out/big && md5sum big").stdout(&sum);
    project
        .shell("ls -A out out/*; cat out/d/link out/seen/one")
        .code(0)
        .stdout("out:\nbig\nd\nseen\n\nout/big:\nbig\n\nout/d:\nlink\none\n\nout/seen:\none\none\none\n");
    // It went by, and nothing of it stays.
    project.shell("du -sm .tidegate/objects | cut -f1").stdout("1\n");
    let done =
        project.tidegate_with(["runs", "download", "1", "--name", "d", "--dir", "out/d"], &env).code(2);
    done.stderr("out/d/link is there already, and one more");
    // Stopped half way.
    let child = project.spawn_with(["runs", "download", "1", "--name", "big", "--dir", "half"], &env);
    wait("something has come", || {
        let seen = project.shell("find half -path '*/objects/*' -type f -size +100k").stdout;
        (!seen.is_empty() || project.path().join("half/big").exists()).then_some(())
    });
    interrupt(&child);
    let done = project.done(child);
    if done.code == Some(5) {
        done.stderr("cancelled: what is there is whole");
    } else {
        // It was there before.
        done.code(0);
    }
    if project.path().join("half").exists() {
        project.shell("cd half && ls -A && md5sum big").stdout(&format!("big\n{sum}"));
    }
    replace_hub(&namespace.0);
    let done = project.tidegate_with(["runs", "download", "1", "--dir", "late"], &env).code(2);
    let done = done
        .stderr("the artifacts `big` (a), `d` (a), `seen` (a) of run 1 are not at the hub: it lost its disk");
    done.stderr("`--context` and `--namespace` say where the run was")
        .stderr("`tidegate runs rerun 1` makes them again");
    project.shell("ls -A late").code(2);
    let none = Namespace::new("no-hub", "");
    let args = ["runs", "download", "1", "--namespace", &none.0];
    project
        .tidegate_with(args, &env)
        .code(4)
        .stderr("the namespace has no hub")
        .stderr("say where the run was");
    project.shell("ls -d .tidegate-*").code(2);
}
