//! The command, and what it says.

use super::hand_out::{Step, Stopped, hand_out};
use super::wanted::{Asked, Wanted, wanted};
use crate::app::cli::run::{Place, cluster_failure, elsewhere};
use crate::app::cli::runs::{Format, Kept, there};
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::config::Project;
use crate::app::report::runs::{Laid, downloaded, downloaded_json, laid};
use crate::app::report::terminal::Transfer;
use crate::app::report::{RunView, Style, shown_name};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_edge::executor::kubernetes::with_hub_objects;
use tidegate_edge::hub::Passing;
use tidegate_edge::store::{Content, Delivery, DeliveryError, StoreError};

/// Arguments of `tidegate runs download`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs download 7                            all artifacts, each in a folder of its name
  tidegate runs download 7 --name model --dir out     what is in this one, straight into `out`
  tidegate runs download --pattern report-*           of the newest run; each in a folder of its name
  tidegate runs download 7 --name model --job train --matrix model=svm,c=0.1
  tidegate runs download 7 --on kubernetes            a run of the engine in the cluster

Where several artifacts have one name, each has a folder of its own in that of the name: JOB, or
JOB/INDEX for an instance of a matrix. What pods kept is fetched from the cluster's hub, or from the
object store behind it. Digests are verified; a file is there whole or not at all. Nothing is written
if a file is there already, unless --force says so.")]
pub struct Args {
    /// Number or ULID; without it, the newest
    run: Option<String>,
    /// Only artifacts of this name, which may be given more than once; a single one goes straight into DIR
    #[arg(long = "name", short = 'n', value_name = "NAME")]
    names: Vec<String>,
    /// Only artifacts whose name matches this glob, which may be given more than once
    #[arg(long = "pattern", short = 'p', value_name = "GLOB")]
    patterns: Vec<String>,
    /// Where to
    #[arg(long, short = 'D', value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Replace files that are there; others stay
    #[arg(long)]
    force: bool,
    /// Only what this job kept
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only what instances with these matrix values kept: `model=svm,c=0.1`
    #[arg(long, value_name = "K=V,…", value_delimiter = ',')]
    matrix: Vec<String>,
    /// `kubernetes`: a run of the engine in the cluster (`run --detach`), not of this project
    #[arg(long, value_enum, default_value = "local", value_name = "PLACE")]
    on: Place,
    /// Of a run on a cluster: the context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    context: Option<String>,
    /// Of a run on a cluster: the namespace [default: the context's]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    namespace: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Lays a run's artifacts into a folder.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let found = match find(args, globals)? {
        Ok(found) => found,
        Err(exit) => return Ok(exit),
    };
    let asked = Asked {
        names: &args.names,
        patterns: &args.patterns,
        job: args.job.as_deref(),
        matrix: &args.matrix,
    };
    let order = Order {
        wanted: wanted(&asked, &found.view)?,
        delivery: Delivery::open(&args.dir, args.force).map_err(|error| {
            Failure::tool(format!("cannot write to {}", args.dir.display())).caused_by(&error)
        })?,
        shown: Shown::new(args, globals),
    };
    if found.view.summary.is_none() {
        globals.warn(format!(
            "run {} has not ended: this is what its jobs have kept so far\n",
            found.view.created.number
        ));
    }
    let order = Arc::new(order);
    end_on_signal(&order)?;
    let done = match &found.kept {
        Some(kept) => Ok(order.hand_out_from(&*kept.store.file_objects(), true)),
        None => from_hub(&found, &order),
    };
    // By now: others hold the order, too.
    order.delivery.clear();
    order.shown.end();
    let gone = done?.map_err(|stopped| order.why(&stopped, &found.view))?;
    let (there, gone): (Vec<_>, Vec<_>) = (0..).zip(&order.wanted).partition(|(at, _)| !gone.contains(at));
    let there: Vec<Laid> = there.iter().map(|(_, one)| order.shown.laid(one)).collect();
    let names: Vec<&str> = gone.iter().map(|(_, one)| &*one.name).collect();
    globals.print(match args.format {
        Format::Json => format!("{}\n", downloaded_json(&found.view, &there, &names)),
        Format::Text => downloaded(&there, order.shown.style),
    })?;
    let gone: Vec<&Wanted> = gone.into_iter().map(|(_, one)| one).collect();
    if gone.is_empty() { Ok(Exit::Good) } else { Err(collected(&gone, &found)) }
}

/// A run, and where its artifacts are.
struct Found {
    view: RunView,
    /// The project's store has them; none: the hub has.
    kept: Option<Kept>,
    context: Option<String>,
    namespace: Option<String>,
}

fn find(args: &Args, globals: &Globals) -> Result<Result<Found, Exit>, Failure> {
    // As `run` was told, which is in the log of a run of this project.
    let place = |project: &Project, view: &RunView| {
        let settings = &project.settings.kubernetes;
        let said = |option: &str| Some(view.created.options.get(option)?.as_str()?.to_owned());
        let context = args.context.clone().or_else(|| said("context"));
        let namespace = args.namespace.clone().or_else(|| said("namespace"));
        (context.or_else(|| settings.context.clone()), namespace.or_else(|| settings.namespace.clone()))
    };
    if args.on == Place::Kubernetes {
        let project = Project::find(Path::new("."), globals.store.as_deref())
            .map_err(|e| Failure::wrong("cannot read the project's configuration").caused_by(&e))?;
        let (context, namespace) = place(&project, &RunView::default());
        let view = there::ended(context.as_deref(), namespace.as_deref(), args.run.as_deref())?;
        return Ok(view.map(|mut view| {
            view.elsewhere = elsewhere(context.as_deref(), namespace.as_deref());
            Found { view, kept: None, context, namespace }
        }));
    }
    let kept = Kept::open(globals)?;
    let row = kept.find(args.run.as_deref())?;
    let mut view = kept.blank(globals, &row);
    kept.events(&row, 0)?.iter().for_each(|event| view.apply(event));
    let (context, namespace) = place(&kept.project, &view);
    // What pods made lies at their hub.
    let at_hub = view.created.options.get("on").is_some_and(|on| on == "kubernetes");
    Ok(Ok(Found { view, kept: (!at_hub).then_some(kept), context, namespace }))
}

/// What is to be done, and what is said meanwhile.
struct Order {
    wanted: Vec<Wanted>,
    delivery: Delivery,
    shown: Shown,
}

impl Order {
    /// With `counted`, what is read is what has come; else whoever brings it says so.
    fn hand_out_from(&self, content: &dyn Content, counted: bool) -> Result<Vec<usize>, Stopped> {
        hand_out(&self.wanted, &self.delivery, content, &|step| match step {
            Step::Bytes(_) if !counted => {}
            step => self.shown.step(step, &self.wanted),
        })
    }

    fn why(&self, Stopped(at, error): &Stopped, view: &RunView) -> Failure {
        let what = self.wanted.get(*at).map_or_else(String::new, |one| {
            format!("the artifact `{}` ({}) of run {}", shown_name(&one.name), one.of, view.created.number)
        });
        match error {
            DeliveryError::There { .. } => Failure::wrong(format!("{what} was not written: {error}"))
                .hint("`--force` replaces files that are there; `--dir DIR` writes elsewhere"),
            DeliveryError::InTheWay { .. } => Failure::wrong(format!("{what} was not written: {error}"))
                .hint("move it away, or `--dir DIR` writes elsewhere"),
            DeliveryError::Store(StoreError::Damaged(_)) => {
                Failure::tool(format!("{what} was not written: it is not what its digest says"))
                    .caused_by(error)
                    .hint(view.next(&format!("runs rerun {}", view.created.number)))
            }
            DeliveryError::Store(_) => Failure::tool(format!("{what} was not written")).caused_by(error),
        }
    }
}

/// Fetches them from the hub of the namespace, or from the object store behind it.
fn from_hub(found: &Found, order: &Arc<Order>) -> Result<Result<Vec<usize>, Stopped>, Failure> {
    let work = order.clone();
    let (context, namespace) = (found.context.as_deref(), found.namespace.as_deref());
    // In the run's own name: nothing is relied on in that of a store.
    let done = with_hub_objects(context, namespace, &found.view.created.run, move |hub| {
        let came = |bytes| work.shown.step(Step::Bytes(bytes), &work.wanted);
        let content = Passing::new(hub, &work.delivery.beside().join("objects"), &came)?;
        Ok(work.hand_out_from(&content, false))
    });
    let number = found.view.created.number;
    let doing = format!("cannot fetch what run {number} kept on the cluster");
    let done = done.map_err(|error| cluster_failure(&doing, &error))?;
    let done = done.ok_or_else(|| {
        Failure::tool(format!("{doing}: the namespace has no hub"))
            .hint("`--context` and `--namespace` say where the run was, as `run` was told")
    })?;
    done.map_err(|error| Failure::tool(doing).caused_by(&error))
}

/// Says that content is gone, and how to have it again.
fn collected(gone: &[&Wanted], found: &Found) -> Failure {
    let number = found.view.created.number;
    let names: Vec<String> =
        gone.iter().map(|one| format!("`{}` ({})", shown_name(&one.name), one.of)).collect();
    let (what, are) = if gone.len() == 1 { ("artifact", "is") } else { ("artifacts", "are") };
    let failure = match found.kept {
        Some(_) => Failure::wrong(format!(
            "the {what} {} of run {number} {are} not kept any more: `runs gc` freed what only old runs needed",
            names.join(", ")
        )),
        None => Failure::wrong(format!(
            "the {what} {} of run {number} {are} not at the hub: it lost its disk, they were collected, or it is another hub",
            names.join(", ")
        ))
        .hint("`--context` and `--namespace` say where the run was; `hub: { volume: … }` or `store: s3://…` keeps more"),
    };
    failure.hint(format!("`{}` makes them again", found.view.next(&format!("runs rerun {number}"))))
}

/// Leaves nothing half behind on Ctrl-C.
fn end_on_signal(order: &Arc<Order>) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::tool("cannot listen to signals").caused_by(error);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| failed(&error))?;
    let order = order.clone();
    let wait = move || {
        if signals.forever().next().is_some() {
            order.delivery.clear();
            order.shown.end();
            order.shown.globals.warn("cancelled: what is there is whole\n");
            #[expect(clippy::exit, reason = "who waits for a hub hears of nothing else")]
            std::process::exit(i32::from(Exit::Cancelled.code()));
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    thread.map(drop).map_err(|error| failed(&error))
}

/// What people see meanwhile.
struct Shown {
    globals: Globals,
    style: Style,
    dir: PathBuf,
    rows: bool,
    live: Option<Transfer>,
}

impl Shown {
    fn new(args: &Args, globals: &Globals) -> Self {
        let rows = args.format == Format::Text;
        let live = (rows && globals.width().is_some()).then(Transfer::new);
        Self {
            globals: globals.clone(),
            style: Style { color: globals.color() },
            dir: args.dir.clone(),
            rows,
            live,
        }
    }

    fn laid(&self, one: &Wanted) -> Laid {
        let path = if self.dir == Path::new(".") { one.below.clone() } else { self.dir.join(&one.below) };
        let path = if path.as_os_str().is_empty() { PathBuf::from(".") } else { path };
        Laid {
            name: one.name.clone(),
            of: one.of.clone(),
            path: path.to_string_lossy().trim_end_matches('/').to_owned(),
            artifact: one.artifact.clone(),
        }
    }

    fn step(&self, step: Step, wanted: &[Wanted]) {
        match (step, &self.live) {
            (Step::Begins(bytes), Some(live)) => live.begin(bytes),
            (Step::Bytes(bytes), Some(live)) => live.moved(bytes),
            (Step::Laid(at), live) if self.rows => {
                let Some(one) = wanted.get(at) else { return };
                let row = laid(&self.laid(one), self.style);
                match live {
                    Some(live) => live.above(&row),
                    // Nobody reading is said at the end.
                    None => drop(self.globals.print(format!("{row}\n"))),
                }
            }
            _ => {}
        }
    }

    fn end(&self) {
        if let Some(live) = &self.live {
            live.end();
        }
    }
}
