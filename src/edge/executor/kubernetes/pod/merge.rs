//! A strategic merge of a template over the generated pod (Kubernetes, "Update API objects in place
//! using kubectl patch"): lists whose items have a key are merged by it.
//!
//! Two departures, so that a template cannot take away what the job asked for: tolerations are
//! appended, and required node terms are combined, so that both sides hold.

use serde_json::{Map, Value as Json};

/// Lists by the name of their field, and the key that their items are merged by (the
/// `patchMergeKey` of Kubernetes' own types).
const KEYS: [(&str, &str); 13] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("resourceClaims", "name"),
    ("schedulingGates", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
];
/// Lists that grow.
const APPENDED: [&str; 5] = ["tolerations", "envFrom", "hostnames", "readinessGates", "matchExpressions"];

/// The key that items of a list are merged by.
pub(super) fn key_of(list: &str) -> Option<&'static str> {
    KEYS.iter().find(|(name, _)| *name == list).map(|(_, key)| *key)
}

/// Merges `patch` over `base`; a null takes a member away.
pub(super) fn merge(base: &mut Json, patch: &Json) {
    let (Json::Object(base), Json::Object(patch)) = (&mut *base, patch) else {
        base.clone_from(patch);
        return;
    };
    for (name, value) in patch {
        member(base, name, value);
    }
}

fn member(base: &mut Map<String, Json>, name: &str, value: &Json) {
    match (base.get_mut(name), value) {
        (_, Json::Null) => {
            base.remove(name);
        }
        (Some(Json::Array(there)), Json::Array(items)) => list(name, there, items),
        (Some(there @ Json::Object(_)), Json::Object(_)) => merge(there, value),
        _ => {
            let mut fresh = value.clone();
            without_nulls(&mut fresh);
            base.insert(name.to_owned(), fresh);
        }
    }
}

fn list(name: &str, there: &mut Vec<Json>, items: &[Json]) {
    if let Some(key) = key_of(name) {
        for item in items {
            match there.iter_mut().find(|old| old.get(key).is_some() && old.get(key) == item.get(key)) {
                Some(old) => merge(old, item),
                None => there.push(item.clone()),
            }
        }
    } else if name == "nodeSelectorTerms" {
        // The terms are alternatives: both lists hold when each pair does.
        let pairs = there.iter().flat_map(|a| items.iter().map(move |b| (a, b)));
        let both = pairs.map(|(a, b)| {
            let mut both = a.clone();
            merge(&mut both, b);
            both
        });
        *there = both.collect();
    } else if APPENDED.contains(&name) {
        for item in items {
            if !there.contains(item) {
                there.push(item.clone());
            }
        }
    } else {
        *there = items.to_vec();
    }
}

fn without_nulls(value: &mut Json) {
    match value {
        Json::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Json::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_merged_as_kubernetes_does() {
        let table = [
            // Scalars, members, and a null that takes away.
            (
                json!({"a": 1, "b": {"c": 1, "d": 2}}),
                json!({"b": {"c": null, "e": 3}}),
                json!({"a": 1, "b": {"d": 2, "e": 3}}),
            ),
            // By name; what is new comes last.
            (
                json!({"containers": [{"name": "steps", "image": "i", "env": [{"name": "A", "value": "1"}]}]}),
                json!({"containers": [{"name": "x"}, {"name": "steps", "env": [{"name": "B"}, {"name": "A", "value": "2"}]}]}),
                json!({"containers": [
                    {"name": "steps", "image": "i", "env": [{"name": "A", "value": "2"}, {"name": "B"}]}, {"name": "x"}
                ]}),
            ),
            // By mount path.
            (
                json!({"volumeMounts": [{"mountPath": "/a", "name": "v"}]}),
                json!({"volumeMounts": [{"mountPath": "/b", "name": "w"}, {"mountPath": "/a", "readOnly": true}]}),
                json!({"volumeMounts": [{"mountPath": "/a", "name": "v", "readOnly": true}, {"mountPath": "/b", "name": "w"}]}),
            ),
            // Appended.
            (
                json!({"tolerations": [{"key": "a"}]}),
                json!({"tolerations": [{"key": "b"}, {"key": "a"}]}),
                json!({"tolerations": [{"key": "a"}, {"key": "b"}]}),
            ),
            // Replaced.
            (json!({"args": ["a", "b"]}), json!({"args": ["c"]}), json!({"args": ["c"]})),
            // Both hold.
            (
                json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu"}]}]}),
                json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "x"}]}, {"matchFields": [{"key": "y"}]}]}),
                json!({"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "gpu"}, {"key": "x"}]},
                    {"matchExpressions": [{"key": "gpu"}], "matchFields": [{"key": "y"}]},
                ]}),
            ),
            (
                json!({}),
                json!({"volumes": [{"name": "v", "emptyDir": {}, "x": null}]}),
                json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            ),
        ];
        for (base, patch, merged) in table {
            let mut made = base.clone();
            merge(&mut made, &patch);
            assert_eq!(made, merged, "{base} with {patch}");
            // Once more changes nothing, but for the terms, which are alternatives.
            if !patch.to_string().contains("nodeSelectorTerms") {
                merge(&mut made, &patch);
                assert_eq!(made, merged);
            }
        }
    }
}
