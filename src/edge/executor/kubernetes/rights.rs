//! The rights of an engine outside of the cluster, each of which it uses: as the rules of a Role, and as questions to the
//! API server before anything is made.
//!
//! Not here: the rights of an engine in the cluster, and of people who hand runs over to it (`detached`).

use super::cluster::Cluster;
use super::error::{ClusterError, api};
use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use serde_json::{Value as Json, json};

/// What somebody is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Run something.
    Run,
    /// Remove what is left.
    Collect,
}

/// What a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// There is no run without it.
    Run,
    /// Nothing is collected without it.
    Collect,
    /// Neither.
    Both,
    /// A run does without it: what it lacks then.
    Less(&'static str),
    /// Only some need it: the API server says so when it is asked for.
    Seldom,
}

/// Verbs on one kind of resource.
struct Right {
    group: &'static str,
    /// With `/` before what is below it.
    resource: &'static str,
    /// The only object of that kind, if it is about one.
    name: Option<&'static str>,
    verbs: &'static [&'static str],
    need: Need,
}

const fn right(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    need: Need,
) -> Right {
    Right { group, resource, name: None, verbs, need }
}

const fn named(group: &'static str, resource: &'static str, name: &'static str, need: Need) -> Right {
    Right { group, resource, name: Some(name), verbs: &["get"], need }
}

const SERVICES_TAKE_TIME: Need = Need::Less("services of a job that is over take their time to end");
const NOT_QUOTED: Need = Need::Less("what a container said last that no agent heard is not quoted");
const NOT_LATER: Need = Need::Less("API servers of 1.35 and later do not let it reach the hub");
const NOT_EXPLAINED: Need = Need::Less("why no pod is made is not said");
const OWN_POLICY: Need = Need::Less("the namespace's policy is not known, and this machine's holds");

/// All of them; docs/kubernetes.md says what each is for.
const OUTSIDE: &[Right] = &[
    right("batch", "jobs", &["create", "get", "watch"], Need::Run),
    right("batch", "jobs", &["delete", "list"], Need::Both),
    right("", "pods", &["list"], Need::Both),
    right("", "pods", &["watch"], Need::Run),
    right("", "pods", &["deletecollection"], SERVICES_TAKE_TIME),
    // For `plan --server`.
    right("", "pods", &["create"], Need::Seldom),
    right("", "pods/log", &["get"], NOT_QUOTED),
    right("", "pods/portforward", &["get"], Need::Both),
    // Kubernetes, `AuthorizePodWebsocketUpgradeCreatePermission`.
    right("", "pods/portforward", &["create"], NOT_LATER),
    right("", "events", &["list", "watch"], NOT_EXPLAINED),
    // Asked of where a job has a queue.
    right("kueue.x-k8s.io", "workloads", &["list"], Need::Seldom),
    right("", "secrets", &["create"], Need::Run),
    right("", "secrets", &["get"], Need::Both),
    right("", "secrets", &["delete", "list"], Need::Collect),
    // For a hub that has to be put up, and for jobs of several nodes.
    right("", "services", &["create"], Need::Seldom),
    named("", "services", "tidegate-hub", Need::Run),
    right("apps", "deployments", &["create"], Need::Seldom),
    named("apps", "deployments", "tidegate-hub", Need::Run),
    named("", "configmaps", "tidegate-policy", OWN_POLICY),
];

/// For a hub with a volume.
const CLAIM: Right = right("", "persistentvolumeclaims", &["create"], Need::Seldom);

/// Returns the rules of a Role that has all of them, one for each kind of object.
pub(super) fn outside_rules(hub_has_volume: bool) -> Json {
    let claim = hub_has_volume.then_some(&CLAIM);
    let mut rules: Vec<(&Right, Vec<&str>)> = Vec::new();
    for right in OUTSIDE.iter().chain(claim) {
        let of = |known: &Right| (known.group, known.resource, known.name);
        match rules.iter_mut().find(|(known, _)| of(known) == of(right)) {
            Some((_, verbs)) => verbs.extend(right.verbs),
            None => rules.push((right, right.verbs.to_vec())),
        }
    }
    let written = rules.into_iter().map(|(right, mut verbs)| {
        verbs.sort_unstable();
        match right.name {
            Some(name) => named_rule(right.group, right.resource, &[name], &verbs),
            None => rule(right.group, &[right.resource], &verbs),
        }
    });
    Json::Array(written.collect())
}

/// A rule of a Role.
pub(super) fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Json {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}

/// The same for some objects only.
pub(super) fn named_rule(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> Json {
    json!({ "apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": verbs })
}

/// Asks whether this account may do all that it is about to, so that what is missing is said at once and whole, before
/// anything is made. Returns what a run does without.
pub(super) async fn require(cluster: &Cluster, purpose: Purpose) -> Result<Vec<String>, ClusterError> {
    let concerns = |need: Need| match need {
        Need::Both => true,
        Need::Run | Need::Less(_) => purpose == Purpose::Run,
        Need::Collect => purpose == Purpose::Collect,
        Need::Seldom => false,
    };
    let asked = OUTSIDE.iter().filter(|right| concerns(right.need));
    let asked = asked.flat_map(|right| right.verbs.iter().map(move |verb| (right, *verb)));
    let answers = join_all(asked.map(|(right, verb)| async move {
        let lacks = !may(cluster, right, verb).await?;
        Ok::<_, ClusterError>(lacks.then_some((right, verb)))
    }));
    let answers: Result<Vec<_>, ClusterError> = answers.await.into_iter().collect();
    let (less, lacks): (Vec<_>, Vec<_>) =
        answers?.into_iter().flatten().partition(|(right, _)| matches!(right.need, Need::Less(_)));
    if lacks.is_empty() {
        return Ok(without(&less));
    }
    let all: Vec<_> = lacks.into_iter().chain(less).collect();
    Err(ClusterError::Rights { namespace: cluster.namespace.clone(), rights: words(&all) })
}

/// Tells whether this account may see what becomes of Jobs and pods.
pub(super) async fn sees(cluster: &Cluster) -> bool {
    let sights = OUTSIDE.iter().filter(|right| matches!(right.resource, "jobs" | "pods"));
    let sights = sights.flat_map(|right| right.verbs.iter().map(move |verb| (right, *verb)));
    let sights = sights.filter(|(_, verb)| matches!(*verb, "list" | "watch"));
    let answers = join_all(sights.map(|(right, verb)| may(cluster, right, verb))).await;
    answers.into_iter().all(|answer| answer.unwrap_or(false))
}

/// What a run does without, a line for each thing.
fn without(less: &[(&Right, &str)]) -> Vec<String> {
    let same = |(a, _): &(&Right, &str), (b, _): &(&Right, &str)| a.need == b.need;
    let notes = less.chunk_by(same).filter_map(|of| match of.first()?.0.need {
        Need::Less(what) => Some(format!("this account may not {}: {what}", words(of))),
        _ => None,
    });
    notes.collect()
}

/// Rights as people read them, each kind of object once.
fn words(rights: &[(&Right, &str)]) -> String {
    let mut said: Vec<(Vec<&str>, String)> = Vec::new();
    for (right, verb) in rights {
        let resource = match right.group {
            "" | "apps" | "batch" => right.resource.to_owned(),
            group => format!("{}.{group}", right.resource),
        };
        let of = match right.name {
            Some(name) => format!("`{resource}` `{name}`"),
            None => format!("`{resource}`"),
        };
        match said.iter_mut().find(|(_, known)| *known == of) {
            Some((verbs, _)) => verbs.push(verb),
            None => said.push((vec![*verb], of)),
        }
    }
    let said = said.into_iter().map(|(mut verbs, of)| {
        verbs.sort_unstable();
        format!("{} {of}", verbs.join(", "))
    });
    said.collect::<Vec<_>>().join("; ")
}

/// Asks about one. Who may not even ask is believed: the API server says so when it is done.
async fn may(cluster: &Cluster, right: &Right, verb: &str) -> Result<bool, ClusterError> {
    let (resource, below) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let attributes = ResourceAttributes {
        namespace: text(&cluster.namespace),
        verb: text(verb),
        group: text(right.group),
        resource: text(resource),
        subresource: text(below),
        name: right.name.and_then(text),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let question = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    match reviews.create(&PostParams::default(), &question).await {
        Ok(answer) => Ok(answer.status.is_none_or(|status| status.allowed)),
        Err(kube::Error::Api(status)) if matches!(status.code, 403..=405) => Ok(true),
        Err(error) => Err(api("asking what this account may do".to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_object_has_one_rule() {
        let rules = outside_rules(true);
        let rules = rules.as_array().unwrap();
        let of = |rule: &Json| {
            (rule["apiGroups"].clone(), rule["resources"].clone(), rule["resourceNames"].clone())
        };
        for (index, rule) in rules.iter().enumerate() {
            assert!(rules[..index].iter().all(|other| of(other) != of(rule)), "{rule}");
        }
        let find = |resource: &str| rules.iter().find(|rule| rule["resources"][0] == resource);
        assert_eq!(find("jobs").unwrap()["verbs"], json!(["create", "delete", "get", "list", "watch"]));
        assert_eq!(find("configmaps").unwrap()["resourceNames"], json!(["tidegate-policy"]));
        assert!(find("persistentvolumeclaims").is_some());
        let without = outside_rules(false);
        assert_eq!(without.as_array().unwrap().len(), rules.len() - 1);
        assert!(!without.to_string().contains("persistentvolumeclaims"));
    }

    #[test]
    fn what_a_run_does_without_is_said_once_for_each_thing() {
        let events = OUTSIDE.iter().find(|right| right.resource == "events").unwrap();
        let policy = OUTSIDE.iter().find(|right| right.resource == "configmaps").unwrap();
        let said = without(&[(events, "list"), (events, "watch"), (policy, "get")]);
        assert_eq!(
            said,
            [
                "this account may not list, watch `events`: why no pod is made is not said",
                "this account may not get `configmaps` `tidegate-policy`: the namespace's policy is not known, and this \
                 machine's holds"
            ]
        );
    }
}
