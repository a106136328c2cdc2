//! A run with the cache keys of its instances, which the view alone does not hold.

use crate::app::report::RunView;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use tidegate_flow::job::PythonSpec;
use tidegate_flow::run::{CacheKey, EventKind, InstanceSettings, ReadySettings, RunEvent};

/// A run with what `why` and `plan` need of it.
#[derive(Debug)]
pub struct Keyed {
    view: RunView,
    settings: Vec<Option<Box<ReadySettings>>>,
    granted: BTreeSet<u32>,
}

impl Keyed {
    /// Takes all events of a run in.
    pub fn new(events: &[RunEvent]) -> Self {
        let (mut view, mut settings, mut granted) = (RunView::default(), Vec::new(), BTreeSet::new());
        for event in events {
            view.apply(event);
            match &event.kind {
                EventKind::InstanceEvaluated { instance, settings: evaluated } => {
                    let at = instance.0 as usize;
                    settings.resize(settings.len().max(at.saturating_add(1)), None);
                    if let (Some(place), InstanceSettings::Ready(ready)) =
                        (settings.get_mut(at), &**evaluated)
                    {
                        *place = Some(ready.clone());
                    }
                }
                EventKind::SlotGranted { instance, .. } => {
                    granted.insert(instance.0);
                }
                _ => {}
            }
        }
        Self { view, settings, granted }
    }

    /// What the events add up to.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    fn ready(&self, instance: u32) -> Option<&ReadySettings> {
        self.settings.get(instance as usize)?.as_deref()
    }

    /// The key of an instance.
    pub fn key(&self, instance: u32) -> Option<&CacheKey> {
        self.ready(instance)?.cache.as_ref()
    }

    /// The Python environment of an instance.
    pub fn python(&self, instance: u32) -> Option<&PythonSpec> {
        self.ready(instance)?.python.as_ref()
    }

    /// The keys of a job's instances; the job is named as a plan does, `caller / inner` if called.
    pub fn keys_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a CacheKey> {
        let jobs = self.view.jobs.iter().filter(move |other| {
            let root = other.declared.workflow == self.view.created.workflow;
            job == if root { &other.declared.id } else { &other.declared.display }
        });
        jobs.flat_map(|job| &job.instances).filter_map(|instance| self.key(*instance))
    }

    /// The same job with the same matrix values: its instance and that one's key.
    pub(super) fn same(&self, job: &str, matrix: &Json) -> Option<(u32, &CacheKey)> {
        let job = self.view.jobs.iter().find(|other| other.declared.id == job)?;
        let (index, _) = self.view.instances_of(job).find(|(_, instance)| instance.matrix() == matrix)?;
        Some((index, self.key(index)?))
    }

    /// What an instance that could start waits for; `None` before it is evaluated.
    pub(super) fn waits_for(&self, instance: u32) -> Option<String> {
        let ready = self.ready(instance)?;
        if self.granted.contains(&instance) {
            return Some("its process".to_owned());
        }
        if let Some(group) = &ready.concurrency {
            return Some(format!("the concurrency group {}", group.group));
        }
        let asked = &ready.resources;
        Some(match (asked.gpus, asked.cpu_millis) {
            (0, 0) => "a free place: as many jobs run as may run at once".to_owned(),
            (0, cpu) => format!("a free place with cpu {}", cpu.div_ceil(1000)),
            (1, _) => "a free GPU".to_owned(),
            (gpus, _) => format!("{gpus} free GPUs"),
        })
    }
}
