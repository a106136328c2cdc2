//! `tidegate runs gc`.

use super::{Format, Kept};
use crate::app::cli::run::{ClusterArgs, Place, cluster_failure, engine};
use crate::app::cli::store_trouble::store_trouble;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::report::runs::{Figures, Part, collected, collected_json};
use crate::app::report::{RunView, Style, bytes, count};
use serde_json::{Value as Json, json};
use std::time::{Duration, SystemTime};
use tidegate_edge::agent::{ActionCaches, TempFolders};
use tidegate_edge::executor::container;
use tidegate_edge::executor::kubernetes::{AtHub, collect_at_hub, remove_leftovers, saved_lists};
use tidegate_edge::hub::HubCollected;
use tidegate_edge::store::{Amount, Collect, Collected, KeptLists, RunLog as _, RunRow, store_id};
use tidegate_flow::wire::v1::Tally;
use tidegate_lang::workflow::duration;

/// Arguments of `tidegate runs gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs gc                  what only runs needed that ended more than 30 days ago
  tidegate runs gc --keep 7d
  tidegate runs gc --dry-run        what would go
  tidegate runs gc --on kubernetes  what is left on the cluster of runs that are over, and at its hub
  tidegate runs gc --on container   what killed runs left with docker or podman

Artifacts, trees, logs, checkpoints and cache entries go; that a run was, and what it measured, stays.
Runs that have not ended keep all they need, and so do runs that a kept one reran or took something
from. What was written or used within the last hour stays, so runs may go on meanwhile.")]
pub struct Args {
    /// Runs that ended longer ago than this need nothing any more: 12h, 30d
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = age)]
    keep: Age,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
    /// What is left on a cluster or of containers instead: Jobs, Secrets and containers of this store
    /// that belong to no run which goes on; objects at the cluster's hub that no kept run needs, and
    /// no other store
    #[arg(long, value_enum, default_value = "local", value_name = "PLACE")]
    on: Place,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// An age, as written and as meant.
#[derive(Clone, Debug)]
struct Age {
    written: String,
    means: Duration,
}

fn age(text: &str) -> Result<Age, String> {
    let means = duration(text).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let means = means.ok_or("an age is a number with a unit: 12h, 30d")?;
    Ok(Age { written: text.to_owned(), means })
}

/// Reads an age as it is given to `--keep`, and leaves it as it is written.
pub(in crate::app::cli) fn keep_age(text: &str) -> Result<String, String> {
    age(text).map(|age| age.written)
}

/// Frees what nobody needs any more.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let mut kept = Kept::open(globals)?;
    match args.on {
        Place::Local => {}
        Place::Container => return containers(args, &kept, globals),
        Place::Kubernetes => return on_cluster(args, &kept, globals),
    }
    let dir = kept.project.store.clone();
    let mut wanted = Collect { keep: args.keep.means, dry_run: args.dry_run, ..Collect::default() };
    let (content, forgotten) = forget(&ActionCaches::of_machine(&dir), args)?;
    wanted.also.extend(content);
    let done = kept
        .store
        .collect(&wanted)
        .map_err(|error| store_trouble("not all that is old could be collected", &error))?;
    if !args.dry_run {
        // Making it clears what dead processes left.
        let _ = TempFolders::new(dir.join("tmp"));
    }
    let figures = figures(args, &done, forgotten);
    globals.print(match args.format {
        Format::Json => format!("{}\n", collected_json(&figures)),
        Format::Text => {
            let view = RunView { program: globals.program(&kept.project), ..RunView::default() };
            collected(&figures, Style { color: globals.color() }, &|command| view.next(command))
        }
    })?;
    Ok(Exit::Good)
}

/// Forgets what `actions/cache` saved and nobody used for long; returns the content of the rest, and how many were
/// forgotten.
fn forget(caches: &ActionCaches, args: &Args) -> Result<(Vec<String>, u64), Failure> {
    let failed = |error: &std::io::Error| {
        Failure::tool("what `actions/cache` saved cannot be collected").caused_by(error)
    };
    let now = SystemTime::now();
    let (mut content, mut forgotten) = (Vec::new(), 0);
    for entry in caches.all().map_err(|error| failed(&error))? {
        if now.duration_since(entry.used).is_ok_and(|unused| unused >= args.keep.means) {
            if !args.dry_run {
                std::fs::remove_file(&entry.file).map_err(|error| failed(&error))?;
            }
            forgotten += 1;
        } else {
            content.extend(entry.content);
        }
    }
    Ok((content, forgotten))
}

/// Removes what is left on a cluster.
fn on_cluster(args: &Args, kept: &Kept, globals: &Globals) -> Result<Exit, Failure> {
    let settings = &kept.project.settings.kubernetes;
    let context = args.cluster.context.as_deref().or(settings.context.as_deref());
    let namespace = args.cluster.namespace.as_deref().or(settings.namespace.as_deref());
    let store = store_id(kept.store.dir()).map_err(|error| store_trouble("the store has no id", &error))?;
    // One that was interrupted can be taken up again.
    let goes_on = |run: &str| kept.store.may_go_on(run, RunRow::is_open);
    let left = remove_leftovers(context, namespace, &store, &goes_on, args.dry_run)
        .map_err(|error| cluster_failure("the cluster cannot be cleaned up", &error))?;
    let hub = at_hub(args, kept, context, namespace, &store);
    let said = hub.as_ref().ok().and_then(|hub| said_of_hub(hub, args.dry_run));
    say_removed(args, &left, ["on the cluster", "Job or Secret", "Jobs and Secrets"], said, globals)?;
    match hub? {
        AtHub::Collected(HubCollected { error: Some(error), .. }) => {
            Err(Failure::tool(format!("nothing was collected at the hub: {error}")))
        }
        _ => Ok(Exit::Good),
    }
}

/// Has the hub remove what kept runs do not need.
fn at_hub(
    args: &Args,
    kept: &Kept,
    context: Option<&str>,
    namespace: Option<&str>,
    store: &str,
) -> Result<AtHub, Failure> {
    let needed = kept.store.kept(args.keep.means);
    let KeptLists { mut lists, origins } =
        needed.map_err(|error| store_trouble("what runs need cannot be told", &error))?;
    lists.extend(saved_lists(kept.store.dir(), &origins));
    lists.extend(forget(&ActionCaches::of_pods(kept.store.dir()), args)?.0);
    collect_at_hub(context, namespace, store, lists.into_iter().collect(), args.dry_run)
        .map_err(|error| cluster_failure("nothing was collected at the hub", &error))
}

/// What is said of the hub: for people, and for programs.
fn said_of_hub(hub: &AtHub, dry_run: bool) -> Option<(String, Json)> {
    let objects = |tally: &Tally| {
        let what = if tally.count == 1 { "object" } else { "objects" };
        format!("{} {what} ({})", count(tally.count), bytes(tally.bytes))
    };
    match hub {
        AtHub::None => None,
        AtHub::Older => {
            let text = "the hub is of an older release and removes nothing: `kubectl delete deployment tidegate-hub` \
                        while nothing runs, and the next run puts up a new one\n";
            Some((text.to_owned(), Json::Null))
        }
        AtHub::Collected(HubCollected { error: Some(_), .. }) => None,
        AtHub::Collected(HubCollected { gone, kept, .. }) => {
            let done = if dry_run { "would be removed" } else { "removed" };
            let text = format!("at the hub: {} {done}, {} stay\n", objects(gone), objects(kept));
            Some((text, json!({ "removed": gone, "kept": kept })))
        }
    }
}

/// Removes what killed runs left of their containers.
fn containers(args: &Args, kept: &Kept, globals: &Globals) -> Result<Exit, Failure> {
    let engine = engine(&kept.project.settings)?;
    let store = store_id(kept.store.dir()).map_err(|error| store_trouble("the store has no id", &error))?;
    let goes_on = |run: &str| kept.store.may_go_on(run, RunRow::is_run);
    let left = container::remove_leftovers(&engine, kept.store.dir(), &store, &goes_on, args.dry_run)
        .map_err(|error| Failure::tool("containers cannot be cleaned up").caused_by(&error))?;
    say_removed(args, &left, ["in containers", "container", "containers"], None, globals)?;
    Ok(Exit::Good)
}

fn say_removed(
    args: &Args,
    left: &[String],
    [place, one, many]: [&str; 3],
    hub: Option<(String, Json)>,
    globals: &Globals,
) -> Result<(), Failure> {
    let (at_hub, figures) = hub.unzip();
    globals.print(match args.format {
        Format::Json => {
            let mut said = json!({ "dry_run": args.dry_run, "removed": left });
            if let Some(figures) = figures {
                said["hub"] = figures;
            }
            format!("{said}\n")
        }
        Format::Text => {
            let done = if args.dry_run { "would be removed" } else { "removed" };
            let mut text = left.iter().fold(String::new(), |text, name| text + "  " + name + "\n");
            text.push_str(&match left.len() {
                0 => format!("nothing of this store is left {place}\n"),
                1 => format!("1 {one} {done}\n"),
                n => format!("{n} {many} {done}\n"),
            });
            text + &at_hub.unwrap_or_default()
        }
    })
}

fn figures(args: &Args, done: &Collected, forgotten: u64) -> Figures {
    let part = |amount: Amount| Part { count: amount.count, bytes: amount.bytes };
    Figures {
        keep: args.keep.written.clone(),
        dry_run: args.dry_run,
        runs_kept: done.runs_kept,
        interrupted: done.interrupted,
        runs_old: done.runs_old,
        kept: part(done.kept),
        young: part(done.young),
        objects: part(done.objects),
        logs: part(done.logs),
        checkpoints: part(done.checkpoints),
        cache: done.cache + forgotten,
    }
}
