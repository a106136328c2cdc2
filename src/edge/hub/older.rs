//! Words that this hub does not know: those of a newer release. Who said one would come again and say it again, so it is told
//! that this is no use, and an agent's attempt ends with a receipt that says why.

use super::outgoing::Frames;
use super::server::{Hub, State, Who};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_flow::job::{Conclusion, FailureClass, JobMessage, MessageBody, Receipt};
use tidegate_flow::wire::v1::{FromHub, WireError};

const OWN: &str = env!("CARGO_PKG_VERSION");

impl Hub {
    /// Sends somebody away whose word could not be read, if that is why nothing was.
    pub(super) fn does_not_know(&self, who: Option<&Who>, error: &io::Error, frames: &Frames) {
        let Some(error) = unknown(error) else { return };
        let reason = match who {
            Some(Who::Agent { attempt, .. }) => self.ends(attempt, error),
            Some(Who::Engine { .. }) => reason("engine", "", error),
            None => reason("client", "", error),
        };
        frames.say(&FromHub::Refused { reason });
    }

    /// Ends an attempt in its agent's place; the engine hears of it as of any receipt. Returns why.
    fn ends(&self, token: &str, error: &WireError) -> String {
        let mut state = self.state();
        let State { attempts, engines, behind, .. } = &mut *state;
        let Some(attempt) = attempts.get_mut(token) else { return reason("agent", "", error) };
        let reason = reason("agent", &attempt.spool.opened.version, error);
        let is_end = |message: &JobMessage| matches!(message.body, MessageBody::Ended(_));
        if !attempt.spool.messages.iter().any(is_end) {
            let receipt = Receipt::bare(Conclusion::Failure, Some(FailureClass::Image), reason.clone());
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            attempt.spool.take(&JobMessage {
                token: token.to_owned(),
                seq: attempt.spool.next(),
                at: i64::try_from(at).unwrap_or(i64::MAX),
                body: MessageBody::Ended(receipt),
            });
            // What cannot be written now is known as long as this process lives.
            let _ = attempt.spool.write_up();
            if let Some(engine) = attempt.engine(engines) {
                attempt.pump(engine, behind);
            }
        }
        reason
    }
}

/// What could not be read although it came whole.
fn unknown(error: &io::Error) -> Option<&WireError> {
    let error = error.get_ref()?.downcast_ref::<WireError>()?;
    let whole = match error {
        WireError::UnknownKind { .. } | WireError::Newer { .. } => true,
        WireError::Damaged { source, .. } => source.is_data(),
        _ => false,
    };
    whole.then_some(error)
}

fn reason(whose: &str, version: &str, error: &WireError) -> String {
    // The words that it does know are of no use to people.
    let error = error.to_string();
    let error = error.split(", expected one of").next().unwrap_or_default();
    if version == OWN {
        return format!("the hub does not understand a word of this {whose}: {error}");
    }
    let has = if version.is_empty() { String::new() } else { format!(", which has {version}") };
    format!(
        "the hub has Tidegate {OWN} and does not know a word of this {whose}{has} ({error}): \
         `kubectl delete deployment tidegate-hub`, while no run is under way, has the next run put up another one"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::wire::v1::{decode_to_hub, encode_hub};

    #[test]
    fn only_what_came_whole_is_of_a_newer_release() {
        let read = |bytes: &[u8]| {
            let error = decode_to_hub(bytes).unwrap_err();
            unknown(&io::Error::new(io::ErrorKind::InvalidData, error)).is_some()
        };
        let frame = |word: serde_json::Value| encode_hub(&word, b"").unwrap()[4..].to_vec();
        assert!(read(&frame(serde_json::json!({ "dance": {} }))));
        assert!(read(&frame(
            serde_json::json!({ "message": { "token": "t", "seq": 1, "at": 0, "body": { "sang": {} } } })
        )));
        assert!(read(&[9, 0, 0, 0, 0]), "another form");
        assert!(!read(&[1, 3, 0, 0, 0, b'{', b'"', b'x']), "torn");
        assert!(!read(&[]));
        assert!(unknown(&io::ErrorKind::TimedOut.into()).is_none());
    }

    #[test]
    fn it_says_which_of_the_two_is_older() {
        let error = WireError::UnknownKind { what: "word", kind: "dance".to_owned() };
        let other = reason("agent", "99.0.0", &error);
        assert!(
            other.starts_with(&format!(
                "the hub has Tidegate {OWN} and does not know a word of this agent, which has 99.0.0"
            )),
            "{other}"
        );
        assert!(
            other.contains("`dance`") && other.contains("kubectl delete deployment tidegate-hub"),
            "{other}"
        );
        assert!(reason("engine", "", &error).contains("of this engine (word"));
        assert!(!reason("agent", OWN, &error).contains("kubectl"), "it is no other release");
    }
}
