//! A hub with Azure's blob storage behind it, which is Azurite here: Microsoft's own emulator, which checks signatures.
//! `TIDEGATE_AZURITE` is its program, which `tests/cluster/object-store azure` prints.

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

/// The emulator, ended with the test.
struct Azurite {
    _folder: tempfile::TempDir,
    address: SocketAddr,
    child: Child,
}

impl Azurite {
    fn start() -> Self {
        let program = std::env::var("TIDEGATE_AZURITE")
            .expect("TIDEGATE_AZURITE is what `tests/cluster/object-store azure` prints");
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let child = Command::new(program)
            .args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort"])
            .arg(address.port().to_string())
            .arg("--location")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let store = Self { _folder: folder, address, child };
        let until = Instant::now() + LONG;
        while std::net::TcpStream::connect(store.address).is_err() {
            assert!(Instant::now() < until, "the server does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut make = Command::new("python3");
        make.args(["-c", MAKE_CONTAINER, &address.to_string(), ACCOUNT, KEY]);
        assert!(make.status().unwrap().success());
        store
    }

    fn bucket(&self) -> Bucket {
        let endpoint = format!("http://{}/{ACCOUNT}", self.address);
        let environment = [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
            ("AZURE_ALLOW_HTTP", "true"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Bucket::open("az://container/some/prefix", environment.into_iter()).unwrap()
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azurite; `tests/all azure` has it"]
async fn a_url_is_good_for_one_object_and_becomes_one_only_if_it_is_right() {
    let (azurite, folder) = (Azurite::start(), tempfile::tempdir().unwrap());
    let hub = Hub::open(folder.path(), SECRET, Some(azurite.bucket())).unwrap();
    let hub = Served::over(hub, Identity::generate().unwrap()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    let mut agent = hub.agent("r.0.1").await;
    let content = vec![7; LARGE];
    let digest = digest_of(&content);
    let (url, headers) = sign_with(&mut agent, &digest, LARGE).await.unwrap();
    assert!(!url.contains(KEY));
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
