//! Why a container ended: what the engine knows of it as a failure class.

use super::engine::{Bounds, CallError, ContainerEngine};
use serde::Deserialize;
use tidegate_flow::job::{Answer, FailureClass, StepMemory, memory_amount, oom_advice};

/// What an engine says of a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
}

/// How a container is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    /// Whether its first process runs.
    #[serde(default)]
    pub(super) running: bool,
    /// Whether the kernel killed something of it for memory.
    #[serde(default, rename = "OOMKilled")]
    pub(super) oom_killed: bool,
    /// The first process's exit code.
    #[serde(default)]
    pub(super) exit_code: i32,
}

/// Asks how a container is; `None` where there is none of that name.
pub(super) fn state(engine: &ContainerEngine, name: &str) -> Result<Option<State>, CallError> {
    let args = ["inspect", "--type=container", name].map(str::to_owned);
    match engine.ask::<Vec<Inspected>>(&args, Bounds::minutes(1)) {
        Ok(found) => Ok(found.into_iter().next().map(|one| one.state)),
        Err(CallError::Failed { text, .. }) if text.to_lowercase().contains("no such") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says why a container of steps ended; `None` while it runs. `memory_bytes` is what it had; 0: no limit. `own` says
/// which step asked for that, if one did.
pub(super) fn death(state: Option<&State>, memory_bytes: u64, own: Option<&StepMemory>) -> Option<Answer> {
    let made = |class, exit, reason: String| Some(Answer::Death { class, exit, reason });
    let Some(state) = state else {
        let reason = "its container was removed while it ran".to_owned();
        return made(FailureClass::Lost, None, reason);
    };
    if state.running {
        return None;
    }
    let exit = state.exit_code;
    if state.oom_killed {
        let limit = match memory_bytes {
            0 => "killed for memory".to_owned(),
            bytes => format!("killed at its limit of {} of memory", memory_amount(bytes)),
        };
        let reason = format!("{limit} (exit 137); {}", oom_advice(own));
        return made(FailureClass::Oom, Some(137), reason);
    }
    let reason = format!("its container was ended by somebody (exit {exit})");
    made(FailureClass::Lost, Some(exit), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_class() {
        let state = |running, oom_killed, exit_code| State { running, oom_killed, exit_code };
        let class = |state: Option<State>| match death(state.as_ref(), 1 << 30, None) {
            Some(Answer::Death { class, exit, .. }) => Some((class, exit)),
            _ => None,
        };
        assert_eq!(class(None), Some((FailureClass::Lost, None)));
        assert_eq!(class(Some(state(true, false, 0))), None);
        assert_eq!(class(Some(state(false, true, 137))), Some((FailureClass::Oom, Some(137))));
        assert_eq!(class(Some(state(false, false, 137))), Some((FailureClass::Lost, Some(137))));
        let said = |memory, own: Option<&StepMemory>| match death(Some(&state(false, true, 137)), memory, own)
        {
            Some(Answer::Death { reason, .. }) => reason,
            _ => String::new(),
        };
        let own = StepMemory { step: 1, key: "steps.fit".into(), bytes: 40 << 20 };
        assert!(said(40 << 20, Some(&own)).contains("; raise `steps.fit.resources.memory`, or let"));
        assert!(
            said(40 << 20, None).starts_with("killed at its limit of 40 MiB of memory (exit 137); raise")
        );
        assert!(said(0, None).starts_with("killed for memory (exit 137); raise"));
    }
}
