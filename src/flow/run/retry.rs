//! Whether an attempt that failed is tried again, when, and who pays for it.

use super::{EventKind, InstanceId, InstanceState, Millis};
use crate::job::{Conclusion, FailureClass, Receipt, RetrySpec};

/// Seconds before the second try of one that found no place to begin, doubled each time up to [`LONGEST_SECONDS`]; as
/// kubelets do it (<https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy>).
const FIRST_SECONDS: f64 = 10.0;
/// And at most so many.
const LONGEST_SECONDS: f64 = 300.0;

/// Returns the retry of an attempt that ended, if there is one.
pub(super) fn again(id: InstanceId, instance: &InstanceState, now: Millis) -> Option<EventKind> {
    let receipt = instance.receipt.as_deref()?;
    let settings = instance.settings.as_ref()?;
    // A cached or adopted receipt was no attempt.
    if receipt.conclusion != Conclusion::Failure || instance.cached.is_some() || instance.adopted.is_some() {
        return None;
    }
    let class = receipt.class.unwrap_or(FailureClass::Failure);
    if class == FailureClass::Gate {
        return None;
    }
    let retry = &settings.retry;
    let infra = class.is_infrastructure();
    let spent = instance.attempt.saturating_sub(instance.infra).saturating_sub(instance.restarts);
    if infra {
        if instance.infra >= retry.infra {
            return None;
        }
    } else if spent >= retry.attempts || !wanted(retry, class, receipt) {
        return None;
    }
    let pause = if infra {
        // One that ran lost its place, and there is another; where none began, the next place is as bad just now.
        if instance.said > 0 { 0.0 } else { no_place(instance.infra, &instance.token) }
    } else {
        pause(retry, spent, &instance.token)
    };
    #[expect(clippy::cast_possible_truncation, reason = "saturates; a pause is at most some hours")]
    let due = Millis(now.0.saturating_add((pause * 1000.0) as i64));
    let memory = memory(instance, retry, class, receipt);
    let step = receipt.step_memory.as_ref().filter(|_| memory.is_some()).map(|own| own.step);
    Some(EventKind::RetryScheduled { instance: id, due, class, infra, memory, step })
}

/// Tells whether `retry.on` names the class or the exit code.
fn wanted(retry: &RetrySpec, class: FailureClass, receipt: &Receipt) -> bool {
    retry.on.iter().any(|word| {
        word == class.word()
            || word
                .strip_prefix("exit:")
                .and_then(|code| code.parse().ok())
                .is_some_and(|code: i32| receipt.exit == Some(code))
    })
}

/// Seconds before attempt `spent + 1`.
fn pause(retry: &RetrySpec, spent: u32, token: &str) -> f64 {
    let pause = retry.backoff_seconds(spent) * (1.0 - retry.backoff_jitter.clamp(0.0, 1.0) * share(token));
    if pause.is_finite() { pause } else { 0.0 }
}

/// Seconds before the infrastructure is tried again that `paid` times had no place: none at first, then up to half of
/// them less, so that jobs which one node refused do not come back as one.
fn no_place(paid: u32, token: &str) -> f64 {
    let Some(doubled) = paid.checked_sub(1) else { return 0.0 };
    let full = FIRST_SECONDS * 2_f64.powi(i32::try_from(doubled).unwrap_or(i32::MAX));
    full.min(LONGEST_SECONDS) * (1.0 - 0.5 * share(token))
}

/// A random share from 0 to 1. It comes from the token, so that replay and a second look give the same.
fn share(token: &str) -> f64 {
    f64::from(blake3::hash(token.as_bytes()).as_bytes().first().copied().unwrap_or(0)) / 255.0
}

/// More memory after `oom`, up to the limit: for the step whose own `resources` gave the killed container what it had,
/// else for the job.
fn memory(
    instance: &InstanceState,
    retry: &RetrySpec,
    class: FailureClass,
    receipt: &Receipt,
) -> Option<u64> {
    let own = receipt.step_memory.as_ref().map(|own| own.bytes);
    let before = own.or(instance.memory).or(instance.settings.as_ref().map(|s| s.resources.memory_bytes))?;
    if class != FailureClass::Oom || before == 0 || retry.oom_memory_factor <= 1.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bytes of memory, saturating"
    )]
    let more = (before as f64 * retry.oom_memory_factor) as u64;
    Some(if retry.oom_max_memory > 0 { more.min(retry.oom_max_memory.max(before)) } else { more })
}
