//! What breaks on the way: connections, disks, machines. Nothing is lost, nothing waits for ever.

use super::raw::{LONG, Raw, SECRET, Served, started};
use crate::agent::{Control, log_path};
use crate::hub::*;
use crate::store::{FileObjects, Objects as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::{AgentRequest, Answer, MessageBody};
use tidegate_flow::wire::v1::{FromHub, ToHub};

/// The next piece of a log: which attempt's, where it starts, how long it is.
async fn log(engine: &mut Raw) -> (String, u64, u64) {
    loop {
        if let (FromHub::Log { attempt, offset }, bytes) = engine.hear().await.expect("a piece of a log") {
            return (attempt, offset, bytes.len() as u64);
        }
    }
}

fn log_kept(attempt: &str, upto: u64) -> ToHub {
    ToHub::LogKept { attempt: attempt.into(), upto }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_whose_machine_lost_the_end_of_a_log_gets_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    let own = engine.opens("r.0.1", b"mine").await;
    engine.say(&log_kept("r.0.1", 0), b"").await;
    let mut agent = hub.agent("r.0.1").await;
    agent.say(&ToHub::Log { offset: 0 }, b"12345678").await;
    assert_eq!(log(&mut engine).await, ("r.0.1".into(), 0, 8));
    engine.say(&log_kept("r.0.1", 8), b"").await;
    drop(engine);
    // It comes again with half of what it said that it had.
    let mut engine = hub.engine("one").await;
    let key = blake3::hash(b"r.0.1").to_hex().to_string();
    engine.say(&ToHub::Open { attempt: "r.0.1".into(), key, spec: own.spec }, b"").await;
    engine.say(&log_kept("r.0.1", 4), b"").await;
    assert_eq!(log(&mut engine).await, ("r.0.1".into(), 4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_to_an_agent_whose_connection_broke_is_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    let _cut_off = hub.agent("r.0.1").await;
    let answer = Answer::Uploads(BTreeMap::new());
    let reply = AgentRequest::Reply { token: "r.0.1".into(), id: 1, answer };
    engine.say(&ToHub::Request(reply.clone()), b"").await;
    engine.missing(&[]).await;
    let (mut agent, said) = hub.agent_with("r.0.1", "r.0.1", "pod").await;
    assert!(matches!(said, Some(FromHub::Welcome { .. })), "{said:?}");
    assert_eq!(agent.hear().await.unwrap().0, FromHub::Request(reply));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_confirmed_and_who_comes_late_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    let mut agent = hub.agent("r.0.1").await;
    engine.missing(&[]).await;
    for _ in 0..2 {
        engine.say(&ToHub::Close { attempt: "r.0.1".into() }, b"").await;
        assert_eq!(engine.hear().await.unwrap().0, FromHub::Closed { attempt: "r.0.1".into() });
    }
    // Who is there is told at once, and not when it says something next.
    let refused = FromHub::Refused { reason: "the attempt is over".into() };
    assert_eq!(agent.hear().await.map(|(word, _)| word), Some(refused.clone()));
    let (_, said) = hub.agent_with("r.0.1", "r.0.1", "pod").await;
    assert_eq!(said, Some(refused));
    // The real engine says it again to a hub that was away.
    let (end, heard, keep_up) = hub.end();
    end.open("r.1.1", "secret", "", &folder.path().join("log"));
    end.close("r.1.1");
    end.open("r.2.1", "secret", "", &folder.path().join("log"));
    let driven = tokio::spawn(keep_up);
    let heard = tokio::task::spawn_blocking(move || heard.recv_timeout(LONG)).await.unwrap();
    assert!(matches!(heard, Ok(HubEvent::Stands)), "{heard:?}");
    let until = std::time::Instant::now() + LONG;
    while end.is_closing() {
        assert!(std::time::Instant::now() < until, "it is never confirmed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    driven.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_nobody_comes_for_go() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Arc::new(Hub::open(folder.path(), SECRET, None).unwrap());
    let served = Served::shared(hub.clone(), Identity::generate().unwrap()).await;
    let mut engine = served.engine("one").await;
    for attempt in ["r.0.1", "r.1.1"] {
        engine.opens(attempt, b"mine").await;
    }
    let agent = served.agent("r.1.1").await;
    let left = || std::fs::read_dir(folder.path().join("attempts")).unwrap().count();
    hub.sweep(Duration::ZERO, Duration::ZERO);
    assert_eq!(left(), 2, "an engine has them open");
    drop(engine);
    let until = std::time::Instant::now() + LONG;
    while left() != 1 {
        hub.sweep(Duration::ZERO, Duration::ZERO);
        assert!(std::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hub.sweep(Duration::from_hours(1), Duration::ZERO);
    drop(agent);
    while left() != 0 {
        hub.sweep(Duration::ZERO, Duration::ZERO);
        assert!(std::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_files_cannot_be_read_begins_anew_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    let mut agent = hub.agent("r.0.1").await;
    agent.say(&ToHub::Message(started("r.0.1", 1)), b"").await;
    assert_eq!(agent.hear().await.unwrap().0, FromHub::Kept { seq: 1 });
    let identity = hub.identity.clone();
    drop((agent, engine, hub));
    std::fs::write(folder.path().join("attempts/r.0.1/messages"), b"\x09\0\0\0\xffnonsense").unwrap();
    let hub = Served::with(folder.path(), identity, LONG).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    engine.opens("r.1.1", b"mine").await;
    // Its agent says again what nobody acknowledged.
    let (mut agent, said) = hub.agent_with("r.0.1", "r.0.1", "pod").await;
    assert_eq!(said, Some(FromHub::Welcome { kept: 0, log: 0, store: false, collects: false }));
    agent.say(&ToHub::Message(started("r.0.1", 1)), b"").await;
    assert_eq!(agent.hear().await.unwrap().0, FromHub::Kept { seq: 1 });
    hub.agent("r.1.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_reads_slowly_gets_everything_and_fills_no_memory() {
    const ATTEMPTS: usize = 60;
    const PIECE: usize = 128 << 10;
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    let tokens: Vec<String> = (0..ATTEMPTS).map(|i| format!("r.{i}.1")).collect();
    for token in &tokens {
        engine.opens(token, b"mine").await;
        let mut agent = hub.agent(token).await;
        for piece in 0..4 {
            agent.say(&ToHub::Log { offset: (piece * PIECE) as u64 }, &vec![7; PIECE]).await;
        }
        let whole = FromHub::LogKept { upto: 4 * PIECE as u64 };
        while agent.hear().await.unwrap().0 != whole {}
    }
    // Now it says how much it has, which is nothing, of all at once, and more questions than are answered at once.
    for token in &tokens {
        engine.say(&log_kept(token, 0), b"").await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(hub.hub.queued() < 4 << 20, "{} bytes wait", hub.hub.queued());
    let mut got = BTreeMap::<String, u64>::new();
    while got.len() < ATTEMPTS || got.values().any(|bytes| *bytes < 4 * PIECE as u64) {
        let (attempt, offset, bytes) = log(&mut engine).await;
        let known = got.entry(attempt.clone()).or_default();
        assert_eq!(offset, *known, "{attempt}");
        *known += bytes;
        let upto = *known;
        engine.say(&log_kept(&attempt, upto), b"").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_on_the_disk_for_an_engine_that_reads_slowly() {
    const ATTEMPTS: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    let tokens: Vec<String> = (0..ATTEMPTS).map(|i| format!("r.{i}.1")).collect();
    for token in &tokens {
        engine.opens(token, b"mine").await;
    }
    for token in &tokens {
        let mut agent = hub.agent(token).await;
        for seq in [1, 2] {
            let mut message = started(token, seq);
            message.body = MessageBody::Started { notes: vec!["x".repeat(256 << 10)] };
            agent.say(&ToHub::Message(message), b"").await;
            while agent.hear().await.unwrap().0 != (FromHub::Kept { seq }) {}
        }
    }
    // 50 MB were said, less than what the system's own buffers hold was heard.
    assert!(hub.hub.queued() < 4 << 20, "{} bytes wait", hub.hub.queued());
    let mut heard = BTreeMap::<String, u64>::new();
    while heard.values().sum::<u64>() < 3 * ATTEMPTS as u64 {
        if let FromHub::Message(message) = engine.hear().await.unwrap().0 {
            let sum = heard.entry(message.token).or_default();
            *sum += message.seq;
            assert!(*sum == message.seq * (message.seq + 1) / 2, "in order, each once");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_hears_which_program_an_agent_has() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    let _agent = hub.agent("r.0.1").await;
    let came = FromHub::Agent { attempt: "r.0.1".into(), incarnation: "pod".into(), version: "1.2.3".into() };
    assert_eq!(engine.hear().await.unwrap().0, came);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_the_hub_lost_is_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(&folder.path().join("hub")).await;
    let objects = Arc::new(FileObjects::open(folder.path().join("objects")).unwrap());
    let file = folder.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let put = objects.put_path(&file).unwrap();
    let given = |end: Arc<EngineEnd>| {
        let (objects, put) = (objects.clone(), put.clone());
        tokio::task::spawn_blocking(move || end.objects.push(&put, &objects).unwrap())
    };
    let engine = || {
        let (end, _, keep_up) = hub.end();
        tokio::spawn(keep_up);
        end
    };
    given(engine()).await.unwrap();
    let digest = blake3::hash(b"content").to_hex().to_string();
    let kept = FileObjects::open(folder.path().join("hub/objects")).unwrap();
    assert!(kept.has(&digest));
    kept.discard(&digest);
    assert!(!kept.has(&digest));
    // The next engine does not rely on the list that is still there.
    given(engine()).await.unwrap();
    assert!(kept.has(&digest));
}

#[test]
fn a_log_that_a_full_hub_does_not_take_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = log_path(folder.path(), "r", "a", 0, 1);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "12345678").unwrap();
    let end = AgentEnd::new("r.0.1", "secret", "pod", Arc::new(Control::new()));
    let tls = client_config(&Identity::generate().unwrap().certificate).unwrap();
    // Never driven: the hub's words are said by hand.
    let (connection, _keep_up) = Connection::new(dial_tcp(([127, 0, 0, 1], 9).into()), tls, end.clone());
    let follower = follow_log(end.clone(), &path).unwrap().with_patience(Duration::from_millis(50));
    let full = || FromHub::Disk { problem: Some("no space left".into()) };
    end.hear(&connection, FromHub::LogKept { upto: 3 }, Vec::new());
    end.hear(&connection, full(), Vec::new());
    let cut = follower.finish(8).unwrap_err();
    assert_eq!(cut, LogCut { kept: 3, problem: "no space left".into() });
    // Where it takes the rest before that, nothing is cut.
    let follower = follow_log(end.clone(), &path).unwrap().with_patience(LONG);
    end.hear(&connection, full(), Vec::new());
    let waiting = std::thread::spawn(move || follower.finish(8));
    end.hear(&connection, FromHub::LogKept { upto: 8 }, Vec::new());
    assert_eq!(waiting.join().unwrap(), Ok(()));
    end.is_over();
}
