//! What a hub, the agents and the engine say to each other over a connection.
//!
//! A frame is as on a pipe: four bytes of length, one byte of version; then four bytes with the
//! length of the JSON, the JSON, and the bytes of content that the word is about, if any.

use super::error::explain;
use super::{VERSION, WireError};
use crate::job::{AgentRequest, JobMessage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Largest frame on a hub's connection, in bytes: a chunk of content and its word.
pub const HUB_FRAME_LIMIT: u32 = 72 << 20;

/// Every kind of word to a hub, as sent.
pub const TO_HUB_KINDS: &[&str] = &[
    "agent", "engine", "open", "close", "request", "message", "log", "log-kept", "missing", "get", "put",
    "ping", "sign", "given", "claim", "keeps", "collect",
];

/// Every kind of word from a hub, as sent.
pub const FROM_HUB_KINDS: &[&str] = &[
    "welcome",
    "refused",
    "kept",
    "log-kept",
    "request",
    "message",
    "log",
    "agent",
    "missing",
    "object",
    "stored",
    "pong",
    "lease",
    "signed",
    "store",
    "closed",
    "disk",
    "collected",
];

/// To a hub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToHub {
    /// The first word of an agent.
    Agent {
        /// Its attempt's token.
        attempt: String,
        /// The secret of this attempt.
        key: String,
        /// The pod's UID: another one fences the former.
        incarnation: String,
        /// The version of its program.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        version: String,
    },
    /// The first word of an engine.
    Engine {
        /// The hub's own secret.
        key: String,
        /// The store's id: an engine hears of its own attempts only.
        store: String,
    },
    /// Engine: an attempt may connect from now on. Said again, it changes nothing.
    Open {
        /// Its token.
        attempt: String,
        /// blake3 of its secret, hex.
        key: String,
        /// Digest of its spec: its agent may have this, and what it names.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        spec: String,
    },
    /// Engine: an attempt is over; what is kept of it goes.
    Close {
        /// Its token.
        attempt: String,
    },
    /// Engine: for an agent. Kept until the agent comes, if it is not there.
    Request(AgentRequest),
    /// Agent: kept by the hub before it says [`FromHub::Kept`].
    Message(JobMessage),
    /// Agent: bytes of the attempt's log, the content of this frame.
    Log {
        /// Where they start.
        offset: u64,
    },
    /// Engine: the log is in its store up to here.
    LogKept {
        /// Which attempt.
        attempt: String,
        /// Bytes.
        upto: u64,
    },
    /// Which of these does the hub not have? To an agent, what it may not have is not there.
    Missing {
        /// To match the answer.
        id: u64,
        /// Digests, hex.
        digests: Vec<String>,
    },
    /// Give an object.
    Get {
        /// To match the answer.
        id: u64,
        /// Its digest.
        digest: String,
        /// The answer may be [`FromHub::Signed`].
        #[serde(default, skip_serializing_if = "is_false")]
        url: bool,
        /// What went wrong with a URL before.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        again: String,
    },
    /// Keep an object, the content of this frame.
    Put {
        /// To match the answer.
        id: u64,
        /// Its digest; content that has another one is refused.
        digest: String,
    },
    /// Are you there?
    Ping,
    /// Where can an object be put that the hub does not have? Answered by [`FromHub::Signed`], or by
    /// [`FromHub::Stored`]: it is there, or the hub has no object store.
    Sign {
        /// To match the answer.
        id: u64,
        /// Its digest.
        digest: String,
        /// Bytes.
        size: u64,
        /// What went wrong with a URL before.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        again: String,
    },
    /// The object is where the hub said; answered by [`FromHub::Stored`] once the hub has looked at it.
    Given {
        /// To match the answer.
        id: u64,
        /// Its digest.
        digest: String,
    },
    /// Engine: its store relies on these lists and on what they name from now on. Answered by [`FromHub::Missing`]:
    /// those that the hub does not have, or not all of.
    Claim {
        /// To match the answer.
        id: u64,
        /// Digests of lists, hex.
        lists: Vec<String>,
    },
    /// Engine: its store still relies on these lists. Nothing is looked at, and nothing answered.
    Keeps {
        /// Digests of lists, hex.
        lists: Vec<String>,
    },
    /// Engine: these lists are all that its store still needs; what nobody needs may go. Answered by
    /// [`FromHub::Collected`].
    Collect {
        /// To match the answer.
        id: u64,
        /// Digests of lists, hex.
        keep: Vec<String>,
        /// Only count what would go.
        #[serde(default, skip_serializing_if = "is_false")]
        dry_run: bool,
    },
}

/// From a hub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromHub {
    /// You are let in.
    Welcome {
        /// The last message of this attempt that is kept; 0: none.
        kept: u64,
        /// Bytes of this attempt's log that are kept.
        log: u64,
        /// There is an object store: large objects are put there.
        #[serde(default, skip_serializing_if = "is_false")]
        store: bool,
        /// To an engine: it hears [`ToHub::Claim`], [`ToHub::Keeps`] and [`ToHub::Collect`].
        #[serde(default, skip_serializing_if = "is_false")]
        collects: bool,
    },
    /// You are not, and coming again is no use.
    Refused {
        /// For people.
        reason: String,
    },
    /// To an agent: all messages up to `seq` are kept.
    Kept {
        /// The last one.
        seq: u64,
    },
    /// To an agent: the log is kept up to here.
    LogKept {
        /// Bytes.
        upto: u64,
    },
    /// To an agent: from the engine.
    Request(AgentRequest),
    /// To an engine: from an agent, again after each connection until it is acknowledged.
    Message(JobMessage),
    /// To an engine: bytes of a log, the content of this frame.
    Log {
        /// Which attempt.
        attempt: String,
        /// Where they start.
        offset: u64,
    },
    /// To an engine: an agent came.
    Agent {
        /// Which attempt.
        attempt: String,
        /// The pod's UID.
        incarnation: String,
        /// The version of its program.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        version: String,
    },
    /// Answer to [`ToHub::Missing`].
    Missing {
        /// The question.
        id: u64,
        /// Digests.
        digests: Vec<String>,
    },
    /// Answer to [`ToHub::Get`]: the content of this frame.
    Object {
        /// The question.
        id: u64,
        /// Whether there is such an object.
        found: bool,
    },
    /// Answer to [`ToHub::Put`].
    Stored {
        /// The question.
        id: u64,
        /// Why it is not kept.
        error: Option<String>,
        /// For lack of space.
        #[serde(default, skip_serializing_if = "is_false")]
        full: bool,
    },
    /// Yes.
    Pong,
    /// To an agent, on its ping: how long the engine that opened its attempt has been away; 0 while it
    /// is there.
    Lease {
        /// Seconds.
        away: u64,
    },
    /// Answer to [`ToHub::Get`] and [`ToHub::Sign`]: a URL that is good for this object, and for minutes.
    Signed {
        /// The question.
        id: u64,
        /// The URL: a secret, as long as it is good.
        url: String,
        /// Headers that go with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
    /// To an engine: whether the object store answers.
    Store {
        /// Why not; `None`: it does.
        problem: Option<String>,
    },
    /// To an engine: the hub has nothing of this attempt any more.
    Closed {
        /// Which attempt.
        attempt: String,
    },
    /// The hub's own disk takes nothing, or it does again: to an engine once, to an agent with all that is not kept.
    Disk {
        /// Why; `None`: it takes what comes.
        problem: Option<String>,
    },
    /// Answer to [`ToHub::Collect`].
    Collected {
        /// The question.
        id: u64,
        /// What went, or would go.
        #[serde(default)]
        gone: Tally,
        /// What stays.
        #[serde(default)]
        kept: Tally,
        /// Why not all was looked at; `None`: it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// How many objects, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Objects.
    pub count: u64,
    /// Bytes in them.
    pub bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Returns a word and its content as one frame.
pub fn encode_hub<T: Serialize>(word: &T, content: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut frame = encode_hub_head(word, content.len() as u64)?;
    frame.extend_from_slice(content);
    Ok(frame)
}

/// Returns a frame up to where its content begins, which has `content` bytes.
pub fn encode_hub_head<T: Serialize>(word: &T, content: u64) -> Result<Vec<u8>, WireError> {
    let json = serde_json::to_vec(word).map_err(|source| WireError::Damaged { what: "word", source })?;
    let size = 5 + json.len() as u64 + content;
    let too_large = WireError::TooLarge { size, limit: HUB_FRAME_LIMIT };
    let length = u32::try_from(size).ok().filter(|l| *l <= HUB_FRAME_LIMIT).ok_or(too_large)?;
    let mut frame = Vec::with_capacity(9 + json.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.push(VERSION);
    // It fits: the whole frame does.
    frame.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&json);
    Ok(frame)
}

/// Reads a frame's body as a word to a hub, and its content.
pub fn decode_to_hub(body: &[u8]) -> Result<(ToHub, &[u8]), WireError> {
    decode(body, TO_HUB_KINDS)
}

/// Reads a frame's body as a word from a hub, and its content.
pub fn decode_from_hub(body: &[u8]) -> Result<(FromHub, &[u8]), WireError> {
    decode(body, FROM_HUB_KINDS)
}

fn decode<'a, T: DeserializeOwned>(body: &'a [u8], known: &[&str]) -> Result<(T, &'a [u8]), WireError> {
    let (version, rest) = body.split_first().ok_or(WireError::Empty)?;
    if *version != VERSION {
        return Err(WireError::Newer { found: u64::from(*version), known: VERSION });
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(WireError::Empty)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (json, content) = rest.split_at_checked(length).ok_or(WireError::Empty)?;
    let word = serde_json::from_slice(json).map_err(|source| explain("word", json, "", known, source))?;
    Ok((word, content))
}

#[cfg(test)]
mod tests {
    use super::super::FrameDecoder;
    use super::*;

    #[test]
    fn words_come_out_as_they_went_in_with_their_content() {
        let words = [
            (ToHub::Put { id: 7, digest: "ab".into() }, b"content".as_slice()),
            (ToHub::Request(AgentRequest::Kill { token: "t".into() }), b""),
            (ToHub::Log { offset: 5 }, b"\n\0\xff"),
        ];
        let mut decoder = FrameDecoder::new(HUB_FRAME_LIMIT);
        for (word, content) in &words {
            decoder.push(&encode_hub(word, content).unwrap());
        }
        for (word, content) in &words {
            assert_eq!(
                decode_to_hub(decoder.next_frame().unwrap().unwrap()).unwrap(),
                (word.clone(), *content)
            );
        }
    }

    #[test]
    fn unknown_words_are_named() {
        let frame = encode_hub(&serde_json::json!({"dance": {}}), b"").unwrap();
        let error = decode_from_hub(&frame[4..]).unwrap_err().to_string();
        assert!(error.contains("`dance`"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = decode_to_hub(&bytes);
            let _ = decode_from_hub(&bytes);
        }
    }
}
