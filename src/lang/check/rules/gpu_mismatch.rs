//! GPU requests that contradict themselves or each other.

use crate::check::{Facts, Level, Rule};
use crate::source::{Diagnostic, Span};
use crate::value::Value;
use crate::workflow::{Resources, Tree, TreeKind};

pub(super) const RULE: Rule = Rule {
    id: "gpu-mismatch",
    level: Level::Tidegate,
    about: "a request for GPUs contradicts itself, or a step asks for more than its job",
    check,
};

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for job in &facts.workflow.jobs {
        found.extend(job.ml.resources.iter().flat_map(|asked| contradictions(asked)));
    }
    for (job, step) in facts.steps() {
        let Some(resources) = &step.resources else { continue };
        found.extend(contradictions(resources));
        let of_job = job.ml.resources.as_ref().and_then(|r| r.gpu.as_ref());
        if let (Some(own), Some(jobs)) = (&resources.gpu, of_job)
            && let (Some(n), Some(m)) = (count(own), count(jobs))
            && n > m
        {
            let text = format!("this step asks for {n} GPUs, and its job for {m}");
            found.push(Diagnostic::error(RULE.id, own.span, text).related(jobs.span, "the job's request"));
        }
    }
    found
}

fn contradictions(resources: &Resources) -> Vec<Diagnostic> {
    let Some(gpu) = &resources.gpu else { return Vec::new() };
    let mut found = Vec::new();
    let count = count(gpu);
    if let Some(n) = count
        && (n < 0.0 || n.fract() != 0.0)
    {
        let text = format!("{n} is not a number of GPUs");
        found.push(
            Diagnostic::error(RULE.id, gpu.span, text)
                .help("a part of a GPU is asked for by `mig`, such as `{ count: 1, mig: 1g.10gb }`"),
        );
    }
    for (key, span) in ["product", "memory", "mig"].iter().filter_map(|k| field(gpu, k).map(|(_, s)| (*k, s)))
    {
        if count == Some(0.0) {
            let text = format!("no GPU is asked for, so `{key}` says nothing");
            found.push(Diagnostic::error(RULE.id, span, text).help("set `count`, or remove it"));
        }
    }
    if let (Some(vendor), Some((product, span))) = (text(gpu, "vendor"), field(gpu, "product")) {
        for name in names(product) {
            if let Some(maker) = maker(&name).filter(|m| !m.eq_ignore_ascii_case(&vendor)) {
                let text = format!("`{name}` is made by {maker}, and `vendor` is `{vendor}`");
                found.push(Diagnostic::error(RULE.id, span, text));
            }
        }
    }
    if let (Some((_, span)), Some(_)) = (field(gpu, "mig"), text(gpu, "vendor").filter(|v| v != "nvidia")) {
        found.push(Diagnostic::error(RULE.id, span, "only NVIDIA's GPUs can be cut by `mig`"));
    }
    if let (Some((_, span)), Some((product, _))) = (field(gpu, "mig"), field(gpu, "product")) {
        for name in names(product).iter().filter(|n| !can_be_cut(n)) {
            found.push(Diagnostic::error(RULE.id, span, format!("`{name}` cannot be cut by `mig`")));
        }
    }
    found
}

fn field<'a>(gpu: &'a Tree, key: &str) -> Option<(&'a Tree, Span)> {
    let TreeKind::Mapping(entries) = &gpu.kind else { return None };
    entries.iter().find(|(k, _)| k.value.raw.as_ref() == key).map(|(k, v)| (v, k.span))
}

fn text(gpu: &Tree, key: &str) -> Option<String> {
    names(field(gpu, key)?.0).into_iter().next()
}

fn names(tree: &Tree) -> Vec<String> {
    match &tree.kind {
        TreeKind::Literal(Value::String(name)) => vec![name.to_string()],
        TreeKind::Sequence(items) => items.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// Returns how many GPUs are asked for, where the file says it; a mapping without `count` means 1.
fn count(gpu: &Tree) -> Option<f64> {
    match &gpu.kind {
        TreeKind::Literal(Value::Number(n)) => Some(*n),
        TreeKind::Mapping(_) => match field(gpu, "count") {
            None => Some(1.0),
            Some((Tree { kind: TreeKind::Literal(Value::Number(n)), .. }, _)) => Some(*n),
            Some(_) => None,
        },
        _ => None,
    }
}

fn maker(product: &str) -> Option<&'static str> {
    let upper = product.to_ascii_uppercase();
    let starts = |names: &[&str]| names.iter().any(|n| upper.starts_with(n));
    if starts(&[
        "NVIDIA", "TESLA", "A100", "H100", "H200", "B200", "L4", "L40", "V100", "T4", "GEFORCE", "RTX",
    ]) {
        Some("nvidia")
    } else if starts(&["AMD", "INSTINCT", "MI2", "MI3", "RADEON"]) {
        Some("amd")
    } else if starts(&["INTEL", "GAUDI"]) {
        Some("intel")
    } else {
        None
    }
}

/// MIG came with the A100; of what is older or for graphics we know that it has none.
fn can_be_cut(product: &str) -> bool {
    let upper = product.to_ascii_uppercase();
    !["V100", "T4", "P100", "K80", "L40", "GEFORCE", "TESLA", "MI2", "MI3"].iter().any(|n| upper.contains(n))
}
