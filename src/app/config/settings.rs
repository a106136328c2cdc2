//! `.ml/config.yaml`: the settings a project keeps in git.

use serde::Deserialize;
use serde::de::Error as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_edge::executor::kubernetes::{HubSettings, SpotNodes};
use tidegate_edge::hub::check_store;

/// What `.ml/config.yaml` says; everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where runs and artifacts are kept, from the project's folder; `.tidegate` when absent.
    #[serde(default)]
    pub store: Option<PathBuf>,
    /// The model registry; recorded for later, no command uses it yet.
    #[serde(default)]
    pub registry: Option<serde_json::Value>,
    /// The context `vars`.
    #[serde(default)]
    pub variables: BTreeMap<String, serde_json::Value>,
    /// Environments by name.
    #[serde(default)]
    pub environments: BTreeMap<String, EnvironmentSettings>,
    /// Where `--on kubernetes` runs jobs.
    #[serde(default)]
    pub kubernetes: KubernetesSettings,
    /// How `--on container` runs jobs.
    #[serde(default)]
    pub container: ContainerSettings,
}

/// The containers of `--on container`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerSettings {
    /// `docker`, `podman` or the path of one; the first that answers when absent.
    #[serde(default)]
    pub engine: Option<String>,
    /// The image of jobs that name no `container`.
    #[serde(default)]
    pub image: Option<String>,
    /// Tidegate's own image, which the first process of containers is copied from.
    #[serde(default)]
    pub agent_image: Option<String>,
}

/// The cluster of `--on kubernetes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KubernetesSettings {
    /// The context of the kubeconfig; the current one when absent.
    #[serde(default)]
    pub context: Option<String>,
    /// The namespace; the context's when absent.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The image of jobs that name no `container`.
    #[serde(default)]
    pub image: Option<String>,
    /// Tidegate's own image.
    #[serde(default)]
    pub agent_image: Option<String>,
    /// How long an image is waited for which cannot be pulled; 5 minutes when absent.
    #[serde(default)]
    pub image_patience: Option<Patience>,
    /// How long a node is waited for which is not ready; 2 minutes when absent.
    #[serde(default)]
    pub node_patience: Option<Patience>,
    /// How long a pod waits for a node, for room in a quota or in a queue; without end when absent.
    #[serde(default)]
    pub pending_timeout: Option<Patience>,
    /// How long an attempt goes on without an engine; 24 hours when absent.
    #[serde(default)]
    pub orphan_after: Option<Patience>,
    /// Secrets of the namespace that images are pulled with.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// How the namespace's hub keeps things, if one has to be put up; in an `emptyDir` when absent.
    #[serde(default)]
    pub hub: HubSettings,
    /// The object store that the hub keeps objects in; its own folder when absent.
    #[serde(default)]
    pub store: Option<StoreUrl>,
    /// How the cluster marks its spot nodes; those of Karpenter, EKS, GKE and AKS when absent.
    #[serde(default)]
    pub spot: Option<SpotNodes>,
}

/// The URL of an object store, without credentials: `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl(pub String);

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let url = String::deserialize(from)?;
        check_store(&url).map_err(D::Error::custom)?;
        Ok(Self(url))
    }
}

/// A time, written as seconds or with a unit: `300`, `5m`, `24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(pub Duration);

impl<'de> Deserialize<'de> for Patience {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = serde_json::Value::deserialize(from)?;
        let seconds = match &written {
            serde_json::Value::Number(number) => number.as_f64(),
            serde_json::Value::String(text) => tidegate_lang::workflow::duration(text),
            _ => None,
        };
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let wrong = || D::Error::custom(format!("{written} is no time such as 300, 5m or 24h"));
        time.map(Self).ok_or_else(wrong)
    }
}

/// One entry of `environments`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EnvironmentSettings {
    /// Branches that may use it, as patterns; empty: all.
    #[serde(default)]
    pub branches: Vec<String>,
    /// Who must agree first.
    #[serde(default)]
    pub reviewers: Vec<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or folder that cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not what a settings file looks like.
    #[error("{path} is not right: {reason}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why, with line and column.
        reason: String,
    },
}

impl Settings {
    /// Reads `.ml/config.yaml` under a project's folder; an absent file says nothing.
    pub fn read(project: &Path) -> Result<Self, ConfigError> {
        let path = project.join(".ml/config.yaml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        let wrong = |reason| ConfigError::Parse { path: path.clone(), reason };
        let settings: Self = serde_yaml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let guards = |of: &EnvironmentSettings| !of.branches.is_empty() || !of.reviewers.is_empty();
        if let Some((name, _)) = settings.environments.iter().find(|(_, of)| guards(of)) {
            // Who wrote it relies on it.
            return Err(wrong(format!(
                "environments.{name}: nothing holds a job back for `branches` or `reviewers` yet; take them away, and \
                 protect what the job may reach by its secrets"
            )));
        }
        Ok(settings)
    }

    /// Returns the context `vars`: numbers and booleans as text, as at GitHub.
    pub fn vars(&self) -> BTreeMap<String, String> {
        self.variables
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), text)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".ml")).unwrap();
        std::fs::write(folder.path().join(".ml/config.yaml"), text).unwrap();
        Settings::read(folder.path())
    }

    #[test]
    fn all_of_it() {
        let settings =
            read("store: /big/runs\nvariables: {seed: 7, name: x}\nenvironments:\n  production: {}\n")
                .unwrap();
        assert_eq!(settings.store, Some(PathBuf::from("/big/runs")));
        assert_eq!(settings.vars().get("seed").map(String::as_str), Some("7"));
        assert_eq!(settings.environments["production"], EnvironmentSettings::default());
    }

    #[test]
    fn what_would_protect_nothing_is_refused() {
        for guard in ["branches: [main]", "reviewers: [ada]"] {
            let refused = read(&format!("environments:\n  production: {{ {guard} }}\n")).unwrap_err();
            assert!(refused.to_string().contains("environments.production: nothing holds"), "{refused}");
        }
    }

    #[test]
    fn an_object_store_has_a_url_without_credentials() {
        let kept = |url: &str| read(&format!("kubernetes: {{ store: '{url}' }}\n"));
        for url in ["s3://bucket", "s3://bucket/some/prefix", "gs://bucket/x", "az://container/x"] {
            assert_eq!(kept(url).unwrap().kubernetes.store, Some(StoreUrl(url.to_owned())));
        }
        for (url, words) in [
            ("bucket/x", "no object store"),
            ("file:///tmp/x", "no object store"),
            ("http://minio:9000/bucket", "no object store"),
            ("s3://key:secret@bucket/x", "tidegate-store"),
        ] {
            let error = kept(url).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_wrong_key_is_named() {
        let error = read("stroe: x\n").unwrap_err().to_string();
        assert!(error.contains("stroe"), "{error}");
        assert_eq!(read("# nothing\n").unwrap(), Settings::default());
    }
}
