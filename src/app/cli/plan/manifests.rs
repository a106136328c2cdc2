//! What a plan would send to a cluster: the manifests of its jobs, and what is wrong with them.

use crate::app::cli::run::cluster_failure;
use crate::app::cli::{Failure, Globals};
use crate::app::config::Project;
use crate::app::engine::ClusterSettings;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tidegate_edge::executor::kubernetes::{
    ClusterError, ManifestError, PodSettings, Policy, Probe, Template, hidden_secrets, job_manifest,
    service_manifest,
};
use tidegate_flow::job::{JobSpec, StepSpec};
use tidegate_flow::plan::{Fate, Plan, PlannedInstance, PlannedJob};
use tidegate_lang::source::Style;

/// Stands for the run's id, which gives everything its name.
const RUN: &str = "00000000000000000000000000";

/// The manifests of plans, and what is wrong.
#[derive(Default)]
pub(super) struct Manifests {
    /// Jobs, Secrets without their values, Services.
    pub(super) documents: Vec<Json>,
    /// For people, one paragraph each.
    pub(super) wrong: Vec<String>,
}

/// Where manifests go, and what is asked there.
pub(super) struct Target<'a> {
    settings: PodSettings,
    probe: Option<Probe>,
    project: &'a Project,
    style: Style,
}

impl<'a> Target<'a> {
    /// Makes one; with `ask` the cluster is asked for its policy and its opinion.
    pub(super) fn new(
        cluster: &ClusterSettings,
        project: &'a Project,
        ask: bool,
        globals: &Globals,
    ) -> Result<Self, Failure> {
        let failed = |e: &ClusterError| cluster_failure("cannot ask the cluster", e);
        let probe = if ask {
            Some(
                Probe::connect(cluster.context.as_deref(), cluster.namespace.as_deref())
                    .map_err(|e| failed(&e))?,
            )
        } else {
            None
        };
        let policy: Policy = match &probe {
            Some(probe) => probe.policy(&cluster.policy).map_err(|e| failed(&e))?,
            None => cluster.policy.clone(),
        };
        let namespace = match &probe {
            Some(probe) => probe.namespace().to_owned(),
            None => cluster.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        };
        let settings = PodSettings {
            hub: format!("tidegate-hub.{namespace}.svc:7433"),
            namespace,
            store: "store".to_owned(),
            agent_image: cluster.agent_image.clone(),
            orphan_after: cluster.orphan_after.as_secs(),
            image: cluster.image.clone(),
            policy,
            spot: cluster.spot.clone(),
            pull_secrets: cluster.pull_secrets.clone(),
        };
        let style = Style { color: globals.color_errors(), width: globals.width().unwrap_or(100) };
        Ok(Self { settings, probe, project, style })
    }

    /// Makes the manifests of a plan.
    pub(super) fn add(&self, plan: &Plan, to: &mut Manifests) -> Result<(), Failure> {
        let mut number = 0;
        for job in &plan.jobs {
            if !matches!(job.fate, Fate::Runs | Fate::Depends { .. }) || job.calls.is_some() {
                continue;
            }
            for (index, instance) in (0..).zip(&job.instances) {
                let spec = spec(job, instance, index, number);
                number += 1;
                if instance
                    .cache
                    .as_ref()
                    .is_some_and(|c| matches!(c, tidegate_flow::plan::CacheAnswer::Hit { .. }))
                {
                    continue;
                }
                self.one(plan, &spec, to)?;
            }
        }
        Ok(())
    }

    fn one(&self, plan: &Plan, spec: &JobSpec, to: &mut Manifests) -> Result<(), Failure> {
        let at = format!("{}: {}", plan.workflow, spec.display);
        let text = match &spec.pod.template {
            None => None,
            Some(path) => match std::fs::read_to_string(self.project.root.join(path)) {
                Ok(text) => Some((path.as_str(), text)),
                Err(error) => {
                    to.wrong.push(format!("{at}: pod-template {path}: {error}\n"));
                    return Ok(());
                }
            },
        };
        let template = text.as_ref().map(|(path, text)| Template { path, text });
        let job = match job_manifest(spec, &self.settings, "0", template) {
            Ok(job) => job,
            Err(ManifestError::Template(findings)) => {
                let shown = findings.shown(self.style);
                // A matrix shows it once.
                if !to.wrong.contains(&shown) {
                    to.wrong.push(shown);
                }
                return Ok(());
            }
            Err(error) => {
                to.wrong.push(format!("{at}: {error}\n"));
                return Ok(());
            }
        };
        if let Some(probe) = &self.probe {
            let asked = probe.try_out(&job);
            let asked = asked.map_err(|e| cluster_failure("cannot ask the cluster", &e))?;
            for refusal in asked {
                let (words, more) = if refusal.unknown {
                    (
                        "could not be asked for",
                        "; `tidegate install --for runner --print` shows the rights it takes",
                    )
                } else {
                    ("would be refused", "")
                };
                to.wrong.push(format!("{at}: the {} {words}: {}{more}\n", refusal.what, refusal.reason));
            }
        }
        to.documents.append(&mut hidden_secrets(spec, &self.settings));
        if spec.pod.nodes > 0 {
            to.documents.push(service_manifest(spec, &self.settings, "0"));
        }
        to.documents.push(job);
        Ok(())
    }
}

/// As much of an attempt's spec as its pod is made from.
fn spec(job: &PlannedJob, instance: &PlannedInstance, index: u32, number: u32) -> JobSpec {
    let settings = &instance.settings;
    JobSpec {
        run: RUN.to_owned(),
        job: job.id.rsplit(" / ").next().unwrap_or(&job.id).to_owned(),
        display: instance.display.clone(),
        instance: index,
        attempt: 1,
        token: format!("{RUN}.{number}.1"),
        steps: vec![StepSpec::default(); job.steps.len()],
        contexts: BTreeMap::from([("matrix".to_owned(), instance.matrix.clone())]),
        timeout_seconds: settings.timeout_seconds,
        grace_seconds: settings.grace_seconds,
        image: settings.image.clone(),
        resources: settings.resources.clone(),
        pod: settings.pod.clone(),
        checkpoint: settings.checkpoint.clone(),
        ..JobSpec::default()
    }
}

/// The documents of a YAML stream.
pub(super) fn yaml(documents: &[Json]) -> Result<String, Failure> {
    let mut text = String::new();
    for document in documents {
        let written = serde_yaml::to_string(document);
        text.push_str("---\n");
        text.push_str(&written.map_err(|e| Failure::tool("the manifests cannot be written").caused_by(&e))?);
    }
    if documents.is_empty() {
        return serde_yaml::to_string(&json!(null))
            .map_err(|e| Failure::tool("nothing to write").caused_by(&e));
    }
    Ok(text)
}
