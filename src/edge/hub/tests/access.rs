//! Who gets what: agents what they were given, engines what is their store's.

use super::raw::{LONG, SECRET, Served, artifact, ended, list_of, started};
use std::collections::BTreeMap;
use tidegate_flow::job::{AgentRequest, Answer, ArtifactRef, JobMessage, MessageBody};
use tidegate_flow::wire::v1::{FromHub, ToHub};

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
    // Nor by a checkpoint, of which only the number is kept: a hub that lost its disk must not end a job for one.
    let mut agent = hub.agent("r.0.1").await;
    let body = MessageBody::Saved { artifact: artifact(&victim.list) };
    agent.say(&ToHub::Message(JobMessage { token: "r.0.1".into(), seq: 1, at: 0, body }), b"").await;
    assert_eq!(agent.hear().await.unwrap().0, FromHub::Kept { seq: 1 });
    let heard = loop {
        if let (FromHub::Message(message), _) = engine.hear().await.unwrap() {
            break message.body;
        }
    };
    assert_eq!(heard, MessageBody::Saved { artifact: ArtifactRef::default() });
    // Content under another's digest is not taken.
    let mut agent = hub.agent("r.0.1").await;
    assert!(agent.put_as(&victim.chunk, b"guess").await.is_some());
    assert_eq!(agent.get(&victim.chunk).await, None);
    // Who has the same content shows it, and has it.
    agent.put(b"secret").await;
    assert_eq!(agent.get(&victim.chunk).await.unwrap(), b"secret");
    agent.say(&ended("r.0.1", 2, &list), b"").await;
    assert_eq!(agent.hear().await.unwrap().0, FromHub::Kept { seq: 2 });
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
    assert_eq!(said, None, "the hub may hear of it yet: its engine may be away");
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
        ToHub::Agent {
            attempt: "r.1.1".into(),
            key: "r.1.1".into(),
            incarnation: "pod".into(),
            version: String::new(),
        },
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
