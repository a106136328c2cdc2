//! `tidegate run --detach`: hands the run to the engine in the cluster and does not wait for it.

use super::args::{Args, ClusterArgs, Format, Place};
use super::cluster::{cluster, cluster_failure};
use super::command::{failure_of, request};
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::engine::{Observer, RunRequest, submit};
use crate::app::report::terminal::quoted;
use serde_json::json;
use tidegate_edge::executor::kubernetes::ClusterError;
use tidegate_edge::executor::kubernetes::detached::{self, Answer, Submission};
use tidegate_flow::run::RunEvent;

/// Runs the command.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if args.on != Place::Kubernetes {
        return Err(
            Failure::wrong("`--detach` hands a run to an engine in a cluster").hint("add `--on kubernetes`")
        );
    }
    if let Some(run) = &args.resume {
        let again = elsewhere(args.cluster.context.as_deref(), args.cluster.namespace.as_deref());
        return Err(Failure::wrong(
            "the engine in the cluster goes on with its runs by itself: there is nothing to resume",
        )
        .hint(format!(
            "`tidegate runs watch {run}{again}` follows it, `tidegate runs rerun {run}{again}` runs it anew"
        )));
    }
    let request = request(args, globals)?;
    hand_over(&request, &args.cluster, args.parallel, args.format, globals)
}

/// Hands a run over, and says its number.
pub(in crate::app::cli) fn hand_over(
    request: &RunRequest,
    to: &ClusterArgs,
    parallel: Option<u32>,
    format: Format,
    globals: &Globals,
) -> Result<Exit, Failure> {
    let pods = cluster(to, &request.project.settings, &request.project)?;
    let made = submit(request, &pods, parallel, &mut Said { globals });
    let made = made.map_err(|error| failure_of(error, globals))?;
    let handed = Submission {
        context: pods.context.as_deref(),
        namespace: pods.namespace.as_deref(),
        run: &made.submission,
        secrets: &request.secrets,
        artifacts: made.artifacts,
        objects: made.store.file_objects(),
    };
    let where_to = elsewhere(pods.context.as_deref(), pods.namespace.as_deref());
    let (namespace, answer) = detached::submit(&handed).map_err(|error| away(&error, &where_to))?;
    let run = &made.submission.created.run;
    match answer {
        Answer::Refused(reason) => Err(Failure::tool(format!("the engine does not take the run: {reason}"))),
        answer => {
            let told = Told { run, namespace: &namespace, answer, where_to: &where_to };
            globals.print(told.text(format))?;
            Ok(Exit::Good)
        }
    }
}

/// The options that lead to the same engine again.
pub(in crate::app::cli) fn elsewhere(context: Option<&str>, namespace: Option<&str>) -> String {
    let option = |name: &str, value: Option<&str>| {
        value.map_or_else(String::new, |value| format!(" --{name} {}", quoted(value)))
    };
    format!(" --on kubernetes{}{}", option("context", context), option("namespace", namespace))
}

/// What people read where there is no engine to talk to.
pub(in crate::app::cli) fn away(error: &ClusterError, where_to: &str) -> Failure {
    let options = where_to.trim_start_matches(" --on kubernetes");
    match error {
        ClusterError::NoEngine { .. } => Failure::tool(error.to_string())
            .hint(format!("`tidegate install{options}` puts one up; `--print` shows what that makes")),
        ClusterError::EngineAway { .. } => Failure::tool(error.to_string())
            .hint("`kubectl logs deployment/tidegate-engine` says what it did last"),
        ClusterError::TooLarge { .. } => Failure::wrong(error.to_string())
            .hint("a large payload or large secrets: leave out what jobs do not read"),
        other => cluster_failure("the engine in the cluster cannot be reached", other),
    }
}

/// What the command says at its end.
struct Told<'a> {
    run: &'a str,
    namespace: &'a str,
    answer: Answer,
    where_to: &'a str,
}

impl Told<'_> {
    fn text(&self, format: Format) -> String {
        let number = match &self.answer {
            Answer::Accepted(number) => Some(*number),
            Answer::Refused(_) | Answer::Nothing(_) => None,
        };
        if format == Format::Json {
            let line = json!({ "run": self.run, "number": number, "namespace": self.namespace });
            return format!("{line}\n");
        }
        let name = number.map_or_else(|| self.run.to_owned(), |number| number.to_string());
        let first = match &self.answer {
            Answer::Accepted(number) => {
                format!("run {number} ({}) is with the engine in {}", self.run, self.namespace)
            }
            Answer::Nothing(why) => {
                format!("run {} waits for the engine in {}: {why}", self.run, self.namespace)
            }
            Answer::Refused(why) => why.clone(),
        };
        format!("{first}\ntidegate runs watch {name}{}\n", self.where_to)
    }
}

/// Says what belongs to no event; there are none here.
struct Said<'a> {
    globals: &'a Globals,
}

impl Observer for Said<'_> {
    fn event(&mut self, _: &RunEvent) {}

    fn warn(&mut self, text: &str) {
        self.globals.warn(format!("warning: {text}\n"));
    }
}
