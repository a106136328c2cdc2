//! `tidegate runs rerun`.

use super::{Kept, there};
use crate::app::cli::run::{ClusterArgs, Format, Place, back_end, hand_over, launch, machine, secrets_of};
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::config::{Project, dialect_of};
use crate::app::engine::{Rerun, RunRequest, Site};
use crate::app::report::RunView;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_lang::workflow::Dialect;

/// Arguments of `tidegate runs rerun`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs rerun 7 --failed        what did not succeed, and what needs it
  tidegate runs rerun 7 --from train    train and what needs it
  tidegate runs rerun                   the newest run, all of it
  tidegate runs rerun 7 --on kubernetes --failed    a run of the engine in the cluster, which runs it again

The project's tree as it is now is what runs; inputs and the event are those of the run.
Secrets are never kept: give them again.")]
pub struct Args {
    /// Number or ULID; without it, the newest
    run: Option<String>,
    /// Only what did not succeed, and what needs it; the rest is taken over
    #[arg(long, conflicts_with = "from")]
    failed: bool,
    /// Only these jobs, and what needs them; other jobs that succeeded are taken over
    #[arg(long, value_name = "JOB")]
    from: Vec<String>,
    /// Where jobs run [default: where the run did]; with `kubernetes` it is a run of the engine in the cluster (`run
    /// --detach`), which gets the new one
    #[arg(long, value_enum, value_name = "PLACE")]
    on: Option<Place>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// A secret; without a value it is taken from the environment
    #[arg(long = "secret", short = 's', value_name = "NAME[=VALUE]")]
    secrets: Vec<String>,
    /// A file of secrets, NAME=VALUE a line
    #[arg(long = "secret-file", value_name = "FILE")]
    secret_files: Vec<PathBuf>,
    /// Jobs at once [default: as many as there are cores]
    #[arg(long = "jobs", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    parallel: Option<u32>,
    /// GPUs that jobs may use
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// How the run is shown
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Runs again.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if args.on == Some(Place::Kubernetes) {
        return over_there(args, globals);
    }
    let kept = Kept::open(globals)?;
    let row = kept.find(args.run.as_deref())?;
    if row.summary.is_none() {
        let (number, hint) = (row.number, if row.owner.is_some() { "runs watch" } else { "run --resume" });
        return Err(
            Failure::wrong(format!("run {number} has not ended")).hint(format!("tidegate {hint} {number}"))
        );
    }
    let view = kept.view(&row)?;
    let from = again(args, &view)?;
    let request = request(args, kept.project, &view, Rerun { run: row.run, from, pinned: None })?;
    let before = match option::<String>(&view, "on").as_deref() {
        Some("kubernetes") => Place::Kubernetes,
        Some("container") => Place::Container,
        _ => Place::Local,
    };
    let on = args.on.unwrap_or(before);
    if on == Place::Kubernetes && args.gpus.is_some() {
        return Err(Failure::wrong(GPUS));
    }
    let cluster = if on == before { as_before(args, &view) } else { args.cluster.clone() };
    let mut site = Site::new(machine(on, args.parallel, args.gpus), false);
    site.back_end = back_end(on, &cluster, &request.project)?;
    launch(&request, site, globals, args.format)
}

/// Why `--gpus` is refused.
const GPUS: &str = "`--gpus` is about this machine: pods ask for those of their jobs";

/// What the run was started with, where nothing else is said.
fn as_before(args: &Args, view: &RunView) -> ClusterArgs {
    let mut cluster = args.cluster.clone();
    cluster.image = cluster.image.or_else(|| option(view, "image"));
    cluster.context = cluster.context.or_else(|| option(view, "context"));
    cluster.namespace = cluster.namespace.or_else(|| option(view, "namespace"));
    cluster
}

/// Hands a run of the engine in the cluster over to it once more, with the tree as it is here.
fn over_there(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if args.gpus.is_some() {
        return Err(Failure::wrong(GPUS));
    }
    let project = Project::find(Path::new("."), globals.store.as_deref())
        .map_err(|e| Failure::wrong("cannot read the project's configuration").caused_by(&e))?;
    let kept = &project.settings.kubernetes;
    let context = args.cluster.context.clone().or_else(|| kept.context.clone());
    let namespace = args.cluster.namespace.clone().or_else(|| kept.namespace.clone());
    let (context, namespace) = (context.as_deref(), namespace.as_deref());
    let view = match there::ended(context, namespace, args.run.as_deref())? {
        Ok(view) => view,
        Err(exit) => return Ok(exit),
    };
    let rerun = Rerun {
        run: view.created.run.clone(),
        from: again(args, &view)?,
        pinned: view.created.contexts.get("data").cloned(),
    };
    let request = request(args, project, &view, rerun)?;
    hand_over(&request, &as_before(args, &view), args.parallel, args.format, globals)
}

/// The jobs that run again whatever their result was.
fn again(args: &Args, view: &RunView) -> Result<Vec<String>, Failure> {
    let jobs = || view.jobs.iter().map(|job| job.declared.id.clone());
    if let Some(unknown) = args.from.iter().find(|name| !jobs().any(|job| job == **name)) {
        let known: Vec<String> = jobs().collect();
        return Err(Failure::wrong(format!("run {} has no job `{unknown}`", view.created.number))
            .hint(format!("its jobs: {}", known.join(", "))));
    }
    Ok(match (args.failed, args.from.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => jobs().collect(),
        (false, false) => args.from.clone(),
    })
}

fn request(args: &Args, project: Project, view: &RunView, rerun: Rerun) -> Result<RunRequest, Failure> {
    let created = &view.created;
    let file = project.root.join(&created.workflow);
    if !file.is_file() {
        return Err(Failure::wrong(format!("{} is not there any more", created.workflow)));
    }
    let dialect = match option::<String>(view, "dialect").as_deref() {
        Some("github") => Dialect::Github,
        Some(_) => Dialect::Tidegate,
        None => dialect_of(&file),
    };
    let github =
        |key: &str| created.contexts.get("github").and_then(|github| github.get(key)).and_then(Json::as_str);
    Ok(RunRequest {
        file,
        dialect,
        event: created.event.clone(),
        payload: created.payload.clone(),
        by_hand: created.event == "workflow_dispatch",
        inputs: inputs(view),
        jobs: option(view, "jobs").unwrap_or_default(),
        matrix: option(view, "matrix").unwrap_or_default(),
        secrets: secrets_of(&args.secret_files, &args.secrets)?,
        vars: texts(created.contexts.get("vars")),
        env: option(view, "env").unwrap_or_default(),
        data: BTreeMap::new(),
        in_place: created.source.in_place.is_some(),
        actor: github("actor").map(str::to_owned),
        debug: option(view, "debug").unwrap_or(false),
        rerun: Some(rerun),
        project,
    })
}

fn option<T: DeserializeOwned>(view: &RunView, name: &str) -> Option<T> {
    serde_json::from_value(view.created.options.get(name)?.clone()).ok()
}

/// Inputs as they were, as text; null and empty ones get their defaults again.
fn inputs(view: &RunView) -> BTreeMap<String, String> {
    let mut inputs = texts(view.created.contexts.get("inputs"));
    inputs.retain(|_, value| !value.is_empty());
    inputs
}

fn texts(json: Option<&Json>) -> BTreeMap<String, String> {
    let text = |value: &Json| match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let fields = json.and_then(Json::as_object).into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), text(value))).collect()
}
