//! What a person is told of an attempt that waits: what it asks for and does not get, what to change, and then the
//! scheduler's own words. And how it ends when it has waited for too long.

use super::super::pod::gpu;
use super::{Bound, Death, Waiting};
use serde_json::Value as Json;
use tidegate_flow::job::{FailureClass, JobSpec, Spot, memory_amount, step_containers};

/// How it is said of a queue that nothing will leave it as it is (`queued`, and words of Kueue).
const NEVER: [&str; 5] = ["doesn't exist", "is inactive", "is stopped", "no Kueue", "never has"];

/// Says in one line what an attempt waits for, and what to change so that it gets it.
pub(in super::super) fn told(waits: &Waiting, spec: &JobSpec) -> String {
    let said = waits.reason();
    match waits {
        Waiting::Unschedulable(_) => format!("{}; {} ({said})", plain(said, spec), advice(waits)),
        Waiting::NotMade(_) => format!("{said}; {}", advice(waits)),
        // A queue is there to be waited in, if it ever lets anybody go.
        Waiting::Suspended(_) if NEVER.iter().any(|never| said.contains(never)) => {
            format!("{said}; {}", advice(waits))
        }
        _ => said.to_owned(),
    }
}

/// Says how an attempt ends that has waited for too long.
pub(in super::super) fn given_up(waits: &Waiting, spec: &JobSpec, seconds: u64) -> Death {
    let said = waits.reason();
    let never = |class, reason| Death { class, exit: None, reason };
    match (waits.bound(), waits) {
        (Bound::Image, Waiting::SetUp(_)) => never(FailureClass::Unschedulable, said.to_owned()),
        // Another node may be able to.
        (Bound::Image, Waiting::Sandbox(_)) => never(FailureClass::Lost, said.to_owned()),
        (Bound::Image, _) => never(FailureClass::Image, said.to_owned()),
        _ => {
            let what = match waits {
                Waiting::Unschedulable(_) => format!("{} ({said})", plain(said, spec)),
                _ => said.to_owned(),
            };
            let advice = advice(waits);
            let reason = format!("{what}; given up after {seconds} s (`pending-timeout`); {advice}");
            never(FailureClass::Unschedulable, reason)
        }
    }
}

/// What the scheduler's words mean for what was asked for (Kubernetes, `pkg/scheduler/framework/plugins`).
fn plain(said: &str, spec: &JobSpec) -> String {
    let (lacking, kind) = (lacking(said), kind(spec).join(" and "));
    if !lacking.is_empty() {
        let amounts: Vec<String> = lacking.iter().map(|resource| amount(resource, spec)).collect();
        let with = if kind.is_empty() { kind } else { format!(" with {kind}") };
        return format!("no node{with} has {} free", amounts.join(" and "));
    }
    if is_selector(said) {
        return match &spec.pod.template {
            _ if !kind.is_empty() => format!("no node has {kind}"),
            Some(template) => format!("no node is what the pod template {template} asks for"),
            None => "no node is what its pod asks for".to_owned(),
        };
    }
    if said.contains("untolerated taint") {
        return "its pod does not tolerate the taints of the nodes".to_owned();
    }
    "no node takes its pod".to_owned()
}

/// The resources that are `Insufficient`, each once, in the scheduler's order.
fn lacking(said: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in said.split("Insufficient ").skip(1) {
        let name = rest.split([',', ' ']).next().unwrap_or_default().trim_end_matches('.');
        if !name.is_empty() && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn is_selector(said: &str) -> bool {
    said.contains("node affinity/selector") || said.contains("node selector")
}

/// How much of a resource the pod asks for: where several containers do, only the cluster knows the sum.
fn amount(resource: &str, spec: &JobSpec) -> String {
    let containers = step_containers(spec);
    let whole = match containers.as_slice() {
        [one] => Some(&one.resources),
        _ => None,
    };
    let gpus = containers.iter().filter_map(|c| gpu(&c.resources).ok().flatten());
    let mut gpus = gpus.filter(|gpu| gpu.resource == resource);
    match (resource, whole) {
        ("cpu", Some(asked)) if asked.cpu_millis >= 1000 && asked.cpu_millis.is_multiple_of(1000) => {
            format!("{} cpu", asked.cpu_millis / 1000)
        }
        ("cpu", Some(asked)) if asked.cpu_millis > 0 => format!("{}m cpu", asked.cpu_millis),
        ("memory", Some(asked)) if asked.memory_bytes > 0 => {
            format!("{} of memory", memory_amount(asked.memory_bytes))
        }
        ("ephemeral-storage", Some(asked)) if asked.storage_bytes > 0 => {
            format!("{} of ephemeral-storage", memory_amount(asked.storage_bytes))
        }
        _ => match (gpus.next(), gpus.next()) {
            (Some(gpu), None) => format!("{} {resource}", gpu.count),
            _ => format!("enough {resource}"),
        },
    }
}

/// What kind of node the workflow asks for, in its own words.
fn kind(spec: &JobSpec) -> Vec<String> {
    let text = |value: &Json| match value {
        Json::String(one) => one.clone(),
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "),
        other => other.to_string(),
    };
    let mut kind = Vec::new();
    for key in ["product", "memory", "mig"] {
        if spec.resources.gpus > 0
            && let Some(value) = spec.resources.gpu.get(key).filter(|value| !value.is_null())
        {
            kind.push(format!("`gpu.{key}` {}", text(value)));
        }
    }
    if spec.pod.spot == Some(Spot::Only) {
        kind.push("`spot`".to_owned());
    }
    kind
}

/// What to change so that it gets a place.
fn advice(waits: &Waiting) -> &'static str {
    let said = waits.reason();
    match waits {
        Waiting::Suspended(_) if said.contains("doesn't exist") => {
            "`kubectl get localqueues` names those that are there"
        }
        Waiting::Suspended(_) if said.contains("is inactive") || said.contains("is stopped") => {
            "`kubectl describe localqueue` and `clusterqueue` say who stopped it, or what it lacks"
        }
        Waiting::Suspended(_) if said.contains("no Kueue") => {
            "a cluster without Kueue runs jobs without `queue`"
        }
        Waiting::Suspended(_) => "let the queue have more quota, or ask for less in `resources`",
        Waiting::NotMade(_) if said.contains("quota") => {
            "let the quota be raised, or ask for less in `resources`"
        }
        Waiting::NotMade(_) => "see to what keeps the cluster from making it",
        _ if !lacking(said).is_empty() => "ask for less in `resources`, or let the cluster grow",
        _ if is_selector(said) => {
            "ask for what some node has (`kubectl get nodes --show-labels`): `gpu`, `spot`, the pod template"
        }
        _ if said.contains("volume node affinity") => "its volume is tied to other nodes: ask for those",
        _ if said.contains("untolerated taint") => "a pod template can tolerate them",
        _ if said.to_ascii_lowercase().contains("persistentvolumeclaim") => {
            "make the claim, or change the pod template"
        }
        _ => "ask for less in `resources`, or let the cluster grow",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tidegate_flow::job::ResourceRequest;

    fn asks(gpus: u32, gpu: Json) -> JobSpec {
        let resources = ResourceRequest {
            gpus,
            gpu,
            cpu_millis: 64_000,
            memory_bytes: 3 << 29,
            ..ResourceRequest::default()
        };
        JobSpec { resources, ..JobSpec::default() }
    }

    #[test]
    fn what_it_lacks_goes_first_and_the_schedulers_words_last() {
        let spot = |mut spec: JobSpec| {
            spec.pod.spot = Some(Spot::Only);
            spec
        };
        let template = |mut spec: JobSpec| {
            spec.pod.template = Some(".ml/t.yaml".to_owned());
            spec
        };
        let a100 = json!({"product": ["A100", "H100"], "memory": "40Gi"});
        let table = [
            (
                asks(9, json!({})),
                "0/1 nodes are available: 1 Insufficient nvidia.com/gpu",
                "no node has 9 nvidia.com/gpu free; ask for less in `resources`, or let the cluster grow (0/1 nodes",
            ),
            (
                asks(2, a100.clone()),
                "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) didn't match Pod's node affinity/selector",
                "no node with `gpu.product` A100 or H100 and `gpu.memory` 40Gi has 2 nvidia.com/gpu free; ask for less",
            ),
            (
                asks(1, json!({"mig": "1g.10gb"})),
                "0/1 nodes are available: 1 Insufficient nvidia.com/mig-1g.10gb",
                "no node with `gpu.mig` 1g.10gb has 1 nvidia.com/mig-1g.10gb free",
            ),
            (
                asks(0, json!({})),
                "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory, 1 Insufficient cpu",
                "no node has 64 cpu and 1.5 GiB of memory free",
            ),
            (
                asks(0, json!({})),
                "0/2 nodes are available: 2 Insufficient rdma/hca",
                "no node has enough rdma/hca free",
            ),
            (
                asks(1, a100),
                "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector",
                "no node has `gpu.product` A100 or H100 and `gpu.memory` 40Gi; ask for what some node has (`kubectl",
            ),
            (
                spot(asks(0, json!({}))),
                "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector",
                "no node has `spot`; ask",
            ),
            (
                template(asks(0, json!({}))),
                "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector",
                "no node is what the pod template .ml/t.yaml asks for; ask",
            ),
            (
                asks(0, json!({})),
                "0/1 nodes are available: 1 node(s) had untolerated taint {pool: blue}",
                "its pod does not tolerate the taints of the nodes; a pod template can tolerate them (0/1 nodes are \
                 available: 1 node(s) had untolerated taint {pool: blue})",
            ),
            (
                asks(0, json!({})),
                "0/1 nodes are available: 1 node(s) had volume node affinity conflict",
                "no node takes its pod; its volume is tied",
            ),
            (
                asks(0, json!({})),
                "persistentvolumeclaim \"data\" not found",
                "no node takes its pod; make the claim, or change the pod template (persistentvolumeclaim",
            ),
        ];
        for (spec, said, words) in table {
            let told = told(&Waiting::Unschedulable(said.to_owned()), &spec);
            assert!(told.starts_with(words) && told.ends_with(&format!(" ({said})")), "{told}");
        }
        let spec = asks(0, json!({}));
        let hook = Waiting::NotMade("the cluster does not make its pod: failed calling webhook".to_owned());
        assert!(!told(&hook, &spec).contains("quota"), "{hook:?}");
        let queue = Waiting::Suspended("it waits in the queue `q`".to_owned());
        assert_eq!(told(&queue, &spec), "it waits in the queue `q`");
        let queue = Waiting::Suspended("it waits in the queue `q`: LocalQueue q doesn't exist".to_owned());
        assert!(told(&queue, &spec).ends_with("exist; `kubectl get localqueues` names those that are there"));
    }

    #[test]
    fn what_has_waited_for_too_long_has_a_class_and_an_advice() {
        let none = |text: &str| Waiting::Unschedulable(text.to_owned());
        let table = [
            (none("1 Insufficient cpu"), FailureClass::Unschedulable, "ask for less"),
            (none("1 Insufficient cpu"), FailureClass::Unschedulable, "free (1 Insufficient cpu); given up"),
            (none("didn't match Pod's node affinity/selector"), FailureClass::Unschedulable, "`spot`"),
            (none("untolerated taint {a: }"), FailureClass::Unschedulable, "tolerate"),
            (Waiting::NotMade("a quota is used up".into()), FailureClass::Unschedulable, "quota be raised"),
            (
                Waiting::Suspended("it waits in the queue `q`".into()),
                FailureClass::Unschedulable,
                "more quota",
            ),
            (
                Waiting::Suspended("LocalQueue q doesn't exist".into()),
                FailureClass::Unschedulable,
                "`kubectl get localqueues`",
            ),
            (
                Waiting::Suspended("LocalQueue q is inactive".into()),
                FailureClass::Unschedulable,
                "who stopped it",
            ),
            (Waiting::Suspended("there is no Kueue".into()), FailureClass::Unschedulable, "without `queue`"),
            (Waiting::Image("cannot be pulled".into()), FailureClass::Image, "cannot be pulled"),
            (Waiting::Start("exec format error".into()), FailureClass::Image, "exec format error"),
            (Waiting::SetUp("configmap".into()), FailureClass::Unschedulable, "configmap"),
            (Waiting::Sandbox("no address".into()), FailureClass::Lost, "no address"),
        ];
        for (waits, class, words) in table {
            let death = given_up(&waits, &asks(0, json!({})), 60);
            assert!(death.class == class && death.reason.contains(words), "{death:?}");
            assert_eq!(waits.bound() == Bound::Pending, death.reason.contains("`pending-timeout`"));
        }
    }
}
