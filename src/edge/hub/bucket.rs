//! An object store behind a hub: the hub alone has its credentials, and signs URLs for single objects.
//!
//! What clients send goes to a place of its own (`new/`), and becomes an object once this hub has copied it to
//! where no client can change it (`checked/`), read it and found its digest right. So what lies under
//! `objects/` was right when it came there, and a signed URL never writes there.

use super::access::Digest;
use super::http;
use crate::store::{GRACE, OBJECT_LIMIT, StoreError};
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::signer::{Method, Signer, Url};
use object_store::{ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, RetryConfig};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::RwLock;

/// A signed URL is good for this long.
const LIFE: Duration = Duration::from_mins(5);
/// So many objects are known to be there, and all that were used lately.
const KNOWN: usize = 1_000_000;
/// A place in an object store.
pub struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
    pub(super) prefix: Path,
    /// Azure wants to be told what a blob is.
    azure: bool,
    life: Duration,
    known: Mutex<Known>,
    /// Held, to read, from the look whether an object is there to the note that somebody uses it, and, to write, by who
    /// removes some.
    pub(super) relying: RwLock<()>,
}

/// Objects that are there, and when each was used last.
#[derive(Default)]
pub(super) struct Known {
    pub(super) used: HashMap<Digest, SystemTime>,
    /// How many there may be before those are forgotten that were not used lately.
    room: usize,
}

/// A URL that is good for one object and a while, with the headers that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedUrl {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
}

/// Tells whether a URL names an object store that a hub can use; if not, why.
pub fn check_store(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

fn parse(text: &str) -> Result<(Url, ObjectStoreScheme, Path), String> {
    let wrong = || {
        format!(
            "{text} is no object store such as s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
        )
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    if url.password().is_some() || url.query().is_some() {
        return Err(
            "the address of an object store holds no credentials: they are in the Secret `tidegate-store`"
                .to_owned(),
        );
    }
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| wrong())?;
    match scheme {
        ObjectStoreScheme::AmazonS3
        | ObjectStoreScheme::GoogleCloudStorage
        | ObjectStoreScheme::MicrosoftAzure => Ok((url, scheme, prefix)),
        _ => Err(wrong()),
    }
}

/// Gives object stores our own HTTP client.
#[derive(Debug)]
struct Ours(reqwest::Client);

impl HttpConnector for Ours {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// Gives a builder what the environment says for its store; variables that it does not know say nothing.
fn configured<B, K: FromStr>(
    builder: B,
    prefix: &str,
    environment: &[(String, String)],
    with: impl Fn(B, K, String) -> B,
) -> B {
    let given = environment.iter().filter(|(name, _)| name.starts_with(prefix));
    let known = given.filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())));
    known.fold(builder, |builder, (key, value)| with(builder, key, value))
}

impl Bucket {
    /// Opens a place by its URL. Credentials and addresses are `environment`: `AWS_…`, `GOOGLE_…` or
    /// `AZURE_…` as the stores' own programs have them, or the pod's identity.
    pub fn open(text: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Self, String> {
        let (url, scheme, prefix) = parse(text)?;
        let client = http::client().map_err(|e| e.to_string())?;
        // The hub tries again itself, and says so.
        let retry =
            RetryConfig { max_retries: 1, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() };
        let wrong = |e: object_store::Error| e.to_string();
        let url = url.to_string();
        let environment: Vec<_> =
            environment.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let (store, signer): (Arc<dyn ObjectStore>, Arc<dyn Signer>) = match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let made = AmazonS3Builder::new().with_url(url);
                let made = configured(made, "aws_", &environment, AmazonS3Builder::with_config);
                let made = Arc::new(
                    made.with_retry(retry).with_http_connector(Ours(client)).build().map_err(wrong)?,
                );
                (made.clone(), made)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let made = GoogleCloudStorageBuilder::new().with_url(url);
                let made = configured(made, "google_", &environment, GoogleCloudStorageBuilder::with_config);
                let made = Arc::new(
                    made.with_retry(retry).with_http_connector(Ours(client)).build().map_err(wrong)?,
                );
                (made.clone(), made)
            }
            _ => {
                let made = MicrosoftAzureBuilder::new().with_url(url);
                let made = configured(made, "azure_", &environment, MicrosoftAzureBuilder::with_config);
                let made = Arc::new(
                    made.with_retry(retry).with_http_connector(Ours(client)).build().map_err(wrong)?,
                );
                (made.clone(), made)
            }
        };
        let azure = scheme == ObjectStoreScheme::MicrosoftAzure;
        Ok(Self {
            store,
            signer,
            prefix,
            azure,
            life: LIFE,
            known: Mutex::default(),
            relying: RwLock::default(),
        })
    }

    /// The same with URLs that live shorter, for tests.
    #[cfg(test)]
    pub(super) fn with_life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    fn place(&self, folder: &str, digest: &Digest) -> Path {
        let hex = blake3::Hash::from_bytes(*digest).to_hex();
        let (first, rest) = hex.as_str().split_at(2);
        self.prefix.clone().join(folder).join(first).join(rest)
    }

    /// Where one client puts an object before it is one.
    fn new_place(&self, client: &str, digest: &Digest) -> Path {
        let client = blake3::hash(client.as_bytes()).to_hex();
        let hex = blake3::Hash::from_bytes(*digest).to_hex();
        self.prefix.clone().join("new").join(client.as_str()).join(hex.as_str())
    }

    fn knows(&self, digest: &Digest) -> bool {
        let now = SystemTime::now();
        self.known().used.get_mut(digest).map(|used| *used = now).is_some()
    }

    fn learn(&self, digest: Digest) {
        let now = SystemTime::now();
        let mut known = self.known();
        if known.used.len() >= known.room.max(KNOWN) {
            known.used.retain(|_, used| is_young(*used, now));
            known.room = 2 * known.used.len();
        }
        known.used.insert(digest, now);
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether an object is there.
    pub(super) async fn has(&self, digest: &Digest) -> object_store::Result<bool> {
        let _relying = self.relying.read().await;
        Ok(self.knows(digest) || self.look(digest).await?.is_some())
    }

    /// Returns an object's size; `None`: it is not there.
    pub(super) async fn size(&self, digest: &Digest) -> object_store::Result<Option<u64>> {
        let _relying = self.relying.read().await;
        self.look(digest).await
    }

    async fn look(&self, digest: &Digest) -> object_store::Result<Option<u64>> {
        match self.store.head(&self.place("objects", digest)).await {
            Ok(meta) => {
                self.learn(*digest);
                Ok(Some(meta.size))
            }
            Err(object_store::Error::NotFound { .. }) => {
                self.known().used.remove(digest);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns an object; `None`: it is not there, or not what its name says.
    pub(super) async fn read(&self, digest: &Digest) -> object_store::Result<Option<Vec<u8>>> {
        match self.store.get(&self.place("objects", digest)).await {
            Ok(found) => {
                let bytes = found.bytes().await?.to_vec();
                Ok(Some(bytes).filter(|bytes| blake3::hash(bytes).as_bytes() == digest))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps an object whose digest this hub has seen to be right.
    pub(super) async fn put(&self, digest: &Digest, bytes: &[u8]) -> object_store::Result<()> {
        if !self.has(digest).await? {
            let _relying = self.relying.read().await;
            self.store.put(&self.place("objects", digest), bytes.to_vec().into()).await?;
            self.learn(*digest);
        }
        Ok(())
    }

    /// Signs a URL that an object can be read at.
    pub(super) async fn sign_get(&self, digest: &Digest) -> object_store::Result<SignedUrl> {
        let url = self.signer.signed_url(Method::GET, &self.place("objects", digest), self.life).await?;
        Ok(SignedUrl { url: url.to_string(), headers: Vec::new() })
    }

    /// Signs a URL that a client can put an object at, to be one after [`Self::settle`]. Neither length nor
    /// content are signed (no store's signature has a blake3): what is put there is looked at.
    pub(super) async fn sign_put(&self, client: &str, digest: &Digest) -> object_store::Result<SignedUrl> {
        let url = self.signer.signed_url(Method::PUT, &self.new_place(client, digest), self.life).await?;
        let kind = ("x-ms-blob-type".to_owned(), "BlockBlob".to_owned());
        Ok(SignedUrl { url: url.to_string(), headers: self.azure.then_some(kind).into_iter().collect() })
    }

    /// Makes an object of what a client put, if its digest is right; otherwise nothing of it stays.
    pub(super) async fn settle(
        &self,
        client: &str,
        digest: &Digest,
    ) -> object_store::Result<Result<(), StoreError>> {
        let new = self.new_place(client, digest);
        if self.has(digest).await? {
            // It is there already; that the client has it, it has to show all the same.
            let right = self.is_right(&new, digest).await?;
            self.forget(&new).await;
            return Ok(right);
        }
        let checked = self.prefix.clone().join("checked").join(unique());
        match self.store.copy(&new, &checked).await {
            Ok(()) => {}
            Err(object_store::Error::NotFound { .. }) => return Ok(Err(missing(digest))),
            Err(error) => return Err(error),
        }
        let right = self.is_right(&checked, digest).await;
        if matches!(right, Ok(Ok(()))) {
            let _relying = self.relying.read().await;
            self.store.copy(&checked, &self.place("objects", digest)).await?;
            self.learn(*digest);
        }
        self.forget(&checked).await;
        self.forget(&new).await;
        right
    }

    /// Best effort: what stays is in nobody's way, and the bucket's lifecycle rules may take it.
    async fn forget(&self, place: &Path) {
        let _ = self.store.delete(place).await;
    }

    async fn is_right(&self, place: &Path, digest: &Digest) -> object_store::Result<Result<(), StoreError>> {
        let found = match self.store.get(place).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Err(missing(digest))),
            Err(error) => return Err(error),
        };
        let damaged = || StoreError::Damaged(blake3::Hash::from_bytes(*digest).to_hex().to_string());
        if found.meta.size > OBJECT_LIMIT {
            return Ok(Err(damaged()));
        }
        let mut hasher = blake3::Hasher::new();
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.try_next().await? {
            hasher.update(&piece);
        }
        Ok(if hasher.finalize().as_bytes() == digest { Ok(()) } else { Err(damaged()) })
    }
}

/// Put or used so lately that somebody may be about to rely on it.
pub(super) fn is_young(at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(at).map_or(true, |age| age < GRACE)
}

/// A name that nobody else uses.
fn unique() -> String {
    let mut bytes = [0_u8; blake3::OUT_LEN];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    blake3::Hash::from_bytes(bytes).to_hex().to_string()
}

fn missing(digest: &Digest) -> StoreError {
    StoreError::Missing(blake3::Hash::from_bytes(*digest).to_hex().to_string())
}
