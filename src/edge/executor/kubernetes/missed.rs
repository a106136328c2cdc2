//! An API server that does not answer, or no more as it did: what is said of it, and how long watches and questions wait before they try again.

use super::attempt::Done;
use super::cluster::Cluster;
use super::rights;
use super::watch::State;
use crate::executor::ExecutorMessage;
use kube::api::ListParams;
use kube::core::Status;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{DefaultBackoff, Error, Event};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

/// A watch that broke is tried again after this long, at most: what its pods do is not missed for longer.
const LONGEST: Duration = Duration::from_secs(5);
/// How often a server that is away is asked, and how long each answer may take.
const ASKED: Duration = Duration::from_secs(2);

/// What is known of the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Server {
    /// Nothing else.
    #[default]
    Answers,
    /// It does not answer.
    Silent,
    /// It does not let this engine see Jobs and pods.
    Refuses,
}

/// Pauses between attempts at a watch: client-go's, up to [`LONGEST`].
#[derive(Default)]
pub(super) struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}

impl State {
    /// Takes in what a watch gives; says once that the API server does not answer, and once that it does again.
    pub(super) fn heard<T>(&mut self, event: Result<Event<T>, Error>) -> Option<Event<T>> {
        match &event {
            // It forgot what happened since; the list begins anew.
            Err(error) if is_too_old(error) => {}
            Err(error) if self.server == Server::Answers => self.miss_server(error),
            // The beginning of a list is not yet an answer.
            Err(_) | Ok(Event::Init) => {}
            Ok(_) => self.server_answers(),
        }
        event.ok()
    }

    fn miss_server(&mut self, error: &Error) {
        let text = match said_by_server(error) {
            Some(status) if matches!(status.code, 401 | 403) => {
                self.server = Server::Refuses;
                format!(
                    "the cluster's API server does not let this engine see its Jobs and pods any more; the run waits until it \
                     does, and its pods go on ({})",
                    status.message
                )
            }
            _ => {
                self.server = Server::Silent;
                format!(
                    "the cluster's API server does not answer; the run waits for it, and its pods go on ({error})"
                )
            }
        };
        (self.sink)(ExecutorMessage::Note { text });
        // A watch that is there again says nothing until something happens.
        if self.server == Server::Refuses || is_silence(error) {
            tokio::spawn(ask(self.cluster.clone(), self.server, self.done.clone()));
        }
    }

    /// Takes in an answer of the API server; one is not yet to all.
    pub(super) fn server_answers(&mut self) {
        if self.server == Server::Silent {
            self.server_is_back();
        }
    }

    /// All that is asked of the API server is answered.
    pub(super) fn server_is_back(&mut self) {
        let text = match std::mem::take(&mut self.server) {
            Server::Answers => return,
            Server::Silent => "the cluster's API server answers again",
            Server::Refuses => "the cluster's API server lets this engine see its Jobs and pods again",
        };
        (self.sink)(ExecutorMessage::Note { text: text.to_owned() });
    }
}

/// Tells whether the server only has no history for as long as was asked for (Kubernetes, "410 Gone responses").
fn is_too_old(error: &Error) -> bool {
    said_by_server(error).is_some_and(|status| status.code == 410)
}

/// The server's answer, if it gave one.
fn said_by_server(error: &Error) -> Option<&Status> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        _ => None,
    }
}

/// Tells whether there was no answer at all; a refusal is one.
fn is_silence(error: &Error) -> bool {
    match error {
        Error::InitialListFailed(e) | Error::WatchStartFailed(e) | Error::WatchFailed(e) => {
            !matches!(e, kube::Error::Api(_))
        }
        Error::WatchError(_) | Error::NoResourceVersion => false,
    }
}

/// Asks until there is an answer, whatever it says; one that refuses, until it does not.
async fn ask(cluster: Cluster, server: Server, done: UnboundedSender<Done>) {
    while !done.is_closed() {
        sleep(ASKED).await;
        let back = if server == Server::Refuses {
            timeout(ASKED, rights::sees(&cluster)).await.is_ok_and(|sees| sees)
        } else {
            let (jobs, one) = (cluster.jobs(), ListParams::default().limit(1));
            matches!(timeout(ASKED, jobs.list(&one)).await, Ok(Ok(_) | Err(kube::Error::Api(_))))
        };
        if back {
            let _ = done.send(Done::Answers);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_is_longer_than_a_few_seconds() {
        let pauses: Vec<Duration> = Pauses::default().take(8).collect();
        assert_eq!(pauses.len(), 8);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&LONGEST));
    }
}
