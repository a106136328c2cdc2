//! Version 1 of the stored and sent forms, with golden files of every release.
//!
//! Events are one compact JSON object each, `{"v":1,"at":…,"kind":{"step-started":{…}}}`. Requests
//! and messages are the same JSON in frames: four bytes of length (little endian), one byte of
//! version, the JSON. The shapes are those of the golden files: a field may be added with a
//! default, none may be renamed or removed; a test holds that. Fields that a
//! reader does not know are passed over; a kind that it does not know is an error with its name.

mod error;
mod event;
mod frame;
#[cfg(test)]
mod golden;
mod hub;
#[cfg(test)]
mod samples;
mod submission;

#[cfg(test)]
pub(crate) use samples::events as sample_events;

pub use error::WireError;
pub use event::{decode_event, encode_event};
pub use frame::{FRAME_LIMIT, FrameDecoder, decode_message, decode_request, encode_message, encode_request};

pub use hub::{
    FROM_HUB_KINDS, FromHub, HUB_FRAME_LIMIT, TO_HUB_KINDS, Tally, ToHub, decode_from_hub, decode_to_hub,
    encode_hub, encode_hub_head,
};
pub use submission::{Submission, SubmittedPods, decode_submission, encode_submission};

/// The version that this module writes, and the newest that it reads.
pub const VERSION: u8 = 1;

/// Every kind of event, as stored.
pub const EVENT_KINDS: &[&str] = &[
    "run-created",
    "engine-started",
    "jobs-added",
    "job-evaluated",
    "instance-evaluated",
    "cache-answered",
    "adopted",
    "slot-granted",
    "group-granted",
    "instance-stopped",
    "attempt-started",
    "attempt-ready",
    "attempt-waiting",
    "service-ended",
    "step-started",
    "step-ended",
    "annotated",
    "judged",
    "baseline-fetched",
    "attempt-ended",
    "images-told",
    "retry-scheduled",
    "instance-ended",
    "job-ended",
    "cancel-requested",
    "attempt-cancelled",
    "run-ended",
];

/// Every kind of request to an agent, as sent.
pub const REQUEST_KINDS: &[&str] = &["start", "cancel", "kill", "acknowledge", "reply"];

/// Every kind of message of an agent, as sent.
pub const MESSAGE_KINDS: &[&str] = &[
    "started",
    "step-started",
    "step-ended",
    "annotation",
    "judged",
    "tail",
    "ask",
    "ended",
    "saved",
    "cache-saved",
];
