//! Arguments, and the way from files to plans.

use super::event::{Happening, facts, github};
use super::load::{Loaded, load};
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::config::{Project, dialect_of, workflow_files};
use crate::app::report::{Style, plan as report};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_edge::git::{Snapshot, snapshot};
use tidegate_edge::store::{RunLog as _, Store};
use tidegate_flow::plan::{
    CacheAnswer, Contexts, Fate, Plan, PlanInput, TreeDigests, matrix_filters, plan, select_jobs,
};
use tidegate_flow::run::CacheKey;
use tidegate_flow::trigger::Decision;
use tidegate_lang::source::{Severity, render};
use tidegate_lang::value::Value;
use tidegate_lang::workflow;

/// Arguments of `tidegate plan`.
#[derive(Debug, clap::Args)]
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
    /// Only this job and what it needs
    #[arg(short = 'j', long = "job", value_name = "ID")]
    jobs: Vec<String>,
    /// Only instances with this matrix value
    #[arg(short = 'm', long = "matrix", value_name = "KEY=VALUE")]
    matrix: Vec<String>,
    /// How files are read [default: github below .github, else tidegate]
    #[arg(long, value_enum, value_name = "DIALECT")]
    dialect: Option<Dialect>,
    /// How the plan is written
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Dialect {
    /// Exactly GitHub's language
    Github,
    /// With Tidegate's keys
    Tidegate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// A JSON list with one plan a workflow
    Json,
    /// The same as YAML
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
    let happening = happening(&args)?;
    let mut trees: BTreeMap<PathBuf, Tree> = BTreeMap::new();
    let mut plans = Vec::with_capacity(files.len());
    let mut wrong = false;
    for file in &files {
        let project = Project::of_file(file, globals.store.as_deref()).map_err(|error| {
            Failure::wrong("the project's configuration cannot be used").caused_by(&error)
        })?;
        let dialect = match args.dialect {
            Some(Dialect::Github) => workflow::Dialect::Github,
            Some(Dialect::Tidegate) => workflow::Dialect::Tidegate,
            None => dialect_of(file),
        };
        let loaded = load(&project, file, dialect)?;
        let errors = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        if !loaded.findings.is_empty() {
            let style = tidegate_lang::source::Style {
                color: globals.color_errors(),
                width: globals.width().unwrap_or(100),
            };
            globals.warn(render(&loaded.sources, &loaded.findings, style));
        }
        if errors > 0 {
            wrong = true;
            continue;
        }
        if !trees.contains_key(&project.root) {
            trees.insert(project.root.clone(), Tree::of(&project)?);
        }
        let Some(tree) = trees.get(&project.root) else { continue };
        plans.extend(one(&args, &project, &loaded, tree, &happening, &filters)?);
    }
    globals.print(written(&plans, args.format, globals)?)?;
    let refused = |plan: &Plan| {
        matches!(plan.decision, Decision::Refused { .. })
            || plan.jobs.iter().any(|job| matches!(job.fate, Fate::Fails { .. }))
    };
    Ok(if wrong || plans.iter().any(refused) { Exit::Wrong } else { Exit::Good })
}

/// The project's files and commit, looked at once for all its workflows.
struct Tree {
    snapshot: Snapshot,
    digests: TreeDigests,
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
        Ok(Self { snapshot, digests })
    }
}

/// Plans one workflow; `None` where `--job` names jobs that only another one has.
fn one(
    args: &Args,
    project: &Project,
    loaded: &Loaded,
    tree: &Tree,
    happening: &Happening,
    filters: &[(String, String)],
) -> Result<Option<Plan>, Failure> {
    let workflow = &loaded.linked.root;
    let jobs = match select_jobs(workflow, &args.jobs) {
        Ok(jobs) => jobs,
        Err(_) if args.paths.is_empty() => return Ok(None),
        Err(reason) => return Err(Failure::wrong(reason)),
    };
    let facts = facts(happening, &tree.snapshot);
    let mut vars: Map<String, Json> =
        project.settings.vars().into_iter().map(|(name, value)| (name, value.into())).collect();
    for (name, value) in pairs(&args.vars, "--var")? {
        vars.insert(name, value.into());
    }
    let name = workflow.name.as_ref().map_or(loaded.path.as_str(), |name| name.value.as_str());
    let contexts = Contexts::new()
        .with("github", Value::from(&github(happening, &tree.snapshot, name, &loaded.path)))
        .with("vars", Value::from(&Json::Object(vars)));
    let input = PlanInput {
        workflow,
        called: &loaded.linked.called,
        path: &loaded.path,
        contexts: &contexts,
        facts: &facts,
        tree: &tree.digests,
        cached: &|_, keys| ask(project, keys),
        jobs: &jobs,
        matrix: filters,
    };
    Ok(Some(plan(&input)))
}

/// Asks the store's cache. A store that cannot be opened has nothing: a plan needs none.
fn ask(project: &Project, keys: &[CacheKey]) -> Vec<CacheAnswer> {
    let asked: Vec<String> = keys.iter().map(|key| key.key.clone()).collect();
    let found = if project.store.join("runs.db").exists() {
        Store::open(&project.store).and_then(|store| store.cached_many(&asked)).unwrap_or_default()
    } else {
        Vec::new()
    };
    let mut found = found.into_iter();
    keys.iter()
        .map(|_| match found.next().flatten() {
            Some(entry) => CacheAnswer::Hit { run: entry.number, receipt: Box::new(entry.receipt) },
            None => CacheAnswer::Miss { differs: Vec::new(), since: None },
        })
        .collect()
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

/// Reads what happens from the arguments.
fn happening(args: &Args) -> Result<Happening, Failure> {
    let payload = match &args.event_path {
        None => Json::Object(Map::new()),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::wrong(format!("cannot read the payload {}", path.display())).caused_by(&error)
            })?;
            let payload: Json = serde_json::from_str(&text).map_err(|error| {
                Failure::wrong(format!("{} is no JSON", path.display())).caused_by(&error)
            })?;
            if !payload.is_object() {
                return Err(Failure::wrong(format!("{} is no JSON object", path.display())));
            }
            payload
        }
    };
    Ok(Happening {
        by_hand: args.event.is_none(),
        event: args.event.clone().unwrap_or_else(|| "workflow_dispatch".to_owned()),
        payload,
        inputs: pairs(&args.inputs, "--input")?,
    })
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
