//! The loop: what the engine asks for, what the hub and the API server tell, and what time does.

use super::attempt::{Attempt, Done};
use super::cluster::Cluster;
use super::executor::{KubernetesOptions, Order, Sink};
use super::pod::PodSettings;
use crate::hub::{EngineEnd, HubEvent};
use crate::store::FileObjects;
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::{Conclusion, FailureClass, Receipt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

/// How often what waits is looked at.
const TICK: Duration = Duration::from_millis(250);
/// Pods that were told to go are waited for this long at the end.
const GONE_PATIENCE: Duration = Duration::from_mins(1);

/// All that the loop knows.
pub(super) struct State {
    pub(super) cluster: Cluster,
    pub(super) hub: Arc<EngineEnd>,
    pub(super) certificate: String,
    pub(super) settings: PodSettings,
    pub(super) options: KubernetesOptions,
    pub(super) objects: Arc<FileObjects>,
    pub(super) sink: Sink,
    pub(super) attempts: BTreeMap<String, Attempt>,
    /// What tasks finished: starting a Job, removing one.
    pub(super) done: UnboundedSender<Done>,
}

impl State {
    pub(super) async fn run(
        mut self,
        mut orders: UnboundedReceiver<Order>,
        mut events: UnboundedReceiver<HubEvent>,
        mut done: UnboundedReceiver<Done>,
    ) {
        let config =
            watcher::Config::default().labels(&format!("tidegate.dev/store={}", self.settings.store));
        let mut jobs = watcher(self.cluster.jobs(), config.clone()).default_backoff().boxed();
        let mut pods = watcher(self.cluster.pods(), config).default_backoff().boxed();
        let mut tick = tokio::time::interval(TICK);
        let mut stopping: Option<Instant> = None;
        loop {
            tokio::select! {
                order = orders.recv(), if stopping.is_none() => match order {
                    Some(Order::Requests(requests)) => requests.into_iter().for_each(|r| self.request(r)),
                    Some(Order::Stop) | None => {
                        stopping = Some(Instant::now() + GONE_PATIENCE);
                        self.leave();
                    }
                },
                Some(event) = events.recv() => self.hear(event),
                Some(done) = done.recv() => self.done(done),
                Some(event) = jobs.next() => self.job(event),
                Some(event) = pods.next() => self.pod(event),
                _ = tick.tick() => {}
            }
            self.look();
            if stopping.is_some_and(|until| self.attempts.is_empty() || Instant::now() >= until) {
                return;
            }
        }
    }

    fn job(&mut self, event: Result<Event<Job>, watcher::Error>) {
        // The watcher goes on by itself; what it missed it lists again.
        let Ok(event) = event else { return };
        match event {
            Event::Apply(job) | Event::InitApply(job) => {
                if let Some(attempt) = self.of(job.metadata.annotations.as_ref()) {
                    attempt.job = Some(job);
                }
            }
            Event::Delete(job) => {
                if let Some(attempt) = self.of(job.metadata.annotations.as_ref())
                    && !attempt.removed
                {
                    let token = attempt.spec.token.clone();
                    let reason = "its Job was removed by somebody else".to_owned();
                    self.end(&token, Receipt::bare(Conclusion::Failure, Some(FailureClass::Lost), reason));
                }
            }
            Event::Init | Event::InitDone => {}
        }
    }

    fn pod(&mut self, event: Result<Event<Pod>, watcher::Error>) {
        let Ok(event) = event else { return };
        if let Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod) = event
            && let Some(attempt) = self.of(pod.metadata.annotations.as_ref())
        {
            attempt.pod = Some(pod);
        }
    }

    fn of(&mut self, annotations: Option<&BTreeMap<String, String>>) -> Option<&mut Attempt> {
        self.attempts.get_mut(annotations?.get("tidegate.dev/attempt")?)
    }
}
