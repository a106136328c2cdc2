//! Plays the agents of pods that exist on paper only (kwok): for each pod of a namespace that runs it dials the hub with the
//! pod's secret, says that the attempt started and, after a while, that it succeeded.
//!
//! usage: `cargo bench --bench agents -- HUB NAMESPACE MILLISECONDS N`; ends when N receipts were acknowledged, and prints how
//! long that took each: median, the 99th of a hundred and the longest, in seconds.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic, and prints its figures")]

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, Client};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_edge::agent::{Control, Link};
use tidegate_edge::hub::{AgentEnd, Connection, client_config, dial_tcp};
use tidegate_flow::job::{Conclusion, MessageBody, Receipt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// An agent that got no answer gives up after this many looks.
const LOOKS: u32 = 120_000;

#[derive(Clone)]
struct Place {
    hub: SocketAddr,
    secrets: Api<Secret>,
    work: Duration,
}

#[tokio::main]
async fn main() {
    let given: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    let client = Client::try_default().await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &given[2]);
    let place = Place {
        hub: given[1].parse().unwrap(),
        secrets: Api::namespaced(client, &given[2]),
        work: Duration::from_millis(given[3].parse().unwrap()),
    };
    let count: usize = given[4].parse().unwrap();
    let mut known = BTreeSet::new();
    let (done, mut acknowledged) = unbounded_channel();
    let config = Config::default().labels("tidegate.dev/store");
    let mut changes = watcher(pods, config).default_backoff().touched_objects().boxed();
    let mut took = Vec::new();
    while took.len() < count {
        tokio::select! {
            Some(Ok(pod)) = changes.next() => {
                let runs = pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"));
                let uid = pod.metadata.uid.clone().unwrap();
                if runs && pod.metadata.deletion_timestamp.is_none() && known.insert(uid) {
                    tokio::spawn(play(place.clone(), pod, done.clone()));
                }
            }
            Some(seconds) = acknowledged.recv() => took.push(seconds),
        }
    }
    took.sort_by(f64::total_cmp);
    println!("{:.3} {:.3} {:.3}", took[count / 2], took[count * 99 / 100], took[count - 1]);
}

/// One agent, from its hello to the acknowledgement of its receipt.
async fn play(place: Place, pod: Pod, done: UnboundedSender<f64>) {
    let token = pod.metadata.annotations.unwrap().remove("tidegate.dev/attempt").unwrap();
    let volumes = pod.spec.unwrap().volumes.unwrap();
    let name = volumes.into_iter().find_map(|v| v.secret?.secret_name).unwrap();
    // A kubelet would wait for it, too.
    let mut files = loop {
        match place.secrets.get_opt(&name).await.unwrap() {
            Some(secret) => break secret.data.unwrap(),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut text = |name| String::from_utf8(files.remove(name).unwrap().0).unwrap();
    let (certificate, key) = (text("hub.pem"), text("key"));
    let control = Arc::new(Control::default());
    let end = AgentEnd::new(&token, &key, &pod.metadata.uid.unwrap(), control.clone());
    let tls = client_config(&certificate).unwrap();
    let (connection, keep_up) = Connection::new(dial_tcp(place.hub), tls, end.clone());
    end.connect(connection.clone());
    let line = tokio::spawn(keep_up);
    let link = Link::new(&token, end.clone(), control);
    link.say(MessageBody::Started { notes: Vec::new() });
    tokio::time::sleep(place.work).await;
    let mut receipt = Receipt::bare(Conclusion::Success, None, String::new());
    receipt.reason = None;
    link.say(MessageBody::Ended(receipt));
    let said = Instant::now();
    for _ in 0..LOOKS {
        if end.is_acknowledged(2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _ = done.send(said.elapsed().as_secs_f64());
    connection.close();
    let _ = line.await;
}
