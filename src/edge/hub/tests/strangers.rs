//! Attacks: too much, too slow, nonsense.

use super::raw::{LONG, Raw, SECRET, Served};
use crate::hub::*;
use crate::store::OBJECT_LIMIT;
use std::time::Duration;
use tidegate_flow::wire::v1::{HUB_FRAME_LIMIT, ToHub, decode_from_hub, encode_hub};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
    let hub = Served::with(folder.path(), Identity::generate().unwrap(), Duration::from_secs(6)).await;
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
