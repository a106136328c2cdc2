//! Arguments of `tidegate install`; prints manifests, or applies them.

use crate::app::cli::run::own_image;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::config::Project;
use clap::ValueEnum;
use serde_json::Value as Json;
use std::path::Path;
use tidegate_edge::executor::kubernetes::HubSettings;
use tidegate_edge::executor::kubernetes::detached::{
    Installation, Kept, engine_manifests, install, user_manifests,
};

/// Arguments of `tidegate install`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate install --namespace ml --volume 10Gi                an engine whose log is on a volume
  tidegate install --namespace ml --volume 10Gi --print        the manifests, for kubectl or git
  tidegate install --namespace ml --for user --print           the rights of people who only run
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
    /// The volumes' storage class [default: the cluster's]
    #[arg(long, value_name = "NAME")]
    storage_class: Option<String>,
}

/// Whose manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whom {
    /// The engine: its account, rights, store and Deployment.
    Engine,
    /// People who hand runs over and look at them: a Role.
    User,
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
    let hub = match &args.hub_volume {
        Some(size) => HubSettings {
            volume: Some(size.clone()),
            storage_class: args.storage_class.clone(),
            ..HubSettings::default()
        },
        None => kept.hub.clone(),
    };
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
        Whom::User => user_manifests(namespace),
        Whom::Engine => engine_manifests(&Installation {
            namespace: namespace.to_owned(),
            image: image.clone(),
            pull_secrets: kept.image_pull_secrets.clone(),
            kept: volume.clone(),
            hub: hub.clone(),
        }),
    };
    if args.print {
        globals.print(documents(&make(namespace.unwrap_or("default")))?)?;
        return Ok(Exit::Good);
    }
    let whom = args.whom;
    let done = install(context, namespace, whom == Whom::Engine, &make)
        .map_err(|e| Failure::tool("the engine cannot be put up").caused_by(&e))?;
    globals.print(match whom {
        Whom::Engine => format!("the engine runs in namespace {done}\n"),
        Whom::User => format!("the Role `tidegate-user` is in namespace {done}; bind it to whom it is for\n"),
    })?;
    Ok(Exit::Good)
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
