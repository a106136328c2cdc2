//! One attempt of one instance, as the agent sees it: what it is given (`JobSpec`), what it says
//! (`JobMessage`), what it is asked (`AgentRequest`); command files, workflow commands and masking.

mod alike;
mod class;
mod command_file;
mod mask;
mod mask_forms;
mod memory;
mod message;
mod pod;
mod service_label;
mod spec;
mod volume;
mod workflow_command;

pub use alike::Alike;
pub use class::{Conclusion, FailureClass};
pub use command_file::{CommandFileError, Pairs, SUMMARY_LIMIT, parse_metrics, parse_pairs, parse_paths};
pub use mask::{MASK, MaskStream, Masks};
pub use mask_forms::forms;
pub use memory::{StepMemory, memory_amount, memory_key, oom_advice};
pub use message::*;
pub use pod::*;
pub use service_label::{is_host_label, service_labels};
pub use spec::*;
pub use volume::{PodVolume, is_shared_memory, no_place, pod_volume};
pub use workflow_command::{Admitted, CommandGate, WorkflowCommand, may_be_command};
