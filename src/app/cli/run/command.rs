//! Starts or resumes a run and waits for its end.

use super::args::{Args, ClusterArgs, Format, Place, pair_files, pairs, read, secrets};
use super::cluster::{cluster, cluster_failure};
use super::containers::containers;
use super::watch::Watch;
use crate::app::cli::store_trouble::store_trouble;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::config::{Choice, Project, choose, dialect_of};
use crate::app::engine::{BackEnd, Engine, EngineError, Finished, Machine, RunRequest, Site};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use tidegate_edge::git::GitError;
use tidegate_edge::store::Store;
use tidegate_lang::source::{Style as Drawing, render};

/// Pods that a run has at once where nobody says how many: more would only wait in the cluster.
pub(in crate::app::cli) const PODS_AT_ONCE: u32 = 200;

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command has this signature")]
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    if args.on == Place::Kubernetes && args.in_place {
        return Err(Failure::wrong(
            "`--in-place` is for this machine: a pod has no access to the working tree",
        ));
    }
    if args.on == Place::Kubernetes && (args.gpus.is_some() || args.strict_resources) {
        return Err(Failure::wrong(
            "`--gpus` and `--strict-resources` are about this machine: pods ask for what their jobs do",
        ));
    }
    if args.detach {
        return super::detach::run(&args, globals);
    }
    let site = Site::new(machine(args.on, args.parallel, args.gpus), args.strict_resources);
    let mut watch = Watch::new(globals, args.format);
    let finished = match &args.resume {
        Some(name) => resume(&args, globals, name, site, &mut watch),
        None => start(&args, globals, site, &mut watch),
    };
    let finished = match finished {
        Ok(finished) => finished,
        Err(error) => {
            watch.stop();
            let began = matches!(error, Trouble::Engine(EngineError::Cluster(_)))
                .then(|| watch.view().created.number)
                .filter(|number| *number > 0);
            let failure = failure(error, globals);
            return Err(match began {
                Some(number) => failure.hint(format!(
                    "then `{}` goes on with it",
                    watch.view().next(&format!("run --resume {number} --on kubernetes"))
                )),
                None => failure,
            });
        }
    };
    watch.end()?;
    write_reports(&args, &watch)?;
    Ok(Exit::of(&finished.summary))
}

/// What a run may use: of this machine, or of a cluster.
pub(in crate::app::cli) fn machine(on: Place, parallel: Option<u32>, gpus: Option<u32>) -> Machine {
    let mut machine = Machine::here(parallel, gpus);
    if on == Place::Kubernetes && parallel.is_none() {
        machine.jobs = PODS_AT_ONCE;
    }
    machine
}

/// Starts what another command asks for, shows it as this one does, and waits for its end.
pub(in crate::app::cli) fn launch(
    request: &RunRequest,
    site: Site,
    globals: &Globals,
    format: Format,
) -> Result<Exit, Failure> {
    let mut watch = Watch::new(globals, format);
    watch.project(&request.project);
    let done = Engine::start(request, site, &mut watch).and_then(Engine::finish);
    let finished = match done {
        Ok(finished) => finished,
        Err(error) => {
            watch.stop();
            return Err(failure(error.into(), globals));
        }
    };
    watch.end()?;
    Ok(Exit::of(&finished.summary))
}

fn start(args: &Args, globals: &Globals, mut site: Site, watch: &mut Watch) -> Result<Finished, Trouble> {
    let request = request(args, globals)?;
    site.back_end = back_end(args.on, &args.cluster, &request.project)?;
    watch.project(&request.project);
    Ok(Engine::start(&request, site, watch)?.finish()?)
}

fn resume(
    args: &Args,
    globals: &Globals,
    name: &str,
    mut site: Site,
    watch: &mut Watch,
) -> Result<Finished, Trouble> {
    let project = Project::find(Path::new("."), globals.store.as_deref()).map_err(|e| wrong(&e))?;
    if !project.store.exists() {
        return Err(Failure::wrong(format!(
            "there is no store at {}, so no run {name}",
            project.store.display()
        ))
        .into());
    }
    let store = Store::open(&project.store).map_err(EngineError::from)?;
    watch.project(&project);
    let secrets = secrets(args)?;
    site.back_end = back_end(args.on, &args.cluster, &project)?;
    let engine = Engine::resume(&project.root, store, name, secrets, site, watch)?;
    Ok(engine.finish()?)
}

/// Where jobs run.
pub(in crate::app::cli) fn back_end(
    on: Place,
    said: &ClusterArgs,
    project: &Project,
) -> Result<BackEnd, Failure> {
    said.fit(on)?;
    Ok(match on {
        Place::Local => BackEnd::Local,
        Place::Container => BackEnd::Container(containers(said, project)?),
        Place::Kubernetes => BackEnd::Kubernetes(cluster(said, &project.settings, project)?),
    })
}

pub(super) fn request(args: &Args, globals: &Globals) -> Result<RunRequest, Failure> {
    let (project, file) = file(args, globals)?;
    let payload = match &args.event_path {
        Some(path) => serde_json::from_str(&read(path)?)
            .map_err(|e| Failure::wrong(format!("{} is not JSON", path.display())).caused_by(&e))?,
        None => Json::Object(serde_json::Map::new()),
    };
    let data = pairs("data", &args.data, &['='])?;
    let mut env = pair_files(&args.env_files)?;
    env.extend(pairs("env", &args.env, &['='])?);
    Ok(RunRequest {
        dialect: args.dialect.map_or_else(|| dialect_of(&file), Into::into),
        project,
        file,
        event: args.event.clone().unwrap_or_else(|| "workflow_dispatch".to_owned()),
        payload,
        by_hand: args.event.is_none(),
        inputs: pairs("input", &args.inputs, &['='])?.into_iter().collect(),
        jobs: args.jobs.clone(),
        matrix: pairs("matrix", &args.matrix, &['=', ':'])?,
        secrets: secrets(args)?,
        vars: pairs("var", &args.vars, &['='])?.into_iter().collect(),
        env,
        data: data.into_iter().map(|(name, path)| (name, PathBuf::from(path))).collect(),
        in_place: args.in_place,
        actor: args.actor.clone(),
        debug: args.debug,
        rerun: None,
    })
}

/// How many workflows are listed where one has to be chosen.
const LISTED: usize = 20;

/// Finds the file that is meant, and its project. Its path is a key of the log, so it is text.
fn file(args: &Args, globals: &Globals) -> Result<(Project, PathBuf), Failure> {
    let (project, file) = meant(args, globals)?;
    if file.to_str().is_none() {
        return Err(Failure::wrong(format!("{}: its name is not UTF-8; rename it", file.display())));
    }
    Ok((project, file))
}

fn meant(args: &Args, globals: &Globals) -> Result<(Project, PathBuf), Failure> {
    let store = globals.store.as_deref();
    if let Some(file) = &args.file {
        if file.is_dir() {
            let failure = Failure::wrong(format!("{} is a folder; one file is run", file.display()));
            return Err(failure.hint("`tidegate run` without a file lists the workflows there are"));
        }
        if !file.is_file() {
            let failure = Failure::wrong(format!("there is no file {}", file.display()));
            return Err(failure.hint("`tidegate check` lists what is wrong in all workflow files"));
        }
        return Ok((Project::of_file(file, store).map_err(|e| wrong(&e))?, file.clone()));
    }
    let project = Project::find(Path::new("."), store).map_err(|e| wrong(&e))?;
    match choose(&project).map_err(|e| wrong(&e))? {
        Choice::One(file) => Ok((project, file)),
        Choice::None => Err(Failure::wrong(format!("there is no workflow in {}", project.root.display()))
            .hint("`tidegate init` writes a first one")),
        Choice::Several(files) => {
            let mut failure = Failure::wrong(format!("there are {} workflows; which one?", files.len()));
            for file in files.iter().take(LISTED) {
                failure = failure.hint(format!("tidegate run {}", project.relative(file)));
            }
            match files.len().saturating_sub(LISTED) {
                0 => Err(failure),
                more => Err(failure.hint(format!("… and {more} more"))),
            }
        }
    }
}

fn write_reports(args: &Args, watch: &Watch) -> Result<(), Failure> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|e| Failure::tool(format!("cannot write {}", path.display())).caused_by(&e))
    };
    let lines = |instance, attempt, from, to| watch.last_lines(instance, attempt, from, to);
    if let Some(path) = &args.junit {
        write(path, crate::app::report::junit::document(watch.view(), &lines))?;
    }
    if let Some(path) = &args.summary {
        write(path, crate::app::report::markdown::summary(watch.view(), &lines))?;
    }
    Ok(())
}

/// A failure of the command or of the engine.
enum Trouble {
    Command(Failure),
    Engine(EngineError),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Command(failure)
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

fn wrong(error: &dyn std::error::Error) -> Failure {
    let failure = Failure::wrong(error.to_string());
    match error.source() {
        Some(source) => failure.caused_by(source),
        None => failure,
    }
}

/// What people read of a run that could not be started or finished.
pub(super) fn failure_of(error: EngineError, globals: &Globals) -> Failure {
    failure(error.into(), globals)
}

fn failure(trouble: Trouble, globals: &Globals) -> Failure {
    let error = match trouble {
        Trouble::Command(failure) => return failure,
        Trouble::Engine(error) => error,
    };
    match error {
        EngineError::Findings { path, findings, sources } => {
            let width = globals.width().unwrap_or(100);
            globals.warn(render(&sources, &findings, Drawing { color: globals.color_errors(), width }));
            let errors =
                findings.iter().filter(|f| f.severity == tidegate_lang::source::Severity::Error).count();
            let errors = if errors == 1 { "an error".to_owned() } else { format!("{errors} errors") };
            Failure::wrong(format!("{path} has {errors}; nothing was run"))
        }
        EngineError::Asked(message) => Failure::wrong(message),
        EngineError::Read { .. } => wrong(&error),
        EngineError::Store(error) => store_trouble("the store cannot go on", &error),
        EngineError::Git(GitError::Store(error)) => {
            store_trouble("the tree cannot be kept in the store", &error)
        }
        EngineError::Cluster(error) => cluster_failure("cannot run jobs on the cluster", &error),
        other => {
            let failure = Failure::tool(other.to_string());
            match std::error::Error::source(&other) {
                Some(source) => failure.caused_by(source),
                None => failure,
            }
        }
    }
}
