//! `action.yml`.

use super::quoted::unquoted;
use super::reader::Reader;
use super::trigger::is_null;
use crate::source::{Diagnostic, FileId, Node, Spanned};
use crate::workflow::{ActionFile, ActionInput, Dialect, Tree, TreeKind};

/// Turns an `action.yml` into its typed form and everything that is wrong with it.
pub fn parse_action(node: &Node, text: &str, file: FileId) -> (ActionFile, Vec<Diagnostic>) {
    let mut reader = Reader { file, text, dialect: Dialect::Github, findings: Vec::new() };
    let action = reader.action(&unquoted(node, text));
    (action, reader.findings)
}

impl Reader<'_> {
    fn action(&mut self, node: &Node) -> ActionFile {
        let nothing = Tree { kind: TreeKind::Literal(crate::value::Value::Null), span: node.span };
        let mut action = ActionFile {
            name: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            using: Spanned::new(String::new(), node.span),
            steps: Vec::new(),
            runs: nothing,
        };
        let Some(entries) = self.map(node, "`name`, `inputs`, `outputs` and `runs`") else { return action };
        for entry in entries {
            let value = &entry.value;
            match &*entry.key {
                "name" => action.name = self.plain(value, "the action's name"),
                "inputs" if !is_null(value) => action.inputs = self.action_inputs(value),
                "outputs" if !is_null(value) => {
                    for output in self.map(value, "outputs").unwrap_or_default() {
                        let Some(name) = self.key_name(output, "outputs") else { continue };
                        for key in self.map(&output.value, "`value`").unwrap_or_default() {
                            if &*key.key == "value"
                                && let Some(template) =
                                    self.template(&key.value, "action.outputs", "the value")
                            {
                                action.outputs.push((name.clone(), template));
                            }
                        }
                    }
                }
                "runs" => self.runs(value, &mut action),
                _ => {}
            }
        }
        if !entries.iter().any(|e| &*e.key == "runs") {
            self.missing(node, "an action", "runs");
        }
        action
    }

    fn action_inputs(&mut self, node: &Node) -> Vec<ActionInput> {
        let mut inputs = Vec::new();
        for entry in self.map(node, "inputs").unwrap_or_default() {
            let Some(name) = self.key_name(entry, "inputs") else { continue };
            let mut input = ActionInput { name, default: None, required: false, deprecation: None };
            if !is_null(&entry.value) {
                for key in self.map(&entry.value, "an input's keys").unwrap_or_default() {
                    match &*key.key {
                        "default" => {
                            input.default = self.template(&key.value, "action.inputs.default", "the default");
                        }
                        // GitHub takes any scalar here and ignores what is no boolean.
                        "required" => {
                            input.required =
                                self.plain(&key.value, "`required`").is_some_and(|r| r.value == "true");
                        }
                        "deprecationMessage" => {
                            input.deprecation = self.plain(&key.value, "the message").map(|m| m.value);
                        }
                        _ => {}
                    }
                }
            }
            inputs.push(input);
        }
        inputs
    }

    fn runs(&mut self, node: &Node, action: &mut ActionFile) {
        for entry in self.map(node, "`using` and what belongs to it").unwrap_or_default() {
            match &*entry.key {
                "using" => {
                    if let Some(using) = self.word(&entry.value, "`using`") {
                        action.using = using;
                    }
                }
                "steps" => {
                    if let Some(items) = self.list(&entry.value, "steps") {
                        action.steps = self.steps(items, "action.steps");
                    }
                }
                _ => {}
            }
        }
    }
}
