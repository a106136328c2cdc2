//! What a hub is made of: settings → manifests, and how one that is there differs. Pure.

use super::own::{self, USER};
use super::service::{NAME, PORT};
use k8s_openapi::api::apps::v1::Deployment;
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// The Secret of the namespace that holds the credentials of an object store, as environment variables.
const CREDENTIALS: &str = "tidegate-store";
/// The folder that a hub keeps everything in.
const FOLDER: &str = "/var/lib/tidegate";

/// How the namespace's hub keeps things, as a project's settings say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct HubSettings {
    /// The size of its volume, as Kubernetes writes it; `None`: an `emptyDir`.
    pub volume: Option<String>,
    /// The volume's storage class; `None`: the cluster's own.
    pub storage_class: Option<String>,
    /// The account of its pod, for an object store that knows it; `None`: the namespace's default.
    pub service_account: Option<String>,
    /// The URL of the object store that objects are kept in; `None`: its own disk.
    pub store: Option<String>,
    /// Secrets of the namespace that its image is pulled with.
    pub pull_secrets: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(default)]
    volume: Option<String>,
    #[serde(default)]
    storage_class: Option<String>,
    #[serde(default)]
    service_account: Option<String>,
}

impl TryFrom<Written> for HubSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if let Some(volume) = written.volume.as_deref().filter(|volume| !is_quantity(volume)) {
            return Err(format!("hub: volume: {volume} is no size such as 20Gi"));
        }
        if written.volume.is_none() && written.storage_class.is_some() {
            return Err("hub: storage-class says nothing without a volume".to_owned());
        }
        let Written { volume, storage_class, service_account } = written;
        Ok(Self { volume, storage_class, service_account, ..Self::default() })
    }
}

impl HubSettings {
    /// Options of `tidegate engine` and their values: how a hub keeps things that an engine puts up.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("--hub-volume", &self.volume),
            ("--hub-storage-class", &self.storage_class),
            ("--hub-service-account", &self.service_account),
            ("--hub-store", &self.store),
        ];
        let pulls = self.pull_secrets.iter().map(|name| ("--hub-pull-secret", name.as_str()));
        all.into_iter().filter_map(|(option, value)| Some((option, value.as_deref()?))).chain(pulls)
    }
}

/// Bytes as Kubernetes writes them: a whole number above 0, and a unit if need be.
fn is_quantity(text: &str) -> bool {
    const UNITS: [&str; 13] = ["", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    number.parse::<u64>().is_ok_and(|number| number > 0) && UNITS.contains(&unit)
}

/// Where a hub keeps its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// A folder that goes with its pod.
    EmptyDir,
    /// A volume.
    Claim,
    /// An object store.
    Store,
}

/// The volume that a hub is to have; `None`: none.
pub(super) fn claim(namespace: &str, settings: &HubSettings) -> Option<Json> {
    let size = settings.volume.as_ref()?;
    Some(own::claim(NAME, namespace, size, settings.storage_class.as_deref()))
}

/// A hub's Deployment.
pub(super) fn deployment(namespace: &str, image: &str, settings: &HubSettings) -> Json {
    let disk = match settings.volume {
        Some(_) => json!({ "name": "folder", "persistentVolumeClaim": { "claimName": NAME } }),
        None => json!({ "name": "folder", "emptyDir": {} }),
    };
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": { "fsGroup": USER, "seccompProfile": { "type": "RuntimeDefault" } },
        "volumes": [
            disk,
            { "name": "identity", "secret": { "secretName": NAME, "defaultMode": 288 } },
        ],
        "containers": [container(image, settings)],
    });
    if let Some(account) = &settings.service_account {
        pod["serviceAccountName"] = json!(account);
    }
    if !settings.pull_secrets.is_empty() {
        pod["imagePullSecrets"] = settings.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    }
    own::deployment(NAME, namespace, pod)
}

fn container(image: &str, settings: &HubSettings) -> Json {
    let mut made = json!({
        "name": "hub",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/tidegate", "hub", "--listen", format!("0.0.0.0:{PORT}"),
            "--folder", FOLDER, "--identity", "/etc/tidegate"],
        "ports": [{ "containerPort": PORT }],
        "readinessProbe": { "tcpSocket": { "port": PORT }, "periodSeconds": 1 },
        "resources": { "requests": { "cpu": "50m", "memory": "64Mi" } },
        "securityContext": {
            "runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": true,
            "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "folder", "mountPath": FOLDER },
            { "name": "identity", "mountPath": "/etc/tidegate", "readOnly": true },
        ],
    });
    if let (Some(store), Some(command)) = (&settings.store, made["command"].as_array_mut()) {
        command.extend([json!("--object-store"), json!(store)]);
        // It may do without: then the pod's account is known to the store.
        made["envFrom"] = json!([{ "secretRef": { "name": CREDENTIALS, "optional": true } }]);
    }
    made
}

/// The object store that a hub which is there keeps objects in.
fn store_of(there: &Deployment) -> Option<&str> {
    let pod = there.spec.as_ref()?.template.spec.as_ref()?;
    let mut command = pod.containers.first()?.command.as_ref()?.iter();
    command.find(|word| *word == "--object-store")?;
    command.next().map(String::as_str)
}

/// Where a hub that is there keeps its objects.
pub(super) fn disk_of(there: &Deployment) -> Disk {
    if store_of(there).is_some() {
        return Disk::Store;
    }
    let pod = there.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let volumes = pod.and_then(|pod| pod.volumes.as_deref()).unwrap_or_default();
    let claimed = volumes.iter().any(|v| v.name == "folder" && v.persistent_volume_claim.is_some());
    if claimed { Disk::Claim } else { Disk::EmptyDir }
}

/// What a person should know of the hub that is there, of which these settings and this image were wanted:
/// it is not changed by a run.
pub(super) fn notes(there: &Deployment, namespace: &str, image: &str, wanted: &HubSettings) -> Vec<String> {
    let mut notes = Vec::new();
    let again =
        format!("`kubectl -n {namespace} delete deployment {NAME}` while nothing runs, and the next run");
    let disk = disk_of(there);
    if let Some(store) = wanted.store.as_deref().filter(|store| Some(*store) != store_of(there)) {
        let there = store_of(there).unwrap_or("a folder of its own");
        notes.push(format!(
            "the hub of namespace `{namespace}` keeps artifacts in {there}, not in {store} as the settings say: it was \
             put up so. {again} puts it up with {store}; what it keeps now stays behind"
        ));
    } else if disk == Disk::EmptyDir {
        notes.push(match &wanted.volume {
            Some(size) => format!(
                "the hub of namespace `{namespace}` keeps artifacts in an emptyDir, not on a volume of {size} as \
                 the settings say: it was put up without one. {again} puts it up with one; what it keeps now is lost then"
            ),
            None => format!(
                "the hub of namespace `{namespace}` keeps artifacts and the cache in an emptyDir: they live as long \
                 as its pod (`kubernetes: hub: {{ volume: 20Gi }}` or `store: s3://…` in .ml/config.yaml keeps them longer)"
            ),
        });
    }
    let pod = there.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let runs = pod.and_then(|pod| pod.containers.first()).and_then(|hub| hub.image.as_deref());
    if let Some(runs) = runs.filter(|runs| *runs != image) {
        notes.push(format!(
            "the hub of namespace `{namespace}` runs the image {runs}, and agents run {image}. {again} puts it up \
             with this one"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<HubSettings, String> {
        serde_yaml::from_str(text).map_err(|e| e.to_string())
    }

    fn made(settings: &HubSettings) -> Deployment {
        serde_json::from_value(deployment("ml", "tidegate:1", settings)).unwrap()
    }

    #[test]
    fn a_volume_has_a_size_and_perhaps_a_class() {
        let fast = settings("{ volume: 20Gi, storage-class: fast }").unwrap();
        let claim = claim("ml", &fast).unwrap();
        assert_eq!(claim["spec"]["storageClassName"], "fast");
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
        assert_eq!(disk_of(&made(&fast)), Disk::Claim);
        assert_eq!(
            super::claim("ml", &settings("{ volume: 5G }").unwrap()).unwrap()["spec"]["storageClassName"],
            Json::Null
        );
        assert_eq!(super::claim("ml", &HubSettings::default()), None);
        assert_eq!(disk_of(&made(&HubSettings::default())), Disk::EmptyDir);
        for wrong in [
            "{ volume: big }",
            "{ volume: 0Gi }",
            "{ volume: -1Gi }",
            "{ volume: 1 Gi }",
            "{ storage-class: fast }",
            "{ volum: 1Gi }",
        ] {
            assert!(settings(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_store_is_the_hubs_and_its_credentials_are_a_secret() {
        let store = HubSettings {
            service_account: Some("hub".into()),
            store: Some("s3://bucket/ml".into()),
            ..HubSettings::default()
        };
        let there = made(&store);
        assert_eq!((store_of(&there), disk_of(&there)), (Some("s3://bucket/ml"), Disk::Store));
        let pod = there.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        assert_eq!(pod.service_account_name.as_deref(), Some("hub"));
        let secret = pod.containers[0].env_from.as_ref().unwrap()[0].secret_ref.as_ref().unwrap();
        assert_eq!((secret.name.as_str(), secret.optional), ("tidegate-store", Some(true)));
        assert!(notes(&there, "ml", "tidegate:1", &store).is_empty());
        assert!(notes(&there, "ml", "tidegate:1", &HubSettings::default()).is_empty());
        for other in [
            made(&HubSettings::default()),
            made(&HubSettings { store: Some("gs://b".into()), ..store.clone() }),
        ] {
            let notes = notes(&other, "ml", "tidegate:1", &store);
            assert_eq!(notes.len(), 1, "{notes:?}");
            assert!(notes[0].contains("not in s3://bucket/ml"), "{notes:?}");
        }
        assert_eq!(store_of(&made(&HubSettings::default())), None);
    }

    #[test]
    fn what_is_there_is_told_apart_from_what_is_wanted() {
        let (none, volume) = (HubSettings::default(), settings("{ volume: 20Gi }").unwrap());
        for (there, wanted, image, words) in [
            (&none, &none, "tidegate:1", vec!["they live as long as its pod"]),
            (&none, &volume, "tidegate:1", vec!["not on a volume of 20Gi"]),
            (&volume, &volume, "tidegate:1", vec![]),
            (&volume, &none, "tidegate:1", vec![]),
            (&volume, &volume, "tidegate:2", vec!["runs the image tidegate:1"]),
        ] {
            let notes = notes(&made(there), "ml", image, wanted);
            assert_eq!(notes.len(), words.len(), "{notes:?}");
            for (note, words) in notes.iter().zip(words) {
                assert!(note.contains(words), "{note}");
            }
        }
    }
}
