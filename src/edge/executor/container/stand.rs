//! Where one attempt stands: its folder, and its containers from the first to their removal.

use super::create::Site;
use super::death::{death, state};
use super::engine::{Bounds, CallError, ContainerEngine, Kind};
use super::images::{Image, Images, Logins};
use crate::agent::{Bring, Control, Door, Row, ShimLauncher, Wish, processes, reap, remove_folder};
use crate::executor::secret_values::logins;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};
use tidegate_flow::job::{Answer, FailureClass, StepContainer, StepMemory};

/// A container starts in this time, or something is wrong with the engine.
const STARTS: Duration = Duration::from_mins(5);
/// An engine knows in this time how a container ended.
const KNOWS: Duration = Duration::from_secs(15);

/// Why an attempt cannot start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// As a failure of the attempt.
    #[error("{reason}")]
    Failed {
        /// Its class.
        class: FailureClass,
        /// One line for people.
        reason: String,
    },
    /// It was told to stop first.
    #[error("told to stop")]
    Stopped,
}

impl StartError {
    pub(super) fn new(class: FailureClass, reason: String) -> Self {
        Self::Failed { class, reason }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        let class = match error.kind() {
            io::ErrorKind::InvalidInput => FailureClass::Image,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureClass::Disk,
            _ => FailureClass::Failure,
        };
        Self::new(class, error.to_string())
    }
}

/// The containers of one attempt.
pub(super) struct Stand {
    pub(super) engine: ContainerEngine,
    pub(super) site: Site,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) control: Arc<Control>,
    parts: Vec<StepContainer>,
    images: BTreeMap<String, Image>,
    made: Mutex<Made>,
}

/// What there is by now.
#[derive(Default)]
struct Made {
    /// Names of containers.
    names: Vec<String>,
    /// The one whose network the others share, and the way to its end.
    net: Option<(String, ShimLauncher)>,
    /// The container of steps that was started last.
    steps: usize,
    /// Services that had ended by themselves when the first step could run.
    early: Vec<String>,
}

impl Stand {
    /// Makes the attempt's folder and finds its images. `waits` hears what takes long.
    pub(super) fn new(
        engine: &ContainerEngine,
        site: Site,
        parts: Vec<StepContainer>,
        secrets: &BTreeMap<String, String>,
        control: Arc<Control>,
        found: &Images,
        waits: &dyn Fn(&str),
    ) -> Result<Self, StartError> {
        let io = site.shared.join("io");
        let made = std::fs::create_dir_all(&io).and_then(|()| {
            // Steps of any user change what the group may change (as fsGroup does for a pod).
            std::fs::set_permissions(&site.shared, std::fs::Permissions::from_mode(0o2775))?;
            std::fs::set_permissions(&io, std::fs::Permissions::from_mode(0o2775))
        });
        made.map_err(|e| io::Error::new(e.kind(), format!("cannot make {}: {e}", io.display())))?;
        let wrong = |reason| StartError::new(FailureClass::Image, reason);
        let logins = Logins { logins: logins(&site.spec, secrets).map_err(wrong)?, folder: &site.shared };
        let mut images = BTreeMap::new();
        let names = parts.iter().filter_map(|part| part.image.clone());
        for name in names.chain(site.spec.pod.services.iter().map(|service| service.image.clone())) {
            let pulls = || waits(&format!("waiting: pulling {name}"));
            let image = found.get(engine, &name, &logins, &control, &pulls).map_err(|error| match error {
                CallError::Stopped => StartError::Stopped,
                error => wrong(format!("the image {name} cannot be had: {error}{}", advice(&error))),
            })?;
            images.insert(name, image);
        }
        let engine = engine.clone();
        Ok(Self { engine, site, secrets: secrets.clone(), control, parts, images, made: Mutex::default() })
    }

    /// Starts services and the first container of steps; `None` if the attempt is told to stop first.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Option<Arc<Row>>, StartError> {
        if (self.parts.len() > 1 || !self.site.spec.pod.services.is_empty()) && !self.hold_net()? {
            return Ok(None);
        }
        let doors: io::Result<Vec<Door>> =
            self.parts.iter().map(|part| Door::open(&self.site.door(&part.name))).collect();
        let steps = self.parts.iter().map(|part| part.steps.clone()).collect();
        let row = Row::enter(doors?, steps, &self.control, self.clone())?.map(Arc::new);
        self.made().early = self.ended_early();
        Ok(row)
    }

    /// Tells whether a service had ended before the first step could run.
    pub(super) fn is_early(&self, service: &str) -> bool {
        self.made().early.iter().any(|early| early == service)
    }

    /// Starts the container that holds the network, and the services in it.
    fn hold_net(&self) -> Result<bool, StartError> {
        let door = Door::open(&self.site.door("net"))?;
        let first = self.parts.first().and_then(|part| part.image.as_deref()).unwrap_or_default();
        let name = self.site.name("net");
        let started = self.run(&name, &self.site.net(&self.image(first).name), Wish::Run);
        started.map_err(|error| match error {
            CallError::Stopped => StartError::Stopped,
            error => StartError::new(FailureClass::Image, error.to_string()),
        })?;
        let Some(shim) = door.shim(&self.control, Wish::Run, &|| self.still_comes(&name))? else {
            return Ok(false);
        };
        self.made().net = Some((name.clone(), shim));
        self.start_services(&name)?;
        Ok(true)
    }

    /// Starts a container; its name is known before it is there, so that it is removed whatever happens.
    pub(super) fn run(&self, name: &str, args: &[String], patience: Wish) -> Result<(), CallError> {
        self.made().names.push(name.to_owned());
        let bounds = Bounds { attempt: Some((&self.control, patience)), time: STARTS };
        let [_, complained] = self.engine.both(args, bounds)?;
        if let Some(line) = without_limits(&complained) {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                let name = self.engine.name();
                let _ = writeln!(io::stderr(), "note: `resources` are no limits here; {name} says: {line}");
            });
        }
        Ok(())
    }

    /// The image of that name.
    pub(super) fn image(&self, name: &str) -> Image {
        self.images.get(name).cloned().unwrap_or_default()
    }

    /// Images by container, as they were found.
    pub(super) fn resolved(&self) -> BTreeMap<String, String> {
        let steps = self.parts.iter().map(|part| (part.name.clone(), part.image.clone().unwrap_or_default()));
        let services = self.site.spec.pod.services.iter();
        let services = services.map(|service| (format!("service-{}", service.name), service.image.clone()));
        steps.chain(services).map(|(part, image)| (part, self.image(&image).resolved)).collect()
    }

    /// Why the container of the running step ended.
    pub(super) fn death(&self) -> Answer {
        let part = self.parts.get(self.made().steps);
        let name = part.map(|part| self.site.name(&part.name)).unwrap_or_default();
        let memory = part.map_or(0, |part| part.resources.memory_bytes);
        let own = part.and_then(|part| StepMemory::of(&self.site.spec, part));
        let until = Instant::now() + KNOWS;
        let why = loop {
            match state(&self.engine, &name) {
                Ok(state) => match death(state.as_ref(), memory, own.as_ref()) {
                    Some(why) => return why,
                    None if Instant::now() >= until => break "the engine says that it runs".to_owned(),
                    None => self.control.wait(Duration::from_millis(50)),
                },
                Err(error) => break error.to_string(),
            }
        };
        let reason = format!("its container ended, and nobody says why: {why}");
        Answer::Death { class: FailureClass::Lost, exit: None, reason }
    }

    /// Ends services: what they hold is free when the attempt has ended.
    pub(super) fn end_services(&self) {
        let services = self.site.spec.pod.services.iter();
        let names: Vec<String> = services.map(|service| self.site.name_of(service)).collect();
        self.clear_away(&names);
    }

    /// Removes containers; says which stay.
    fn clear_away(&self, names: &[String]) {
        if let Err(error) = self.engine.remove(names) {
            // The attempt may have ended: nobody takes a word of it any more.
            let _ = writeln!(
                io::stderr(),
                "note: {} may be left: {error}; `tidegate runs gc --on container` removes what is",
                names.join(", ")
            );
        }
    }

    /// Removes everything.
    pub(super) fn remove(&self) {
        let mut made = std::mem::take(&mut *self.made());
        if let Some((_, net)) = made.net.take() {
            net.finish(0);
        }
        // Containers go before the one whose network they share.
        let net = self.site.name("net");
        let (net, others): (Vec<_>, Vec<_>) = made.names.into_iter().partition(|name| *name == net);
        self.clear_away(&others);
        self.clear_away(&net);
        remove_folder(&self.site.shared);
        if self.site.shared.exists()
            && let Some(image) = self.images.values().next()
        {
            let _ = self.engine.call(&self.site.clear(&image.name), Bounds::minutes(10));
        }
        if self.engine.kind == Kind::Podman {
            reap_monitors();
        }
    }

    /// Fails once a container has ended whose shim is waited for.
    fn still_comes(&self, name: &str) -> io::Result<()> {
        match state(&self.engine, name) {
            Ok(Some(state)) if state.running => Ok(()),
            Ok(Some(state)) => {
                let last = self.last_lines(name);
                let text = format!("its first process ended with exit {}: {last}", state.exit_code);
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            Ok(None) => Err(io::Error::new(io::ErrorKind::NotFound, "somebody removed the container")),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bring for Stand {
    fn start(&self, index: usize) -> io::Result<()> {
        let Some(part) = self.parts.get(index) else { return Ok(()) };
        self.made().steps = index;
        let patience = if index == 0 { Wish::Run } else { Wish::Cancel };
        let image = self.image(part.image.as_deref().unwrap_or_default());
        let net = self.made().net.as_ref().map(|(name, _)| name.clone());
        let args = self.site.steps(part, &image.name, net.as_deref());
        self.run(&self.site.name(&part.name), &args, patience).map_err(|error| match error {
            CallError::Stopped => io::Error::new(io::ErrorKind::Interrupted, error.to_string()),
            error => io::Error::new(io::ErrorKind::InvalidInput, format!("cannot be started: {error}")),
        })
    }

    fn look(&self, index: usize) -> io::Result<()> {
        self.parts.get(index).map_or(Ok(()), |part| self.still_comes(&self.site.name(&part.name)))
    }
}

/// The line in which an engine says that it sets no limits.
fn without_limits(complained: &str) -> Option<&str> {
    let says = |line: &&str| {
        let line = line.to_lowercase();
        line.contains("limit") && (line.contains("ignored") || line.contains("discarded"))
    };
    complained.lines().map(str::trim).find(says)
}

/// What a registry's answer means for a person.
fn advice(error: &CallError) -> &'static str {
    let said = error.to_string().to_lowercase();
    let closed = ["unauthorized", "denied", "authentication required", "no basic auth", "403 forbidden"];
    if closed.iter().any(|word| said.contains(word)) {
        "; the registry wants a login, or another one: `credentials` of the `container`, the service or the step, or \
         `docker login` (`podman login`)"
    } else {
        ""
    }
}

/// Podman's monitor of each container came to this process as an orphan.
fn reap_monitors() {
    let own = std::process::id();
    for process in processes().into_values() {
        if process.parent == own && process.zombie && process.name == "conmon" {
            reap(process.pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_sets_no_limits_is_heard() {
        let podman = "Resource limits are not supported and ignored on cgroups V1 rootless systems\n";
        assert_eq!(without_limits(podman), Some(podman.trim()));
        let docker =
            "x\nWARNING: Your kernel does not support memory limit capabilities. Limitation discarded.";
        assert!(without_limits(docker).is_some_and(|line| line.starts_with("WARNING")));
        assert_eq!(without_limits("something was ignored"), None);
    }
}
