//! Arguments, and how they are read.

use crate::app::cli::Failure;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_lang::workflow::Dialect;

/// How a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: live on a terminal, otherwise a line per event.
    #[default]
    Text,
    /// One event a line, as in the log.
    Json,
}

/// Where jobs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// As processes of this machine.
    #[default]
    Local,
    /// In containers of this machine.
    Container,
    /// On a cluster.
    Kubernetes,
}

/// A dialect by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DialectName {
    /// GitHub's language.
    Github,
    /// Tidegate's.
    Tidegate,
}

impl From<DialectName> for Dialect {
    fn from(name: DialectName) -> Self {
        match name {
            DialectName::Github => Self::Github,
            DialectName::Tidegate => Self::Tidegate,
        }
    }
}

/// What containers and pods are made of; `.ml/config.yaml` may say the same under `container` and
/// `kubernetes`.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "With --on container or kubernetes")]
pub struct ClusterArgs {
    /// On kubernetes: the context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// On kubernetes: the namespace [default: the context's]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The image of jobs that name no `container`
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Tidegate's own image. In containers only a tidegate that is not static needs it
    #[arg(long, value_name = "IMAGE")]
    pub agent_image: Option<String>,
    /// On kubernetes: what pods may ask for; a file outside of the project [default: tidegate/policy.yaml in the
    /// user's configuration folder]. `tidegate-policy` of the namespace, a config map, goes before it
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

impl ClusterArgs {
    /// Refuses what has no effect where jobs run.
    pub(super) fn fit(&self, on: Place) -> Result<(), Failure> {
        let cluster = on == Place::Kubernetes;
        let images = cluster || on == Place::Container;
        let idle = [
            ("context", self.context.is_some() && !cluster),
            ("namespace", self.namespace.is_some() && !cluster),
            ("policy", self.policy.is_some() && !cluster),
            ("image", self.image.is_some() && !images),
            ("agent-image", self.agent_image.is_some() && !images),
        ];
        let Some((name, _)) = idle.into_iter().find(|(_, idle)| *idle) else { return Ok(()) };
        let places = if name.ends_with("image") { "container or kubernetes" } else { "kubernetes" };
        let where_to = if images { "in containers" } else { "as processes of this machine" };
        Err(Failure::wrong(format!("--{name} has no effect on jobs that run {where_to}"))
            .hint(format!("add `--on {places}`")))
    }
}

/// Arguments of `tidegate run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate run                                      the project's only workflow
  tidegate run .ml/workflows/digits.yml --input seed=3
  tidegate run --job train --matrix model=svm       some of it, with what it needs
  tidegate run --event push                         as a push would
  tidegate run --on container --image python:3.12   in containers, by docker or podman
  tidegate run --resume 7                           go on with a run that was killed
  tidegate run --on kubernetes --detach             hand it to the engine in the cluster, and go")]
pub struct Args {
    /// The workflow file; may be left out where there is only one
    pub file: Option<PathBuf>,
    /// Go on with a run whose process is gone: its number or the start of its id
    #[arg(long, value_name = "RUN")]
    #[arg(conflicts_with_all = ["file", "event", "event_path", "inputs", "jobs", "matrix", "vars", "env", "env_files"])]
    #[arg(conflicts_with_all = ["data", "in_place", "actor", "dialect"])]
    pub resume: Option<String>,
    /// Where jobs run
    #[arg(long, value_enum, default_value = "local", value_name = "PLACE")]
    pub on: Place,
    /// Hand the run to the engine in the cluster (`tidegate install`) and do not wait for it
    #[arg(long, help_heading = "With --on kubernetes")]
    #[arg(conflicts_with_all = ["in_place", "gpus", "strict_resources", "junit", "summary", "policy", "agent_image"])]
    pub detach: bool,
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Play this event instead of a run by hand
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// The event's payload, a JSON file
    #[arg(long, value_name = "FILE")]
    pub event_path: Option<PathBuf>,
    /// An input of the workflow
    #[arg(long = "input", short = 'i', value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// Only this job and what it needs; may be repeated
    #[arg(long = "job", short = 'j', value_name = "JOB")]
    pub jobs: Vec<String>,
    /// Only instances with this matrix value; may be repeated
    #[arg(long = "matrix", value_name = "KEY=VALUE")]
    pub matrix: Vec<String>,
    /// A secret; without a value it is taken from the environment
    #[arg(long = "secret", short = 's', value_name = "NAME[=VALUE]")]
    pub secrets: Vec<String>,
    /// A file of secrets, NAME=VALUE a line
    #[arg(long = "secret-file", value_name = "FILE")]
    pub secret_files: Vec<PathBuf>,
    /// A variable of the context `vars`
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
    /// An environment variable of every step
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A file of environment variables, NAME=VALUE a line
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
    /// Read a data source from here instead
    #[arg(long = "data", value_name = "NAME=PATH")]
    pub data: Vec<String>,
    /// Run in the working tree itself, not in a copy
    #[arg(long)]
    pub in_place: bool,
    /// Jobs at once [default: what the machine has room for; a job that says nothing takes a core. On kubernetes: 200]
    #[arg(long = "jobs", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallel: Option<u32>,
    /// GPUs that jobs may use [default: what nvidia-smi finds]
    #[arg(long, value_name = "N")]
    pub gpus: Option<u32>,
    /// Refuse jobs that ask for more than this machine has
    #[arg(long)]
    pub strict_resources: bool,
    /// Who runs it, for `github.actor`
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// How the file is read [default: github for files under .github]
    #[arg(long, value_enum)]
    pub dialect: Option<DialectName>,
    /// How the run is shown
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a Markdown summary
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Show `::debug::` lines in logs
    #[arg(long)]
    pub debug: bool,
}

/// Reads `NAME=VALUE` (or `NAME:VALUE` for matrices).
pub(super) fn pairs(
    option: &str,
    given: &[String],
    between: &[char],
) -> Result<Vec<(String, String)>, Failure> {
    given
        .iter()
        .map(|text| match text.split_once(between) {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Failure::wrong(format!("--{option} {text}: want NAME=VALUE"))),
        })
        .collect()
}

/// Reads files of `NAME=VALUE` lines; `#` starts a comment line, quotes around a value are taken off.
pub(super) fn pair_files(files: &[PathBuf]) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for file in files {
        let text = read(file)?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            // The line itself may be a secret: it is not shown.
            let Some((name, value)) = line.split_once('=') else {
                return Err(Failure::wrong(format!("{}:{}: want NAME=VALUE", file.display(), number + 1)));
            };
            let name = name.trim().trim_start_matches("export ").to_owned();
            let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            all.insert(name, quoted.map_or_else(|| value.to_owned(), unescaped));
        }
    }
    Ok(all)
}

/// Reads `\n`, `\t`, `\"` and `\\` of a value in double quotes, as dotenv files have them.
fn unescaped(quoted: &str) -> String {
    let mut value = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => value.push('\n'),
            Some('t') => value.push('\t'),
            Some(other @ ('"' | '\\')) => value.push(other),
            other => value.extend(std::iter::once('\\').chain(other)),
        }
    }
    value
}

/// Takes secrets from files, from the command line, and from the environment where no value is given.
pub(super) fn secrets(args: &Args) -> Result<BTreeMap<String, String>, Failure> {
    secrets_of(&args.secret_files, &args.secrets)
}

/// Like [`secrets`], for other commands that start runs.
pub(in crate::app::cli) fn secrets_of(
    files: &[PathBuf],
    given: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    let mut secrets = pair_files(files)?;
    for given in given {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => match std::env::var(given) {
                Ok(value) => (given.as_str(), value),
                Err(_) => {
                    return Err(Failure::wrong(format!("--secret {given}: the environment has no {given}")));
                }
            },
        };
        secrets.insert(name.to_owned(), value);
    }
    Ok(secrets)
}

/// Reads a text file that an argument names.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::wrong(format!("cannot read {}", file.display())).caused_by(&error))
}
