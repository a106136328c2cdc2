//! Takes in what the watch tells of pods: which there are of an attempt, and which are gone.

use super::images::is_final;
use super::observe::{disrupted, node_is_away};
use super::projection;
use super::watch::State;
use crate::agent::now;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{Error, Event};

/// Which of several nodes a pod is (Kubernetes, "Indexed Job").
pub(super) const RANK: &str = "batch.kubernetes.io/job-completion-index";

impl State {
    pub(super) fn pod(&mut self, event: Result<Event<Pod>, Error>) {
        let Some(event) = self.heard(event) else { return };
        match event {
            Event::Init => self.listed_pods.clear(),
            Event::InitApply(pod) => {
                self.listed_pods.extend(pod.metadata.uid.clone());
                self.pod_is(pod);
            }
            Event::InitDone => self.unlisted_are_gone(),
            Event::Apply(pod) => self.pod_is(pod),
            Event::Delete(pod) => self.take_in(pod, true),
        }
    }

    /// Takes in a pod as it is now.
    pub(super) fn pod_is(&mut self, pod: Pod) {
        self.take_in(pod, false);
    }

    /// What was there before and is in the list no more went while nobody watched.
    fn unlisted_are_gone(&mut self) {
        let listed = std::mem::take(&mut self.listed_pods);
        let unlisted = |pod: &Pod| pod.metadata.uid.as_ref().is_some_and(|uid| !listed.contains(uid));
        let mut lost_some = Vec::new();
        for (token, attempt) in &mut self.attempts {
            let gone: Vec<u32> =
                attempt.pods_there().filter(|(_, pod)| unlisted(pod)).map(|(rank, _)| rank).collect();
            if !gone.is_empty() {
                gone.iter().for_each(|rank| attempt.node_is(*rank, false));
                attempt.gone.extend(gone);
                lost_some.push(token.clone());
            }
        }
        for token in lost_some {
            self.tell_images(&token);
            self.forget(&token);
            self.touched.insert(token);
        }
    }

    fn take_in(&mut self, pod: Pod, gone: bool) {
        let hub = self.hub.clone();
        self.images.learn(&pod);
        let annotations = pod.metadata.annotations.as_ref();
        let rank = annotations.and_then(|a| a.get(RANK)?.parse::<u32>().ok()).unwrap_or(0);
        let Some(attempt) = self.of(annotations) else { return };
        let token = attempt.spec.token.clone();
        match attempt.pod_of(rank) {
            // News of a pod that had to go before this one came, or that was overtaken by the word that it is gone.
            Some(known) if is_newer(known, &pod) => return,
            Some(known) if known.metadata.uid == pod.metadata.uid && attempt.gone.contains(&rank) => return,
            Some(known) if known.metadata.uid != pod.metadata.uid => {
                attempt.replaced |= attempt.came(rank, &hub);
            }
            _ => {}
        }
        if gone {
            attempt.gone.insert(rank);
        } else {
            attempt.gone.remove(&rank);
        }
        let told_to_go = pod.metadata.deletion_timestamp.is_some();
        // Its agent says so when its steps have ended, or never, and its peers fail before that.
        if is_final(&pod) || told_to_go || disrupted(&pod).is_some() {
            attempt.ends_at(rank, now());
        }
        attempt.node_is(rank, !gone && !told_to_go && node_is_away(&pod));
        attempt.is(rank, projection::pod(pod));
        self.tell_services(&token, rank);
        self.tell_images(&token);
        self.forget(&token);
    }
}

/// Tells whether a pod that is known was made after this one.
fn is_newer(known: &Pod, pod: &Pod) -> bool {
    let (known, pod) = (&known.metadata, &pod.metadata);
    known.uid != pod.uid && known.creation_timestamp > pod.creation_timestamp
}

#[cfg(test)]
mod tests {
    use super::super::attempt::Done;
    use super::super::cluster::ATTEMPT;
    use super::super::world::{TOKEN, World};
    use super::*;
    use serde_json::json;
    use tidegate_flow::job::AgentRequest;
    use tokio::time::Instant;

    fn pod(rank: u32, uid: &str) -> Pod {
        let annotations = json!({ATTEMPT: TOKEN, RANK: rank.to_string()});
        let made = format!("2026-01-01T00:00:0{}Z", &uid[..1]);
        let metadata =
            json!({"name": uid, "uid": uid, "creationTimestamp": made, "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    /// Two pods run, and the attempt was told to leave.
    fn leaving() -> World {
        let mut world = World::new(2);
        world.state.pod(Ok(Event::Apply(pod(0, "1a"))));
        world.state.pod(Ok(Event::Apply(pod(1, "1b"))));
        world.attempt().leave_by = Some(Instant::now());
        world
    }

    fn removed(world: &mut World, left: Vec<Pod>) {
        world.state.done(Done::Removed { token: TOKEN.into(), left });
    }

    #[test]
    fn what_leaves_is_there_until_all_its_pods_are_gone() {
        let mut world = leaving();
        removed(&mut world, Vec::new());
        world.state.pod(Ok(Event::Delete(pod(0, "1a"))));
        assert!(!world.state.attempts.is_empty(), "rank 1 is still there");
        world.state.pod(Ok(Event::Delete(pod(1, "1b"))));
        assert!(world.state.attempts.is_empty());
    }

    #[test]
    fn one_that_nobody_watched_leave_is_gone() {
        let mut world = leaving();
        removed(&mut world, Vec::new());
        for event in [Event::Init, Event::InitApply(pod(1, "1b")), Event::InitDone] {
            world.state.pod(Ok(event));
        }
        assert_eq!(world.attempt().gone.iter().collect::<Vec<_>>(), [&0]);
        for event in [Event::Init, Event::InitDone] {
            world.state.pod(Ok(event));
        }
        assert!(world.state.attempts.is_empty());
    }

    #[test]
    fn one_of_which_the_watch_did_not_tell_yet_is_waited_for() {
        let mut world = World::new(0);
        world.state.request(AgentRequest::Cancel { token: TOKEN.into(), reason: "no more".into() });
        removed(&mut world, vec![pod(0, "1a")]);
        assert!(!world.state.attempts.is_empty());
        world.state.pod(Ok(Event::Delete(pod(0, "1a"))));
        assert!(world.state.attempts.is_empty());
        // Told of its end first.
        let mut world = leaving();
        world.state.pod(Ok(Event::Delete(pod(0, "1a"))));
        world.state.pod(Ok(Event::Delete(pod(1, "1b"))));
        removed(&mut world, vec![pod(1, "1b")]);
        assert!(world.state.attempts.is_empty());
    }

    #[test]
    fn a_pod_that_follows_another_is_there() {
        let mut world = World::new(2);
        world.state.pod(Ok(Event::Apply(pod(1, "1b"))));
        world.state.pod(Ok(Event::Delete(pod(1, "1b"))));
        assert_eq!(world.attempt().pods_there().count(), 0);
        world.state.pod(Ok(Event::Apply(pod(1, "2b"))));
        world.state.pod(Ok(Event::Delete(pod(1, "1b"))));
        assert_eq!(world.attempt().pods_there().count(), 1, "the older one's end says nothing of it");
    }

    /// Its node would have to say so, and may be gone for good.
    #[test]
    fn one_on_a_node_that_is_away_is_not_waited_for() {
        let mut world = leaving();
        removed(&mut world, Vec::new());
        world.state.pod(Ok(Event::Delete(pod(0, "1a"))));
        let mut told = pod(1, "1b");
        told.metadata.deletion_timestamp = told.metadata.creation_timestamp.clone();
        world.state.pod(Ok(Event::Apply(told.clone())));
        assert!(!world.state.attempts.is_empty());
        let away = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
        told.status = Some(serde_json::from_value(away).unwrap());
        world.state.pod(Ok(Event::Apply(told)));
        assert!(world.state.attempts.is_empty());
    }

    #[test]
    fn whose_agent_came_is_replaced_on_whatever_node() {
        for rank in [0, 1] {
            let mut world = World::new(2);
            world.state.pod(Ok(Event::Apply(pod(rank, "1a"))));
            world.state.pod(Ok(Event::Apply(pod(rank, "2a"))));
            assert!(!world.attempt().replaced, "nothing of {rank} is lost");
            world.comes(rank);
            world.state.pod(Ok(Event::Apply(pod(rank, "3a"))));
            assert!(world.attempt().replaced, "{rank}");
        }
    }

    #[test]
    fn the_node_of_a_pod_that_nobody_watched_leave_is_not_missed() {
        let mut world = World::new(2);
        world.state.pod(Ok(Event::Apply(pod(1, "1b"))));
        world.attempt().node_is(1, true);
        for event in [Event::Init, Event::InitDone] {
            world.state.pod(Ok(event));
        }
        assert!(world.attempt().nodes_away.is_empty());
    }
}
