//! What only the API server has: the last lines of a container that an attempt failed of before any step, and the end of
//! the log of an agent that was killed.

use super::attempt::Done;
use super::observe::{killed_agent, quote};
use super::watch::State;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use std::time::Duration;
use tidegate_flow::job::{Masks, Receipt};
use tokio::time::{Instant, sleep, timeout};

/// Lines that are quoted.
const LINES: i64 = 10;
/// Bytes of them, at most.
const BYTES: i64 = 4 << 10;
/// They are waited for this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before they are asked for again.
const AGAIN: Duration = Duration::from_millis(300);

/// Lines and bytes of an agent's log, at most.
const LOG_LINES: i64 = 10_000;
const LOG_BYTES: i64 = 4 << 20;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) enum Quote {
    /// Nobody asked.
    #[default]
    Not,
    /// They are read.
    Asked(Instant),
    /// These are they; none where they cannot be had.
    Are(Vec<String>),
}

/// What is known of the end of a killed agent's log, or of those of several.
#[derive(Debug, Default)]
pub(super) enum Rest {
    /// Nobody asked.
    #[default]
    Not,
    /// It is read.
    Asked(Instant),
    /// It is in the log.
    Here,
}

impl Quote {
    /// They came; what is secret is not quoted.
    pub(super) fn is(&mut self, lines: Vec<String>, masks: &Masks) {
        let clean = |line: String| line.chars().filter(|c| !c.is_control() || *c == '\t').collect::<String>();
        *self = Self::Are(lines.into_iter().map(|line| masks.apply(&clean(line))).collect());
    }
}

/// What a container has written; `None`: the kubelet has cleared it away meanwhile. Who may not read it reads nothing.
async fn logs(pods: &Api<Pod>, pod: &str, of: &LogParams) -> Option<String> {
    match pods.logs(pod, of).await {
        Ok(text) => Some(text).filter(|text| !is_kubelets(text)),
        Err(_) => Some(String::new()),
    }
}

/// As long as the API server still names a container that is gone, the kubelet answers with success and says in the text
/// that it has none (`GetContainerLogs` of its package `kuberuntime`).
fn is_kubelets(text: &str) -> bool {
    text.starts_with("unable to retrieve container logs for ") && text.lines().count() == 1
}

/// The last lines of the container before the one that runs, else of that one: the kubelet may have cleared the one before
/// away, and its successor does the same. Asked again while both are gone: a third is being started.
async fn last_words(pods: &Api<Pod>, pod: &str, before: &LogParams, last: &LogParams) -> String {
    loop {
        let mut gone = false;
        for of in [before, last] {
            match logs(pods, pod, of).await {
                Some(text) if !text.is_empty() => return text,
                Some(_) => {}
                None => gone = true,
            }
        }
        if !gone {
            return String::new();
        }
        sleep(AGAIN).await;
    }
}

/// What the agent of a rank had written, as far as the kubelet has it.
async fn rest(pods: &Api<Pod>, rank: u32, pod: String, previous: bool) -> (u32, String) {
    let of = LogParams {
        container: Some("agent".to_owned()),
        previous,
        tail_lines: Some(LOG_LINES),
        limit_bytes: Some(LOG_BYTES),
        ..LogParams::default()
    };
    let text = timeout(PATIENCE, logs(pods, &pod, &of)).await;
    (rank, text.ok().flatten().unwrap_or_default())
}

impl State {
    /// Fetches what an agent that was killed had written and not sent. `None`: it is being read.
    pub(super) fn with_rest(&mut self, token: &str, receipt: Receipt, now: Instant) -> Option<Receipt> {
        let Some(attempt) = self.attempts.get_mut(token) else { return Some(receipt) };
        let killed = attempt.pods().filter(|(rank, _)| !attempt.ranks.is_done(*rank));
        let killed =
            killed.filter_map(|(rank, pod)| Some((rank, pod.metadata.name.clone()?, killed_agent(pod)?)));
        let killed: Vec<(u32, String, bool)> = killed.collect();
        if killed.is_empty() {
            return Some(receipt);
        }
        match attempt.rest {
            Rest::Not => {
                attempt.rest = Rest::Asked(now);
                let (pods, done, token) = (self.cluster.pods(), self.done.clone(), token.to_owned());
                tokio::spawn(async move {
                    let texts =
                        killed.into_iter().map(|(rank, pod, previous)| rest(&pods, rank, pod, previous));
                    let _ = done.send(Done::Rest { token, texts: join_all(texts).await });
                });
                None
            }
            Rest::Asked(since) if now.duration_since(since) < PATIENCE => None,
            Rest::Asked(_) | Rest::Here => Some(receipt),
        }
    }

    /// Puts the last lines of what an attempt failed of under its reason. `None`: they are being read.
    pub(super) fn quoted(&mut self, token: &str, mut receipt: Receipt, now: Instant) -> Option<Receipt> {
        let Some(attempt) = self.attempts.get_mut(token) else { return Some(receipt) };
        let found = attempt.pods().find_map(|(_, pod)| Some((pod.metadata.name.clone()?, quote(pod)?)));
        let Some((pod, (container, previous))) = found else { return Some(receipt) };
        match &attempt.quote {
            Quote::Not => {
                let of = |previous| LogParams {
                    container: Some(container.to_owned()),
                    previous,
                    tail_lines: Some(LINES),
                    limit_bytes: Some(BYTES),
                    ..LogParams::default()
                };
                let (before, last) = (of(previous), of(false));
                attempt.quote = Quote::Asked(now);
                let (pods, done, token) = (self.cluster.pods(), self.done.clone(), token.to_owned());
                tokio::spawn(async move {
                    let text = timeout(PATIENCE, last_words(&pods, &pod, &before, &last)).await;
                    // Too late is nothing.
                    let text = text.unwrap_or_default();
                    let lines = text.lines().map(str::to_owned).collect();
                    let _ = done.send(Done::Quoted { token, lines });
                });
                None
            }
            Quote::Asked(since) if now.duration_since(*since) < PATIENCE => None,
            Quote::Asked(_) => Some(receipt),
            Quote::Are(lines) => {
                if let Some(reason) = &mut receipt.reason
                    && !reason.contains('\n')
                {
                    for line in lines {
                        reason.push('\n');
                        reason.push_str(line);
                    }
                }
                Some(receipt)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::{TOKEN, World};
    use super::*;
    use serde_json::json;
    use tidegate_flow::job::Conclusion;

    #[test]
    fn the_end_of_a_killed_agents_log_is_fetched_from_every_node() {
        let container = |name: &str, state: serde_json::Value, last: serde_json::Value| json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 1, "state": state, "lastState": last});
        let ended = json!({"terminated": {"exitCode": 137}});
        let mut world = World::new(2);
        world.comes(0);
        world.comes(1);
        world.pod_is(0, json!({"phase": "Running"}));
        world.pod_is(
            1,
            json!({"phase": "Running",
            "initContainerStatuses": [container("agent", json!({"running": {}}), ended.clone())],
            "containerStatuses": [container("steps", ended, json!({}))]}),
        );
        let receipt = || Receipt::bare(Conclusion::Failure, None, String::new());
        let asked = world.inside(|state| state.with_rest(TOKEN, receipt(), Instant::now()));
        assert_eq!(asked, None, "it is being read");
        world.state.done(Done::Rest { token: TOKEN.into(), texts: vec![(1, "the end\n".into())] });
        assert_eq!((world.log(0), world.log(1)), (String::new(), "the end\n".to_owned()));
        assert_eq!(world.inside(|state| state.with_rest(TOKEN, receipt(), Instant::now())), Some(receipt()));
    }

    #[test]
    fn what_a_kubelet_says_instead_of_a_log_is_not_quoted() {
        let gone = "unable to retrieve container logs for containerd://eeed98a472a7";
        for (text, kubelets) in
            [(gone, true), ("starting up\n", false), ("", false), (&format!("{gone}\nand went on\n"), false)]
        {
            assert_eq!(is_kubelets(text), kubelets, "{text}");
        }
    }
}
