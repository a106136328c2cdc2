//! Follows expressions back to what strangers wrote, and inputs forward to where they end.

use super::strangers;
use crate::check::access::{Access, Segment, expressions};
use crate::check::sites::{Sink, Site, collect, collect_action};
use crate::check::{CheckContext, LocalAction};
use crate::expr::{BinaryOp, Expr, ExprKind, Template};
use crate::source::Span;
use crate::workflow::{Action, ActionFile, Env, Job, JobKind, Step, Tree, TreeKind, Workflow, local_path};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has inputs, jobs and steps: a workflow, or a composite action.
pub(in crate::check) enum Origin<'a> {
    /// A workflow.
    Workflow(&'a Workflow),
    /// A composite action.
    Action(&'a ActionFile),
}

/// A workflow or an action, and which of its inputs hold text of strangers.
pub(in crate::check) struct Body<'a> {
    pub(super) origin: Origin<'a>,
    pub(super) called: &'a BTreeMap<String, Arc<Workflow>>,
    pub(super) context: &'a CheckContext<'a>,
    inputs: Vec<String>,
    /// Whether the contexts of strangers count, or only the inputs.
    pub(super) contexts: bool,
    /// How many more expressions are looked at: a file may be made to be a maze.
    budget: &'a Cell<u32>,
    /// How many files, variables and outputs may still be followed from here.
    pub(super) left: u8,
}

/// Where in a body an expression stands.
#[derive(Clone, Copy)]
pub(in crate::check) struct Place<'a> {
    /// The job; none in an action.
    pub job: Option<&'a Job>,
    /// The step, for what belongs to one.
    pub step: Option<&'a Step>,
    /// How many of the steps have run.
    pub steps: usize,
}

impl<'a> From<&Site<'a>> for Place<'a> {
    fn from(site: &Site<'a>) -> Self {
        Self { job: site.job, step: site.step, steps: site.steps }
    }
}

/// Values that are handed to another file.
pub(in crate::check) struct Handing<'a> {
    /// The input's name.
    pub name: &'a str,
    /// Its value.
    pub value: Vec<&'a Template>,
    /// Where it stands.
    pub place: Place<'a>,
    /// To whom.
    pub target: Target<'a>,
    /// How the target is named.
    pub uses: &'a str,
}

/// Who takes an input.
pub(in crate::check) enum Target<'a> {
    /// A workflow of the project.
    Workflow(&'a Workflow),
    /// An action of the project.
    Action(Arc<ActionFile>),
}

/// Where an input ends.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::check) struct Reached {
    /// What it becomes.
    pub sink: Sink,
    /// Where.
    pub span: Span,
}

/// How an expression is looked at.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// Whether a whole object becomes text, as in `toJSON(github.event)`.
    pub whole: bool,
    /// How many more variables, matrix values and outputs are followed.
    pub left: u8,
}

impl<'a> Body<'a> {
    /// So many steps back are followed: the rest would be a riddle, or a circle.
    const FARTHEST: u8 = 6;
    /// So many expressions are looked at for one file.
    pub const BUDGET: u32 = 200_000;

    /// A workflow that is looked at for itself.
    pub fn root(
        workflow: &'a Workflow,
        called: &'a BTreeMap<String, Arc<Workflow>>,
        context: &'a CheckContext<'a>,
        budget: &'a Cell<u32>,
    ) -> Self {
        let origin = Origin::Workflow(workflow);
        Self { origin, called, context, inputs: Vec::new(), contexts: true, budget, left: Self::FARTHEST }
    }

    pub(super) fn inner<'b>(
        &'b self,
        target: &'b Target<'b>,
        inputs: Vec<String>,
        contexts: bool,
    ) -> Option<Body<'b>> {
        let origin = match target {
            Target::Workflow(workflow) => Origin::Workflow(workflow),
            Target::Action(action) => Origin::Action(action),
        };
        let left = self.left.checked_sub(1)?;
        Some(Body { origin, inputs, contexts, left, ..*self })
    }

    /// Returns the parts of an expression whose text strangers can choose, with their names.
    pub fn parts<'e>(&self, expr: &'e Expr, place: Place<'_>) -> Vec<(&'e Expr, String)> {
        let mut found = Vec::new();
        self.taints(expr, place, Way { whole: false, left: self.left }, &mut found);
        found
    }

    /// Returns all values that are handed to files of the project.
    pub fn handings(&self) -> Vec<Handing<'a>> {
        let mut all = Vec::new();
        match self.origin {
            Origin::Workflow(workflow) => {
                for job in &workflow.jobs {
                    match &job.kind {
                        JobKind::Steps(steps) => self.of_steps(Some(job), steps, &mut all),
                        JobKind::Call(call) => {
                            let target = local_path(&call.uses.value).and_then(|path| self.called.get(path));
                            let Some(target) = target else { continue };
                            for (name, tree) in &call.with {
                                let mut value = Vec::new();
                                templates(tree, &mut value);
                                all.push(Handing {
                                    name: &name.value,
                                    value,
                                    place: Place { job: Some(job), step: None, steps: 0 },
                                    target: Target::Workflow(target),
                                    uses: &call.uses.value,
                                });
                            }
                        }
                    }
                }
            }
            Origin::Action(action) => self.of_steps(None, &action.steps, &mut all),
        }
        all
    }

    fn of_steps(&self, job: Option<&'a Job>, steps: &'a [Step], all: &mut Vec<Handing<'a>>) {
        for (index, step) in steps.iter().enumerate() {
            let Action::Uses(uses) = &step.action else { continue };
            if !uses.uses.value.starts_with("./") || uses.with.iter().all(|(_, value)| value.is_literal()) {
                continue;
            }
            let LocalAction::Found(action) = (self.context.actions)(&uses.uses.value) else { continue };
            for (name, value) in &uses.with {
                all.push(Handing {
                    name: &name.value,
                    value: vec![value],
                    place: Place { job, step: Some(step), steps: index },
                    target: Target::Action(action.clone()),
                    uses: &uses.uses.value,
                });
            }
        }
    }

    /// Returns where an input that is handed on ends as a script, an image or a path.
    pub fn ends(&self, handing: &Handing<'_>) -> Vec<Reached> {
        let mut found = Vec::new();
        self.follow(handing, &mut found);
        found
    }

    fn follow(&self, handing: &Handing<'_>, found: &mut Vec<Reached>) {
        if let Some(inner) = self.inner(&handing.target, vec![handing.name.to_ascii_lowercase()], false) {
            inner.reached(found);
        }
    }

    /// Returns where an action of the project takes such text from the event by itself.
    pub fn ends_of_action(&self, action: Arc<ActionFile>) -> Vec<Reached> {
        let (target, mut found) = (Target::Action(action), Vec::new());
        if let Some(inner) = self.inner(&target, Vec::new(), true) {
            inner.reached(&mut found);
        }
        found
    }

    /// Collects where text of strangers ends in this body.
    fn reached(&self, found: &mut Vec<Reached>) {
        let sites = match self.origin {
            Origin::Workflow(workflow) => collect(workflow),
            Origin::Action(action) => collect_action(action),
        };
        let many = u32::try_from(sites.len()).unwrap_or(u32::MAX);
        self.budget.set(self.budget.get().saturating_sub(many));
        for site in sites.iter().filter(|site| site.sink != Sink::Value) {
            for (expr, inside) in expressions(site.template) {
                for (part, _) in self.parts(expr, site.into()) {
                    let end = Reached { sink: site.sink, span: self.context.place(inside, part) };
                    if !found.contains(&end) {
                        found.push(end);
                    }
                }
            }
        }
        for handing in self.handings() {
            if handing.value.iter().any(|value| self.carries(value, handing.place, self.left)) {
                self.follow(&handing, found);
            }
        }
    }

    pub(super) fn carries(&self, template: &Template, place: Place<'_>, left: u8) -> bool {
        expressions(template).any(|(expr, _)| {
            let mut found = Vec::new();
            self.taints(expr, place, Way { whole: false, left }, &mut found);
            !found.is_empty()
        })
    }

    /// Collects the parts of an expression whose text reaches its value. Comparisons and tests give
    /// only true or false, so what is in them does no harm.
    pub(super) fn taints<'e>(
        &self,
        expr: &'e Expr,
        place: Place<'_>,
        way: Way,
        found: &mut Vec<(&'e Expr, String)>,
    ) {
        let Some(left) = self.budget.get().checked_sub(1) else { return };
        self.budget.set(left);
        if let Some(access) = Access::of(expr) {
            let direct =
                self.contexts && access.is("github") && strangers::writes(&access.segments, way.whole);
            if direct || self.is_carried(&access, place, way) {
                found.push((expr, access.spelled()));
            }
            return;
        }
        match &expr.kind {
            ExprKind::Binary(BinaryOp::Or, a, b) => {
                self.taints(a, place, way, found);
                self.taints(b, place, way, found);
            }
            ExprKind::Binary(BinaryOp::And, _, b) => self.taints(b, place, way, found),
            ExprKind::Call(name, arguments) => {
                let name = name.to_ascii_lowercase();
                if matches!(name.as_str(), "contains" | "startswith" | "endswith" | "hashfiles") {
                    return;
                }
                for argument in arguments {
                    self.taints(argument, place, Way { whole: name == "tojson", ..way }, found);
                }
            }
            ExprKind::Property(base, _) | ExprKind::Star(base) | ExprKind::Index(base, _) => {
                self.taints(base, place, way, found);
            }
            _ => {}
        }
    }

    /// Tells whether a variable, an input, a matrix value or an output was made of such text:
    /// pasting it is the same as pasting what it was made of.
    fn is_carried(&self, access: &Access, place: Place<'_>, way: Way) -> bool {
        let Some(left) = way.left.checked_sub(1) else { return false };
        let segments = access.segments.as_slice();
        match access.context.to_ascii_lowercase().as_str() {
            "env" => matches!(segments, [Segment::Name(name)] if self.variable(name, place, left)),
            "inputs" => match segments {
                [Segment::Name(name), ..] => self.is_input(name),
                [Segment::Any, ..] => !self.inputs.is_empty(),
                [] => way.whole && !self.inputs.is_empty(),
            },
            "matrix" => {
                let Some(Segment::Name(name)) = segments.first() else { return false };
                let matrix = place.job.and_then(|j| j.strategy.as_ref()).and_then(|s| s.matrix.as_ref());
                let mut values = Vec::new();
                if let Some(matrix) = matrix {
                    vectors(matrix, name, &mut values);
                }
                let at = Place { step: None, steps: 0, ..place };
                values.into_iter().any(|value| self.carries(value, at, left))
            }
            "needs" | "jobs" => {
                let [Segment::Name(job), rest @ ..] = segments else { return false };
                let rest = match rest {
                    [Segment::Name(word), Segment::Any, rest @ ..] if &**word == "instances" => rest,
                    _ => rest,
                };
                let wanted = Wanted::of(rest, way.whole);
                wanted.is_some_and(|wanted| self.job_output(job, wanted, left))
            }
            "steps" => {
                let [Segment::Name(id), rest @ ..] = segments else { return false };
                let wanted = Wanted::of(rest, way.whole);
                wanted.is_some_and(|wanted| self.step_output(id, wanted, place, left))
            }
            _ => false,
        }
    }

    fn is_input(&self, name: &str) -> bool {
        self.inputs.iter().any(|input| input.eq_ignore_ascii_case(name))
    }

    /// The steps that have run at a place, with their indices.
    pub(super) fn earlier<'b>(&'b self, place: Place<'b>) -> impl Iterator<Item = (usize, &'b Step)> {
        let steps: &[Step] = match (place.job.map(|job| &job.kind), &self.origin) {
            (Some(JobKind::Steps(steps)), _) => steps,
            (None, Origin::Action(action)) => &action.steps,
            _ => &[],
        };
        steps.iter().enumerate().take(place.steps)
    }

    pub(super) fn variable(&self, name: &str, place: Place<'_>, left: u8) -> bool {
        if let Some(value) = place.step.and_then(|step| value_of(&step.env, name)) {
            return self.carries(value, place, left);
        }
        let exported = self.earlier(place).any(|(index, step)| {
            let Action::Run(run) = &step.action else { return false };
            let at = Place { step: Some(step), steps: index, ..place };
            run.script.raw.contains("GITHUB_ENV")
                && self.script_writes(run, "GITHUB_ENV", Wanted::One(name), at, left)
        });
        if exported {
            return true;
        }
        let at = Place { step: None, steps: 0, ..place };
        if let Some(value) = place.job.and_then(|job| value_of(&job.env, name)) {
            return self.carries(value, at, left);
        }
        let Origin::Workflow(workflow) = self.origin else { return false };
        value_of(&workflow.env, name).is_some_and(|value| self.carries(value, at, left))
    }
}

fn value_of<'e>(env: &'e Env, name: &str) -> Option<&'e Template> {
    env.variables.iter().find(|(n, _)| n.value.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Which outputs an expression reads.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// This one.
    One(&'a str),
    /// All, or one that only a run knows.
    Any,
}

impl<'a> Wanted<'a> {
    /// Reads the rest of a path such as `outputs.title`; `None` if no output is read.
    fn of(rest: &'a [Segment], whole: bool) -> Option<Self> {
        match rest {
            [Segment::Name(word), rest @ ..] if word.eq_ignore_ascii_case("outputs") => match rest {
                [Segment::Name(name)] => Some(Self::One(name)),
                [Segment::Any] => Some(Self::Any),
                [] if whole => Some(Self::Any),
                _ => None,
            },
            [] if whole => Some(Self::Any),
            _ => None,
        }
    }

    /// Tells whether an output is among them.
    pub fn is(self, name: &str) -> bool {
        match self {
            Self::One(wanted) => wanted.eq_ignore_ascii_case(name),
            Self::Any => true,
        }
    }
}

/// Collects what one value of a matrix may come from: its vector, `include`, or the expression that
/// gives the whole.
fn vectors<'t>(matrix: &'t Tree, name: &str, found: &mut Vec<&'t Template>) {
    match &matrix.kind {
        TreeKind::Template(template) => found.push(template),
        TreeKind::Sequence(items) => items.iter().for_each(|item| vectors(item, name, found)),
        TreeKind::Mapping(entries) => {
            for (key, value) in entries {
                if key.value.raw.eq_ignore_ascii_case(name) {
                    templates(value, found);
                } else if &*key.value.raw == "include" {
                    vectors(value, name, found);
                }
            }
        }
        TreeKind::Literal(_) => {}
    }
}

pub(super) fn templates<'t>(tree: &'t Tree, found: &mut Vec<&'t Template>) {
    match &tree.kind {
        TreeKind::Template(template) => found.push(template),
        TreeKind::Sequence(items) => items.iter().for_each(|item| templates(item, found)),
        TreeKind::Mapping(entries) => entries.iter().for_each(|(_, value)| templates(value, found)),
        TreeKind::Literal(_) => {}
    }
}
