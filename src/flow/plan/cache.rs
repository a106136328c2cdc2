//! The cache key of an instance and what it is made of.

use super::reads::Reads;
use super::{Contexts, Place, evaluate, spec, steps};
use crate::job::{EnvLayer, MetricsSpec, ProduceSpec};
use crate::run::{CacheKey, ReadySettings};
use crate::trigger::Pattern;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tidegate_lang::workflow::{Job, JobKind, Workflow};

/// What the engine knows of the tree, so that a key can be made without looking at files.
#[derive(Debug)]
pub struct CacheFacts<'a> {
    /// Path of the workflow file in the project.
    pub workflow: &'a str,
    /// Digests of the project's files.
    pub tree: &'a TreeDigests,
    /// Where jobs run. What pods keep is where pods can reach it, and what a container makes is made by
    /// its image, so each place has a cache of its own.
    pub place: Place,
    /// The image of jobs that name none, where they run in one; empty: such jobs fail.
    pub image: &'a str,
    /// Whose run it is, where several projects share a store: what one kept is no other's. Empty in a store of its own.
    pub project: &'a str,
}

/// Digests of a tree's files by path, relative to the project, and of parts of it by their globs.
#[derive(Debug, Default)]
pub struct TreeDigests {
    files: BTreeMap<String, String>,
    /// Made once for all instances that name the same globs.
    parts: Mutex<BTreeMap<Vec<String>, String>>,
}

impl TreeDigests {
    /// Takes path and digest of every file of the project.
    pub fn new(files: BTreeMap<String, String>) -> Self {
        Self { files, parts: Mutex::default() }
    }

    /// Returns the digest of a file.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path.trim_start_matches("./")).map(String::as_str)
    }

    /// Returns the digest over the files that globs name; no globs: all files.
    fn part(&self, globs: &[String]) -> String {
        let Ok(mut parts) = self.parts.lock() else {
            return self.digest(globs);
        };
        parts.entry(globs.to_vec()).or_insert_with(|| self.digest(globs)).clone()
    }

    fn digest(&self, globs: &[String]) -> String {
        let mut hasher = blake3::Hasher::new();
        let chosen = Globs::new(globs);
        for (path, digest) in &self.files {
            if globs.is_empty() || chosen.matches(path) {
                hasher.update(path.as_bytes()).update(&[0]).update(digest.as_bytes()).update(&[0]);
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Filter patterns of `cache.inputs`; a folder's name stands for all below it.
struct Globs {
    patterns: Vec<(Pattern, Pattern, bool)>,
}

impl Globs {
    fn new(globs: &[String]) -> Self {
        let patterns = globs.iter().map(|glob| {
            let (glob, keeps) = glob.strip_prefix('!').map_or((glob.as_str(), true), |rest| (rest, false));
            let glob = glob.trim_start_matches("./").trim_end_matches('/');
            (Pattern::new(glob), Pattern::new(&format!("{glob}/**")), keeps)
        });
        Self { patterns: patterns.collect() }
    }

    /// The last pattern that fits decides.
    fn matches(&self, path: &str) -> bool {
        let fits = |(own, below, _): &&(Pattern, Pattern, bool)| own.matches(path) || below.matches(path);
        self.patterns.iter().rev().find(fits).is_some_and(|(_, _, keeps)| *keeps)
    }
}

/// Tells whether a file is part of a job's cache key: one of its `inputs`, or any file where it has
/// none. Where only a run knows the globs every file may be.
pub fn is_cache_input(job: &Job, path: &str) -> bool {
    let Some(cache) = &job.ml.cache else { return false };
    let globs: Vec<String> = cache.inputs.iter().map(spec::raw).collect();
    globs.is_empty() || globs.iter().any(|glob| glob.contains("${{")) || Globs::new(&globs).matches(path)
}

/// Evaluates `cache` of an instance; `None` where it is off.
pub(super) fn key(
    workflow: &Workflow,
    job: &Job,
    settings: &ReadySettings,
    contexts: &Contexts,
    facts: &CacheFacts<'_>,
) -> Result<Option<CacheKey>, String> {
    let Some(cache) = &job.ml.cache else {
        return Ok(None);
    };
    if !evaluate::boolean("cache", &cache.enabled, contexts)? {
        return Ok(None);
    }
    let mut globs = Vec::with_capacity(cache.inputs.len());
    for given in &cache.inputs {
        globs.push(evaluate::text("cache.inputs", given, contexts)?);
    }
    let mut parts = BTreeMap::new();
    parts.insert("commands".to_owned(), short_hash(&Commands::of(workflow, job))?);
    parts.insert("params".to_owned(), short_hash(&params(workflow, job, contexts))?);
    parts.insert("image".to_owned(), settings.image.clone().unwrap_or_default());
    parts.insert("environment".to_owned(), environment(settings, facts)?);
    parts.insert("source".to_owned(), facts.tree.part(&globs));
    parts.insert("consumes".to_owned(), consumes(settings));
    let back_end = match facts.place {
        Place::Machine => None,
        Place::Containers => Some("containers"),
        Place::Pods => Some("pods"),
    };
    if let Some(back_end) = back_end {
        parts.insert("back end".to_owned(), back_end.to_owned());
        let pod = &settings.pod;
        if pod.nodes > 0 || !pod.services.is_empty() || !pod.steps.is_empty() {
            parts.insert("pods".to_owned(), short_hash(&(pod.nodes, &pod.services, &pod.steps))?);
        }
        if let Some(container) = &pod.container {
            parts.insert("container".to_owned(), short_hash(container)?);
        }
    }
    if !facts.project.is_empty() {
        parts.insert("project".to_owned(), facts.project.to_owned());
    }
    if let Some(key) = &cache.key {
        parts.insert("key".to_owned(), evaluate::text("cache.key", key, contexts)?);
    }
    if let Some(version) = &cache.version {
        parts.insert("version".to_owned(), evaluate::text("cache.version", version, contexts)?);
    }
    let key = short_hash(&(1, &parts))?;
    Ok(Some(CacheKey { key, parts }))
}

/// The digest of a value's JSON.
fn short_hash(value: &impl Serialize) -> Result<String, String> {
    let text = serde_json::to_vec(value).map_err(|error| format!("cannot make the cache key: {error}"))?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

/// All that the job does, as it is written. A field more or less, or another order, changes every key.
#[derive(Debug, Serialize)]
struct Commands<'a> {
    steps: Option<Vec<steps::StepText>>,
    shell: Option<&'a str>,
    folder: Option<&'a str>,
    outputs: Vec<(&'a str, &'a str)>,
    env: [EnvLayer; 2],
    produces: Vec<ProduceSpec>,
    metrics: MetricsSpec,
    params: MetricsSpec,
}

impl<'a> Commands<'a> {
    fn of(workflow: &'a Workflow, job: &'a Job) -> Self {
        let (own, all) = (&job.defaults, &workflow.defaults);
        Self {
            steps: match &job.kind {
                JobKind::Steps(written) => Some(steps::texts(written)),
                JobKind::Call(_) => None,
            },
            shell: own.shell.as_ref().or(all.shell.as_ref()).map(|given| &*given.raw),
            folder: own
                .working_directory
                .as_ref()
                .or(all.working_directory.as_ref())
                .map(|given| &*given.raw),
            outputs: job.outputs.iter().map(|(name, value)| (name.value.as_str(), &*value.raw)).collect(),
            env: [spec::env_layer(&workflow.env), spec::env_layer(&job.env)],
            produces: spec::produces(job),
            metrics: spec::metrics(job.ml.metrics.as_ref()),
            params: spec::metrics(job.ml.params.as_ref()),
        }
    }
}

/// All values that the job's expressions can reach, and its matrix.
fn params(workflow: &Workflow, job: &Job, contexts: &Contexts) -> BTreeMap<String, Json> {
    let mut reads = Reads::default();
    spec::read_into(workflow, job, &mut reads);
    reads.whole("matrix");
    reads.prune(contexts.iter().filter(|(name, _)| !matches!(*name, "secrets" | "strategy")))
}

/// The Python environment: what is asked for, and the content of the file that lists it.
fn environment(settings: &ReadySettings, facts: &CacheFacts<'_>) -> Result<String, String> {
    let Some(python) = &settings.python else {
        return Ok(String::new());
    };
    let listed = facts.tree.file(&python.requirements).unwrap_or_default();
    short_hash(&(&python.version, &python.requirements, listed, &python.packages))
}

/// What is consumed: path and content.
fn consumes(settings: &ReadySettings) -> String {
    let mut words = Vec::with_capacity(settings.consumes.len());
    for given in &settings.consumes {
        let items: Vec<&str> = given.items.iter().map(|item| item.digest.as_str()).collect();
        words.push(format!("{}={}", given.path, items.join(",")));
    }
    words.join(" ")
}
