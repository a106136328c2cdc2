//! Which container engine, and what containers are made with: the command line and the environment,
//! else the project's settings.

use super::args::ClusterArgs;
use super::cluster::own_image;
use crate::app::cli::Failure;
use crate::app::config::{Project, Settings};
use crate::app::engine::ContainerSettings;
use std::path::{Path, PathBuf};
use tidegate_edge::executor::container::{
    ContainerEngine, NoEngine, ProgramError, find_engine, static_program,
};

/// Names the container engine.
const ENGINE: &str = "TIDEGATE_CONTAINER_ENGINE";
/// Names a static `tidegate`.
const PROGRAM: &str = "TIDEGATE_SHIM";

/// Puts together what `--on container` needs to know.
pub(in crate::app::cli) fn containers(
    said: &ClusterArgs,
    project: &Project,
) -> Result<ContainerSettings, Failure> {
    let kept = &project.settings.container;
    let engine = engine(&project.settings)?;
    let agent_image = said.agent_image.clone().or_else(|| kept.agent_image.clone()).unwrap_or_else(own_image);
    let own = std::env::current_exe().map_err(|e| Failure::tool("this program's own file").caused_by(&e))?;
    let named = std::env::var_os(PROGRAM).map(PathBuf::from);
    let program = static_program(named.as_deref(), &own, &engine, &agent_image, &cache(&project.store))
        .map_err(|error| no_program(&error))?;
    Ok(ContainerSettings { engine, program, image: image(said, &project.settings) })
}

/// The image of jobs that name none.
pub(in crate::app::cli) fn image(said: &ClusterArgs, settings: &Settings) -> String {
    said.image.clone().or_else(|| settings.container.image.clone()).unwrap_or_default()
}

/// Finds docker or podman.
pub(in crate::app::cli) fn engine(settings: &Settings) -> Result<ContainerEngine, Failure> {
    let told = std::env::var(ENGINE).ok().filter(|name| !name.is_empty());
    let wanted = told.or_else(|| settings.container.engine.clone());
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_engine(wanted.as_deref(), &path).map_err(|error| {
        let failure = Failure::tool("`--on container` needs docker or podman").caused_by(&error);
        match error {
            NoEngine::Silent(_) => {
                failure.hint("is it running, and may you use it? `docker ps` or `podman ps` tells")
            }
            NoEngine::None => failure.hint("install one of them; `--on local` runs the steps as processes"),
            NoEngine::Missing(_) => {
                failure.hint(format!("{ENGINE} or `container: {{engine: …}}` of .ml/config.yaml names it"))
            }
        }
    })
}

fn no_program(error: &ProgramError) -> Failure {
    let failure = Failure::tool("containers need a static tidegate").caused_by(error);
    failure
        .hint("`--agent-image IMAGE` names an image to copy it from")
        .hint(format!("or {PROGRAM} one that is here; `tests/cluster/agent-image` builds both"))
}

/// Where the program of an image is kept: the user's cache folder (XDG Base Directory Specification).
fn cache(store: &Path) -> PathBuf {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .map_or_else(|| store.join("shim"), |cache| cache.join("tidegate/shim"))
}
