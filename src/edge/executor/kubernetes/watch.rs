//! The loop: what the engine asks for, what the hub and the API server tell, and what time does.

use super::attempt::{Attempt, Done};
use super::cluster::{ATTEMPT, Cluster};
use super::executor::{KubernetesOptions, Order, Sink};
use super::pod::PodSettings;
use crate::hub::{EngineEnd, HubEvent};
use crate::store::FileObjects;
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Since when there is no connection to the hub.
    pub(super) no_hub: Option<Instant>,
    /// Jobs that a new list named so far.
    pub(super) listed: BTreeSet<String>,
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
                    Some(Order::Abandon) => return,
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
            Event::Init => self.listed.clear(),
            Event::Apply(job) => self.job_is(job),
            Event::InitApply(job) => {
                let token = job.metadata.annotations.as_ref().and_then(|a| a.get(ATTEMPT));
                self.listed.extend(token.cloned());
                self.job_is(job);
            }
            Event::InitDone => {
                // What was there before and is in the list no more.
                let listed = std::mem::take(&mut self.listed);
                let gone = |(token, attempt): &(&String, &Attempt)| {
                    attempt.job.is_some() && !listed.contains(*token)
                };
                let gone: Vec<String> = self.attempts.iter().filter(gone).map(|(t, _)| t.clone()).collect();
                gone.iter().for_each(|token| self.job_is_gone(token));
            }
            Event::Delete(job) => {
                let token = job.metadata.annotations.and_then(|mut a| a.remove(ATTEMPT));
                self.job_is_gone(&token.unwrap_or_default());
            }
        }
    }

    fn job_is(&mut self, job: Job) {
        if let Some(attempt) = self.of(job.metadata.annotations.as_ref()) {
            attempt.job = Some(job);
        }
    }

    fn job_is_gone(&mut self, token: &str) {
        if self.attempts.get(token).is_some_and(|attempt| !attempt.removed) {
            let reason = "its Job was removed by somebody else".to_owned();
            self.end(token, Receipt::bare(Conclusion::Failure, Some(FailureClass::Lost), reason));
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
        self.attempts.get_mut(annotations?.get(ATTEMPT)?)
    }
}
