//! `services:` beside the containers of steps: started, given their secrets, waited for.

use super::death::{State, state};
use super::engine::{Bounds, CallError, words};
use super::stand::{Stand, StartError};
use crate::agent::Wish;
use crate::executor::secret_values::{contexts, text};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tidegate_flow::job::{FailureClass, Health, ServiceSpec, service_ended};

/// A service takes its secrets at once, or it never started.
const TAKES: Duration = Duration::from_secs(30);

impl Stand {
    /// Starts all services, and waits until each is healthy.
    pub(super) fn start_services(&self, net: &str) -> Result<(), StartError> {
        let services = &self.site.spec.pod.services;
        for service in services {
            self.start_service(service, net)?;
        }
        for service in services {
            self.wait_healthy(service)?;
        }
        Ok(())
    }

    fn start_service(&self, service: &ServiceSpec, net: &str) -> Result<(), StartError> {
        let image = self.image(&service.image);
        let name = self.site.name_of(service);
        let wrong = |e: &dyn std::fmt::Display| {
            StartError::new(FailureClass::Image, format!("service `{}` cannot be started: {e}", service.name))
        };
        let pipe = self.site.private(service);
        let secrets = self.service_secrets(service)?;
        if !service.secret.is_empty() {
            make_pipe(&pipe).map_err(|e| wrong(&e))?;
        }
        let args = self.site.service(service, &image.name, net, (&image.entrypoint, &image.command));
        self.run(&name, &args, Wish::Run).map_err(|error| match error {
            CallError::Stopped => StartError::Stopped,
            error => wrong(&error),
        })?;
        if !service.secret.is_empty() {
            let given = self.hand_over(&pipe, &secrets);
            let _ = std::fs::remove_file(&pipe);
            given.map_err(|e| wrong(&format!("{e}; {}", self.last_lines(&name))))?;
        }
        Ok(())
    }

    /// The secret variables of a service, as its shim reads them.
    fn service_secrets(&self, service: &ServiceSpec) -> Result<Vec<u8>, StartError> {
        let contexts = contexts(&self.site.spec, &self.secrets);
        let mut filled = serde_json::Map::new();
        for (name, template) in service.env.iter().filter(|(name, _)| service.secret.contains(name)) {
            let value = text(template, &contexts).map_err(|e| {
                StartError::new(FailureClass::Failure, format!("services.{}.env.{name}: {e}", service.name))
            })?;
            filled.insert(name.clone(), value.into());
        }
        Ok(serde_json::Value::Object(filled).to_string().into_bytes())
    }

    /// Writes into a pipe once somebody reads it.
    fn hand_over(&self, pipe: &Path, bytes: &[u8]) -> io::Result<()> {
        let until = Instant::now() + TAKES;
        loop {
            match open(pipe, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
                Ok(there) => {
                    rustix::fs::fcntl_setfl(&there, OFlags::empty())?;
                    return io::Write::write_all(&mut std::fs::File::from(there), bytes);
                }
                Err(_) if Instant::now() < until && self.control.wish() == Wish::Run => {
                    self.control.wait(Duration::from_millis(5));
                }
                Err(_) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not take its secrets"));
                }
            }
        }
    }

    /// Looks as long as docker would, but more often; starts with a look at once, as in a pod.
    fn wait_healthy(&self, service: &ServiceSpec) -> Result<(), StartError> {
        let Some(health) = &service.health else { return Ok(()) };
        let name = self.site.name_of(service);
        let failed = |what: String| {
            StartError::new(FailureClass::Failure, format!("service `{}` {what}", service.name))
        };
        let began = Instant::now();
        let patience = seconds(
            health.start_seconds + health.interval_seconds.max(1.0) * f64::from(health.retries.max(1)),
        );
        loop {
            let said = match self.looks_healthy(&name, health) {
                Ok(()) => return Ok(()),
                Err(CallError::Stopped) => return Err(StartError::Stopped),
                Err(said) => said,
            };
            let there =
                state(&self.engine, &name).map_err(|e| failed(format!("cannot be looked at: {e}")))?;
            if let Some(ended) = there.filter(|state| !state.running) {
                let last = self.last_lines(&name);
                return Err(failed(format!(
                    "ended with exit {} before it was healthy: {last}",
                    ended.exit_code
                )));
            }
            if began.elapsed() >= patience {
                let took = patience.as_secs();
                return Err(failed(format!("did not get healthy in {took} s: {said}")));
            }
            let next = Instant::now() + seconds(health.interval_seconds.clamp(0.05, 1.0));
            if self.control.sleep_until(next, Wish::Run) {
                return Err(StartError::Stopped);
            }
        }
    }

    fn looks_healthy(&self, name: &str, health: &Health) -> Result<(), CallError> {
        let mut args = words("exec");
        args.extend([name, "/bin/sh", "-c", &health.command].map(str::to_owned));
        let time = seconds(health.timeout_seconds.max(1.0));
        self.engine.call(&args, Bounds { attempt: Some((&self.control, Wish::Run)), time }).map(drop)
    }

    /// Says which services have ended by themselves: nobody starts them again.
    pub(super) fn ended_services(&self) -> Vec<String> {
        let services = self.site.spec.pod.services.iter();
        let ended = |service: &ServiceSpec| {
            let there = state(&self.engine, &self.site.name_of(service)).ok()??;
            (!there.running).then(|| ended_words(&service.name, &there, self.is_early(&service.name)))
        };
        services.filter_map(ended).collect()
    }

    /// Those that have ended by themselves by now; one that has just been healthy has not.
    pub(super) fn ended_early(&self) -> Vec<String> {
        let services = self.site.spec.pod.services.iter().filter(|service| service.health.is_none());
        let ended = |service: &&ServiceSpec| {
            let there = state(&self.engine, &self.site.name_of(service));
            there.is_ok_and(|there| there.is_some_and(|there| !there.running))
        };
        services.filter(ended).map(|service| service.name.clone()).collect()
    }

    /// The last lines of a container's own output.
    pub(super) fn last_lines(&self, name: &str) -> String {
        let mut args = words("logs --tail 3");
        args.push(name.to_owned());
        // What it said on standard error is there too.
        let said = self.engine.both(&args, Bounds::minutes(1)).unwrap_or_default();
        let lines = said.iter().flat_map(|text| text.lines());
        let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
    }
}

/// How a service ended that a failure is told beside; `early`: before the first step.
fn ended_words(service: &str, state: &State, early: bool) -> String {
    let exit = state.exit_code;
    let how = if state.oom_killed {
        format!("was killed for memory (exit {exit})")
    } else {
        format!("ended with exit {exit}")
    };
    if early {
        return format!("the service `{service}` {how} before steps ran");
    }
    service_ended(service, None, &how, 1)
}

fn make_pipe(pipe: &Path) -> io::Result<()> {
    if let Some(folder) = pipe.parent() {
        std::fs::create_dir_all(folder)?;
    }
    mkfifoat(CWD, pipe, Mode::from_raw_mode(0o600))?;
    // The service's user is the image's. The folder above lets nobody else of this machine in.
    std::fs::set_permissions(pipe, std::fs::Permissions::from_mode(0o644))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_flow::job::BESIDE;

    #[test]
    fn words_say_how_a_service_ended_and_whether_steps_ran() {
        let ended = |oom_killed, exit_code| State { running: false, oom_killed, exit_code };
        for (state, early, wanted) in [
            (ended(false, 7), false, "the service `db` ended with exit 7 while steps ran"),
            (ended(true, 137), false, "the service `db` was killed for memory (exit 137) while steps ran"),
            (ended(false, 0), true, "the service `db` ended with exit 0 before steps ran"),
        ] {
            let words = ended_words("db", &state, early);
            assert_eq!(words, wanted);
            assert!(format!("; {words}").starts_with(BESIDE), "{words}");
        }
    }
}
