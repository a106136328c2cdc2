//! Arguments, and the way from files to plans.

use super::manifests::{Manifests, Target, yaml};
use super::past::Past;
use crate::app::cli::run::{ClusterArgs, DialectName, Place, cluster, image};
use crate::app::cli::store_trouble::store_trouble;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::config::{Project, dialect_of, workflow_files};
use crate::app::engine::{EngineError, Happening, Loaded, load, sources};
use crate::app::report::{Style, plan as report};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tidegate_edge::data::Keep;
use tidegate_edge::git::{Snapshot, snapshot};
use tidegate_edge::store::Store;
use tidegate_flow::plan::{
    self, Contexts, Fate, Plan, PlanInput, PlannedSource, TreeDigests, matrix_filters, plan, select_jobs,
};
use tidegate_flow::trigger::{Decision, decide};
use tidegate_lang::source::{self, Diagnostic, Severity, Sources, render};
use tidegate_lang::value::Value;

/// Arguments of `tidegate plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate plan                                    what `run` would do with each workflow
  tidegate plan --event push                       what a push of this commit would start
  tidegate plan --event pull_request --event-path event.json
  tidegate plan .ml/workflows/digits.yml --job train --matrix model=svm
  tidegate plan .ml/workflows/digits.yml --data digits=sample/
  tidegate plan .ml/workflows/digits.yml --format svg > plan.svg
  tidegate plan --on kubernetes --format yaml      the manifests that `run` would send
  tidegate plan --on kubernetes --server           what the cluster would refuse")]
pub struct Args {
    /// Workflow files, or folders with workflow files [default: .ml/workflows of the project]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The event that happens [default: a run by hand]
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// The event's payload, a JSON file
    #[arg(long, value_name = "FILE")]
    event_path: Option<PathBuf>,
    /// An input of the run
    #[arg(short = 'i', long = "input", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// A variable of the context `vars`
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    /// Read a data source from here instead
    #[arg(long = "data", value_name = "NAME=PATH")]
    data: Vec<String>,
    /// Only this job and what it needs
    #[arg(short = 'j', long = "job", value_name = "ID")]
    jobs: Vec<String>,
    /// Only instances with this matrix value
    #[arg(short = 'm', long = "matrix", value_name = "KEY=VALUE")]
    matrix: Vec<String>,
    /// How files are read [default: github below .github, else tidegate]
    #[arg(long, value_enum, value_name = "DIALECT")]
    dialect: Option<DialectName>,
    /// Where the jobs would run
    #[arg(long, value_enum, default_value = "local", value_name = "PLACE")]
    on: Place,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Ask the cluster's API server what it would refuse; nothing is made there
    #[arg(long)]
    server: bool,
    /// How the plan is written
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// A JSON list with one plan a workflow
    Json,
    /// The same as YAML; with `--on kubernetes` the manifests
    Yaml,
    /// A mermaid flowchart of one workflow
    Mermaid,
    /// Graphviz, of one workflow
    Dot,
    /// A picture of one workflow
    Svg,
}

impl Format {
    fn is_picture(self) -> bool {
        matches!(self, Self::Mermaid | Self::Dot | Self::Svg)
    }
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let files = files(&args.paths, globals)?;
    if args.format.is_picture() && files.len() > 1 {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(Failure::wrong("a picture shows one workflow; name one").hint(names.join(", ")));
    }
    let filters = matrix_filters(&args.matrix).map_err(Failure::wrong)?;
    let data = pairs(&args.data, "--data")?;
    let asked = Asked {
        payload: payload(&args)?,
        inputs: pairs(&args.inputs, "--input")?,
        data: data.into_iter().map(|(name, path)| (name, PathBuf::from(path))).collect(),
    };
    let mut named = BTreeSet::new();
    let mut trees: BTreeMap<PathBuf, Tree> = BTreeMap::new();
    let mut plans = Vec::with_capacity(files.len());
    let mut wrong = false;
    let mut manifests = Manifests::default();
    if args.server && args.on != Place::Kubernetes {
        return Err(Failure::wrong("`--server` asks a cluster: it goes with `--on kubernetes`"));
    }
    for file in &files {
        let project = Project::of_file(file, globals.store.as_deref()).map_err(|error| {
            Failure::wrong("the project's configuration cannot be used").caused_by(&error)
        })?;
        let Some(loaded) = read(&args, globals, &project, file)? else {
            wrong = true;
            continue;
        };
        if !trees.contains_key(&project.root) {
            trees.insert(project.root.clone(), Tree::of(&project)?);
        }
        let Some(tree) = trees.get(&project.root) else { continue };
        named.extend(loaded.linked.root.data.iter().map(|source| source.name.value.clone()));
        let target = match args.on {
            Place::Kubernetes => Some(cluster(&args.cluster, &project.settings, &project)?),
            _ => None,
        };
        let image = match &target {
            Some(cluster) => cluster.image.clone(),
            None => image(&args.cluster, &project.settings),
        };
        let planned = one(&args, &project, &loaded, tree, &asked, &filters, &image)?;
        if let (Some(plan), Some(target)) = (&planned, &target) {
            Target::new(target, &project, args.server, globals)?.add(plan, &mut manifests)?;
        }
        plans.extend(planned);
    }
    if let Some(name) = asked.data.keys().find(|name| !wrong && !named.contains(*name)) {
        let whose = if files.len() == 1 { "the workflow has no" } else { "no workflow has a" };
        return Err(Failure::wrong(format!("--data {name}: {whose} data source `{name}`")));
    }
    // What starts comes first: that is what was asked.
    plans.sort_by_key(|plan| matches!(plan.decision, Decision::NoStart(_)));
    globals.print(match (args.format, args.on) {
        (Format::Yaml, Place::Kubernetes) => yaml(&manifests.documents)?,
        (format, _) => written(&plans, format, globals)?,
    })?;
    wrong |= !manifests.wrong.is_empty();
    manifests.wrong.iter().for_each(|text| globals.warn(text.clone()));
    let refused = |plan: &Plan| {
        matches!(plan.decision, Decision::Refused { .. })
            || plan.jobs.iter().any(|job| matches!(job.fate, Fate::Fails { .. }))
            || plan.data.iter().any(|source| source.problem.is_some())
    };
    Ok(if wrong || plans.iter().any(refused) { Exit::Wrong } else { Exit::Good })
}

/// Reads and checks a file; `None` where it has errors, which are said.
fn read(args: &Args, globals: &Globals, project: &Project, file: &Path) -> Result<Option<Loaded>, Failure> {
    let dialect = args.dialect.map_or_else(|| dialect_of(file), Into::into);
    let root = project.root.clone();
    let bytes = |path: &str| std::fs::read(root.join(path));
    let say = |sources: &Sources, findings: &[Diagnostic]| {
        let width = globals.width().unwrap_or(100);
        globals.warn(render(sources, findings, source::Style { color: globals.color_errors(), width }));
    };
    let loaded = match load(&project.root, &project.relative(file), dialect, &bytes) {
        Ok(loaded) => loaded,
        Err(EngineError::Findings { findings, sources, .. }) => {
            say(&sources, &findings);
            return Ok(None);
        }
        Err(error) => {
            let failure = Failure::wrong(format!("cannot read {}", file.display()));
            return Err(match std::error::Error::source(&error) {
                Some(source) => failure.caused_by(source),
                None => failure.caused_by(&error),
            });
        }
    };
    if !loaded.findings.is_empty() {
        say(&loaded.sources, &loaded.findings);
    }
    let errors = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if errors > 0 {
        let errors = if errors == 1 { "an error".to_owned() } else { format!("{errors} errors") };
        globals.warn(format!("{} has {errors}; it is not planned\n", loaded.path));
    }
    Ok((errors == 0).then_some(loaded))
}

/// What the arguments say of the event and of the data.
struct Asked {
    payload: Json,
    inputs: BTreeMap<String, String>,
    data: BTreeMap<String, PathBuf>,
}

/// The project's files and commit, and its earlier runs, looked at once for all its workflows.
struct Tree {
    snapshot: Snapshot,
    digests: TreeDigests,
    store: Store,
}

impl Tree {
    fn of(project: &Project) -> Result<Self, Failure> {
        // Opened whole, so that the folder is one that git ignores.
        let store = Store::open(&project.store)
            .map_err(|error| Failure::tool("cannot open the store").caused_by(&error))?;
        let objects = store.file_objects();
        let snapshot = snapshot(&project.root, &objects, &project.store).map_err(|error| {
            Failure::tool(format!("cannot read the tree of {}", project.root.display())).caused_by(&error)
        })?;
        let digests = TreeDigests::new(snapshot.files.clone());
        Ok(Self { snapshot, digests, store })
    }
}

/// Plans one workflow; `None` where `--job` names jobs that only another one has.
fn one(
    args: &Args,
    project: &Project,
    loaded: &Loaded,
    tree: &Tree,
    asked: &Asked,
    filters: &[(String, String)],
    image: &str,
) -> Result<Option<Plan>, Failure> {
    let workflow = &loaded.linked.root;
    let jobs = match select_jobs(workflow, &args.jobs) {
        Ok(jobs) => jobs,
        Err(_) if args.paths.is_empty() => return Ok(None),
        Err(reason) => return Err(Failure::wrong(reason)),
    };
    let happening = Happening {
        event: args.event.as_deref().unwrap_or("workflow_dispatch"),
        payload: &asked.payload,
        by_hand: args.event.is_none(),
        inputs: &asked.inputs,
    };
    let facts = happening.facts(&tree.snapshot, &project.root);
    let mut vars: Map<String, Json> =
        project.settings.vars().into_iter().map(|(name, value)| (name, value.into())).collect();
    for (name, value) in pairs(&args.vars, "--var")? {
        vars.insert(name, value.into());
    }
    let name = workflow.name.as_ref().map_or(loaded.path.as_str(), |name| name.value.as_str());
    let mut payload = asked.payload.clone();
    if let Some(map) = payload.as_object_mut().filter(|_| !asked.inputs.is_empty()) {
        map.insert("inputs".to_owned(), json!(asked.inputs));
    }
    let actor = &tree.snapshot.facts.actor;
    let github = happening.github(&tree.snapshot, payload, actor, name, &loaded.path);
    let contexts =
        Contexts::new().with("github", Value::from(&github)).with("vars", Value::from(&Json::Object(vars)));
    let sources = match decide(workflow, &facts) {
        Decision::Start(start) => {
            let contexts = contexts.clone().with("inputs", Value::from(&start.inputs));
            let place = sources::Place {
                root: &project.root,
                instead: &asked.data,
                keep: Keep::Nothing,
                again: None,
                pinned: None,
            };
            sources::find(workflow, &loaded.path, &contexts, &tree.store, &place).map_err(
                |error| match error {
                    EngineError::Store(error) => store_trouble("the data cannot be looked at", &error),
                    other => Failure::tool("the data cannot be looked at").caused_by(&other),
                },
            )?
        }
        _ => Vec::new(),
    };
    let contexts = contexts.with("data", Value::from(&sources::context(&sources)));
    let past = Past::of(&tree.store, &loaded.path);
    let input = PlanInput {
        workflow,
        called: &loaded.linked.called,
        path: &loaded.path,
        contexts: &contexts,
        facts: &facts,
        tree: &tree.digests,
        cached: &|job, keys| past.ask(workflow, job, keys, &tree.snapshot.source),
        jobs: &jobs,
        matrix: filters,
        place: match args.on {
            Place::Local => plan::Place::Machine,
            Place::Container => plan::Place::Containers,
            Place::Kubernetes => plan::Place::Pods,
        },
        image,
    };
    let mut planned = plan(&input);
    planned.data = sources.into_iter().map(source).collect();
    planned.estimate = past.estimate(&planned);
    Ok(Some(planned))
}

/// A source as the plan shows it.
fn source(source: sources::Source) -> PlannedSource {
    let sources::Source { name, uri, found } = source;
    let found = match found {
        Ok(found) => found,
        Err(problem) => {
            return PlannedSource { name, uri, problem: Some(problem), ..PlannedSource::default() };
        }
    };
    let [added, removed, changed] = found.since.map(|paths| paths.len());
    let (version, files, size) = (Some(found.artifact.digest), found.artifact.files, found.artifact.size);
    PlannedSource { name, uri, version, files, size, added, removed, changed, problem: None }
}

/// Finds the files that are meant.
fn files(paths: &[PathBuf], globals: &Globals) -> Result<Vec<PathBuf>, Failure> {
    let list = |folder: &Path| {
        workflow_files(folder)
            .map_err(|error| Failure::wrong(format!("cannot list {}", folder.display())).caused_by(&error))
    };
    let below = |folder: &Path| -> Result<Vec<PathBuf>, Failure> {
        let own = list(&folder.join(".ml/workflows"))?;
        if own.is_empty() { list(&folder.join(".github/workflows")) } else { Ok(own) }
    };
    if paths.is_empty() {
        let project = Project::find(Path::new("."), globals.store.as_deref())
            .map_err(|error| Failure::wrong("cannot find the project").caused_by(&error))?;
        let found = below(&project.root)?;
        if found.is_empty() {
            return Err(Failure::wrong(format!("there is no workflow in {}", project.root.display()))
                .hint("`tidegate init` writes a first one"));
        }
        return Ok(found);
    }
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut own = list(path)?;
            if own.is_empty() {
                own = below(path)?;
            }
            if own.is_empty() {
                return Err(Failure::wrong(format!(
                    "there is no workflow file (*.yml, *.yaml) in {}",
                    path.display()
                )));
            }
            found.extend(own);
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

/// Reads the event's payload.
fn payload(args: &Args) -> Result<Json, Failure> {
    let Some(path) = &args.event_path else { return Ok(Json::Object(Map::new())) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::wrong(format!("cannot read the payload {}", path.display())).caused_by(&error)
    })?;
    let payload: Json = serde_json::from_str(&text)
        .map_err(|error| Failure::wrong(format!("{} is no JSON", path.display())).caused_by(&error))?;
    if payload.is_object() {
        return Ok(payload);
    }
    Err(Failure::wrong(format!("{} is no JSON object", path.display())))
}

/// Splits NAME=VALUE.
fn pairs(given: &[String], option: &str) -> Result<BTreeMap<String, String>, Failure> {
    given
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Failure::wrong(format!("{option} `{text}` must be NAME=VALUE"))),
        })
        .collect()
}

/// Writes the plans in a format.
fn written(plans: &[Plan], format: Format, globals: &Globals) -> Result<String, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::tool("the plan cannot be written").caused_by(error);
    Ok(match (format, plans.first()) {
        (Format::Text, _) => report::text(plans, Style { color: globals.color() }),
        (Format::Json, _) => serde_json::to_string_pretty(plans).map_err(|error| failed(&error))? + "\n",
        (Format::Yaml, _) => {
            // By way of JSON, so that choices are mappings and not YAML tags.
            let json = serde_json::to_value(plans).map_err(|error| failed(&error))?;
            serde_yaml::to_string(&json).map_err(|error| failed(&error))?
        }
        (Format::Mermaid, Some(plan)) => report::mermaid(plan),
        (Format::Dot, Some(plan)) => report::dot(plan),
        (Format::Svg, Some(plan)) => report::svg(plan),
        (_, None) => String::new(),
    })
}
