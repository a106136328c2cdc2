//! `on`.

use super::reader::{Reader, WRONG_TYPE, has_expression, plain_value, start_of};
use crate::expr::closest;
use crate::source::{Diagnostic, Entry, Node, NodeKind, Pass, Span, Spanned};
use crate::value::Value;
use crate::workflow::events::{EVENTS, event};
use crate::workflow::{
    CallInterface, DataTrigger, Event, Input, InputKind, ModelTrigger, Schedule, Tree, TreeKind, Triggers,
};

impl Reader<'_> {
    pub(super) fn triggers(&mut self, node: &Node) -> Triggers {
        let mut on = Triggers::default();
        match &node.kind {
            NodeKind::Scalar(_) => {
                if let Some(name) = self.plain(node, "an event") {
                    self.named(name, &mut on);
                }
            }
            NodeKind::Sequence(items) => {
                for item in items {
                    if let Some(name) = self.plain(item, "an event") {
                        self.named(name, &mut on);
                    }
                }
                if items.is_empty() {
                    self.meaning(WRONG_TYPE, start_of(node.span), "`on` names no event");
                }
            }
            NodeKind::Mapping(entries) => {
                for entry in entries {
                    self.event_entry(entry, &mut on);
                }
            }
        }
        on
    }

    fn unknown_event(&mut self, name: &str, span: Span) {
        let mut finding = Diagnostic::error("unknown-event", span, format!("there is no event `{name}`"));
        if let Some(near) = closest(name, EVENTS.iter().map(|e| e.name)) {
            finding = finding.label(format!("did you mean `{near}`?")).fix(span, near);
        }
        self.findings.push(finding);
    }

    fn named(&mut self, name: Spanned<String>, on: &mut Triggers) {
        if event(&name.value).is_none() {
            self.unknown_event(&name.value, name.span);
            return;
        }
        if name.value == "schedule" && self.tidegate() {
            self.error(WRONG_TYPE, name.span, "`schedule` needs its `cron` lines");
        }
        if name.value == "workflow_call" {
            on.call = Some(CallInterface::default());
        }
        on.events.push(bare(name));
    }

    fn event_entry(&mut self, entry: &Entry, on: &mut Triggers) {
        let name = Spanned::new(entry.key.to_string(), entry.key_span);
        match &*entry.key {
            "schedule" => on.schedule = self.schedule(&entry.value),
            "workflow_dispatch" => on.dispatch_inputs = self.dispatch(&entry.value),
            "workflow_call" => on.call = Some(self.call_interface(&entry.value)),
            "data" if self.tidegate() => on.data = self.data_triggers(&entry.value),
            "model" if self.tidegate() => on.model = self.model_triggers(&entry.value),
            key => {
                let Some(kind) = event(key) else {
                    self.unknown_event(key, entry.key_span);
                    return;
                };
                let filled = self.filters(name, &entry.value, kind.keys, kind.types);
                on.events.push(filled);
                return;
            }
        }
        on.events.push(bare(name));
    }

    fn filters(&mut self, name: Spanned<String>, node: &Node, keys: &[&str], types: &[&str]) -> Event {
        let mut event = bare(name);
        if is_null(node) {
            return event;
        }
        if keys.is_empty() {
            self.wrong(node, &format!("nothing below `{}`", event.name.value));
            return event;
        }
        let Some(entries) = self.map(node, "filters") else { return event };
        for entry in entries {
            if !keys.contains(&&*entry.key) {
                let place = format!("`{}`", event.name.value);
                self.unknown(entry, &place, keys);
                continue;
            }
            let words = Some(self.words(&entry.value, "a pattern"));
            match &*entry.key {
                "types" => {
                    for word in words.iter().flatten() {
                        if !types.is_empty() && !types.contains(&word.value.as_str()) {
                            let message =
                                format!("`{}` has no activity type `{}`", event.name.value, word.value);
                            let finding = Diagnostic::error("unknown-event", word.span, message)
                                .help(format!("its types: {}", types.join(" ")));
                            self.findings.push(finding);
                        }
                    }
                    event.types = words;
                }
                "branches" => event.branches = words,
                "branches-ignore" => event.branches_ignore = words,
                "tags" => event.tags = words,
                "tags-ignore" => event.tags_ignore = words,
                "paths" => event.paths = words,
                "paths-ignore" => event.paths_ignore = words,
                "workflows" => event.workflows = words,
                _ => {}
            }
        }
        event
    }

    fn schedule(&mut self, node: &Node) -> Vec<Schedule> {
        let Some(items) = self.list(node, "`cron` lines") else { return Vec::new() };
        let mut lines = Vec::new();
        for item in items {
            let Some(entries) = self.map(item, "`cron` and `timezone`") else { continue };
            let (mut cron, mut timezone, mut seen) = (None, None, false);
            for entry in entries {
                match &*entry.key {
                    "cron" => {
                        seen = true;
                        cron = self.word(&entry.value, "`cron`");
                    }
                    "timezone" => timezone = self.word(&entry.value, "`timezone`"),
                    _ => self.unknown(entry, "a line of `schedule`", &["cron", "timezone"]),
                }
            }
            match cron {
                Some(cron) => lines.push(Schedule { cron, timezone }),
                None if !seen => self.missing(item, "a line of `schedule`", "cron"),
                None => {}
            }
        }
        lines
    }

    fn dispatch(&mut self, node: &Node) -> Vec<Input> {
        if is_null(node) {
            return Vec::new();
        }
        let Some(entries) = self.map(node, "`inputs`") else { return Vec::new() };
        let mut inputs = Vec::new();
        for entry in entries {
            // Filters do nothing below an event that people start; GitHub refuses them, and ignores
            // all other words.
            if &*entry.key != "inputs" {
                self.unknown(entry, "`workflow_dispatch`", &["inputs"]);
                let filters =
                    ["branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore", "types"];
                if !filters.contains(&&*entry.key) && !has_expression(&entry.key) {
                    self.lenient();
                }
                continue;
            }
            if !is_null(&entry.value) || !self.tidegate() {
                let Some(all) = self.map(&entry.value, "inputs") else { continue };
                inputs.extend(all.iter().filter_map(|e| self.input(e, true)));
            }
        }
        inputs
    }

    fn input(&mut self, entry: &Entry, dispatch: bool) -> Option<Input> {
        let name = self.key_name(entry, "inputs")?;
        let mut input = Input {
            name,
            kind: InputKind::String,
            required: false,
            default: None,
            options: Vec::new(),
            description: None,
        };
        if is_null(&entry.value) && dispatch {
            return Some(input);
        }
        let (mut kind, mut default) = (None, None);
        for key in self.map(&entry.value, "an input's keys")? {
            match &*key.key {
                "description" => {
                    input.description = self.plain(&key.value, "the description").map(|d| d.value);
                }
                "type" => kind = Some(self.input_kind(&key.value, dispatch)),
                "required" => input.required = self.flag(&key.value, "`required`").unwrap_or(false),
                "default" => default = Some(&key.value),
                "options" if dispatch => {
                    let items = self.list(&key.value, "options").unwrap_or_default();
                    input.options = items.iter().filter_map(|i| self.plain(i, "an option")).collect();
                }
                _ => {
                    let known: &[&str] = if dispatch {
                        &["description", "type", "required", "default", "options"]
                    } else {
                        &["description", "type", "required", "default"]
                    };
                    self.unknown(key, "an input", known);
                }
            }
        }
        match kind {
            Some(Some(kind)) => input.kind = kind,
            None if !dispatch => self.missing(&entry.value, "an input of `workflow_call`", "type"),
            _ => {}
        }
        if let Some(node) = default {
            input.default = self.input_default(node, input.kind, dispatch);
        }
        if input.kind == InputKind::Choice && input.options.is_empty() {
            self.meaning(
                "input",
                start_of(entry.value.span),
                format!("the choice `{}` has no `options`", entry.key),
            );
        }
        Some(input)
    }

    fn input_default(&mut self, node: &Node, kind: InputKind, dispatch: bool) -> Option<Tree> {
        let tree = match &node.kind {
            NodeKind::Scalar(_) if dispatch => {
                let text = self.plain(node, "the default")?;
                let NodeKind::Scalar(scalar) = &node.kind else { return None };
                let _ = text;
                Tree { kind: TreeKind::Literal(plain_value(scalar)), span: node.span }
            }
            NodeKind::Scalar(_) => self.tree(node, "on.workflow_call.inputs.default"),
            _ => {
                self.wrong(node, "text, a number, true or false");
                return None;
            }
        };
        let fits = match (&tree.kind, kind) {
            (TreeKind::Literal(Value::Bool(_)), InputKind::Boolean) | (TreeKind::Template(_), _) => true,
            (TreeKind::Literal(Value::Number(_)), InputKind::Number) => true,
            (TreeKind::Literal(Value::String(s)), InputKind::Boolean) if dispatch && self.tidegate() => {
                &**s == "true" || &**s == "false"
            }
            (TreeKind::Literal(v), InputKind::Number) if dispatch && self.tidegate() => {
                !v.to_number().is_nan()
            }
            (_, InputKind::Boolean | InputKind::Number) => false,
            (TreeKind::Literal(Value::Bool(_) | Value::Number(_)), InputKind::String) => self.tidegate(),
            _ => true,
        };
        if !fits {
            let wanted = match kind {
                InputKind::Number => "a number",
                InputKind::Boolean => "true or false",
                _ => "text in quotes",
            };
            self.wrong(node, &format!("{wanted} as default"));
            if let Some(last) = self.findings.last_mut() {
                last.pass = Pass::Meaning;
            }
            if kind == InputKind::Number {
                self.lenient();
            }
        }
        Some(tree)
    }

    fn input_kind(&mut self, node: &Node, dispatch: bool) -> Option<InputKind> {
        let word = self.plain(node, "a type")?;
        let kind = match word.value.as_str() {
            "string" => InputKind::String,
            "number" => InputKind::Number,
            "boolean" => InputKind::Boolean,
            "choice" if dispatch => InputKind::Choice,
            "environment" if dispatch => InputKind::Environment,
            other => {
                let known = if dispatch {
                    "string number boolean choice environment"
                } else {
                    "string number boolean"
                };
                self.error(
                    WRONG_TYPE,
                    node.span,
                    format!("an input has one of the types {known}, not '{other}'"),
                );
                return None;
            }
        };
        Some(kind)
    }

    fn call_interface(&mut self, node: &Node) -> CallInterface {
        let mut call = CallInterface::default();
        if is_null(node) {
            return call;
        }
        let Some(entries) = self.map(node, "`inputs`, `secrets` and `outputs`") else { return call };
        for entry in entries {
            if is_null(&entry.value) && self.tidegate() {
                continue;
            }
            match &*entry.key {
                "inputs" => {
                    let all = self.map(&entry.value, "inputs").unwrap_or_default();
                    call.inputs = all.iter().filter_map(|e| self.input(e, false)).collect();
                }
                "secrets" => {
                    for secret in self.map(&entry.value, "secrets").unwrap_or_default() {
                        let Some(name) = self.key_name(secret, "secrets") else { continue };
                        let mut required = false;
                        if !is_null(&secret.value) {
                            for key in self.map(&secret.value, "`required`").unwrap_or_default() {
                                match &*key.key {
                                    "required" => {
                                        required = self.flag(&key.value, "`required`").unwrap_or(false);
                                    }
                                    "description" => drop(self.plain(&key.value, "the description")),
                                    _ => self.unknown(key, "a secret", &["description", "required"]),
                                }
                            }
                        }
                        call.secrets.push((name, required));
                    }
                }
                "outputs" => {
                    for output in self.map(&entry.value, "outputs").unwrap_or_default() {
                        self.call_output(output, &mut call);
                    }
                }
                _ => self.unknown(entry, "`workflow_call`", &["inputs", "secrets", "outputs"]),
            }
        }
        call
    }

    fn call_output(&mut self, output: &Entry, call: &mut CallInterface) {
        let Some(name) = self.key_name(output, "outputs") else { return };
        let (mut value, mut seen) = (None, false);
        for key in self.map(&output.value, "`value`").unwrap_or_default() {
            match &*key.key {
                "value" => {
                    seen = true;
                    value = self.template(&key.value, "on.workflow_call.outputs.value", "the output's value");
                }
                "description" => drop(self.plain(&key.value, "the description")),
                _ => self.unknown(key, "an output", &["description", "value"]),
            }
        }
        match value {
            Some(value) => call.outputs.push((name, value)),
            None if !seen => self.missing(&output.value, "an output of `workflow_call`", "value"),
            None => {}
        }
    }

    fn data_triggers(&mut self, node: &Node) -> Vec<DataTrigger> {
        let mut triggers = Vec::new();
        for entry in self.map(node, "data sources").unwrap_or_default() {
            let Some(source) = self.key_name(entry, "data sources") else { continue };
            let (mut every, mut settle) = (None, None);
            if !is_null(&entry.value) {
                for key in self.map(&entry.value, "`every` and `settle`").unwrap_or_default() {
                    match &*key.key {
                        "every" => every = self.duration(&key.value),
                        "settle" => settle = self.duration(&key.value),
                        _ => self.unknown(key, "`on.data`", &["every", "settle"]),
                    }
                }
            }
            triggers.push(DataTrigger { source, every, settle });
        }
        triggers
    }

    fn model_triggers(&mut self, node: &Node) -> Vec<ModelTrigger> {
        let mut triggers = Vec::new();
        for entry in self.map(node, "models").unwrap_or_default() {
            let Some(model) = self.key_name(entry, "models") else { continue };
            let mut alias = None;
            for key in self.map(&entry.value, "`alias`").unwrap_or_default() {
                match &*key.key {
                    "alias" => alias = self.word(&key.value, "the alias"),
                    _ => self.unknown(key, "`on.model`", &["alias"]),
                }
            }
            match alias {
                Some(alias) => triggers.push(ModelTrigger { model, alias, span: entry.value.span }),
                None => self.missing(&entry.value, "a model trigger", "alias"),
            }
        }
        triggers
    }

    fn duration(&mut self, node: &Node) -> Option<Spanned<f64>> {
        let text = self.word(node, "a duration")?;
        let seconds = crate::workflow::duration(&text.value);
        if seconds.is_none() {
            self.error(
                WRONG_TYPE,
                node.span,
                format!("`{}` is no duration; write `90s`, `5m`, `1h30m`", text.value),
            );
        }
        Some(Spanned::new(seconds?, node.span))
    }
}

fn bare(name: Spanned<String>) -> Event {
    Event {
        name,
        types: None,
        branches: None,
        branches_ignore: None,
        tags: None,
        tags_ignore: None,
        paths: None,
        paths_ignore: None,
        workflows: None,
    }
}

pub(super) fn is_null(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Scalar(s) if plain_value(s) == Value::Null)
}
