//! Arguments of `tidegate install`; prints manifests, or applies them.

use crate::app::cli::run::own_image;
use crate::app::cli::runs::keep_age;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::config::Project;
use clap::ValueEnum;
use serde_json::Value as Json;
use std::path::Path;
use tidegate_edge::executor::kubernetes::detached::{
    Installation, Kept, engine_manifests, install, runner_manifests, user_manifests,
};
use tidegate_edge::hub::check_store;

/// Arguments of `tidegate install`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate install --namespace ml --volume 10Gi                an engine whose log is on a volume
  tidegate install --namespace ml --volume 10Gi --print        the manifests, for kubectl or git
  tidegate install --namespace ml --for runner --print         the rights of `run --on kubernetes` from outside
  tidegate install --namespace ml --for user --print           the rights of `run --detach`, and no more
  tidegate run --on kubernetes --namespace ml --detach         a run for it

Applied again, it renews the engine; its runs go on under the new one.")]
pub struct Args {
    /// Print the manifests, and do not apply them
    #[arg(long)]
    print: bool,
    /// For whom
    #[arg(long = "for", value_enum, default_value = "engine", value_name = "WHOM")]
    whom: Whom,
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace [default: the context's]
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Tidegate's own image
    #[arg(long, value_name = "IMAGE")]
    agent_image: Option<String>,
    /// Keep the engine's log and objects on a volume of this size; without it they are lost with its pod
    #[arg(long, value_name = "SIZE")]
    volume: Option<String>,
    /// Keep the hub's artifacts on a volume of this size, if there is no hub yet
    #[arg(long, value_name = "SIZE")]
    hub_volume: Option<String>,
    /// Keep the hub's artifacts in this object store, if there is no hub yet [default: the project's `kubernetes.store`]
    #[arg(long, value_name = "URL", value_parser = object_store)]
    hub_store: Option<String>,
    /// The engine frees what only runs needed that ended longer ago than this, once a day [default: 30d]
    #[arg(long, value_name = "AGE", value_parser = keep_age)]
    keep: Option<String>,
    /// The volumes' storage class [default: the cluster's]
    #[arg(long, value_name = "NAME")]
    storage_class: Option<String>,
}

/// Whose manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whom {
    /// An engine in the cluster: its account, rights, store and Deployment.
    Engine,
    /// People, and a CI's jobs, whose own machine is the engine (`run --on kubernetes`): the Role `tidegate-runner`.
    Runner,
    /// People who hand runs over to an engine in the cluster and look at them: the Role `tidegate-user`.
    User,
}

/// Reads the URL of an object store.
fn object_store(url: &str) -> Result<String, String> {
    check_store(url).map(|()| url.to_owned())
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command has this signature")]
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let project = Project::find(Path::new("."), globals.store.as_deref())
        .map_err(|e| Failure::wrong("cannot read the project's configuration").caused_by(&e))?;
    let kept = &project.settings.kubernetes;
    let context = args.context.as_deref().or(kept.context.as_deref());
    let namespace = args.namespace.as_deref().or(kept.namespace.as_deref());
    let image = args.agent_image.clone().or_else(|| kept.agent_image.clone());
    let image = image.unwrap_or_else(own_image);
    let mut hub = kept.hub.clone();
    if let Some(size) = &args.hub_volume {
        (hub.volume, hub.storage_class) = (Some(size.clone()), args.storage_class.clone());
    }
    hub.pull_secrets.clone_from(&kept.image_pull_secrets);
    hub.store = args.hub_store.clone().or_else(|| kept.store.as_ref().map(|url| url.0.clone()));
    let volume = match &args.volume {
        Some(size) => Kept::Volume { size: size.clone(), class: args.storage_class.clone() },
        None => Kept::Pod,
    };
    if volume == Kept::Pod && args.whom == Whom::Engine {
        globals.warn(
            "warning: without `--volume` the engine's log is in its pod: when the pod goes, its runs are lost\n",
        );
    }
    let make = |namespace: &str| match args.whom {
        Whom::Runner => runner_manifests(namespace, &hub),
        Whom::User => user_manifests(namespace),
        Whom::Engine => engine_manifests(&Installation {
            namespace: namespace.to_owned(),
            image: image.clone(),
            pull_secrets: kept.image_pull_secrets.clone(),
            kept: volume.clone(),
            hub: hub.clone(),
            keep: args.keep.clone(),
        }),
    };
    if args.print {
        globals.print(documents(&make(namespace.unwrap_or("default")))?)?;
        return Ok(Exit::Good);
    }
    let whom = args.whom;
    let what = if whom == Whom::Engine { "the engine cannot be put up" } else { "the Role cannot be made" };
    let done = install(context, namespace, whom == Whom::Engine, &make)
        .map_err(|e| Failure::tool(what).caused_by(&e))?;
    globals.print(match whom {
        Whom::Engine => format!("the engine runs in namespace {done}\n"),
        Whom::Runner => bind("tidegate-runner", &done),
        Whom::User => bind("tidegate-user", &done),
    })?;
    Ok(Exit::Good)
}

fn bind(role: &str, namespace: &str) -> String {
    format!(
        "the Role `{role}` is in namespace {namespace}; bind it to whom it is for: `kubectl create rolebinding NAME \
         --namespace {namespace} --role {role} --user USER`\n"
    )
}

fn documents(manifests: &[Json]) -> Result<String, Failure> {
    let mut text = String::new();
    for manifest in manifests {
        let yaml = serde_yaml::to_string(manifest)
            .map_err(|e| Failure::tool("cannot write the manifests").caused_by(&e))?;
        text.push_str("---\n");
        text.push_str(&yaml);
    }
    Ok(text)
}
