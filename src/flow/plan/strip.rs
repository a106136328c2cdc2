//! A job without the keys whose value is not known yet, and the list of those keys.

use super::known::Known;
use super::model::Later;
use std::sync::Arc;
use tidegate_lang::expr::Template;
use tidegate_lang::source::Spanned;
use tidegate_lang::workflow::{Dynamic, Job, JobMl, Tree, TreeKind};

/// Takes out of a job what cannot be evaluated yet.
pub(super) fn strip(job: &Job, known: &Known<'_>) -> (Job, Vec<Later>) {
    let mut job = job.clone();
    let mut later = Vec::new();
    let mut out = Out { known, later: &mut later };
    out.template("name", &mut job.name);
    out.template("container", &mut job.container.as_mut().and_then(|c| c.expression.take()));
    if let Some(container) = &mut job.container {
        out.template("container.image", &mut container.image);
    }
    if let Some(runs_on) = &mut job.runs_on {
        let open = runs_on.labels.iter().find(|label| !known.template(label));
        if let Some(label) = open {
            out.push("runs-on", label.raw.to_string());
            job.runs_on = None;
        }
    }
    if out.dynamic("timeout-minutes", job.timeout_minutes.as_ref().map(|given| &given.value)) {
        job.timeout_minutes = None;
    }
    if out.dynamic("continue-on-error", job.continue_on_error.as_deref()) {
        job.continue_on_error = None;
    }
    if job.concurrency.as_ref().is_some_and(|given| !known.template(&given.group)) {
        let group = job.concurrency.take().map(|given| given.group.raw.to_string());
        out.push("concurrency", group.unwrap_or_default());
    }
    if job.environment.as_ref().is_some_and(|given| !known.template(&given.name)) {
        let name = job.environment.take().map(|given| given.name.raw.to_string());
        out.push("environment", name.unwrap_or_default());
    }
    let ml = Arc::make_mut(&mut job.ml);
    if let Some(resources) = &mut ml.resources {
        out.template("resources.cpu", &mut resources.cpu);
        out.template("resources.memory", &mut resources.memory);
        out.template("resources.ephemeral-storage", &mut resources.ephemeral_storage);
        out.template("resources.shm", &mut resources.shm);
        out.tree("resources.gpu", &mut resources.gpu);
    }
    if let Some(retry) = &mut ml.retry {
        out.spanned("retry.attempts", &mut retry.attempts);
        out.spanned("retry.infra", &mut retry.infra);
        out.tree("retry.backoff", &mut retry.backoff);
        out.tree("retry.oom", &mut retry.oom);
    }
    ml.consumes.retain(|given| {
        let keep = known.template(&given.from);
        if !keep {
            out.push(&format!("consumes.{}", given.path.value), given.from.raw.to_string());
        }
        keep
    });
    cache(ml, &mut out);
    (job, later)
}

/// A cache whose key or switch is not known is asked later.
fn cache(ml: &mut JobMl, out: &mut Out<'_>) {
    let Some(cache) = &ml.cache else {
        return;
    };
    let switch = match &cache.enabled {
        Dynamic::Expr(template) => Some(template),
        Dynamic::Fixed(_) => None,
    };
    let templates = switch.into_iter().chain(&cache.inputs).chain(&cache.key).chain(&cache.version);
    let open: Vec<String> = templates
        .filter(|template| !out.known.template(template))
        .map(|template| template.raw.to_string())
        .collect();
    if let Some(first) = open.into_iter().next() {
        out.push("cache", first);
        ml.cache = None;
    }
}

/// Where what is taken out goes.
struct Out<'a> {
    known: &'a Known<'a>,
    later: &'a mut Vec<Later>,
}

impl Out<'_> {
    fn push(&mut self, key: &str, expression: String) {
        self.later.push(Later { key: key.to_owned(), expression });
    }

    fn template(&mut self, key: &str, given: &mut Option<Template>) {
        if given.as_ref().is_some_and(|template| !self.known.template(template)) {
            let raw = given.take().map(|template| template.raw.to_string());
            self.push(key, raw.unwrap_or_default());
        }
    }

    /// Tells whether a value is to be taken out.
    fn dynamic<T>(&mut self, key: &str, given: Option<&Dynamic<T>>) -> bool {
        let Some(Dynamic::Expr(template)) = given else { return false };
        let open = !self.known.template(template);
        if open {
            self.push(key, template.raw.to_string());
        }
        open
    }

    fn spanned<T>(&mut self, key: &str, given: &mut Option<Spanned<Dynamic<T>>>) {
        if self.dynamic(key, given.as_ref().map(|given| &given.value)) {
            *given = None;
        }
    }

    fn tree(&mut self, key: &str, given: &mut Option<Tree>) {
        if let Some(expression) = given.as_ref().and_then(|tree| first_open(tree, self.known)) {
            self.push(key, expression);
            *given = None;
        }
    }
}

/// Returns the first expression of a tree that cannot be evaluated yet.
pub(super) fn first_open(tree: &Tree, known: &Known<'_>) -> Option<String> {
    let template = |given: &Template| (!known.template(given)).then(|| given.raw.to_string());
    match &tree.kind {
        TreeKind::Literal(_) => None,
        TreeKind::Template(given) => template(given),
        TreeKind::Sequence(items) => items.iter().find_map(|item| first_open(item, known)),
        TreeKind::Mapping(entries) => {
            entries.iter().find_map(|(name, item)| template(&name.value).or_else(|| first_open(item, known)))
        }
    }
}
