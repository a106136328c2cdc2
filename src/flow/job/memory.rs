//! What is said of memory, the same wherever a job runs.

use super::{JobSpec, StepContainer, step_containers};
use serde::{Deserialize, Serialize};

/// What a step's own `resources.memory` gave to a container that was killed for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepMemory {
    /// Index of the step that says it, from 0.
    pub step: u32,
    /// The step as keys name it: `steps.fit`, `steps[1]`.
    pub key: String,
    /// The container's limit in bytes.
    pub bytes: u64,
}

impl StepMemory {
    /// Returns what a container has, where a step's own `resources` say it.
    pub fn of(spec: &JobSpec, container: &StepContainer) -> Option<Self> {
        let step = container.asked_by?;
        let id = spec.steps.get(usize::try_from(step).ok()?).map(|step| step.id.as_str()).unwrap_or_default();
        let generated = id.is_empty() || id.starts_with("__");
        let key = if generated { format!("steps[{step}]") } else { format!("steps.{id}") };
        Some(Self { step, key, bytes: container.resources.memory_bytes })
    }

    /// Returns what the container of a step has, where a step's own `resources` say it.
    pub fn around(spec: &JobSpec, step: u32) -> Option<Self> {
        if spec.pod.steps.is_empty() {
            return None;
        }
        let containers = step_containers(spec);
        Self::of(spec, containers.iter().find(|container| container.steps.contains(&step))?)
    }
}

/// The key that gave a killed container its memory: `resources.memory`, of the job or of a step.
pub fn memory_key(own: Option<&StepMemory>) -> String {
    own.map_or_else(|| "resources.memory".to_owned(), |own| format!("{}.resources.memory", own.key))
}

/// What to do after a kill for memory. Ends the reason of such a receipt; whoever shows it and knows that the next attempt
/// has more says that instead.
pub fn oom_advice(own: Option<&StepMemory>) -> String {
    format!("raise `{}`, or let `retry.on: [oom]` with `oom.memory-factor` do so", memory_key(own))
}

/// Writes an amount of memory in the units that it is asked for in: `40 MiB`, `1.5 GiB`, `16 GiB`.
pub fn memory_amount(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, size)) = UNITS.into_iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes} B");
    };
    // Tenths, rounded down: nothing has more than it says.
    match u128::from(bytes) * 10 / u128::from(size) {
        tenths if tenths.is_multiple_of(10) => format!("{} {unit}", tenths / 10),
        tenths => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{PodRequest, ResourceRequest, StepPlace, StepSpec};

    #[test]
    fn the_key_is_that_of_the_step_that_asked_for_the_containers_memory() {
        let asks = |bytes| ResourceRequest { memory_bytes: bytes, ..ResourceRequest::default() };
        let place = |step, image: Option<&str>, bytes: Option<u64>| StepPlace {
            step,
            image: image.map(str::to_owned),
            resources: bytes.map(asks),
            ..StepPlace::default()
        };
        let step = |id: &str| StepSpec { id: id.into(), ..StepSpec::default() };
        let spec = |steps: Vec<StepPlace>| JobSpec {
            image: Some("job".into()),
            resources: asks(8),
            steps: vec![step("prepare"), step("__run"), step("fit")],
            pod: PodRequest { steps, ..PodRequest::default() },
            ..JobSpec::default()
        };
        let own = |step, key: &str, bytes| Some(StepMemory { step, key: key.into(), bytes });
        let table = vec![
            (vec![], 1, None),
            (vec![place(1, Some("a"), None)], 1, None),
            (vec![place(1, Some("a"), Some(4))], 1, own(1, "steps[1]", 4)),
            (vec![place(1, Some("a"), Some(4))], 0, None),
            (vec![place(2, Some("a"), Some(16))], 2, own(2, "steps.fit", 16)),
            // Of steps that share a container the largest counts, whichever failed.
            (vec![place(1, None, Some(4))], 1, None),
            (vec![place(1, None, Some(16))], 2, own(1, "steps[1]", 16)),
            (vec![place(1, Some("a"), Some(4)), place(2, Some("a"), Some(6))], 1, own(2, "steps.fit", 6)),
            // One that asks for other things has no limit, and says so itself.
            (vec![place(1, Some("a"), Some(0))], 1, own(1, "steps[1]", 0)),
        ];
        for (places, step, wanted) in table {
            let words = format!("{places:?}");
            assert_eq!(StepMemory::around(&spec(places), step), wanted, "{words}");
        }
        assert!(
            oom_advice(own(1, "steps[1]", 4).as_ref()).starts_with("raise `steps[1].resources.memory`, or")
        );
        assert!(oom_advice(None).starts_with("raise `resources.memory`, or"));
    }

    #[test]
    fn amounts_are_read_as_they_are_asked_for() {
        let table = [
            (40 << 20, "40 MiB"),
            (3 << 29, "1.5 GiB"),
            (16 << 30, "16 GiB"),
            (512, "512 B"),
            (1 << 10, "1 KiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(memory_amount(bytes), text);
        }
    }
}
