//! Lines of a step's output as workflow commands.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_flow::job::{CommandGate, WorkflowCommand, may_be_command};

fuzz_target!(|text: &str| {
    let mut gate = CommandGate::default();
    for line in text.lines() {
        let _ = gate.admit(line, false);
        if let Some(command) = WorkflowCommand::parse(line) {
            // What is a command must have been held back by the reader.
            assert!(may_be_command(line.as_bytes()));
            let _ = command.annotation(0);
        }
    }
});
