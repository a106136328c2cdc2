//! Keys that a context of fixed keys, or a map written in the file, does not have.

use crate::check::scope::{Kind, Problem};
use crate::check::suggest::{list, nearest};
use crate::check::{Facts, Level, Rule};
use crate::source::Diagnostic;

pub(super) const RULE: Rule = Rule {
    id: "undefined-property",
    level: Level::Tidegate,
    about: "a context or a map is asked for a key that it never has",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for finding in &facts.findings {
        let Problem::Missing { shape, name } = &finding.problem else { continue };
        let owner = match &shape.kind {
            Kind::Fixed("steps") => "a step".to_owned(),
            Kind::Fixed("needs") => "a needed job".to_owned(),
            Kind::Fixed("instances") => "an instance".to_owned(),
            Kind::Fixed("data") => "a data source".to_owned(),
            Kind::Fixed(context) => format!("`{context}`"),
            Kind::Plain => "this mapping".to_owned(),
            _ => continue,
        };
        let known = shape.fields.iter().map(|(n, _)| n.as_ref());
        let mut diagnostic = Diagnostic::error(RULE.id, finding.span, format!("{owner} has no `{name}`"));
        if let Some(near) = nearest(name, known.clone()) {
            diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
        }
        if !shape.fields.is_empty() {
            diagnostic = diagnostic.help(format!("it has {}", list(known)));
        }
        found.push(diagnostic);
    }
    found
}
