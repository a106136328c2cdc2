//! The loop: what the engine asks for, what the hub and the API server tell, and what time does.

use super::attempt::{Attempt, Done};
use super::cluster::{ATTEMPT, Cluster};
use super::executor::{KubernetesOptions, Order, Sink};
use super::images::Images;
use super::missed::{Pauses, Server};
use super::observe::{Death, not_made, not_set_up};
use super::pod::PodSettings;
use super::projection;
use super::queues::Queues;
use super::shape::Disk;
use crate::hub::{EngineEnd, HubEvent};
use crate::store::FileObjects;
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Event as Warning;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tidegate_flow::job::FailureClass;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

/// How often what waits is looked at.
const TICK: Duration = Duration::from_millis(250);
/// A watch is made anew after this long: one that stalls unnoticed costs no more than that.
const WATCH_SECONDS: u32 = 60;
/// Pods that were told to go are waited for this long at the end.
const GONE_PATIENCE: Duration = Duration::from_mins(1);

/// All that the loop knows.
pub(super) struct State {
    pub(super) cluster: Cluster,
    pub(super) hub: Arc<EngineEnd>,
    pub(super) certificate: String,
    pub(super) settings: PodSettings,
    pub(super) disk: Disk,
    pub(super) options: KubernetesOptions,
    pub(super) objects: Arc<FileObjects>,
    pub(super) sink: Sink,
    pub(super) attempts: BTreeMap<String, Attempt>,
    /// Since when there is no connection to the hub.
    pub(super) no_hub: Option<Instant>,
    /// When there was one again after a break.
    pub(super) hub_back: Option<Instant>,
    /// That it is missed was said.
    pub(super) hub_missed: bool,
    /// Why the last connection to it broke, or did not come about.
    pub(super) hub_trouble: Option<String>,
    /// Whether the API server answers.
    pub(super) server: Server,
    /// Jobs that were there before a new list was asked for, and are not in what came of it so far.
    pub(super) unlisted: BTreeSet<String>,
    /// Pods that a new list named so far, by their `uid`.
    pub(super) listed_pods: BTreeSet<String>,
    /// Attempts of which there is news; the others are looked at on each tick only.
    pub(super) touched: BTreeSet<String>,
    /// What is known of images.
    pub(super) images: Images,
    /// When Kueue was asked.
    pub(super) queues: Queues,
    /// Attempts that start wait for the hub in threads; more than these would only cost memory.
    pub(super) pushing: Arc<Semaphore>,
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
        let config = config.timeout(WATCH_SECONDS);
        let mut jobs = watcher(self.cluster.jobs(), config.clone()).backoff(Pauses::default()).boxed();
        let mut pods = watcher(self.cluster.pods(), config).backoff(Pauses::default()).boxed();
        // Some of what becomes of a Job is only said in an event.
        let config = watcher::Config::default().fields("type=Warning").timeout(WATCH_SECONDS);
        let mut warnings = watcher(self.cluster.events(), config).backoff(Pauses::default()).boxed();
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
                Some(done) = done.recv() => {
                    // What the hub said before counts, too.
                    while let Ok(event) = events.try_recv() {
                        self.hear(event);
                    }
                    self.done(done);
                }
                Some(event) = jobs.next() => self.job(event),
                Some(event) = pods.next() => self.pod(event),
                Some(event) = warnings.next() => self.warning(event),
                _ = tick.tick() => {
                    self.touched.extend(self.attempts.keys().cloned());
                    self.hub.ask_again();
                    self.forget_untold();
                    self.ask_queues();
                }
            }
            self.look();
            if stopping.is_some_and(|until| self.attempts.is_empty() || Instant::now() >= until) {
                return;
            }
        }
    }

    fn job(&mut self, event: Result<Event<Job>, watcher::Error>) {
        // The watcher goes on by itself; what it missed it lists again.
        let Some(event) = self.heard(event) else { return };
        match event {
            Event::Init => {
                let known = self.attempts.iter().filter(|(_, attempt)| attempt.job.is_some());
                self.unlisted = known.map(|(token, _)| token.clone()).collect();
            }
            Event::Apply(job) => self.job_is(job),
            Event::InitApply(job) => {
                if let Some(token) = job.metadata.annotations.as_ref().and_then(|a| a.get(ATTEMPT)) {
                    self.unlisted.remove(token);
                }
                self.job_is(job);
            }
            Event::InitDone => {
                let gone = std::mem::take(&mut self.unlisted);
                gone.iter().for_each(|token| self.job_is_gone(token));
            }
            Event::Delete(job) => {
                let token = job.metadata.annotations.and_then(|mut a| a.remove(ATTEMPT));
                self.job_is_gone(&token.unwrap_or_default());
            }
        }
    }

    fn warning(&mut self, event: Result<Event<Warning>, watcher::Error>) {
        // One who may not read events misses some words.
        let Ok(Event::Apply(warning) | Event::InitApply(warning)) = event else { return };
        let about = warning.involved_object;
        let (name, said) = (about.name.unwrap_or_default(), warning.message.unwrap_or_default());
        match (about.kind.as_deref(), warning.reason.as_deref().unwrap_or_default()) {
            (Some("Job"), "FailedCreate") => {
                if let Some(attempt) = self.attempts.values_mut().find(|attempt| attempt.name == name) {
                    attempt.not_made = Some(not_made(&said));
                }
            }
            (Some("Pod"), reason) => {
                // A pod is called as its Job is, and something more.
                let its = |a: &&mut Attempt| name.strip_prefix(&a.name).is_some_and(|n| n.starts_with('-'));
                let attempt = self.attempts.values_mut().filter(its).max_by_key(|a| a.name.len());
                if let (Some(attempt), Some(lacks)) = (attempt, not_set_up(reason, &said)) {
                    attempt.not_set_up = Some(lacks);
                }
            }
            _ => {}
        }
    }

    fn job_is(&mut self, job: Job) {
        if let Some(attempt) = self.of(job.metadata.annotations.as_ref()) {
            attempt.job = Some(projection::job(job));
        }
    }

    pub(super) fn job_is_gone(&mut self, token: &str) {
        self.pass_on_all(token);
        let Some(attempt) = self.attempts.get(token).filter(|attempt| !attempt.removed) else { return };
        let reason = "its Job was removed by somebody else".to_owned();
        let receipt = attempt.ends(None, Death { class: FailureClass::Lost, exit: None, reason });
        self.end(token, receipt);
    }

    pub(super) fn of(&mut self, annotations: Option<&BTreeMap<String, String>>) -> Option<&mut Attempt> {
        let token = annotations?.get(ATTEMPT)?;
        let attempt = self.attempts.get_mut(token)?;
        self.touched.insert(token.clone());
        Some(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::{TOKEN, World};
    use super::*;
    use serde_json::json;

    fn job() -> Job {
        serde_json::from_value(json!({"metadata": {"name": "job", "annotations": {ATTEMPT: TOKEN}}})).unwrap()
    }

    fn made(world: &mut World) {
        world.state.done(Done::Made { token: TOKEN.into(), job: Box::new(job()) });
    }

    const LOST: &str = "lost: its Job was removed by somebody else";

    #[test]
    fn a_job_is_gone_that_no_list_names_also_if_the_watch_never_told_of_it() {
        let mut world = World::new(2);
        made(&mut world);
        for event in [Event::Init, Event::InitApply(job()), Event::InitDone] {
            world.state.job(Ok(event));
        }
        assert!(world.said().is_empty(), "it is listed");
        for event in [Event::Init, Event::InitDone] {
            world.state.job(Ok(event));
        }
        assert_eq!(world.said(), [LOST]);
        // Made while the list was on its way.
        let mut world = World::new(2);
        world.state.job(Ok(Event::Init));
        made(&mut world);
        world.state.job(Ok(Event::InitDone));
        assert!(world.said().is_empty());
        world.state.job(Ok(Event::Delete(job())));
        assert_eq!(world.said(), [LOST]);
    }
}
