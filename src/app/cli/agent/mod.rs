//! `tidegate agent`: runs steps on an engine's word.

mod pod;

use super::{Exit, Failure, Globals};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_edge::agent::{
    ActionCaches, Caches, Checkpoints, Children, Host, Surroundings, TempFolders, supervise,
};
use tidegate_edge::executor::container::ContainerHost;
use tidegate_edge::python::Environments;
use tidegate_edge::store::FileObjects;
use tidegate_edge::workspace::Workspaces;

/// Arguments of `tidegate agent`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Host all jobs of an engine: requests on standard input, messages on standard output
    #[arg(long)]
    supervise: bool,
    /// Run the one attempt that this pod's variables and files name
    #[arg(long, conflicts_with = "supervise")]
    pod: bool,
    /// Copy this program into a folder, for the shims of other containers
    #[arg(long, value_name = "DIR", conflicts_with_all = ["supervise", "pod"])]
    install: Option<PathBuf>,
    /// Run the steps in containers, with what this JSON says of docker or podman
    #[arg(long, value_name = "JSON", requires = "supervise")]
    containers: Option<String>,
    /// Start of the mark that the processes of all jobs carry
    #[arg(long, value_name = "TEXT", default_value = "tidegate_")]
    mark: String,
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    if let Some(folder) = &args.install {
        return pod::install(folder);
    }
    if args.pod {
        return pod::run();
    }
    if !args.supervise {
        return Err(Failure::wrong("`tidegate agent` is started by an engine, with --supervise or --pod"));
    }
    let store = globals.store.clone().ok_or_else(|| Failure::wrong("`tidegate agent` needs --store"))?;
    let store = std::path::absolute(&store).map_err(|e| Failure::tool("the store's folder").caused_by(&e))?;
    let objects =
        FileObjects::open(store.join("objects")).map_err(|e| Failure::tool("the store").caused_by(&e))?;
    let objects = Arc::new(objects);
    if let Some(options) = &args.containers {
        let options =
            serde_json::from_str(options).map_err(|e| Failure::wrong("--containers").caused_by(&e))?;
        return host(Arc::new(ContainerHost::new(options, store, objects, args.mark)));
    }
    let pythons = Environments::new(python_folder(|name| std::env::var_os(name), &store));
    let tools = store.join("tools");
    // Steps may look into it, so it is there; without it they see an empty one.
    let _ = std::fs::create_dir_all(&tools);
    let around = Surroundings {
        checkpoints: Checkpoints::Stay(store.clone()),
        caches: Caches::Here(ActionCaches::of_machine(&store)),
        tools,
        places: Arc::new(Workspaces::new(store.join("work"), objects.clone())),
        objects,
        python: pythons,
        temps: TempFolders::new(store.join("tmp")),
        launcher: Box::new(Arc::new(Children::default())),
        env: environment(std::env::vars_os()),
        mark: args.mark,
        in_image: false,
        prints: false,
        store,
    };
    host(Arc::new(around))
}

fn host(host: Arc<dyn Host>) -> Result<Exit, Failure> {
    supervise(host, std::io::stdin().lock(), std::io::stdout())
        .map_err(|e| Failure::tool("the engine's requests").caused_by(&e))?;
    Ok(Exit::Good)
}

/// Where Python environments are kept, so that projects share them: the user's cache folder (XDG
/// Base Directory Specification), else the store.
fn python_folder(variable: impl Fn(&str) -> Option<OsString>, store: &Path) -> PathBuf {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .map_or_else(|| store.join("python"), |cache| cache.join("tidegate/python"))
}

/// The environment that steps inherit: this process's, without what an outer runner set for itself.
fn environment(all: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
    const FOREIGN: [&str; 6] = ["GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_", "STATE_", "TIDEGATE_STORE"];
    all.filter(|(name, _)| {
        let name = name.to_string_lossy();
        !FOREIGN.iter().any(|f| name.starts_with(f)) && name != "ML_METRICS"
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::environment;

    #[test]
    fn an_outer_runner_stays_outside() {
        let all = [("PATH", "/bin"), ("GITHUB_OUTPUT", "x"), ("RUNNER_TEMP", "x"), ("HOME", "/h")];
        let kept = environment(all.iter().map(|(k, v)| ((*k).into(), (*v).into())));
        assert_eq!(kept.len(), 2);
    }
}
