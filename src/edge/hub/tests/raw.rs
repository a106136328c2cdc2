//! A hub of its own for each test, and clients that say what they like.

use crate::hub::stream::WordReader;
use crate::hub::*;
use crate::store::{Entry, EntryKind, FileObjects, Manifest};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tidegate_flow::job::{ArtifactRef, Conclusion, JobMessage, JobSpec, MessageBody, Receipt, SourceSpec};
use tidegate_flow::wire::v1::{FromHub, ToHub, decode_from_hub, encode_hub};
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything takes here.
pub(super) const LONG: Duration = Duration::from_mins(2);
/// The hub's secret.
pub(super) const SECRET: &str = "the hub's own";

/// A hub on a port of its own.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) identity: Identity,
    pub(super) hub: Arc<Hub>,
    task: JoinHandle<()>,
}

impl Served {
    pub(super) async fn new(folder: &Path) -> Self {
        Self::with(folder, Identity::generate().unwrap(), LONG).await
    }

    pub(super) async fn with(folder: &Path, identity: Identity, first_word: Duration) -> Self {
        let hub = Hub::open(folder, SECRET, None).unwrap().with_patience(first_word);
        // Clients of a test are silent while it does something else, on a busy machine for minutes.
        Self::over(hub.with_silence(10 * LONG), identity).await
    }

    pub(super) async fn over(hub: Hub, identity: Identity) -> Self {
        Self::shared(Arc::new(hub), identity).await
    }

    pub(super) async fn shared(hub: Arc<Hub>, identity: Identity) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let address = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()).into();
        let (own, serving) = (identity.clone(), hub.clone());
        let task = tokio::spawn(async move { drop(serving.serve(listener, &own).await) });
        Self { address, identity, hub, task }
    }

    pub(super) async fn tcp(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    pub(super) async fn raw(&self) -> Raw {
        Raw::over(self.tcp([127, 0, 0, 1]).await, &self.identity).await.unwrap()
    }

    /// An engine's own end, what it hears, and its connection, which has to be driven.
    pub(super) fn end(
        &self,
    ) -> (Arc<EngineEnd>, Receiver<HubEvent>, impl Future<Output = ()> + Send + use<>) {
        let (send, heard) = channel();
        let end = EngineEnd::new(SECRET, "one", Box::new(move |event| drop(send.send(event))));
        let tls = client_config(&self.identity.certificate).unwrap();
        let (connection, keep_up) = Connection::new(dial_tcp(self.address), tls, end.clone());
        end.connect(connection);
        (end, heard, keep_up)
    }

    pub(super) async fn engine(&self, store: &str) -> Raw {
        let mut engine = self.raw().await;
        engine.say(&ToHub::Engine { key: SECRET.into(), store: store.into() }, b"").await;
        assert!(matches!(engine.hear().await, Some((FromHub::Welcome { .. }, _))));
        engine
    }

    pub(super) async fn agent(&self, attempt: &str) -> Raw {
        let (mut agent, said) = self.agent_with(attempt, attempt, "pod").await;
        assert!(matches!(said, Some(FromHub::Welcome { .. })), "{said:?}");
        assert_eq!(agent.missing(&[]).await, [] as [&str; 0]);
        agent
    }

    pub(super) async fn agent_with(
        &self,
        attempt: &str,
        key: &str,
        incarnation: &str,
    ) -> (Raw, Option<FromHub>) {
        let mut agent = self.raw().await;
        let (attempt, key, incarnation) = (attempt.into(), key.into(), incarnation.into());
        agent.say(&ToHub::Agent { attempt, key, incarnation, version: "1.2.3".into() }, b"").await;
        let said = agent.hear().await.map(|(word, _)| word);
        (agent, said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that says what it likes.
pub(super) struct Raw {
    pub(super) reader: WordReader<ReadHalf<TlsStream<TcpStream>>>,
    pub(super) writer: WriteHalf<TlsStream<TcpStream>>,
}

impl Raw {
    pub(super) async fn over(stream: TcpStream, identity: &Identity) -> std::io::Result<Self> {
        let tls = TlsConnector::from(client_config(&identity.certificate).unwrap());
        let stream = tls.connect(SERVER_NAME.try_into().unwrap(), stream).await?;
        let (reader, writer) = tokio::io::split(stream);
        Ok(Self { reader: WordReader::new(reader, LONG), writer })
    }

    pub(super) async fn say(&mut self, word: &ToHub, content: &[u8]) {
        self.bytes(&encode_hub(word, content).unwrap()).await;
    }

    /// A hub that has closed the connection does not take it.
    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).await;
        let _ = self.writer.flush().await;
    }

    /// `None`: the connection is over.
    pub(super) async fn hear(&mut self) -> Option<(FromHub, Vec<u8>)> {
        let word = self.reader.next(decode_from_hub).await.ok()??;
        Some((word, self.reader.whole().await.ok()?))
    }

    /// Hears words up to one that answers.
    pub(super) async fn answer(&mut self) -> (FromHub, Vec<u8>) {
        loop {
            let (word, content) = self.hear().await.expect("an answer");
            let news = |word: &FromHub| {
                matches!(
                    word,
                    FromHub::Request(_)
                        | FromHub::Agent { .. }
                        | FromHub::Kept { .. }
                        | FromHub::Closed { .. }
                )
            };
            if !news(&word) {
                return (word, content);
            }
        }
    }

    pub(super) async fn get(&mut self, digest: &str) -> Option<Vec<u8>> {
        self.say(&ToHub::Get { id: 1, digest: digest.into(), url: false, again: String::new() }, b"").await;
        match self.answer().await {
            (FromHub::Object { id: 1, found: true }, content) => Some(content),
            (FromHub::Object { id: 1, found: false }, content) => {
                assert!(content.is_empty());
                None
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn put(&mut self, content: &[u8]) -> String {
        let digest = blake3::hash(content).to_hex().to_string();
        assert_eq!(self.put_as(&digest, content).await, None);
        digest
    }

    pub(super) async fn put_as(&mut self, digest: &str, content: &[u8]) -> Option<String> {
        self.say(&ToHub::Put { id: 2, digest: digest.into() }, content).await;
        match self.answer().await {
            (FromHub::Stored { id: 2, error, .. }, _) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn missing(&mut self, digests: &[&str]) -> Vec<String> {
        let digests = digests.iter().map(|d| (*d).to_owned()).collect();
        self.say(&ToHub::Missing { id: 3, digests }, b"").await;
        match self.answer().await {
            (FromHub::Missing { id: 3, digests }, _) => digests,
            other => panic!("{other:?}"),
        }
    }

    /// Opens an attempt whose secret is its name and whose tree has one file with this content.
    pub(super) async fn opens(&mut self, attempt: &str, content: &[u8]) -> Given {
        let chunk = self.put(content).await;
        let list = self.put(&list_of(&[&chunk])).await;
        let source = SourceSpec { tree: list.clone(), ..SourceSpec::default() };
        let spec = JobSpec { token: attempt.into(), source, ..JobSpec::default() };
        let spec = self.put(&serde_json::to_vec(&spec).unwrap()).await;
        let key = blake3::hash(attempt.as_bytes()).to_hex().to_string();
        self.say(&ToHub::Open { attempt: attempt.into(), key, spec: spec.clone() }, b"").await;
        // Answered in order: it is open.
        self.missing(&[]).await;
        Given { spec, list, chunk }
    }
}

/// What an attempt was opened with.
pub(super) struct Given {
    pub(super) spec: String,
    pub(super) list: String,
    pub(super) chunk: String,
}

impl Given {
    pub(super) fn all(&self) -> [&str; 3] {
        [&self.spec, &self.list, &self.chunk]
    }
}

pub(super) fn list_of(digests: &[&str]) -> Vec<u8> {
    let entries = digests.iter().map(|digest| Entry {
        path: format!("file-{digest}"),
        kind: EntryKind::File { executable: false, size: 1, digest: (*digest).into(), chunks: Vec::new() },
    });
    FileObjects::describe_manifest(Manifest { version: 1, tree: true, entries: entries.collect() }).unwrap().1
}

pub(super) fn artifact(digest: &str) -> ArtifactRef {
    ArtifactRef { digest: digest.into(), tree: true, ..ArtifactRef::default() }
}

pub(super) fn ended(attempt: &str, seq: u64, list: &str) -> ToHub {
    let mut receipt = Receipt::bare(Conclusion::Success, None, String::new());
    receipt.artifacts = BTreeMap::from([("out".to_owned(), artifact(list))]);
    ToHub::Message(JobMessage { token: attempt.into(), seq, at: 0, body: MessageBody::Ended(receipt) })
}

pub(super) fn started(attempt: &str, seq: u64) -> JobMessage {
    JobMessage { token: attempt.into(), seq, at: 0, body: MessageBody::Started { notes: Vec::new() } }
}
