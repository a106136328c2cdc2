//! Where attempts run: on this machine, in containers, on a cluster.

pub mod container;
pub mod inside;
pub mod kubernetes;
pub mod local;
pub mod machine;
mod secret_values;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tidegate_flow::job::{AgentRequest, JobMessage, Receipt};

/// What an executor says.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecutorMessage {
    /// A running attempt says something.
    Job(JobMessage),
    /// An attempt ended without a receipt of its own; nothing of it runs any more.
    Ended {
        /// Which.
        token: String,
        /// What is known of it.
        receipt: Box<Receipt>,
    },
    /// Which images an attempt's containers ran, told after its receipt.
    Images {
        /// Which.
        token: String,
        /// Container and `NAME@DIGEST`.
        images: Arc<BTreeMap<String, String>>,
    },
    /// An attempt cannot start yet.
    Waiting {
        /// Which.
        token: String,
        /// Why, in one line.
        reason: String,
    },
    /// A service of a running attempt has ended.
    ServiceEnded {
        /// Which attempt.
        token: String,
        /// The service.
        service: String,
        /// The node of its pod, where there are several.
        node: Option<u32>,
        /// How often it has ended so far in this attempt.
        times: u32,
        /// How, and what becomes of it, in one line.
        reason: String,
    },
    /// Something of the surroundings does not answer, or does so again; nothing is lost.
    Note {
        /// For people, in one line.
        text: String,
    },
    /// The executor ended without being told to; its attempts are lost, and their processes ended.
    Gone {
        /// For people.
        reason: String,
    },
}

/// Where attempts run.
pub trait Executor: Send {
    /// Sends requests, in order. An error means that the executor is gone; it says so itself, too.
    fn send_all(&self, requests: &[AgentRequest]) -> io::Result<()>;
    /// Tells which of these artifacts' digests are gone from where attempts would look for them, if that is
    /// not the engine's own store.
    fn missing(&self, _digests: &[String]) -> Vec<String> {
        Vec::new()
    }
    /// Says that no request follows, and waits for nothing: what it takes to end can begin.
    fn close(&mut self) {}
    /// Ends everything that still runs; returns when all of it is gone.
    fn stop(self: Box<Self>);
    /// The engine cannot go on, and its run may be taken up again: what can do without an engine goes on.
    fn abandon(self: Box<Self>);
}
