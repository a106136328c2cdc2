//! Requests and messages in frames, as they travel over a pipe or a connection.

use super::error::explain;
use super::{MESSAGE_KINDS, REQUEST_KINDS, VERSION, WireError};
use crate::job::{AgentRequest, JobMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest frame that is written or read, in bytes: a job with a large script and large contexts.
pub const FRAME_LIMIT: u32 = 64 << 20;

/// Bytes of the length in front of a frame.
const HEADER: usize = 4;

/// Returns a request as one frame.
pub fn encode_request(request: &AgentRequest) -> Result<Vec<u8>, WireError> {
    frame("request", request)
}

/// Returns a message as one frame.
pub fn encode_message(message: &JobMessage) -> Result<Vec<u8>, WireError> {
    frame("message", message)
}

/// Reads a frame's body, as [`FrameDecoder::next_frame`] gives it, as a request.
pub fn decode_request(body: &[u8]) -> Result<AgentRequest, WireError> {
    read("request", body, "", REQUEST_KINDS)
}

/// Reads a frame's body, as [`FrameDecoder::next_frame`] gives it, as a message.
pub fn decode_message(body: &[u8]) -> Result<JobMessage, WireError> {
    read("message", body, "/body", MESSAGE_KINDS)
}

fn frame<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&[0; HEADER]);
    bytes.push(VERSION);
    serde_json::to_writer(&mut bytes, value).map_err(|source| WireError::Damaged { what, source })?;
    let size = bytes.len().saturating_sub(HEADER);
    let length = u32::try_from(size).ok().filter(|length| *length <= FRAME_LIMIT);
    let length = length.ok_or(WireError::TooLarge { size: size as u64, limit: FRAME_LIMIT })?;
    for (byte, value) in bytes.iter_mut().zip(length.to_le_bytes()) {
        *byte = value;
    }
    Ok(bytes)
}

fn read<T: DeserializeOwned>(
    what: &'static str,
    body: &[u8],
    pointer: &str,
    known: &[&str],
) -> Result<T, WireError> {
    let (version, json) = body.split_first().ok_or(WireError::Empty)?;
    if *version != VERSION {
        return Err(WireError::Newer { found: u64::from(*version), known: VERSION });
    }
    serde_json::from_slice(json).map_err(|source| explain(what, json, pointer, known, source))
}

/// Cuts a stream of bytes into frames, whatever the pieces it comes in.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// Where the first frame that was not given out starts.
    start: usize,
    limit: u32,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new(FRAME_LIMIT)
    }
}

impl FrameDecoder {
    /// Makes a decoder that refuses frames of more than `limit` bytes.
    pub fn new(limit: u32) -> Self {
        Self { buffer: Vec::new(), start: 0, limit }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > self.buffer.len() / 2 {
            // Moving what is left costs less than what was read, so each byte moves once or twice.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the body of the next whole frame; `None` until more bytes come.
    ///
    /// After an error the stream has no meaning any more: every later call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, WireError> {
        let waiting = self.buffer.get(self.start..).unwrap_or_default();
        let Some((header, rest)) = waiting.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*header);
        if length > self.limit {
            return Err(WireError::TooLarge { size: u64::from(length), limit: self.limit });
        }
        let length = length as usize;
        if rest.len() < length {
            return Ok(None);
        }
        let from = self.start + HEADER;
        self.start = from + length;
        Ok(self.buffer.get(from..from + length))
    }

    /// Tells whether a frame was begun and not finished: an end of the stream now is a cut.
    pub fn is_mid_frame(&self) -> bool {
        self.start < self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(token: &str) -> AgentRequest {
        AgentRequest::Kill { token: token.to_owned() }
    }

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_pieces() {
        let wanted: Vec<_> = (0..50).map(|n| kill(&"x".repeat(n * 7))).collect();
        let stream: Vec<u8> = wanted.iter().flat_map(|request| encode_request(request).unwrap()).collect();
        for piece in [1, 2, 3, 7, 64, 1000, stream.len()] {
            let mut decoder = FrameDecoder::default();
            let mut got = Vec::new();
            for bytes in stream.chunks(piece) {
                decoder.push(bytes);
                while let Some(body) = decoder.next_frame().unwrap() {
                    got.push(decode_request(body).unwrap());
                }
            }
            assert_eq!(got, wanted);
            assert!(!decoder.is_mid_frame());
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let mut decoder = FrameDecoder::new(100);
        decoder.push(&101_u32.to_le_bytes());
        assert!(matches!(decoder.next_frame(), Err(WireError::TooLarge { size: 101, limit: 100 })));
        assert!(decoder.next_frame().is_err());
    }

    #[test]
    fn empty_foreign_and_newer_frames_are_errors() {
        assert!(matches!(decode_request(b""), Err(WireError::Empty)));
        assert!(matches!(decode_request(b"\x02{}"), Err(WireError::Newer { found: 2, .. })));
        let unknown = decode_request(b"\x01{\"dance\":{}}").unwrap_err().to_string();
        assert!(unknown.contains("`dance`"), "{unknown}");
        assert!(matches!(decode_message(b"\x01[]"), Err(WireError::Damaged { .. })));
    }

    proptest::proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), piece in 1_usize..50) {
            let mut decoder = FrameDecoder::new(300);
            for part in bytes.chunks(piece) {
                decoder.push(part);
                while let Ok(Some(body)) = decoder.next_frame() {
                    let _ = decode_request(body);
                    let _ = decode_message(body);
                }
            }
            let _ = super::super::decode_event(&bytes);
        }
    }
}
