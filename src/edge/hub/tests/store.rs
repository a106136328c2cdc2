//! A hub with a real S3 server behind it: `TIDEGATE_S3` is its program, which `tests/cluster/object-store` prints.

use super::raw::{LONG, Raw, SECRET, Served, list_of};
use crate::hub::bucket::Bucket;
use crate::hub::*;
use crate::store::{FileObjects, Objects as _};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tidegate_flow::wire::v1::{FromHub, ToHub};

/// Larger than what travels with the words.
const LARGE: usize = 3 << 20;

/// The server, with one bucket.
pub(super) struct S3 {
    folder: tempfile::TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl S3 {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut made = Self { folder, address, child: None };
        made.start();
        made
    }

    fn start(&mut self) {
        let program =
            std::env::var("TIDEGATE_S3").expect("TIDEGATE_S3 is what `tests/cluster/object-store` prints");
        let port = self.address.port().to_string();
        let child = Command::new(program)
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &port,
                "--access-key",
                "AKTEST",
                "--secret-key",
                "SKTEST",
            ])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        let until = Instant::now() + LONG;
        while std::net::TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < until, "the server does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = (child.kill(), child.wait());
        }
    }

    pub(super) fn bucket(&self) -> Bucket {
        let address = format!("http://{}", self.address);
        let environment = [
            ("AWS_ENDPOINT", address.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "AKTEST"),
            ("AWS_SECRET_ACCESS_KEY", "SKTEST"),
            ("AWS_REGION", "us-east-1"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Bucket::open("s3://bucket/some/prefix", environment.into_iter()).unwrap()
    }

    /// Files of the bucket below a folder of ours.
    pub(super) fn files(&self, below: &str) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.folder.path().join("bucket/some/prefix").join(below)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { open.push(entry.path()) } else { found.push(entry.path()) }
            }
        }
        found
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn served(folder: &std::path::Path, bucket: Bucket) -> Served {
    Served::over(Hub::open(folder, SECRET, Some(bucket)).unwrap(), Identity::generate().unwrap()).await
}

pub(super) fn digest_of(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

/// Asks where to put an object.
async fn sign(client: &mut Raw, digest: &str, size: usize) -> Result<String, Option<String>> {
    sign_with(client, digest, size).await.map(|(url, _)| url)
}

/// The same, with the headers that go with it.
pub(super) async fn sign_with(
    client: &mut Raw,
    digest: &str,
    size: usize,
) -> Result<(String, Vec<(String, String)>), Option<String>> {
    let word = ToHub::Sign { id: 4, digest: digest.into(), size: size as u64, again: String::new() };
    client.say(&word, b"").await;
    match client.answer().await.0 {
        FromHub::Signed { url, headers, .. } => Ok((url, headers.into_iter().collect())),
        FromHub::Stored { error, .. } => Err(error),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn given(client: &mut Raw, digest: &str) -> Option<String> {
    client.say(&ToHub::Given { id: 5, digest: digest.into() }, b"").await;
    match client.answer().await.0 {
        FromHub::Stored { id: 5, error, .. } => error,
        other => panic!("{other:?}"),
    }
}

/// Asks for an object; a URL, if there is one.
pub(super) async fn url_of(client: &mut Raw, digest: &str) -> Option<String> {
    client.say(&ToHub::Get { id: 6, digest: digest.into(), url: true, again: String::new() }, b"").await;
    match client.answer().await.0 {
        FromHub::Signed { url, .. } => Some(url),
        FromHub::Object { found: false, .. } => None,
        other => panic!("{other:?}"),
    }
}

/// The answer to content; 403 where the server hangs up while it is sent, since it has refused it by then.
async fn put(url: &str, content: &[u8]) -> u16 {
    put_with(url, &[], content).await
}

pub(super) async fn put_with(url: &str, headers: &[(String, String)], content: &[u8]) -> u16 {
    let request = http::client().unwrap().put(url).body(content.to_vec());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    match request.send().await {
        Ok(answer) => answer.status().as_u16(),
        Err(error) if hung_up(&error) => 403,
        Err(error) => panic!("{error:?}"),
    }
}

/// Tells whether the other side closed a connection that stood. One that was never made is something else.
fn hung_up(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset))
}

pub(super) async fn get(url: &str) -> (u16, Vec<u8>) {
    let answer = http::client().unwrap().get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server; `tests/all cluster` has one"]
async fn a_url_is_good_for_one_object_and_becomes_one_only_if_it_is_right() {
    let (s3, folder) = (S3::new(), tempfile::tempdir().unwrap());
    let hub = served(folder.path(), s3.bucket()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    let victim = engine.opens("r.1.1", b"secret").await;
    let mut agent = hub.agent("r.0.1").await;
    let content = vec![7; LARGE];
    let digest = digest_of(&content);
    let url = sign(&mut agent, &digest, LARGE).await.unwrap();
    assert!(!url.contains("SKTEST"));
    // Another place, another method, another time: refused by the server.
    let victim_place = format!("objects/{}/{}", &victim.chunk[..2], &victim.chunk[2..]);
    let path = url.split('?').next().unwrap();
    let elsewhere = url.replace(path.split_once("/some/prefix/").unwrap().1, &victim_place);
    assert_ne!(elsewhere, url);
    assert!(put(&elsewhere, &content).await >= 400);
    assert!(get(&url).await.0 >= 400);
    assert!(put(&url.replace("X-Amz-Expires=300", "X-Amz-Expires=3000"), &content).await >= 400);
    // What is not what it was to be is no object, and nothing of it stays.
    for wrong in [b"short".to_vec(), vec![8; LARGE], vec![7; LARGE + 1]] {
        assert_eq!(put(&url, &wrong).await, 200);
        assert!(given(&mut agent, &digest).await.unwrap().contains("another digest"));
    }
    assert_eq!(url_of(&mut agent, &digest).await, None);
    assert!(given(&mut agent, &digest).await.is_some(), "it says so without having put it");
    assert_eq!(put(&url, &content).await, 200);
    assert_eq!(given(&mut agent, &digest).await, None);
    assert_eq!(given(&mut agent, &digest).await, None, "said again after a break");
    let read = url_of(&mut agent, &digest).await.unwrap();
    assert_eq!(get(&read).await, (200, content.clone()));
    assert!(put(&read, &content).await >= 400, "a URL to read does not write");
    assert!(get(&read.replace(&digest[2..], &victim.chunk[2..])).await.0 >= 400);
    // The URL to put at is good still: it does not reach what is an object now.
    assert_eq!(put(&url, &vec![9; LARGE]).await, 200);
    assert_eq!(get(&read).await.1, content);
    // Another attempt has to show that it has it, though it is there.
    let mut other = hub.agent("r.1.1").await;
    assert_eq!(url_of(&mut other, &digest).await, None);
    assert!(given(&mut other, &digest).await.is_some());
    assert!(!other.missing(&[&digest]).await.is_empty());
    let url = sign(&mut other, &digest, LARGE).await.unwrap();
    assert_eq!(put(&url, &vec![1; LARGE]).await, 200);
    assert!(given(&mut other, &digest).await.is_some(), "other content of the same size shows nothing");
    assert_eq!(put(&url, &content).await, 200);
    assert_eq!(given(&mut other, &digest).await, None);
    assert!(url_of(&mut other, &digest).await.is_some());
    assert_eq!(sign(&mut other, &digest, LARGE).await, Err(None), "what it has is not sent again");
    // The first one's place holds what it put last, until it is looked at; nothing else is left over.
    assert_eq!((s3.files("new").len(), s3.files("checked").len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server; `tests/all cluster` has one"]
async fn a_url_lives_for_a_while() {
    let (s3, folder) = (S3::new(), tempfile::tempdir().unwrap());
    let hub = served(folder.path(), s3.bucket().with_life(Duration::from_secs(3))).await;
    let mut engine = hub.engine("one").await;
    let content = vec![7; LARGE];
    let digest = digest_of(&content);
    // A busy machine may take longer for it than that.
    let until = Instant::now() + LONG;
    let url = loop {
        assert!(Instant::now() < until, "nothing can be put");
        let url = sign(&mut engine, &digest, LARGE).await.unwrap();
        if put(&url, &content).await == 200 {
            break url;
        }
    };
    assert_eq!(given(&mut engine, &digest).await, None);
    let read = url_of(&mut engine, &digest).await.unwrap();
    // Signatures count whole seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(get(&read).await.0 >= 400);
    assert!(put(&url, &content).await >= 400);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server; `tests/all cluster` has one"]
async fn attempts_are_kept_apart_in_an_object_store_too() {
    let (s3, folder) = (S3::new(), tempfile::tempdir().unwrap());
    let hub = served(folder.path(), s3.bucket()).await;
    let mut engine = hub.engine("one").await;
    let own = engine.opens("r.0.1", b"mine").await;
    let other = engine.opens("r.1.1", b"secret").await;
    let mut agent = hub.agent("r.0.1").await;
    for (digest, content) in [(&own.chunk, Some(b"mine".to_vec())), (&other.chunk, None), (&other.list, None)]
    {
        assert_eq!(agent.get(digest).await, content);
    }
    assert!(agent.get(&own.spec).await.is_some() && agent.get(&own.list).await.is_some());
    assert_eq!(agent.missing(&[&own.chunk, &other.chunk]).await, [other.chunk.as_str()]);
    let list = agent.put(&list_of(&[&other.chunk])).await;
    assert!(agent.get(&list).await.is_some());
    assert_eq!(agent.get(&other.chunk).await, None);
    // What is in the bucket survives the hub's folder; nothing lies about in that.
    assert_eq!(std::fs::read_dir(folder.path().join("objects/new")).unwrap().count(), 0);
    drop(hub);
    let (folder, bucket) = (tempfile::tempdir().unwrap(), s3.bucket());
    let hub = served(folder.path(), bucket).await;
    assert_eq!(hub.engine("one").await.get(&own.chunk).await.unwrap(), b"mine");
}

/// An engine's own end, and what it hears.
fn engine_of(hub: &Served) -> (Arc<EngineEnd>, Receiver<HubEvent>) {
    let (engine, events, keep_up) = hub.end();
    tokio::spawn(keep_up);
    assert!(matches!(events.recv_timeout(LONG).unwrap(), HubEvent::Stands));
    (engine, events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs an S3 server; `tests/all cluster` has one"]
async fn a_store_that_is_down_is_waited_for_and_nothing_is_sent_twice() {
    let (mut s3, folder) = (S3::new(), tempfile::tempdir().unwrap());
    let hub = served(folder.path(), s3.bucket()).await;
    let (engine, events) = engine_of(&hub);
    let here = Arc::new(FileObjects::open(folder.path().join("here")).unwrap());
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    for n in 0..4_u8 {
        std::fs::write(tree.join(n.to_string()), vec![n; LARGE + usize::from(n)]).unwrap();
    }
    std::fs::write(tree.join("small"), "small").unwrap();
    let artifact = here.put_path(&tree).unwrap();
    s3.stop();
    let pushing = {
        let (engine, here, artifact) = (engine.clone(), here.clone(), artifact.clone());
        tokio::task::spawn_blocking(move || engine.objects.push(&artifact, &here))
    };
    let problem = loop {
        let heard = events.recv_timeout(LONG).expect("the engine hears that the store is down");
        if let HubEvent::Store(problem) = heard {
            break problem;
        }
    };
    assert!(problem.is_some_and(|problem| !problem.contains("SKTEST") && !problem.contains("Signature")));
    s3.start();
    pushing.await.unwrap().unwrap();
    assert!(matches!(events.recv_timeout(LONG).unwrap(), HubEvent::Store(None)));
    let objects = s3.files("objects");
    assert_eq!(objects.len(), 6, "four files, a small one, and the list");
    // By file: the file system's clock ticks seldom, and two files may have one time.
    let times = |files: &[std::path::PathBuf]| -> BTreeMap<_, _> {
        files.iter().map(|f| (f.clone(), f.metadata().unwrap().modified().unwrap())).collect()
    };
    let before = times(&objects);
    // One that went missing is sent again, the others are not; the list is asked for first.
    let first = digest_of(&vec![0; LARGE]);
    let place = objects.iter().find(|f| f.ends_with(&first[2..])).unwrap();
    std::fs::remove_file(place).unwrap();
    let list = objects.iter().find(|f| f.ends_with(&artifact.digest[2..])).unwrap();
    std::fs::remove_file(list).unwrap();
    drop(hub);
    let hub = served(folder.path(), s3.bucket()).await;
    let (engine, _events) = engine_of(&hub);
    let again = {
        let (engine, here, artifact) = (engine.clone(), here.clone(), artifact.clone());
        tokio::task::spawn_blocking(move || engine.objects.push(&artifact, &here))
    };
    again.await.unwrap().unwrap();
    let after = s3.files("objects");
    assert_eq!(after.len(), 6);
    let now = times(&after);
    let changed: BTreeSet<_> = before.keys().filter(|file| now.get(*file) != before.get(*file)).collect();
    assert_eq!(changed, BTreeSet::from([place, list]), "only what was gone came again");
    // It comes back whole, and what was changed in the bucket is not taken for what it was.
    let there = Arc::new(FileObjects::open(folder.path().join("there")).unwrap());
    let pull = |into: &Arc<FileObjects>| {
        let (engine, into, artifact) = (engine.clone(), into.clone(), artifact.clone());
        tokio::task::spawn_blocking(move || engine.objects.pull(&artifact, &into))
    };
    pull(&there).await.unwrap().unwrap();
    there.fetch(&artifact, &folder.path().join("laid-out")).unwrap();
    assert_eq!(std::fs::read(folder.path().join("laid-out/3")).unwrap(), vec![3; LARGE + 3]);
    std::fs::write(after.iter().find(|f| f.ends_with(&first[2..])).unwrap(), vec![66; LARGE]).unwrap();
    let fresh = Arc::new(FileObjects::open(folder.path().join("fresh")).unwrap());
    let error = pull(&fresh).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    assert!(!fresh.has(&first));
}
