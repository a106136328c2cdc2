//! Messages and objects between agents and an engine elsewhere.
//!
//! `server` is the service in the namespace: agents dial out to it, it keeps what they say until the
//! engine has it (`spool`). `client` keeps a connection up; `agent`, `engine` and `objects` are built on it.
//! Not here: what is said (`flow::wire::v1`), pods (`executor::kubernetes`).

mod agent;
mod client;
mod engine;
mod objects;
mod server;
mod spool;
mod stream;
mod tls;

pub use agent::{AgentEnd, LogFollower, follow_log};
pub use client::{Connection, Dial, Dialled, Peer, Stream, dial_tcp};
pub use engine::{EngineEnd, HubEvent};
pub use objects::{HubObjects, Mirrored, digests_of};
pub use server::{Hub, HubError};
pub use tls::{Identity, SERVER_NAME, client_config};
