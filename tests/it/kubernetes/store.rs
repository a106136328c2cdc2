//! Artifacts in an object store: a real S3 server on this machine, which pods and hub reach; `TIDEGATE_S3` is its
//! program, which `tests/cluster/object-store` prints.

use super::*;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

const KEY: &str = "AKOFTHEBUCKET";
const SECRET: &str = "SKOFTHEBUCKET";

struct S3 {
    folder: tempfile::TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl S3 {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        // Pods reach this machine at the node's address plus one.
        let node = kubectl(&[
            "get",
            "nodes",
            "-o",
            "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}",
        ]);
        let node: Ipv4Addr = node.trim().parse().unwrap();
        let here = Ipv4Addr::from(u32::from(node) + 1);
        let address = TcpListener::bind((here, 0)).unwrap().local_addr().unwrap();
        let mut made = Self { folder, address, child: None };
        made.start();
        made
    }

    fn start(&mut self) {
        let program =
            std::env::var("TIDEGATE_S3").expect("TIDEGATE_S3 is what `tests/cluster/object-store` prints");
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let child = Command::new(program)
            .args(["--host", &host, "--port", &port, "--access-key", KEY, "--secret-key", SECRET])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        wait("the S3 server is there", || std::net::TcpStream::connect(self.address).ok());
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = (child.kill(), child.wait());
        }
    }

    /// What the hub of a namespace needs to know, as its Secret.
    fn known_to(&self, namespace: &Namespace) {
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"tidegate-store","namespace":"{}"}},"stringData":{{
"AWS_ACCESS_KEY_ID":"{KEY}","AWS_SECRET_ACCESS_KEY":"{SECRET}","AWS_REGION":"us-east-1",
"AWS_ENDPOINT":"http://{}","AWS_ALLOW_HTTP":"true"}}}}"#,
            namespace.0, self.address
        );
        apply(&text);
    }

    /// Bytes and number of the objects that are in the bucket.
    fn objects(&self) -> (u64, usize) {
        let (mut bytes, mut count) = (0, 0);
        let mut open = vec![self.folder.path().join("bucket/ml/objects")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let meta = entry.metadata().unwrap();
                if meta.is_dir() {
                    open.push(entry.path());
                } else {
                    (bytes, count) = (bytes + meta.len(), count + 1);
                }
            }
        }
        (bytes, count)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A job that makes 70 MB, two chunks, and one that reads them.
const BIG: &str = "  a:
    cache: true
    steps: [{ run: 'head -c 70000000 /dev/zero > big; echo $RANDOM >> big; md5sum big; echo made; while ! test -e /tmp/go; do sleep 0.2; done' }]
    produces: { big: big }
  b:
    needs: a
    consumes: { big: '${{ needs.a.artifacts.big }}' }
    steps: [{ run: 'md5sum big; wc -c big; env; sleep 3' }]
";

fn settings(namespace: &Namespace) -> String {
    format!("  namespace: {}\n  store: s3://bucket/ml\n", namespace.0)
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn artifacts_are_in_the_store_and_its_credentials_with_the_hub_alone() {
    let _guard = beside();
    let namespace = Namespace::new("store", "");
    let space = &namespace.0;
    let s3 = S3::new();
    s3.known_to(&namespace);
    let project = made(BIG, &settings(&namespace));
    let child = spawn(&project, &[]);
    wait("the first job runs", || {
        project.tidegate(["runs", "logs", "1", "a"]).stdout.contains("made").then_some(())
    });
    let chosen = selector(&project);
    let mut seen = kubectl(&["get", "jobs,pods,secrets", "-n", space, "-l", &chosen, "-o", "yaml"]);
    let pod =
        kubectl(&["get", "pods", "-n", space, "-l", &chosen, "-o", "jsonpath={.items[0].metadata.name}"]);
    seen.push_str(&kubectl(&["logs", "-n", space, pod.trim(), "-c", "agent"]));
    let_go(&project, "a");
    project.done(child).code(0).nowhere("emptyDir").nowhere("keeps artifacts");
    seen.push_str(&project.tidegate(["runs", "logs", "1", "a"]).stdout);
    seen.push_str(&project.tidegate(["runs", "logs", "1", "b"]).stdout("70000").stdout);
    seen.push_str(&kubectl(&["get", "deployments,pods", "-n", space, "-o", "yaml"]));
    seen.push_str(&kubectl(&["logs", "-n", space, "deployment/tidegate-hub"]));
    project.shell("du -sm .tidegate/objects | cut -f1").stdout("1\n");
    for credential in [KEY, SECRET, "X-Amz-Signature"] {
        assert!(!seen.contains(credential), "{credential} is seen in {seen}");
    }
    let sums: Vec<&str> = seen.lines().filter_map(|line| line.strip_suffix("  big")).collect();
    let last = |sum: &&str| sum[sum.len() - 32..].to_owned();
    assert_eq!(sums.iter().map(last).collect::<std::collections::BTreeSet<_>>().len(), 1, "{sums:?}");
    let (bytes, count) = s3.objects();
    assert!((70_000_000..71_000_000).contains(&bytes), "{bytes}");
    // A hub that lost its folder lost nothing of that: the cache counts, and nothing is put again.
    objects::replace_hub(space);
    run(&project, &[]).code(0).stdout("from cache");
    // Who asks for it from outside gets it from the bucket.
    let args = ["runs", "download", "1", "--name", "big", "--dir", "out"];
    let done = project.tidegate_with(args, &[("KUBECONFIG", &kubeconfig())]).code(0);
    done.stdout("1 file, 70 MB → out").nowhere(KEY).nowhere("X-Amz-Signature");
    project.shell("cd out && ls -A && md5sum big").stdout(&format!("big\n{}  big", last(&sums[0])));
    assert!(s3.objects().1 <= count + 8, "specs, and no chunk");
    let chunks = s3.objects().0;
    assert!(chunks < 71_000_000, "{chunks}");
}

#[test]
#[ignore = "needs the cluster of tests/cluster"]
fn a_store_that_is_away_for_a_while_is_waited_for() {
    let _guard = beside();
    let namespace = Namespace::new("store-down", "");
    let mut s3 = S3::new();
    s3.known_to(&namespace);
    let project = made(BIG, &settings(&namespace));
    let child = spawn(&project, &[]);
    wait("the first job runs", || {
        project.tidegate(["runs", "logs", "1", "a"]).stdout.contains("made").then_some(())
    });
    s3.stop();
    let_go(&project, "a");
    std::thread::sleep(Duration::from_mins(1));
    s3.start();
    let done = project.done(child).code(0).nowhere("attempt 2");
    done.stderr("the object store does not answer").stderr("the object store answers again");
    project.tidegate(["runs", "logs", "1", "b"]).code(0).stdout("70000");
}
