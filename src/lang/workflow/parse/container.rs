//! `container` and `services`: images and what belongs to them.

use super::reader::{Reader, WRONG_TYPE, has_expression, start_of};
use crate::expr::Template;
use crate::source::{Node, NodeKind, Spanned};
use crate::workflow::{Container, Env};

impl Reader<'_> {
    pub(super) fn container(&mut self, node: &Node, key: &str) -> Option<Container> {
        let mut container = Container {
            image: None,
            expression: None,
            credentials: None,
            env: Env::default(),
            ports: Vec::new(),
            volumes: Vec::new(),
            options: None,
            entrypoint: None,
            command: None,
            span: node.span,
        };
        let NodeKind::Mapping(entries) = &node.kind else {
            let template = self.template(node, key, "an image")?;
            if template.parts.len() == 1 && !template.is_literal() {
                container.expression = Some(template);
            } else {
                container.image = Some(template);
            }
            return Some(container);
        };
        for entry in entries {
            let value = &entry.value;
            match &*entry.key {
                "image" => container.image = self.image(value, key),
                "credentials" => container.credentials = self.credentials(value),
                "env" => container.env = self.env(value, "jobs.container.env"),
                "ports" => container.ports = self.list_of(value, key, "ports"),
                "volumes" => container.volumes = self.list_of(value, key, "volumes"),
                "options" => container.options = self.template(value, key, "options"),
                "entrypoint" if key == "jobs.services" => {
                    container.entrypoint = self.template(value, key, "the entry point");
                }
                "command" if key == "jobs.services" => {
                    container.command = self.template(value, key, "the command");
                }
                _ => {
                    let known: &[&str] = &["image", "credentials", "env", "ports", "volumes", "options"];
                    self.unknown(entry, "a container", known);
                }
            }
        }
        if !entries.iter().any(|e| &*e.key == "image") {
            self.meaning("missing-key", start_of(node.span), "a container needs the key `image`");
            if has_expression(self.text_of(node.span)) {
                // GitHub looks at a container with expressions only when it runs.
                self.lenient();
            }
        }
        Some(container)
    }

    fn image(&mut self, node: &Node, key: &str) -> Option<Template> {
        let image = self.filled(node, key, "the image")?;
        if image.is_literal() && image.raw.strip_prefix("docker://").is_some_and(str::is_empty) {
            self.error(WRONG_TYPE, node.span, "the image must not be empty");
            self.lenient();
        }
        Some(image)
    }

    fn list_of(&mut self, node: &Node, key: &str, what: &str) -> Vec<Template> {
        if let NodeKind::Scalar(s) = &node.kind
            && has_expression(&s.text)
        {
            return self.filled(node, key, what).into_iter().collect();
        }
        let Some(items) = self.list(node, what) else { return Vec::new() };
        items.iter().filter_map(|i| self.filled(i, key, what)).collect()
    }

    fn credentials(&mut self, node: &Node) -> Option<(Template, Template)> {
        let key = "jobs.container.credentials";
        if let NodeKind::Scalar(s) = &node.kind
            && has_expression(&s.text)
        {
            let whole = self.template(node, key, "credentials")?;
            return Some((whole.clone(), whole));
        }
        let (mut username, mut password) = (None, None);
        for entry in self.map(node, "`username` and `password`")? {
            match &*entry.key {
                "username" => username = self.filled(&entry.value, key, "the user name"),
                "password" => password = self.filled(&entry.value, key, "the password"),
                _ => self.unknown(entry, "`credentials`", &["username", "password"]),
            }
        }
        Some((username?, password?))
    }

    pub(super) fn services(&mut self, node: &Node) -> Vec<(Spanned<String>, Container)> {
        if let NodeKind::Scalar(s) = &node.kind
            && has_expression(&s.text)
        {
            if self.template(node, "jobs.services", "services").is_some() {
                self.meaning(WRONG_TYPE, node.span, "`services` is a map; an expression cannot give it");
            }
            return Vec::new();
        }
        let mut services = Vec::new();
        for entry in self.map(node, "services").unwrap_or_default() {
            let Some(name) = self.key_name(entry, "services") else { continue };
            if let Some(container) = self.container(&entry.value, "jobs.services") {
                services.push((name, container));
            }
        }
        services
    }
}
