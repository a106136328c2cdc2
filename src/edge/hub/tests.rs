//! Attacks on a hub, through its own protocol: real connections, words written by hand.

use super::stream::WordReader;
use super::*;
use crate::store::{Entry, EntryKind, FileObjects, Manifest, OBJECT_LIMIT};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::{
    AgentRequest, Answer, ArtifactRef, Conclusion, JobMessage, JobSpec, MessageBody, Receipt, SourceSpec,
};
use tidegate_flow::wire::v1::{FromHub, HUB_FRAME_LIMIT, ToHub, decode_from_hub, encode_hub};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything takes here.
pub(super) const LONG: Duration = Duration::from_secs(30);
/// The hub's secret.
pub(super) const SECRET: &str = "the hub's own";

/// A hub on a port of its own.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) identity: Identity,
    task: JoinHandle<()>,
}

impl Served {
    async fn new(folder: &Path) -> Self {
        Self::with(folder, Identity::generate().unwrap(), LONG).await
    }

    async fn with(folder: &Path, identity: Identity, first_word: Duration) -> Self {
        Self::over(Hub::open(folder, SECRET, None).unwrap().with_patience(first_word), identity).await
    }

    pub(super) async fn over(hub: Hub, identity: Identity) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let address = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()).into();
        let hub = Arc::new(hub);
        let own = identity.clone();
        let task = tokio::spawn(async move { drop(hub.serve(listener, &own).await) });
        Self { address, identity, task }
    }

    async fn tcp(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn raw(&self) -> Raw {
        Raw::over(self.tcp([127, 0, 0, 1]).await, &self.identity).await.unwrap()
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

    async fn agent_with(&self, attempt: &str, key: &str, incarnation: &str) -> (Raw, Option<FromHub>) {
        let mut agent = self.raw().await;
        let (attempt, key, incarnation) = (attempt.into(), key.into(), incarnation.into());
        agent.say(&ToHub::Agent { attempt, key, incarnation }, b"").await;
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
    reader: WordReader<ReadHalf<TlsStream<TcpStream>>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
}

impl Raw {
    async fn over(stream: TcpStream, identity: &Identity) -> std::io::Result<Self> {
        let tls = TlsConnector::from(client_config(&identity.certificate).unwrap());
        let stream = tls.connect(SERVER_NAME.try_into().unwrap(), stream).await?;
        let (reader, writer) = tokio::io::split(stream);
        Ok(Self { reader: WordReader::new(reader, LONG), writer })
    }

    pub(super) async fn say(&mut self, word: &ToHub, content: &[u8]) {
        self.bytes(&encode_hub(word, content).unwrap()).await;
    }

    /// A hub that has closed the connection does not take it.
    async fn bytes(&mut self, bytes: &[u8]) {
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
            if !matches!(word, FromHub::Request(_) | FromHub::Agent { .. } | FromHub::Kept { .. }) {
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
            (FromHub::Stored { id: 2, error }, _) => error,
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
    fn all(&self) -> [&str; 3] {
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

fn artifact(digest: &str) -> ArtifactRef {
    ArtifactRef { digest: digest.into(), tree: true, ..ArtifactRef::default() }
}

fn ended(attempt: &str, seq: u64, list: &str) -> ToHub {
    let mut receipt = Receipt::bare(Conclusion::Success, None, String::new());
    receipt.artifacts = BTreeMap::from([("out".to_owned(), artifact(list))]);
    ToHub::Message(JobMessage { token: attempt.into(), seq, at: 0, body: MessageBody::Ended(receipt) })
}

fn started(attempt: &str, seq: u64) -> JobMessage {
    JobMessage { token: attempt.into(), seq, at: 0, body: MessageBody::Started { notes: Vec::new() } }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_what_its_spec_names_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let (mut engine, mut other_store) = (hub.engine("one").await, hub.engine("two").await);
    let own = engine.opens("r.0.1", b"mine").await;
    let neighbour = engine.opens("r.1.1", b"the neighbour's secret").await;
    let foreign = other_store.opens("s.0.1", b"another store's secret").await;
    let mut agent = hub.agent("r.0.1").await;
    for digest in own.all() {
        assert!(agent.get(digest).await.is_some());
    }
    assert_eq!(agent.get(&own.chunk).await.unwrap(), b"mine");
    let nowhere = "0".repeat(64);
    let strange = ["", "..", "../../etc/passwd", &own.chunk.to_uppercase()];
    let others = neighbour.all().into_iter().chain(foreign.all()).chain([nowhere.as_str()]).chain(strange);
    let others: Vec<&str> = others.collect();
    for digest in &others {
        assert_eq!(agent.get(digest).await, None, "{digest}");
    }
    // What is there and what is not look the same, also to one who only asks.
    assert_eq!(agent.missing(&others).await, others);
    assert_eq!(agent.missing(&own.all()).await, [] as [&str; 0]);
    // Each has its own still.
    assert_eq!(hub.agent("s.0.1").await.get(&foreign.chunk).await.unwrap(), b"another store's secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_content_has_to_show_it() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    let victim = engine.opens("r.1.1", b"secret").await;
    let mut agent = hub.agent("r.0.1").await;
    // A list that names another's chunk is an object like any other, and opens nothing.
    let list = agent.put(&list_of(&[&victim.chunk])).await;
    assert_eq!(agent.get(&victim.chunk).await, None);
    // Nor can it be handed to an accomplice, who would be given what it names.
    agent.say(&ended("r.0.1", 1, &list), b"").await;
    assert!(matches!(agent.hear().await, Some((FromHub::Refused { .. }, _))));
    assert_eq!(agent.hear().await, None);
    // Nor another's list.
    let mut agent = hub.agent("r.0.1").await;
    agent.say(&ended("r.0.1", 1, &victim.list), b"").await;
    assert!(matches!(agent.hear().await, Some((FromHub::Refused { .. }, _))));
    // Nor by a checkpoint.
    let mut agent = hub.agent("r.0.1").await;
    let body = MessageBody::Saved { artifact: artifact(&victim.list) };
    agent.say(&ToHub::Message(JobMessage { token: "r.0.1".into(), seq: 1, at: 0, body }), b"").await;
    assert!(matches!(agent.hear().await, Some((FromHub::Refused { .. }, _))));
    // Content under another's digest is not taken.
    let mut agent = hub.agent("r.0.1").await;
    assert!(agent.put_as(&victim.chunk, b"guess").await.is_some());
    assert_eq!(agent.get(&victim.chunk).await, None);
    // Who has the same content shows it, and has it.
    agent.put(b"secret").await;
    assert_eq!(agent.get(&victim.chunk).await.unwrap(), b"secret");
    agent.say(&ended("r.0.1", 1, &list), b"").await;
    assert_eq!(agent.hear().await.unwrap().0, FromHub::Kept { seq: 1 });
    assert_eq!(hub.agent("r.1.1").await.get(&victim.chunk).await.unwrap(), b"secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_starts_again_knows_what_is_whose() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    let own = engine.opens("r.0.1", b"mine").await;
    let other = engine.opens("r.1.1", b"secret").await;
    let uploaded = engine.opens("r.2.1", b"uploaded").await;
    let mut agent = hub.agent("r.0.1").await;
    let put = agent.put(b"its own").await;
    assert_eq!(agent.get(&uploaded.chunk).await, None);
    // The engine answers with what the run's jobs have uploaded.
    let answer = Answer::Uploads(BTreeMap::from([("u".to_owned(), artifact(&uploaded.list))]));
    let reply = AgentRequest::Reply { token: "r.0.1".into(), id: 1, answer };
    engine.say(&ToHub::Request(reply), b"").await;
    assert!(matches!(agent.hear().await, Some((FromHub::Request(_), _))));
    assert_eq!(agent.get(&uploaded.chunk).await.unwrap(), b"uploaded");
    let identity = hub.identity.clone();
    drop(hub);
    let hub = Served::with(folder.path(), identity, LONG).await;
    let mut agent = hub.agent("r.0.1").await;
    for digest in [&own.spec, &own.list, &own.chunk, &put, &uploaded.list, &uploaded.chunk] {
        assert!(agent.get(digest).await.is_some(), "{digest}");
    }
    for digest in other.all() {
        assert_eq!(agent.get(digest).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_own_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    engine.opens("r.1.1", b"secret").await;
    let _agent = hub.agent("r.0.1").await;
    for (attempt, key, incarnation, why) in [
        ("r.1.1", "r.0.1", "pod", "another attempt's secret"),
        ("r.0.1", "", "pod", "no secret"),
        ("r.0.1", "r.0.1", "another pod", "another agent"),
        ("r.0.1", SECRET, "pod", "the engines' secret"),
    ] {
        let (mut raw, said) = hub.agent_with(attempt, key, incarnation).await;
        assert!(matches!(said, Some(FromHub::Refused { .. })), "{why}: {said:?}");
        assert_eq!(raw.hear().await, None, "{why}");
    }
    let (_, said) = hub.agent_with("nobody", "nobody", "pod").await;
    assert_eq!(said, None, "a young hub may hear of it yet");
    let mut wrong = hub.raw().await;
    wrong.say(&ToHub::Engine { key: "r.0.1".into(), store: "one".into() }, b"").await;
    assert!(matches!(wrong.hear().await, Some((FromHub::Refused { .. }, _))));
    let mut silent = hub.raw().await;
    silent.say(&ToHub::Get { id: 1, digest: "0".repeat(64), url: false, again: String::new() }, b"").await;
    assert!(matches!(silent.hear().await, Some((FromHub::Refused { .. }, _))), "a question is no first word");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_others_and_words_said_again_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    engine.opens("r.1.1", b"secret").await;
    let key = blake3::hash(b"chosen").to_hex().to_string();
    for word in [
        ToHub::Message(started("r.1.1", 1)),
        ToHub::Engine { key: SECRET.into(), store: "one".into() },
        ToHub::Agent { attempt: "r.1.1".into(), key: "r.1.1".into(), incarnation: "pod".into() },
        ToHub::Open { attempt: "r.1.1".into(), key, spec: String::new() },
        ToHub::Close { attempt: "r.1.1".into() },
        ToHub::Request(AgentRequest::Kill { token: "r.1.1".into() }),
        ToHub::LogKept { attempt: "r.1.1".into(), upto: 1 },
    ] {
        let mut agent = hub.agent("r.0.1").await;
        agent.say(&word, b"").await;
        assert_eq!(agent.hear().await, None, "{word:?} ends the connection");
    }
    let mut agent = hub.agent("r.0.1").await;
    for seq in [1, 1, 2, 1, 9] {
        agent.say(&ToHub::Message(started("r.0.1", seq)), b"").await;
        assert!(matches!(agent.hear().await, Some((FromHub::Kept { .. }, _))));
    }
    // The engine hears each message once.
    engine.say(&ToHub::Ping, b"").await;
    let mut heard = Vec::new();
    loop {
        match engine.hear().await.unwrap().0 {
            FromHub::Message(message) => heard.push((message.token, message.seq)),
            FromHub::Pong => break,
            _ => {}
        }
    }
    assert_eq!(heard, [("r.0.1".to_owned(), 1), ("r.0.1".to_owned(), 2)]);
    // Another store's engine opens and closes nothing here.
    let mut other = hub.engine("two").await;
    let key = blake3::hash(b"chosen").to_hex().to_string();
    other.say(&ToHub::Open { attempt: "r.0.1".into(), key, spec: String::new() }, b"").await;
    other.say(&ToHub::Close { attempt: "r.0.1".into() }, b"").await;
    assert_eq!(other.missing(&[]).await, [] as [&str; 0]);
    let (_, said) = hub.agent_with("r.0.1", "chosen", "pod").await;
    assert!(matches!(said, Some(FromHub::Refused { .. })));
    hub.agent("r.0.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_of_one_store_each_hear_of_their_own_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let (mut one, mut two) = (hub.engine("one").await, hub.engine("one").await);
    one.opens("r.0.1", b"1").await;
    two.opens("s.0.1", b"2").await;
    for (engine, attempt) in [(&mut one, "r.0.1"), (&mut two, "s.0.1")] {
        let mut agent = hub.agent(attempt).await;
        agent.say(&ToHub::Message(started(attempt, 1)), b"").await;
        assert!(matches!(engine.hear().await, Some((FromHub::Agent { attempt: a, .. }, _)) if a == attempt));
        assert!(matches!(engine.hear().await, Some((FromHub::Message(m), _)) if m.token == attempt));
        agent.say(&ToHub::Ping, b"").await;
        let lease = loop {
            if let FromHub::Lease { away } = agent.hear().await.unwrap().0 {
                break away;
            }
        };
        assert_eq!(lease, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_over_gets_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    let own = engine.opens("r.0.1", b"mine").await;
    let mut agent = hub.agent("r.0.1").await;
    // A newer connection of the same agent ends the former.
    let mut newer = hub.agent("r.0.1").await;
    assert_eq!(agent.hear().await, None);
    assert!(newer.get(&own.chunk).await.is_some());
    engine.say(&ToHub::Close { attempt: "r.0.1".into() }, b"").await;
    engine.missing(&[]).await;
    newer.say(&ToHub::Get { id: 1, digest: own.chunk.clone(), url: false, again: String::new() }, b"").await;
    assert!(matches!(newer.hear().await, Some((FromHub::Refused { .. }, _))));
    let (_, said) = hub.agent_with("r.0.1", "r.0.1", "pod").await;
    assert!(matches!(said, Some(FromHub::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_have_a_largest_size() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    // A stranger's first word is short.
    for size in [u32::MAX, HUB_FRAME_LIMIT, 100_000] {
        let mut stranger = hub.raw().await;
        stranger.bytes(&size.to_le_bytes()).await;
        assert_eq!(stranger.hear().await, None, "{size}");
    }
    let mut agent = hub.agent("r.0.1").await;
    agent.bytes(&(HUB_FRAME_LIMIT + 1).to_le_bytes()).await;
    assert_eq!(agent.hear().await, None);
    let mut agent = hub.agent("r.0.1").await;
    agent.say(&ToHub::Log { offset: 0 }, &vec![0; (1 << 20) + 1]).await;
    assert_eq!(agent.hear().await, None, "a piece of a log is small");
    // An object has a largest size, and is refused as a whole.
    let mut agent = hub.agent("r.0.1").await;
    let large = vec![0; usize::try_from(OBJECT_LIMIT).unwrap() + 1];
    let digest = blake3::hash(&large).to_hex().to_string();
    assert!(agent.put_as(&digest, &large).await.is_some());
    assert_eq!(agent.get(&digest).await, None);
    let chunk = agent.put(&large[1..]).await;
    assert_eq!(agent.get(&chunk).await.unwrap().len() as u64, OBJECT_LIMIT);
    assert_eq!(std::fs::read_dir(folder.path().join("objects/new")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_keeps_the_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::with(folder.path(), Identity::generate().unwrap(), Duration::from_secs(1)).await;
    // Many that say nothing, from one address; most are turned away at once.
    let mut idle = Vec::new();
    for _ in 0..1500 {
        idle.push(hub.tcp([127, 0, 0, 2]).await);
    }
    // Others come in at once, and work.
    let mut engine = hub.engine("one").await;
    let own = engine.opens("r.0.1", b"mine").await;
    assert!(hub.agent("r.0.1").await.get(&own.chunk).await.is_some());
    // One byte after the other does not keep a place either.
    let mut slow = hub.raw().await;
    let hello = encode_hub(&ToHub::Engine { key: SECRET.into(), store: "one".into() }, b"").unwrap();
    let began = std::time::Instant::now();
    let mut bytes = hello.iter().cycle();
    loop {
        let heard = tokio::time::timeout(Duration::from_millis(100), slow.reader.next(decode_from_hub)).await;
        if heard.is_ok() || began.elapsed() > LONG {
            break;
        }
        slow.bytes(&[*bytes.next().unwrap()]).await;
    }
    assert!(began.elapsed() < LONG / 2, "it is cut off");
    // And all those idle connections are gone.
    for stream in &mut idle {
        let mut byte = [0];
        assert!(!matches!(tokio::time::timeout(LONG, stream.read(&mut byte)).await.unwrap(), Ok(1..)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_end_their_own_connection_only() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    let own = engine.opens("r.0.1", b"mine").await;
    let mut seed = 7_u64;
    for _ in 0..40 {
        let mut agent = hub.agent("r.0.1").await;
        let noise: Vec<u8> = (0..300)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33).to_le_bytes()[0]
            })
            .collect();
        let mut frame = 300_u32.to_le_bytes().to_vec();
        frame.extend([1, noise[0] % 250, 0, 0, 0]);
        frame.extend(&noise);
        agent.bytes(&frame).await;
        assert_eq!(agent.hear().await, None);
    }
    // No TLS at all.
    let mut plain = hub.tcp([127, 0, 0, 1]).await;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    // Another certificate is not believed.
    let other = Identity::generate().unwrap();
    assert!(Raw::over(hub.tcp([127, 0, 0, 1]).await, &other).await.is_err());
    assert!(hub.agent("r.0.1").await.get(&own.chunk).await.is_some());
}
