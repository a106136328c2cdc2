//! A run of the engine in a cluster, as that engine tells it.

use crate::app::cli::elsewhere::ask;
use crate::app::cli::run::elsewhere;
use crate::app::cli::{Exit, Failure};
use crate::app::report::RunView;
use serde_json::Value as Json;
use tidegate_flow::run::RunEvent;

/// Asks for all of a run that has ended; without a name, the newest. The inner error: the engine said why not.
pub(super) fn ended(
    context: Option<&str>,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<Result<RunView, Exit>, Failure> {
    let question: Vec<&str> = ["runs", "show", "--format", "json"].into_iter().chain(name).collect();
    let (answer, exit) = ask(context, namespace, &question)?;
    if exit != Exit::Good {
        return Ok(Err(exit));
    }
    let odd =
        |what: &str| Failure::tool(format!("the engine in the cluster says something else than {what}"));
    let shown: Json = serde_json::from_slice(&answer).map_err(|e| odd("a run").caused_by(&e))?;
    let run = shown["run"].as_str().ok_or_else(|| odd("a run"))?;
    if shown["summary"].is_null() {
        let number = &shown["number"];
        let again = elsewhere(context, namespace);
        return Err(Failure::wrong(format!("run {number} has not ended"))
            .hint(format!("tidegate runs watch {number}{again}")));
    }
    // It has ended: this is its whole log.
    let (answer, _) = ask(context, namespace, &["runs", "watch", run, "--format", "json"])?;
    let mut view = RunView::default();
    for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: RunEvent = serde_json::from_slice(line).map_err(|e| odd("events").caused_by(&e))?;
        view.apply(&event);
    }
    Ok(Ok(view))
}
