//! Messages and objects between agents and an engine elsewhere.
//!
//! `server` is the service in the namespace: agents dial out to it, it keeps what they say until the
//! engine has it (`spool`) and gives agents the objects that are theirs (`access`). `client` keeps a connection up; `agent`, `engine` and `objects` are built on it.
//! `words` is what it does on their words, `older` on those it does not know, `disk` what becomes of them where its own disk is full.
//! `bucket` is an object store behind the hub, `transfer` what a client does with the URLs that the hub signs for it.
//! What stores rely on is in `claims`, written down by `ledger`; what nobody needs goes (`collection`).
//! Not here: what is said (`flow::wire::v1`), pods (`executor::kubernetes`).

mod access;
mod agent;
mod attempt;
mod bucket;
mod bucket_sweep;
mod claims;
mod client;
mod collection;
mod disk;
mod engine;
mod http;
mod ledger;
mod mirrored;
mod moving;
mod objects;
mod older;
mod outgoing;
mod passing;
mod questions;
mod relying;
mod server;
mod shelf;
mod spool;
mod stream;
#[cfg(test)]
mod tests;
mod threshold;
mod tls;
mod transfer;
mod words;

pub use agent::{AgentEnd, LogCut, LogFollower, follow_log};
pub use bucket::{Bucket, check_store};
pub use client::{Connection, Dial, Dialled, Peer, Stream, Welcome, dial_tcp};
pub use engine::{EngineEnd, HubEvent};
pub use mirrored::Mirrored;
pub use moving::digests_of;
pub use objects::HubObjects;
pub use passing::Passing;
pub use relying::HubCollected;
pub use server::{Hub, HubError};
pub use tls::{Identity, SERVER_NAME, client_config};
