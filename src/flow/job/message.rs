//! What agents and the engine say to each other. The same bytes on every back end.

use super::{ArtifactRef, Conclusion, FailureClass, JobSpec, StepMemory};
use crate::gate::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// From the engine to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentRequest {
    /// Start an attempt.
    Start {
        /// What to do.
        spec: Box<JobSpec>,
        /// Values of the secrets that the spec names; never stored.
        secrets: BTreeMap<String, String>,
    },
    /// End an attempt: SIGTERM, `always()` and `cancelled()` steps, then SIGKILL after the grace.
    Cancel {
        /// Which.
        token: String,
        /// Why: shown in the log.
        reason: String,
    },
    /// End an attempt at once.
    Kill {
        /// Which.
        token: String,
    },
    /// All messages up to `seq` of this attempt are durable.
    Acknowledge {
        /// Which.
        token: String,
        /// The last durable message.
        seq: u64,
    },
    /// The answer to [`MessageBody::Ask`].
    Reply {
        /// Which attempt.
        token: String,
        /// The question's id.
        id: u64,
        /// The answer.
        answer: Answer,
    },
}

/// From an agent to the engine: at least once, de-duplicated by `seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobMessage {
    /// The attempt.
    pub token: String,
    /// From 1, without gaps; 0 for messages that need no acknowledgement ([`MessageBody::Tail`]).
    pub seq: u64,
    /// Milliseconds since 1970, the agent's clock; never decides anything.
    pub at: i64,
    /// What it says.
    pub body: MessageBody,
}

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageBody {
    /// The work folder stands; steps follow.
    Started {
        /// Things to say at the top of the log: a dirty tree, an image that is not used here.
        notes: Vec<String>,
    },
    /// A step starts.
    StepStarted {
        /// Index in the spec, from 0.
        step: u32,
        /// Its evaluated, masked name.
        name: String,
        /// Byte of the attempt's log where its output starts.
        log: u64,
    },
    /// A step ended or was skipped.
    StepEnded {
        /// Index in the spec, from 0.
        step: u32,
        /// Its evaluated, masked name.
        name: String,
        /// Before `continue-on-error`.
        outcome: Conclusion,
        /// After it.
        conclusion: Conclusion,
        /// Exit code; 128 + N for a signal.
        exit: Option<i32>,
        /// Why it failed, in one masked line ("exit 1", "timed out after 60 s", "the shell `fish` is not installed").
        reason: Option<String>,
        /// Byte of the attempt's log where its output ends.
        log: u64,
    },
    /// `::error::`, `::warning::`, `::notice::`.
    Annotation(Annotation),
    /// A gate or a validation was judged.
    Judged {
        /// Index of the step.
        step: u32,
        /// The verdict with its numbers.
        verdict: Verdict,
    },
    /// The last line of output, for a live display; never stored.
    Tail {
        /// Index of the step.
        step: u32,
        /// Masked.
        line: String,
    },
    /// The agent needs something only the engine has.
    Ask {
        /// To match the answer.
        id: u64,
        /// What.
        question: Question,
    },
    /// The attempt ended.
    Ended(Receipt),
    /// The checkpoint was saved where later attempts find it: what a pod keeps dies with it.
    Saved {
        /// What was saved.
        artifact: ArtifactRef,
    },
    /// `actions/cache` saved something in a pod: which key it has, the engine's store knows.
    CacheSaved {
        /// Its key.
        key: String,
        /// The action's `path`, as written: another `path` is another cache.
        paths: String,
        /// What was saved.
        artifact: ArtifactRef,
    },
}

/// An annotation of GitHub's workflow commands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// `error`, `warning` or `notice`.
    pub level: String,
    /// Masked.
    pub message: String,
    /// `title`.
    pub title: Option<String>,
    /// `file`.
    pub file: Option<String>,
    /// `line`, `endLine`, `col`, `endColumn`.
    pub line: Option<u64>,
    /// See `line`.
    pub end_line: Option<u64>,
    /// See `line`.
    pub column: Option<u64>,
    /// See `line`.
    pub end_column: Option<u64>,
    /// Index of the step that said it.
    pub step: u32,
}

/// How an attempt ended: without a receipt there is no success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Of the attempt as a whole.
    pub conclusion: Conclusion,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// Exit code of the step that failed; 128 + N for a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// For people, masked: one line, and under it what it is about where that has no step: a place in a
    /// file, the last lines of a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Index of the step that failed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<u32>,
    /// Of a kill for memory: what the killed container had, where a step's own `resources` say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_memory: Option<StepMemory>,
    /// Job outputs; those with masked values were dropped.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// Last values; only finite numbers count for gates, others are kept as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, serde_json::Value>,
    /// `max` or `min` by metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub goals: BTreeMap<String, String>,
    /// Parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, serde_json::Value>,
    /// What was produced, by name (`produces`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<String, ArtifactRef>,
    /// What `actions/upload-artifact` kept, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uploads: BTreeMap<String, ArtifactRef>,
    /// Job summary in Markdown (`GITHUB_STEP_SUMMARY`), masked, at most 1 MiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The evaluated `environment.url`, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_url: Option<String>,
    /// The images that its containers ran, as the cluster resolved them: container and `NAME@DIGEST`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: Arc<BTreeMap<String, String>>,
    /// Bytes of the attempt's log.
    pub log: u64,
    /// Milliseconds of wall time from the first step to the end.
    pub duration_ms: u64,
}

impl Receipt {
    /// Returns a receipt of an attempt whose steps did not speak for themselves: nothing was measured
    /// and nothing kept.
    pub fn bare(conclusion: Conclusion, class: Option<FailureClass>, reason: String) -> Self {
        Self {
            conclusion,
            class,
            exit: None,
            reason: Some(reason),
            failed_step: None,
            step_memory: None,
            outputs: BTreeMap::new(),
            metrics: BTreeMap::new(),
            goals: BTreeMap::new(),
            params: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            uploads: BTreeMap::new(),
            summary: String::new(),
            environment_url: None,
            images: Arc::default(),
            log: 0,
            duration_ms: 0,
        }
    }
}

/// What in a reason parts what failed from the services that ended under the steps.
pub const BESIDE: &str = "; the service `";

/// That a service ended under the steps, for the so manieth time; `how` as in `ended with exit 7`, `node` where there are
/// several. It says nothing of an order: a failure may follow from it, or a step that always runs have ended the service.
pub fn service_ended(service: &str, node: Option<u32>, how: &str, times: u32) -> String {
    let node = node.map(|node| format!(" of node {node}")).unwrap_or_default();
    let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
    format!("the service `{service}`{node} {how} while steps ran{times}")
}

impl Receipt {
    /// Adds to the first line of a failure's reason which services ended under the steps, as [`service_ended`] says it.
    pub fn add_beside(&mut self, services: &[String]) {
        if self.conclusion != Conclusion::Failure || services.is_empty() {
            return;
        }
        let reason = self.reason.take().unwrap_or_default();
        let (first, rest) = reason.split_once('\n').map_or((reason.as_str(), None), |(a, b)| (a, Some(b)));
        let rest = rest.map(|rest| format!("\n{rest}")).unwrap_or_default();
        let first = if first.is_empty() { "it failed" } else { first };
        self.reason = Some(format!("{first}; {}{rest}", services.join("; ")));
    }
}

/// What an agent may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Metrics of a gate's baseline, as written: `MODEL@ALIAS` or `branch:NAME`.
    Baseline {
        /// As written, evaluated.
        baseline: String,
    },
    /// What `actions/download-artifact` wants: the run's uploads by name so far.
    Uploads,
    /// The container of the steps ended under a running step; only the cluster knows why.
    Death,
    /// Of `nodes: N`, this one is ready for its first step; answered when all are.
    Nodes,
    /// What `actions/cache` wants in a pod.
    Cache {
        /// The key, then the restore keys.
        keys: Vec<String>,
        /// The action's `path`, as written.
        paths: String,
    },
}

/// What `actions/cache` saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCache {
    /// Its key.
    pub key: String,
    /// Its files.
    pub artifact: ArtifactRef,
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The baseline's metrics.
    Baseline(crate::gate::Baseline),
    /// Uploads by name.
    Uploads(BTreeMap<String, ArtifactRef>),
    /// Why the container of the steps ended.
    Death {
        /// Its class.
        class: FailureClass,
        /// The container's exit code, if it had one.
        exit: Option<i32>,
        /// One line for people.
        reason: String,
    },
    /// All nodes are ready.
    Nodes,
    /// The cache that fits, if there is one.
    Cache(Option<SavedCache>),
    /// The engine could not find out; the attempt fails as the tool's failure (exit 4).
    Unavailable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_ended_stand_beside_a_failure_without_an_order() {
        let services = [
            service_ended("db", None, "ended with exit 7", 1),
            service_ended("web", Some(2), "was killed for memory (exit 137)", 3),
        ];
        let said = |conclusion, reason: &str, services: &[String]| {
            let mut receipt = Receipt::bare(conclusion, None, reason.to_owned());
            receipt.add_beside(services);
            receipt.reason.unwrap_or_default()
        };
        let all = "exit 3; the service `db` ended with exit 7 while steps ran; the service `web` of node 2 was killed for \
                   memory (exit 137) while steps ran (3 times)\n  a line";
        assert_eq!(said(Conclusion::Failure, "exit 3\n  a line", &services), all);
        assert!(services.iter().all(|words| format!("; {words}").starts_with(BESIDE)));
        assert!(said(Conclusion::Failure, "", &services).starts_with("it failed; the service `db`"));
        assert_eq!(said(Conclusion::Failure, "exit 3", &[]), "exit 3");
        assert_eq!(said(Conclusion::Success, "", &services), "");
    }
}
