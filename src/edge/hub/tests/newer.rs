//! Agents and engines of a newer release, which say words that this hub does not know.

use super::raw::{Raw, Served, started};
use serde_json::{Value as Json, json};
use tidegate_flow::job::{Conclusion, FailureClass, MessageBody, Receipt};
use tidegate_flow::wire::v1::{FromHub, ToHub, encode_hub};

fn word(word: &Json) -> Vec<u8> {
    encode_hub(word, b"").unwrap()
}

/// A body that no release has.
fn song(seq: u64) -> Vec<u8> {
    word(&json!({ "message": { "token": "r.0.1", "seq": seq, "at": 0, "body": { "sang": { "notes": 3 } } } }))
}

/// Hears up to the word that sends it away; then the connection is over.
async fn sent_away(client: &mut Raw) -> String {
    loop {
        if let FromHub::Refused { reason } = client.hear().await.expect("a word, not only the end").0 {
            assert_eq!(client.hear().await, None);
            return reason;
        }
    }
}

async fn receipt(engine: &mut Raw) -> (u64, Receipt) {
    loop {
        if let FromHub::Message(message) = engine.hear().await.unwrap().0
            && let MessageBody::Ended(receipt) = message.body
        {
            return (message.seq, receipt);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_agent_is_not_understood_ends_and_says_why() {
    for unknown in [word(&json!({ "dance": {} })), song(2)] {
        let folder = tempfile::tempdir().unwrap();
        let hub = Served::new(folder.path()).await;
        let mut engine = hub.engine("one").await;
        engine.opens("r.0.1", b"mine").await;
        let mut agent = hub.agent("r.0.1").await;
        agent.say(&ToHub::Message(started("r.0.1", 1)), b"").await;
        agent.bytes(&unknown).await;
        let told = sent_away(&mut agent).await;
        assert!(told.contains("does not know a word of this agent, which has 1.2.3"), "{told}");
        assert!(told.contains("kubectl delete deployment tidegate-hub"), "{told}");
        let (seq, receipt) = receipt(&mut engine).await;
        assert_eq!(
            (seq, receipt.conclusion, receipt.class),
            (2, Conclusion::Failure, Some(FailureClass::Image))
        );
        assert_eq!(receipt.reason, Some(told));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_was_away_hears_of_it_and_a_receipt_that_is_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.opens("r.0.1", b"mine").await;
    drop(engine);
    let mut agent = hub.agent("r.0.1").await;
    agent.bytes(&song(1)).await;
    let told = sent_away(&mut agent).await;
    // Whatever comes again, for the same or another reason, changes nothing.
    let (mut again, _) = hub.agent_with("r.0.1", "r.0.1", "pod").await;
    again.bytes(&song(2)).await;
    sent_away(&mut again).await;
    let mut engine = hub.engine("one").await;
    engine.say(&ToHub::Open { attempt: "r.0.1".into(), key: String::new(), spec: String::new() }, b"").await;
    assert_eq!(receipt(&mut engine).await.1.reason, Some(told));
    engine.say(&ToHub::Ping, b"").await;
    assert_eq!(engine.hear().await.unwrap().0, FromHub::Pong, "one receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_and_a_stranger_that_are_not_understood_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Served::new(folder.path()).await;
    let mut engine = hub.engine("one").await;
    engine.bytes(&word(&json!({ "dance": {} }))).await;
    assert!(sent_away(&mut engine).await.contains("word of this engine"));
    let mut stranger = hub.raw().await;
    stranger.bytes(&word(&json!({ "hello": { "attempt": "r.0.1" } }))).await;
    let told = sent_away(&mut stranger).await;
    assert!(told.contains("`hello`"), "{told}");
    // What is torn or no word at all is not answered.
    let mut stranger = hub.raw().await;
    stranger.bytes(&[7, 0, 0, 0, 1, 2, 0, 0, 0, b'{', b'x']).await;
    assert_eq!(stranger.hear().await, None);
}
