//! What is left on a cluster of a store's runs that are over: Jobs and Secrets, and objects at the hub.

use super::asking::with_hub_objects;
use super::cluster::{Cluster, STORE};
use super::error::{ClusterError, api};
use super::rights;
use crate::hub::HubCollected;
use kube::api::{DeleteParams, ListParams};

/// Removes, or only lists, the Jobs of a store whose run does not go on, and Secrets without a Job.
/// Returns their names. Another store's are never looked at.
pub fn remove_leftovers(
    context: Option<&str>,
    namespace: Option<&str>,
    store: &str,
    goes_on: &dyn Fn(&str) -> bool,
    dry_run: bool,
) -> Result<Vec<String>, ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ClusterError::Io { doing: "starting the connection to the cluster", source })?;
    runtime.block_on(async {
        let cluster = Cluster::connect(context, namespace).await?;
        if !cluster.inside {
            rights::require(&cluster, rights::Purpose::Collect).await?;
        }
        let mut left = Vec::new();
        // Secrets first: one that is made from now on has a Job that is found.
        let chosen = ListParams::default().labels(&format!("{STORE}={store}"));
        let secrets = cluster.secrets().list_metadata(&chosen).await;
        let secrets = secrets.map_err(|e| api("looking for Secrets".to_owned(), e))?.items;
        let jobs = cluster.kept_jobs(store).await?;
        let (stays, goes): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| goes_on(&job.run));
        for job in &goes {
            if !dry_run {
                cluster.remove_job(&job.name).await?;
            }
            left.push(format!("job/{}", job.name));
        }
        for secret in secrets {
            let name = secret.metadata.name.unwrap_or_default();
            let mut owners = secret.metadata.owner_references.into_iter().flatten();
            if owners.any(|owner| stays.iter().any(|job| job.name == owner.name)) {
                continue;
            }
            if !dry_run {
                match cluster.secrets().delete(&name, &DeleteParams::default()).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => return Err(api(format!("removing the Secret {name}"), error)),
                }
            }
            left.push(format!("secret/{name}"));
        }
        Ok(left)
    })
}

/// What became of objects at the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtHub {
    /// The namespace has no hub.
    None,
    /// It is of a release that removes nothing.
    Older,
    /// It has looked.
    Collected(HubCollected),
}

/// Has the namespace's hub remove objects that nobody needs, or only count them; `keep` is all that this store does.
pub fn collect_at_hub(
    context: Option<&str>,
    namespace: Option<&str>,
    store: &str,
    keep: Vec<String>,
    dry_run: bool,
) -> Result<AtHub, ClusterError> {
    let collected =
        with_hub_objects(context, namespace, store, move |objects| objects.collect(keep, dry_run))?;
    let Some(collected) = collected else { return Ok(AtHub::None) };
    let collected = collected.map_err(|error| ClusterError::Io {
        doing: "collecting at the hub",
        source: std::io::Error::other(error),
    })?;
    Ok(collected.map_or(AtHub::Older, AtHub::Collected))
}
