//! The object stores of other clouds behind a hub. Azure's is Azurite here: Microsoft's own emulator, which checks signatures;
//! `TIDEGATE_AZURITE` is its program, which `tests/cluster/object-store azure` prints. For Google's there is none: `google.py` is ours.

use super::raw::{LONG, SECRET, Served};
use super::store::{digest_of, get, given, put_with, sign_with, url_of};
use crate::hub::bucket::Bucket;
use crate::hub::*;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Larger than what travels with the words.
const LARGE: usize = 3 << 20;
/// Azurite's account and its key are known to all (Microsoft, "Use Azurite for local Azure Storage development").
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes the container, with a request that the account's key signs (Microsoft, "Authorize with Shared Key").
const MAKE_CONTAINER: &str = r#"
import base64, email.utils, hashlib, hmac, sys, urllib.request
address, account, key = sys.argv[1:]
date, blank = email.utils.formatdate(usegmt=True), "\n" * 12
said = f"PUT{blank}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{account}/{account}/container\nrestype:container"
signature = base64.b64encode(hmac.new(base64.b64decode(key), said.encode(), hashlib.sha256).digest()).decode()
headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {account}:{signature}"}
url = f"http://{address}/{account}/container?restype=container"
urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers))
"#;

/// A server on this machine, ended with the test.
struct Server {
    _folder: tempfile::TempDir,
    address: SocketAddr,
    child: Child,
}

impl Server {
    /// `command` gets a folder and a port.
    fn start(command: impl FnOnce(&std::path::Path, &str) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut command = command(folder.path(), &address.port().to_string());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { _folder: folder, address, child };
        let until = Instant::now() + LONG;
        while std::net::TcpStream::connect(server.address).is_err() {
            assert!(Instant::now() < until, "the server does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

fn bucket<const N: usize>(url: &str, environment: [(&str, &str); N]) -> Bucket {
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Bucket::open(url, environment.into_iter()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azurite; `tests/all azure` has it"]
async fn azure() {
    let program = std::env::var("TIDEGATE_AZURITE")
        .expect("TIDEGATE_AZURITE is what `tests/cluster/object-store azure` prints");
    let server = Server::start(|folder, port| {
        let mut command = Command::new(program);
        command.args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", port]);
        command.arg("--location").arg(folder);
        command
    });
    let mut make = Command::new("python3");
    make.args(["-c", MAKE_CONTAINER, &server.address.to_string(), ACCOUNT, KEY]);
    assert!(make.status().unwrap().success());
    let endpoint = format!("http://{}/{ACCOUNT}", server.address);
    let bucket = bucket(
        "az://container/some/prefix",
        [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
            ("AZURE_ALLOW_HTTP", "true"),
        ],
    );
    a_url_is_good_for_one_object_and_becomes_one_only_if_it_is_right(bucket, KEY).await;
}

fn openssl(args: &[&str], key: &std::path::Path) -> String {
    let done = Command::new("openssl").args(args).arg(key).stderr(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "openssl {args:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openssl; `tests/all cluster` has it"]
async fn google() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    openssl(&["genpkey", "-algorithm", "RSA", "-out"], &file);
    let modulus = openssl(&["rsa", "-noout", "-modulus", "-in"], &file);
    let modulus = modulus.trim().trim_start_matches("Modulus=");
    let server = Server::start(|_, port| {
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/hub/tests/google.py")).args([port, modulus]);
        command
    });
    let account = serde_json::json!({
        "private_key": std::fs::read_to_string(&file).unwrap(),
        "private_key_id": "1",
        "client_email": "hub@example.com",
    });
    let (account, address) = (account.to_string(), format!("http://{}", server.address));
    let environment = [("GOOGLE_SERVICE_ACCOUNT_KEY", account.as_str()), ("GOOGLE_BASE_URL", &address)];
    let bucket = bucket("gs://bucket/some/prefix", environment);
    a_url_is_good_for_one_object_and_becomes_one_only_if_it_is_right(bucket, "PRIVATE KEY").await;
}

async fn a_url_is_good_for_one_object_and_becomes_one_only_if_it_is_right(bucket: Bucket, key: &str) {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::open(folder.path(), SECRET, Some(bucket)).unwrap();
    let hub = Served::over(hub, Identity::generate().unwrap()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    let mut agent = hub.agent("r.0.1").await;
    let content = vec![7; LARGE];
    let digest = digest_of(&content);
    let (url, headers) = sign_with(&mut agent, &digest, LARGE).await.unwrap();
    assert!(!url.contains(key));
    let other = digest_of(b"another");
    assert!(put_with(&url.replace(&digest, &other), &headers, &content).await >= 400, "for one object");
    assert!(get(&url).await.0 >= 400, "a URL to write does not read");
    assert!(put_with(&url, &headers, &vec![8; LARGE]).await < 300);
    assert!(given(&mut agent, &digest).await.unwrap().contains("another digest"));
    assert_eq!(url_of(&mut agent, &digest).await, None);
    assert!(put_with(&url, &headers, &content).await < 300);
    assert_eq!(given(&mut agent, &digest).await, None);
    let read = url_of(&mut agent, &digest).await.unwrap();
    assert_eq!(get(&read).await, (200, content.clone()));
    assert!(put_with(&read, &headers, &content).await >= 400, "a URL to read does not write");
    assert!(get(&read.replace(&digest[2..], &other[2..])).await.0 >= 400);
    // What is small travels with the words.
    let small = agent.put(b"small").await;
    assert_eq!(agent.get(&small).await.unwrap(), b"small");
    assert!(agent.missing(&[&small, &digest]).await.is_empty());
}
