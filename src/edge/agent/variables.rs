//! The variables that are the same for all steps of a job: the machine's or the image's, GitHub's own, and `env` of workflow,
//! job and container. What a step adds for those after it is in `files`, what users without a home get in `home`.

use super::children::MARK;
use super::job::Job;
use super::launcher::Environment;
use super::scope::{Failed, Scope};
use std::ffi::OsString;
use tidegate_flow::job::step_containers;

/// Members of the `github` context that are variables, too (the runner's `GitHubContext`; `action`
/// and the paths of files are set for each step).
const EXPORTED: [&str; 27] = [
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
];

impl Job<'_> {
    /// Sets the variables that stay the same for all steps of a container (GitHub, "Variables
    /// reference"). `step` is one of them.
    pub(super) fn set_up(&mut self, inherited: &Environment, step: u32) -> Result<(), Failed> {
        let mut set: Vec<(String, OsString)> = Vec::with_capacity(48);
        let github = self.github();
        for (key, value) in github.iter().filter(|(k, _)| EXPORTED.contains(&k.as_ref())) {
            set.push((format!("GITHUB_{}", key.to_ascii_uppercase()), value.to_text().to_string().into()));
        }
        set.push(("GITHUB_ACTIONS".into(), "true".into()));
        // Only actions of other repositories have these.
        set.push(("GITHUB_ACTION_REPOSITORY".into(), OsString::new()));
        set.push(("GITHUB_ACTION_REF".into(), OsString::new()));
        set.push(("GITHUB_WORKSPACE".into(), self.place.project.clone().into()));
        set.push(("RUNNER_TEMP".into(), self.temp.join("_temp").into()));
        for (key, value) in self.runner().iter() {
            set.push((format!("RUNNER_{}", key.to_ascii_uppercase()), value.to_text().to_string().into()));
        }
        set.push((MARK.into(), self.mark.clone().into()));
        if self.spec.debug {
            set.push(("RUNNER_DEBUG".into(), "1".into()));
        }
        if let Some(gpus) = &self.spec.gpus {
            let list = gpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            set.push(("CUDA_VISIBLE_DEVICES".into(), list.into()));
        }
        let mut base = inherited.clone();
        base.extend(self.container_env(step)?);
        base.entry("CI".into()).or_insert_with(|| "true".into());
        base.extend(set.into_iter().map(|(k, v)| (OsString::from(k), v)));
        self.base = base;
        self.set_up_home()
    }

    /// Evaluates `env` of the container that a step runs in: where there is none it is empty.
    fn container_env(&self, step: u32) -> Result<Vec<(OsString, OsString)>, Failed> {
        if self.spec.pod.container.is_none() && self.spec.pod.steps.is_empty() {
            return Ok(Vec::new());
        }
        let containers = step_containers(self.spec);
        let Some(container) = containers
            .iter()
            .find(|container| container.steps.contains(&step))
            .or(containers.first())
            .and_then(|container| container.container.as_ref())
        else {
            return Ok(Vec::new());
        };
        let env = self.evaluate_layer(&container.env, &Scope::default(), &[])?;
        Ok(env.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Evaluates `env` of workflow and job.
    pub(super) fn evaluate_env(&mut self) -> Result<(), Failed> {
        for layer in &self.spec.env {
            let scope = Scope::default();
            let more = self.evaluate_layer(layer, &scope, &[])?;
            for (name, value) in more {
                set(&mut self.env, name, value);
            }
        }
        Ok(())
    }
}

/// Sets a variable; one that is there keeps its place.
pub(super) fn set(env: &mut Vec<(String, String)>, name: String, value: String) {
    match env.iter_mut().find(|(n, _)| *n == name) {
        Some(entry) => entry.1 = value,
        None => env.push((name, value)),
    }
}
