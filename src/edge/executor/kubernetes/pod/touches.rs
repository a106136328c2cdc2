//! What of a pod a template may not touch, whatever the policy allows: what the engine needs as it is, and
//! what hub and engine are found by.
//!
//! Not here: what the final pod may ask for (`judge`). Pure.

use super::finding::{Segment, finding};
use super::overlay::place_of;
use super::own::is_name;
use serde_json::Value as Json;
use tidegate_lang::source::{Diagnostic, Node, NodeKind};

/// Members of a pod that the engine needs as they are.
const OURS: [&str; 6] = [
    "restartPolicy",
    "hostname",
    "subdomain",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "nodeName",
];
/// Members of the containers of the steps that the workflow says.
const STEPS: [(&str, &str); 4] = [
    ("command", "the shim is its first process"),
    ("args", "the shim is its first process"),
    ("image", "the workflow says it: `container`"),
    ("restartPolicy", "what is tried again is the engine's to decide"),
];
/// Volumes that agent and steps share.
const VOLUMES: [&str; 6] = ["bin", "shared", "own", "secret", "shm", "checkpoint"];

/// What no null takes away.
const NEEDED: [&[&str]; 7] = [
    &["metadata"],
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["spec"],
    &["spec", "containers"],
    &["spec", "initContainers"],
    &["spec", "volumes"],
];

/// Collects what a template may not touch.
pub(super) fn touches(root: &Node, value: &Json, wrong: &mut Vec<Diagnostic>) {
    let NodeKind::Mapping(entries) = &root.kind else {
        wrong.push(finding(root.span, "a pod template is a mapping with `metadata` and `spec`"));
        return;
    };
    for entry in entries {
        if !["apiVersion", "kind", "metadata", "spec"].contains(&&*entry.key) {
            let words = format!("`{}` is not part of a pod template; `metadata` and `spec` are", entry.key);
            wrong.push(finding(entry.key_span, words));
        }
    }
    let mut no = |path: &[Segment], words: String| {
        wrong.push(finding(place_of(root, path), words));
    };
    metadata(&value["metadata"], &mut no);
    let spec = &value["spec"];
    for name in OURS {
        if spec.get(name).is_some() {
            no(&[key("spec"), key(name)], format!("`{name}` is set by the engine"));
        }
    }
    for path in NEEDED {
        let there = path.iter().try_fold(value, |at, name| at.get(name));
        if there.is_some_and(Json::is_null) {
            let at: Vec<Segment> = path.iter().map(|name| key(name)).collect();
            no(&at, format!("`{}` holds what is the engine's, and stays", path.join(".")));
        }
    }
    for list in ["containers", "initContainers"] {
        for given in items(&spec[list]) {
            container(list, given, &mut no);
        }
    }
    for volume in items(&spec["volumes"]) {
        let name = volume["name"].as_str().unwrap_or_default();
        if VOLUMES.contains(&name) || name.starts_with("service-") || is_of_a_name(name) {
            no(&[key("spec"), key("volumes"), item(name)], format!("the volume `{name}` is the engine's"));
        }
    }
    directives(root, wrong);
}

/// Tells whether a volume is that of a name in `volumes` (`volumes`).
fn is_of_a_name(volume: &str) -> bool {
    let number = volume.strip_prefix("volume-").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

fn metadata(metadata: &Json, no: &mut dyn FnMut(&[Segment], String)) {
    for (name, value) in members(metadata) {
        if !["labels", "annotations"].contains(&name.as_str()) {
            let words = format!("of `metadata` only labels and annotations are taken, not `{name}`");
            no(&[key("metadata"), key(name)], words);
        }
        for (label, value) in members(value) {
            let at = [key("metadata"), key(name), key(label)];
            let starts = |start: &&str| label.starts_with(start);
            if ["tidegate.dev/", "batch.kubernetes.io/", "app.kubernetes.io/managed-by"].iter().any(starts) {
                no(&at, format!("`{label}` is set by the engine"));
            }
            // Hub and engine are found by it.
            if label == "app.kubernetes.io/name" && value.as_str().is_some_and(is_name) {
                no(&at, "what is called so is a part of Tidegate itself".to_owned());
            }
            // An older way to say a field, which would not be judged.
            if label.starts_with("container.apparmor.security.beta.kubernetes.io") {
                no(&at, "say it in `securityContext.appArmorProfile` of the container".to_owned());
            }
        }
    }
}

fn container(list: &str, container: &Json, no: &mut dyn FnMut(&[Segment], String)) {
    let name = container["name"].as_str().unwrap_or_default();
    let at = |more: &str| [key("spec"), key(list), item(name), key(more)];
    if name.is_empty() {
        let words = format!("each of `{list}` needs a name; `steps` is the container of the steps");
        no(&[key("spec"), key(list)], words);
    }
    if name == "agent" {
        no(&at("name"), "the container `agent` is the engine's".to_owned());
    }
    if name.starts_with("steps-") || (name == "steps" && list == "initContainers") {
        no(&at("name"), format!("what is said of `containers[steps]` holds for `{name}`, too"));
    }
    for (member, why) in STEPS.iter().filter(|_| name == "steps") {
        if container.get(member).is_some() {
            no(&at(member), format!("`{member}` of the container `steps` stays as it is: {why}"));
        }
    }
    for mount in items(&container["volumeMounts"]) {
        if mount["mountPath"].as_str().is_some_and(|p| p.starts_with("/run/tidegate")) {
            no(&at("volumeMounts"), "the folder /run/tidegate is the engine's".to_owned());
        }
    }
}

/// Strategic merge knows directives; only taking away (null) is known here.
fn directives(node: &Node, wrong: &mut Vec<Diagnostic>) {
    match &node.kind {
        NodeKind::Scalar(_) => {}
        NodeKind::Sequence(items) => items.iter().for_each(|item| directives(item, wrong)),
        NodeKind::Mapping(entries) => {
            for entry in entries {
                if entry.key.starts_with('$') {
                    let words =
                        format!("the directive `{}` is not known; null takes a member away", entry.key);
                    wrong.push(finding(entry.key_span, words));
                }
                directives(&entry.value, wrong);
            }
        }
    }
}

fn key(name: &str) -> Segment {
    Segment::Key(name.to_owned())
}

fn item(name: &str) -> Segment {
    Segment::Item { key: "name", value: name.to_owned() }
}

pub(super) fn members(value: &Json) -> impl Iterator<Item = (&String, &Json)> {
    value.as_object().into_iter().flatten()
}

pub(super) fn items(value: &Json) -> impl Iterator<Item = &Json> {
    value.as_array().into_iter().flatten()
}
