//! A rendered template laid over the generated pod, and whether the whole is a pod still.
//!
//! Not here: what it may not touch (`touches`).

use super::finding::{Findings, Segment, finding, place, written};
use super::merge::{key_of, merge};
use super::template::Rendered;
use super::touches::{items, members, touches};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::{Value as Json, json};
use tidegate_lang::source::{Diagnostic, Node, NodeKind, Span};

/// Lays a template over `pod`, which has `metadata` and `spec`.
pub(super) fn lay_over(pod: &mut Json, rendered: &Rendered) -> Result<(), Findings> {
    let mut wrong = Vec::new();
    let (root, value) = inner(rendered);
    touches(root, value, &mut wrong);
    if wrong.is_empty() {
        merge(pod, value);
        for_all_steps(&mut pod["spec"], value);
        in_order(&mut pod["spec"]);
        fits(pod, rendered, &mut wrong);
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Findings { sources: rendered.sources.clone(), findings: wrong })
    }
}

/// A `PodTemplate` holds what counts one level deeper.
fn inner(rendered: &Rendered) -> (&Node, &Json) {
    match (entry(&rendered.root, "template"), rendered.value.get("template")) {
        (Some((_, node)), Some(value)) => (node, value),
        _ => (&rendered.root, &rendered.value),
    }
}

fn entry<'a>(node: &'a Node, key: &str) -> Option<(Span, &'a Node)> {
    let NodeKind::Mapping(entries) = &node.kind else { return None };
    entries.iter().find(|e| *e.key == *key).map(|e| (e.key_span, &e.value))
}

/// Where a template says what is at a place of the pod; its start where it does not say it.
pub(super) fn place_of(root: &Node, path: &[Segment]) -> Span {
    let root = entry(root, "template").map_or(root, |(_, node)| node);
    place(root, &as_written(path)).unwrap_or(Span { end: root.span.start, ..root.span })
}

/// What a template says of `steps` holds for all containers of steps: it is said there.
pub(super) fn as_written(path: &[Segment]) -> Vec<Segment> {
    let mut shared = path.to_vec();
    if let [_, Segment::Key(list), Segment::Item { value, .. }, ..] = shared.as_mut_slice()
        && value.starts_with("steps-")
        && list == "initContainers"
    {
        "containers".clone_into(list);
        "steps".clone_into(value);
    }
    shared
}

/// What a template says of the container `steps` holds for all that run steps.
fn for_all_steps(spec: &mut Json, template: &Json) {
    let Some(patch) = items(&template["spec"]["containers"]).find(|c| c["name"] == json!("steps")) else {
        return;
    };
    let mut patch = patch.clone();
    if let Some(map) = patch.as_object_mut() {
        map.remove("name");
    }
    for container in spec["initContainers"].as_array_mut().into_iter().flatten() {
        if container["name"].as_str().is_some_and(|name| name.starts_with("steps-")) {
            merge(container, &patch);
        }
    }
}

/// A template's own init containers run before the first step.
fn in_order(spec: &mut Json) {
    if let Some(list) = spec["initContainers"].as_array_mut() {
        list.sort_by_key(|c| c["name"].as_str().is_some_and(|name| name.starts_with("steps-")));
    }
}

/// Reads the pod as Kubernetes' own type, and finds fields that it does not have.
fn fits(pod: &Json, rendered: &Rendered, wrong: &mut Vec<Diagnostic>) {
    let (root, value) = inner(rendered);
    let typed: PodTemplateSpec = match serde_json::from_value(pod.clone()) {
        Ok(typed) => typed,
        Err(error) => {
            // One member at a time, so that the one that does not fit has a place.
            for (name, _) in members(&value["spec"]) {
                let mut alone = json!({ "containers": [] });
                alone[name.as_str()] = pod["spec"][name.as_str()].clone();
                if let Err(error) = serde_json::from_value::<PodSpec>(alone) {
                    let path = [Segment::Key("spec".into()), Segment::Key(name.clone())];
                    wrong.push(finding(
                        place_of(root, &path),
                        format!("`spec.{name}` is not what a pod has there: {error}"),
                    ));
                }
            }
            if wrong.is_empty() {
                wrong.push(finding(root.span, format!("this is no pod: {error}")));
            }
            return;
        }
    };
    let known = serde_json::to_value(&typed).unwrap_or_default();
    let mut path = Vec::new();
    unknown(pod, &known, "", &mut path, &mut |path| {
        let found =
            finding(place_of(root, path), format!("a pod has no field `{}`", written(&as_written(path))));
        if !wrong.contains(&found) {
            wrong.push(found);
        }
    });
}

/// Finds members of `given` that are lost in `known`.
fn unknown(
    given: &Json,
    known: &Json,
    list: &str,
    path: &mut Vec<Segment>,
    found: &mut dyn FnMut(&[Segment]),
) {
    match (given, known) {
        (Json::Object(given), Json::Object(known)) => {
            for (name, value) in given {
                path.push(Segment::Key(name.clone()));
                match known.get(name) {
                    Some(known) => unknown(value, known, name, path, found),
                    None if value.is_null() => {}
                    None => found(path),
                }
                path.pop();
            }
        }
        (Json::Array(given), Json::Array(known)) => {
            for (index, (given, known)) in given.iter().zip(known).enumerate() {
                let named = key_of(list).and_then(|key| Some((key, scalar(given.get(key)?)?)));
                path.push(match named {
                    Some((key, value)) => Segment::Item { key, value },
                    None => Segment::Index(index),
                });
                unknown(given, known, "", path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::{Template, render};
    use super::*;

    fn laid(text: &str) -> Result<Json, String> {
        let mut pod = json!({
            "metadata": { "labels": { "tidegate.dev/run": "r" } },
            "spec": {
                "initContainers": [{ "name": "agent", "image": "a" }, { "name": "steps-1", "image": "b" }],
                "containers": [{ "name": "steps", "image": "i", "volumeMounts": [{ "name": "bin", "mountPath": "/run/tidegate/bin" }] }],
                "volumes": [{ "name": "bin", "emptyDir": {} }],
            },
        });
        let rendered = render(Template { path: "t.yaml", text }, &json!({ "gpu": { "count": 2 } }))
            .map_err(|f| f.to_string())?;
        lay_over(&mut pod, &rendered).map_err(|f| f.to_string())?;
        Ok(pod)
    }

    #[test]
    fn what_is_said_of_steps_holds_for_all_of_them_and_other_containers_come_first() {
        let pod = laid(
            "kind: PodTemplate\ntemplate:\n  metadata: { labels: { team: a } }\n  spec:\n    initContainers: [{ name: fetch, image: x }]\n    \
             containers: [{ name: steps, env: [{ name: N, value: '{{ gpu.count | string }}' }] }, { name: side, image: y }]\n",
        )
        .unwrap();
        let names = |list: &str| -> Vec<String> {
            items(&pod["spec"][list]).map(|c| c["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("initContainers"), ["agent", "fetch", "steps-1"]);
        assert_eq!(names("containers"), ["steps", "side"]);
        let own = json!([{ "name": "N", "value": "2" }]);
        assert_eq!(pod["spec"]["initContainers"][2]["env"], own);
        assert_eq!(pod["spec"]["containers"][0]["env"], own);
        assert_eq!(pod["metadata"]["labels"], json!({ "tidegate.dev/run": "r", "team": "a" }));
    }

    #[test]
    fn what_is_the_engines_and_what_is_no_pod_have_their_place() {
        let table = [
            ("- a\n", "1:1", "a mapping"),
            ("sepc: {}\n", "1:1", "`sepc`"),
            ("metadata: { name: x }\n", "1:19", "`name`"),
            ("metadata: { labels: { tidegate.dev/run: x } }\n", "1:41", "set by the engine"),
            ("spec:\n  restartPolicy: Always\n", "2:18", "`restartPolicy`"),
            ("spec:\n  containers: [{ name: steps, image: x }]\n", "2:38", "the workflow says it"),
            ("spec:\n  containers: [{ name: steps, command: [sh] }]\n", "2:31", "first process"),
            ("spec:\n  initContainers: [{ name: agent, image: x }]\n", "2:28", "the engine's"),
            ("spec:\n  containers: [{ name: agent, env: [] }]\n", "2:24", "the engine's"),
            ("spec:\n  initContainers: ~\n", "2:19", "`spec.initContainers` holds"),
            ("metadata: { labels: ~ }\n", "1:21", "stays"),
            (
                "metadata: { labels: { app.kubernetes.io/name: tidegate-hub } }\n",
                "1:47",
                "a part of Tidegate",
            ),
            (
                "metadata: { annotations: { container.apparmor.security.beta.kubernetes.io/steps: unconfined } }\n",
                "1:82",
                "appArmorProfile",
            ),
            ("spec:\n  containers: [{ image: x }]\n", "2:3", "needs a name"),
            ("spec:\n  volumes: [{ name: secret, emptyDir: {} }]\n", "2:13", "the volume `secret`"),
            ("spec:\n  volumes: [{ name: volume-0, emptyDir: {} }]\n", "2:13", "the volume `volume-0`"),
            ("spec: { $patch: replace }\n", "1:9", "directive"),
            // Not a pod any more.
            ("spec:\n  tolerations: [{ key: a, tolerationSeconds: soon }]\n", "2:3", "`spec.tolerations`"),
            ("spec:\n  nodeSelectro: { a: b }\n", "2:3", "no field `spec.nodeSelectro`"),
            (
                "spec:\n  containers: [{ name: steps, volumeMount: [] }]\n",
                "2:31",
                "no field `spec.containers[steps].volumeMount`",
            ),
        ];
        for (text, place, words) in table {
            let said = laid(text).unwrap_err();
            assert!(said.starts_with(&format!("t.yaml:{place}: ")) && said.contains(words), "{text}: {said}");
        }
        laid("spec:\n  volumes: [{ name: volume-0a, emptyDir: {} }, { name: volume-, emptyDir: {} }]\n")
            .unwrap();
    }
}
