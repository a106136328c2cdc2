//! Images of this machine: found, else pulled, each once.

use super::engine::{Bounds, CallError, ContainerEngine, Kind};
use crate::agent::{Control, Wish};
use crate::executor::secret_values::{Login, full_name, registry, repository};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// The longest that one image may take.
const PULL: Duration = Duration::from_hours(6);

/// How often those that wait for another's pull look.
const LOOK: Duration = Duration::from_millis(50);

/// An image that is here.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    /// A name that the engine starts it by.
    pub(super) name: String,
    /// `NAME@DIGEST`, for the record.
    pub(super) resolved: String,
    /// What it starts by itself.
    pub(super) entrypoint: Vec<String>,
    /// Arguments of that.
    pub(super) command: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
}

/// What is known of images: they do not change while an engine runs.
#[derive(Debug, Default)]
pub(super) struct Images {
    known: Mutex<BTreeMap<String, Arc<Mutex<Option<Image>>>>>,
}

impl Images {
    /// Finds an image, and pulls it where it is not here. `waits` is called before that.
    pub(super) fn get(
        &self,
        engine: &ContainerEngine,
        name: &str,
        logins: &Logins<'_>,
        control: &Control,
        waits: &dyn Fn(),
    ) -> Result<Image, CallError> {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(name.to_owned()).or_default().clone()
        };
        // Others that want the same one wait for it, but not longer than their jobs.
        let mut slot = loop {
            match slot.try_lock() {
                Ok(slot) => break slot,
                Err(TryLockError::Poisoned(slot)) => break slot.into_inner(),
                Err(TryLockError::WouldBlock) if control.wish() > Wish::Run => {
                    return Err(CallError::Stopped);
                }
                Err(TryLockError::WouldBlock) => control.wait(LOOK),
            }
        };
        if let Some(image) = &*slot {
            return Ok(image.clone());
        }
        let image = match look(engine, name) {
            Ok(image) => image,
            Err(_) => {
                waits();
                // For a short name podman would ask its own lists.
                let full = full_name(name);
                let asked = if engine.kind == Kind::Podman { &full } else { name };
                logins.pull(engine, asked, control)?;
                look(engine, asked)?
            }
        };
        *slot = Some(image.clone());
        Ok(image)
    }
}

fn look(engine: &ContainerEngine, name: &str) -> Result<Image, CallError> {
    let args = ["image", "inspect", name].map(str::to_owned);
    let found: Vec<Inspected> = engine.ask(&args, Bounds::minutes(1))?;
    let Some(found) = found.into_iter().next() else { return Ok(Image::default()) };
    let config = found.config.unwrap_or_default();
    Ok(Image {
        name: name.to_owned(),
        resolved: resolved(name, &found.id, &found.repo_digests.unwrap_or_default()),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
    })
}

/// `NAME@DIGEST`: as it was pulled, else the digest of the image itself. One image may have come by several names.
fn resolved(name: &str, id: &str, digests: &[String]) -> String {
    let own = |digest: &&String| repository(digest) == repository(name);
    match digests.iter().find(own).or(digests.first()) {
        Some(digest) => digest.clone(),
        None => format!(
            "{}@sha256:{}",
            name.split('@').next().unwrap_or_default(),
            id.trim_start_matches("sha256:")
        ),
    }
}

/// Credentials of an attempt's images, and a private folder to hand them over in.
pub(super) struct Logins<'a> {
    pub(super) logins: Vec<Login>,
    pub(super) folder: &'a Path,
}

impl Logins<'_> {
    fn pull(&self, engine: &ContainerEngine, name: &str, control: &Control) -> Result<(), CallError> {
        let bounds = Bounds { attempt: Some((control, Wish::Run)), time: PULL };
        let words = |more: &[&str]| more.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        // What the user has of their own stays in use for all other registries.
        let Some(login) = self.logins.iter().find(|login| login.repository == repository(name)) else {
            return engine.call(&words(&["pull", "--quiet", name]), bounds).map(drop);
        };
        let folder = self.folder.join("login");
        let file = folder.join("config.json");
        let written =
            std::fs::create_dir_all(&folder).and_then(|()| write(login, &file, users_own().as_deref()));
        written.map_err(|source| CallError::Io { call: "handing over `credentials`".to_owned(), source })?;
        // Not as arguments: every process of this machine can read those.
        let done = match engine.kind {
            Kind::Docker => {
                let mut args = vec![format!("--config={}", folder.display())];
                args.extend(words(&["pull", "--quiet", name]));
                engine.call(&args, bounds)
            }
            Kind::Podman => {
                let file = format!("--authfile={}", file.display());
                engine.call(&words(&["pull", "--quiet", &file, name]), bounds)
            }
        };
        let _ = std::fs::remove_dir_all(&folder);
        done.map(drop)
    }
}

/// Writes a login as docker keeps it (`config.json`, `auths`): by registry, since docker knows no other. Which daemon
/// the user has chosen stays as it is in the user's own folder (docker, "Docker contexts").
fn write(login: &Login, file: &Path, own: Option<&Path>) -> io::Result<()> {
    let (auth, registry) = (login.auth(), registry(&login.repository));
    let mut auths = Map::from_iter([(registry.to_owned(), json!({ "auth": auth }))]);
    if registry.contains("index.docker.io") {
        auths.insert("docker.io".to_owned(), json!({ "auth": auth }));
    }
    let mut config = Map::from_iter([("auths".to_owned(), Json::Object(auths))]);
    if let Some(own) = own {
        let kept = std::fs::read(own.join("config.json")).unwrap_or_default();
        let kept: Map<String, Json> = serde_json::from_slice(&kept).unwrap_or_default();
        config.extend(kept.into_iter().filter(|(name, _)| name == "currentContext"));
        let (theirs, here) = (own.join("contexts"), file.with_file_name("contexts"));
        if theirs.is_dir() && !here.exists() {
            std::os::unix::fs::symlink(theirs, here)?;
        }
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    file.write_all(Json::Object(config).to_string().as_bytes())
}

impl Login {
    /// Both in one, as docker's configuration has them.
    fn auth(&self) -> String {
        base64(format!("{}:{}", self.username, self.password).as_bytes())
    }
}

/// Where docker keeps the user's configuration.
fn users_own() -> Option<PathBuf> {
    let named = std::env::var_os("DOCKER_CONFIG").filter(|value| !value.is_empty());
    named.map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))
}

/// Base 64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let sum = (0..3).fold(0_usize, |sum, at| sum << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS.get(sum >> (18 - 6 * at) & 63).copied().unwrap_or(b'=');
            text.push(if at > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_every_kind() {
        assert_eq!(resolved("a:1", "sha256:ff", &[]), "a:1@sha256:ff");
        assert_eq!(resolved("a:1", "ff", &["a@sha256:00".to_owned()]), "a@sha256:00");
        let both = ["r.test/b@sha256:11".to_owned(), "r.test/a@sha256:00".to_owned()];
        assert_eq!(resolved("r.test/a:1", "ff", &both), both[1]);
    }

    #[test]
    fn credentials_change_nothing_else_that_docker_knows() {
        let folder = tempfile::tempdir().unwrap();
        let (own, here) = (folder.path().join("own"), folder.path().join("here"));
        std::fs::create_dir_all(own.join("contexts/meta")).unwrap();
        std::fs::create_dir(&here).unwrap();
        std::fs::write(own.join("config.json"), r#"{"currentContext":"rootless","credsStore":"desktop"}"#)
            .unwrap();
        let login = Login { repository: "r.test/a".into(), username: "user".into(), password: "pass".into() };
        write(&login, &here.join("config.json"), Some(&own)).unwrap();
        let written: Json =
            serde_json::from_slice(&std::fs::read(here.join("config.json")).unwrap()).unwrap();
        let auths = json!({ "r.test": { "auth": "dXNlcjpwYXNz" } });
        assert_eq!(written, json!({ "auths": auths, "currentContext": "rootless" }));
        assert!(here.join("contexts/meta").is_dir());
        // A folder that is removed takes nothing of the user's with it.
        std::fs::remove_dir_all(&here).unwrap();
        assert!(own.join("contexts/meta").is_dir());
    }

    /// What the engine was called with, and the configuration that it was given.
    fn pulled(name: &str, kind: Kind) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (program, said) = (folder.path().join("engine"), folder.path().join("said"));
        let script = format!(
            "#!/bin/sh\necho \"$@\" > {0}; cat {1}/login/config.json >> {0} 2>/dev/null; exit 0\n",
            said.display(),
            folder.path().display()
        );
        std::fs::write(&program, script).unwrap();
        let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, runs).unwrap();
        let login = |repository: &str, password: &str| Login {
            repository: repository.into(),
            username: "user".into(),
            password: password.into(),
        };
        let logins = vec![login("r.test/other", "else"), login("r.test/private", "pass")];
        let logins = Logins { logins, folder: folder.path() };
        let engine = ContainerEngine { program, kind };
        // A test that starts a program meanwhile holds this one open for writing (execve(2), ETXTBSY).
        let control = Control::new();
        let mut done = logins.pull(&engine, name, &control);
        for _ in 0..100 {
            if !matches!(done, Err(CallError::Io { .. })) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            done = logins.pull(&engine, name, &control);
        }
        done.unwrap();
        std::fs::read_to_string(said).unwrap()
    }

    #[test]
    fn credentials_are_for_their_own_repository() {
        for kind in [Kind::Docker, Kind::Podman] {
            let own = pulled("r.test/private:1", kind);
            assert!(own.contains(r#""r.test":{"auth":"dXNlcjpwYXNz"}"#), "{own}");
            for name in ["docker.io/library/python:3.12", "r.test/public:1", "r.test.evil/private"] {
                assert_eq!(pulled(name, kind).trim(), format!("pull --quiet {name}"));
            }
        }
    }

    #[test]
    fn base_64_of_every_length() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("user:pass", "dXNlcjpwYXNz")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
