//! A big repository travels to the namespace's hub once: what a run sends is counted on its way to the API server.

use super::*;
use serde_json::Value as Json;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BIG: u64 = 64 << 20;
/// What a run sends besides: requests, and what encrypts them.
const BESIDES: u64 = 1 << 20;

/// Passes connections on to the API server, as they are, and counts what goes there.
struct Counted {
    sent: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

impl Counted {
    fn new() -> Self {
        let text = kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]);
        let mut config: Json = serde_json::from_str(&text).unwrap();
        let cluster = &mut config["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().unwrap().trim_start_matches("https://").to_owned();
        let host = server.split_once(':').unwrap().0;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        cluster["server"] = format!("https://{}", listener.local_addr().unwrap()).into();
        cluster["tls-server-name"] = host.into();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).unwrap();
        let sent = Arc::<AtomicU64>::default();
        let made = Self { sent: sent.clone(), folder };
        std::thread::spawn(move || {
            for here in listener.incoming().map_while(Result::ok) {
                let Ok(there) = TcpStream::connect(&server) else { continue };
                let (from, to) = (here.try_clone().unwrap(), there.try_clone().unwrap());
                let sent = sent.clone();
                std::thread::spawn(move || pass(from, to, &sent));
                std::thread::spawn(move || pass(there, here, &AtomicU64::default()));
            }
        });
        made
    }

    /// Bytes that a run sent; it must succeed, and say that it works with this.
    fn run(&self, project: &Project, works_with: &str) -> u64 {
        let before = self.sent.load(Ordering::Relaxed);
        let kubeconfig = self.folder.path().join("kubeconfig");
        let done = project.tidegate_with(args(&[]), &[("KUBECONFIG", kubeconfig.to_str().unwrap())]);
        done.code(0).stdout(works_with);
        self.sent.load(Ordering::Relaxed) - before
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}

#[test]
fn a_big_repository_travels_once() {
    let _guard = beside();
    let namespace = Namespace::new("travel", "");
    let jobs = "  a: { steps: [{ run: 'cat small; md5sum big' }] }\n";
    let project = made(jobs, &format!("  namespace: {}\n", namespace.0));
    project
        .sh(&format!("head -c {BIG} /dev/urandom > big; echo one > small; git add -A; git commit -qm big"));
    let sum = project.shell("md5sum big").stdout;
    let seen = |project: &Project, run: &str, small: &str| {
        project.tidegate(["runs", "logs", run]).code(0).stdout(&format!("{small}\n{sum}"));
    };
    let counted = Counted::new();
    let first = counted.run(&project, "test · main at ");
    seen(&project, "1", "one");
    assert!((BIG..BIG + BIG / 16 + BESIDES).contains(&first), "{first}");
    // What is not committed travels, too, and is said.
    project.write("small", "two\n");
    let second = counted.run(&project, "1 file changed since ");
    seen(&project, "2", "two");
    assert!(second < BESIDES, "{second}");
    // Somebody else's clone, whose store has nothing of it.
    project.sh("git commit -qam two");
    let clone = Project::new();
    clone.sh(&format!("git clone -q {} .", project.path().display()));
    let third = counted.run(&clone, "test · main at ");
    seen(&clone, "1", "two");
    assert!(third < BESIDES, "{third}");
    println!("bytes sent: {first}, {second} after a change, {third} from a clone");
}
