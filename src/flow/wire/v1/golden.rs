//! Holds the stored and sent forms against the golden files: what was written stays readable, and
//! what is written still has every field that earlier readers look for; only additions are free.

use super::samples;
use super::*;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::Arc;

const EVENTS: &str = concat!(
    include_str!("golden/events.jsonl"),
    include_str!("golden/events-waiting.jsonl"),
    include_str!("golden/events-images.jsonl"),
    include_str!("golden/events-project.jsonl"),
    include_str!("golden/events-step-memory.jsonl"),
    include_str!("golden/events-service.jsonl")
);
const REQUESTS: &str =
    concat!(include_str!("golden/requests.jsonl"), include_str!("golden/requests-cache.jsonl"));
const MESSAGES: &str =
    concat!(include_str!("golden/messages.jsonl"), include_str!("golden/messages-cache.jsonl"));
const TO_HUB: &str =
    concat!(include_str!("golden/to-hub.jsonl"), include_str!("golden/to-hub-collecting.jsonl"));
const FROM_HUB: &str =
    concat!(include_str!("golden/from-hub.jsonl"), include_str!("golden/from-hub-collecting.jsonl"));
const SUBMISSION: &str = include_str!("golden/submission.json");
const SUBMISSION_OF_A_PROJECT: &str = include_str!("golden/submission-project.json");

fn kinds(golden: &str, pointer: &str) -> BTreeSet<String> {
    golden
        .lines()
        .map(|line| {
            let json: Json = serde_json::from_str(line).unwrap();
            let kind = json.pointer(pointer).unwrap();
            let word = || kind.as_object().unwrap().keys().next().unwrap().clone();
            kind.as_str().map_or_else(word, str::to_owned)
        })
        .collect()
}

fn named(kinds: &[&str]) -> BTreeSet<String> {
    kinds.iter().map(|&kind| kind.to_owned()).collect()
}

/// Checks that `new` has all that `old` has, with the same values.
fn assert_covers(old: &Json, new: &Json, path: &str) {
    match (old, new) {
        (Json::Object(old), Json::Object(new)) => {
            for (name, value) in old {
                let found = new.get(name).unwrap_or_else(|| panic!("{path}/{name} is no longer written"));
                assert_covers(value, found, &format!("{path}/{name}"));
            }
        }
        (Json::Array(old), Json::Array(new)) if old.len() == new.len() => {
            for (old, new) in old.iter().zip(new) {
                assert_covers(old, new, path);
            }
        }
        _ => assert_eq!(old, new, "at {path}"),
    }
}

fn assert_written(bytes: &[u8], golden: &str) {
    let new: Json = serde_json::from_slice(bytes).unwrap();
    assert!(!bytes.contains(&b'\n'));
    assert_covers(&serde_json::from_str(golden).unwrap(), &new, "");
}

fn body(frame: &[u8]) -> &[u8] {
    frame.get(4..).unwrap()
}

#[test]
fn events_are_written_and_read_as_in_the_golden_file() {
    let samples = samples::events();
    assert_eq!(samples.len(), EVENTS.lines().count());
    for (event, line) in samples.iter().zip(EVENTS.lines()) {
        assert_written(&encode_event(event).unwrap(), line);
        assert_eq!(&decode_event(line.as_bytes()).unwrap(), event);
    }
    assert_eq!(kinds(EVENTS, "/kind"), named(EVENT_KINDS));
}

#[test]
fn requests_are_written_and_read_as_in_the_golden_file() {
    let samples = samples::requests();
    assert_eq!(samples.len(), REQUESTS.lines().count());
    for (request, line) in samples.iter().zip(REQUESTS.lines()) {
        let frame = encode_request(request).unwrap();
        assert_written(&body(&frame)[1..], line);
        assert_eq!(&decode_request(body(&frame)).unwrap(), request);
    }
    assert_eq!(kinds(REQUESTS, ""), named(REQUEST_KINDS));
}

#[test]
fn messages_are_written_and_read_as_in_the_golden_file() {
    let samples = samples::messages();
    assert_eq!(samples.len(), MESSAGES.lines().count());
    for (message, line) in samples.iter().zip(MESSAGES.lines()) {
        let frame = encode_message(message).unwrap();
        assert_written(&body(&frame)[1..], line);
        assert_eq!(&decode_message(body(&frame)).unwrap(), message);
    }
    assert_eq!(kinds(MESSAGES, "/body"), named(MESSAGE_KINDS));
}

#[test]
fn words_of_hubs_are_written_and_read_as_in_the_golden_files() {
    // A frame: length, version, length of the JSON.
    let json = |frame: &[u8]| frame.get(9..).unwrap().to_vec();
    let samples = samples::to_hub();
    assert_eq!(samples.len(), TO_HUB.lines().count());
    for (word, line) in samples.iter().zip(TO_HUB.lines()) {
        let frame = encode_hub(word, b"").unwrap();
        assert_written(&json(&frame), line);
        let read: ToHub = serde_json::from_str(line).unwrap();
        assert_eq!((&read, decode_to_hub(body(&frame)).unwrap().0), (word, word.clone()));
    }
    let samples = samples::from_hub();
    assert_eq!(samples.len(), FROM_HUB.lines().count());
    for (word, line) in samples.iter().zip(FROM_HUB.lines()) {
        let frame = encode_hub(word, b"").unwrap();
        assert_written(&json(&frame), line);
        let read: FromHub = serde_json::from_str(line).unwrap();
        assert_eq!((&read, decode_from_hub(body(&frame)).unwrap().0), (word, word.clone()));
    }
    assert_eq!(kinds(TO_HUB, ""), named(TO_HUB_KINDS));
    assert_eq!(kinds(FROM_HUB, ""), named(FROM_HUB_KINDS));
}

#[test]
fn submissions_are_written_and_read_as_in_the_golden_file() {
    let sample = samples::submission();
    for (sample, golden) in
        [(&sample, SUBMISSION), (&samples::submission_of_a_project(), SUBMISSION_OF_A_PROJECT)]
    {
        assert_written(&encode_submission(sample).unwrap(), golden);
        assert_eq!(&decode_submission(golden.as_bytes()).unwrap(), sample);
    }
    let mut longer = sample.clone();
    longer.pods.pending_timeout = Some(60.0);
    assert_eq!(decode_submission(&encode_submission(&longer).unwrap()).unwrap(), longer);
    let newer = SUBMISSION.replace("\"v\":1", "\"v\":9");
    assert!(matches!(decode_submission(newer.as_bytes()), Err(WireError::Newer { found: 9, .. })));
    assert!(decode_submission(b"{}").is_err() && decode_submission(b"x").is_err());
}

#[test]
fn fields_of_tomorrow_are_passed_over() {
    let line = r#"{"v":1,"at":5,"mood":"fine","kind":{"engine-started":{"epoch":2,"host":"a"}}}"#;
    let event = decode_event(line.as_bytes()).unwrap();
    assert_eq!(event.kind, crate::run::EventKind::EngineStarted { epoch: 2, keeps: false });
}

#[test]
fn kinds_and_forms_of_tomorrow_are_named() {
    let kind = decode_event(br#"{"v":1,"at":5,"kind":{"run-paused":{}}}"#).unwrap_err();
    assert!(matches!(&kind, WireError::UnknownKind { kind, .. } if kind == "run-paused"), "{kind}");
    let form = decode_event(br#"{"v":7,"at":5,"kind":{"run-paused":{}}}"#).unwrap_err();
    assert!(matches!(form, WireError::Newer { found: 7, .. }), "{form}");
    assert!(matches!(decode_event(b"{\"v\":1"), Err(WireError::Damaged { .. })));
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let mut payload = Json::Null;
    for _ in 0..120 {
        payload = Json::Array(vec![payload]);
    }
    let created = crate::run::RunCreated { payload, ..Default::default() };
    let event = crate::run::RunEvent {
        at: crate::run::Millis(0),
        kind: crate::run::EventKind::RunCreated(Arc::new(created)),
    };
    assert!(matches!(encode_event(&event), Err(WireError::TooDeep { .. })));
}

/// Prints the golden files; run by hand when a kind is added:
/// `cargo test -p tidegate-flow golden_print -- --ignored --nocapture`.
#[test]
#[ignore = "writes the golden files' text, by hand"]
fn golden_print() {
    for event in samples::events() {
        println!("E {}", String::from_utf8(encode_event(&event).unwrap()).unwrap());
    }
    for request in samples::requests() {
        println!("R {}", std::str::from_utf8(&encode_request(&request).unwrap()[5..]).unwrap());
    }
    println!("S {}", String::from_utf8(encode_submission(&samples::submission()).unwrap()).unwrap());
    for message in samples::messages() {
        println!("M {}", std::str::from_utf8(&encode_message(&message).unwrap()[5..]).unwrap());
    }
    for word in samples::to_hub() {
        println!("T {}", std::str::from_utf8(&encode_hub(&word, b"").unwrap()[9..]).unwrap());
    }
    for word in samples::from_hub() {
        println!("F {}", std::str::from_utf8(&encode_hub(&word, b"").unwrap()[9..]).unwrap());
    }
}
