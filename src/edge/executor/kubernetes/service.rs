//! The hub of a namespace: put up where there is none, found where there is.

use super::cluster::{Cluster, create};
use super::error::{ClusterError, api, is_denied};
use super::observe::waiting;
use super::own::metadata;
use super::shape::{self, Disk, HubSettings};
use crate::hub::{Dial, Identity};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::ListParams;
use serde_json::{Value as Json, json};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Name of the hub's objects.
pub(super) const NAME: &str = "tidegate-hub";
/// Where it listens.
pub(super) const PORT: u16 = 7433;
/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_mins(2);

/// A hub that can be talked to.
#[derive(Clone)]
pub(super) struct Found {
    /// Its certificate.
    pub certificate: String,
    /// The engines' secret.
    pub key: String,
    /// Its address as pods see it.
    pub address: String,
    /// What a person should know of it.
    pub notes: Vec<String>,
    /// Where it keeps objects.
    pub disk: Disk,
}

/// Finds the namespace's hub, or puts one up from `image` and waits for it. One that is there stays as it is.
pub(super) async fn ensure(
    cluster: &Cluster,
    image: &str,
    settings: &HubSettings,
) -> Result<Found, ClusterError> {
    let looking = |e| api("looking for the hub".into(), e);
    let secret = match cluster.secrets().get_opt(NAME).await.map_err(looking)? {
        Some(secret) => secret,
        None => put_up(cluster).await?,
    };
    let found = read(&secret).ok_or_else(|| hub(cluster, format!("its Secret `{NAME}` is not whole")))?;
    // Made by whoever comes first; the others find it.
    let there = match cluster.deployments().get_opt(NAME).await.map_err(looking)? {
        Some(there) => there,
        None => {
            if let Some(claim) = shape::claim(&cluster.namespace, settings) {
                create(&cluster.claims(), "PersistentVolumeClaim", claim).await?;
            }
            let wanted = shape::deployment(&cluster.namespace, image, settings);
            match create(&cluster.deployments(), "Deployment", wanted).await? {
                Some(made) => made,
                None => cluster.deployments().get(NAME).await.map_err(looking)?,
            }
        }
    };
    let service = match cluster.services().get_opt(NAME).await.map_err(looking)? {
        Some(there) => there,
        None => match create(&cluster.services(), "Service", service(cluster)).await? {
            Some(made) => made,
            None => cluster.services().get(NAME).await.map_err(looking)?,
        },
    };
    let address = address_of(service);
    ready(cluster).await?;
    let notes = shape::notes(&there, &cluster.namespace, image, settings);
    Ok(Found { address, notes, disk: shape::disk_of(&there), ..found })
}

/// Finds the namespace's hub, if somebody has put one up.
pub(super) async fn find(cluster: &Cluster) -> Result<Option<Found>, ClusterError> {
    let secret = cluster.secrets().get_opt(NAME).await.map_err(|e| api("looking for the hub".into(), e))?;
    Ok(secret.as_ref().and_then(read))
}

/// Finds the hub with the address of its Service, from inside of the cluster.
pub(super) async fn reach(cluster: &Cluster) -> Result<Found, ClusterError> {
    let found = find(cluster).await?;
    let found = found.ok_or_else(|| hub(cluster, "it was not put up".to_owned()))?;
    let service = cluster.services().get(NAME).await.map_err(|e| api("looking for the hub".into(), e))?;
    Ok(Found { address: address_of(service), ..found })
}

/// Where pods reach the hub.
fn address_of(service: Service) -> String {
    let address = service.spec.and_then(|s| s.cluster_ip).unwrap_or_default();
    address.parse().map_or_else(|_| format!("{address}:{PORT}"), |ip| SocketAddr::new(ip, PORT).to_string())
}

fn hub(cluster: &Cluster, reason: String) -> ClusterError {
    ClusterError::Hub { name: NAME.to_owned(), namespace: cluster.namespace.clone(), reason }
}

async fn put_up(cluster: &Cluster) -> Result<Secret, ClusterError> {
    let identity =
        Identity::generate().map_err(|source| ClusterError::Io { doing: "a certificate", source })?;
    let key = secret_key().map_err(|source| ClusterError::Io { doing: "a secret", source })?;
    let manifest = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": metadata(NAME, &cluster.namespace),
        "stringData": { "hub.pem": identity.certificate, "hub.key": identity.key, "key": key },
    });
    let wrong = |e| api("looking for the hub".into(), e);
    match create(&cluster.secrets(), "Secret", manifest).await? {
        Some(made) => Ok(made),
        None => cluster.secrets().get(NAME).await.map_err(wrong),
    }
}

/// 256 random bits, hex.
pub(super) fn secret_key() -> io::Result<String> {
    let mut bytes = [0_u8; blake3::OUT_LEN];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if read < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(blake3::Hash::from_bytes(bytes).to_hex().to_string())
}

fn read(secret: &Secret) -> Option<Found> {
    let text = |name: &str| {
        let ByteString(bytes) = secret.data.as_ref()?.get(name)?;
        String::from_utf8(bytes.clone()).ok()
    };
    Some(Found {
        certificate: text("hub.pem")?,
        key: text("key")?,
        address: String::new(),
        notes: Vec::new(),
        disk: Disk::EmptyDir,
    })
}

fn service(cluster: &Cluster) -> Json {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(NAME, &cluster.namespace),
        "spec": { "selector": { "app.kubernetes.io/name": NAME }, "ports": [{ "port": PORT, "targetPort": PORT }] },
    })
}

/// The hub's pod that is ready, if there is one, and why not otherwise.
async fn ready_pod(cluster: &Cluster) -> Result<Result<String, String>, ClusterError> {
    let params = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    let pods = cluster.pods().list(&params).await.map_err(|e| api("looking for the hub's pod".into(), e))?;
    let is_ready = |pod: &Pod| {
        pod.metadata.deletion_timestamp.is_none()
            && pod
                .status
                .as_ref()
                .and_then(|s| s.conditions.as_ref())
                .is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    };
    let name = pods.items.iter().find(|p| is_ready(p)).and_then(|p| p.metadata.name.clone());
    Ok(name.ok_or_else(|| {
        let seen = pods.items.iter().find_map(waiting);
        match seen {
            Some(waits) => waits.reason().to_owned(),
            None => "its pod is not ready".to_owned(),
        }
    }))
}

async fn ready(cluster: &Cluster) -> Result<(), ClusterError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ready_pod(cluster).await? {
            Ok(_) => return Ok(()),
            Err(reason) if Instant::now() >= until => return Err(hub(cluster, reason)),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Dials the hub from outside of the cluster, through the API server.
pub(super) fn dial(cluster: &Cluster) -> Dial {
    let cluster = cluster.clone();
    Box::new(move || {
        let cluster = cluster.clone();
        Box::pin(async move {
            let name = ready_pod(&cluster).await.map_err(io::Error::other)?.map_err(io::Error::other)?;
            let forward = cluster.pods().portforward(&name, &[PORT]).await;
            let mut forward = forward.map_err(|error| {
                if is_denied(&error) {
                    // The answer to such a question has no words of the server's.
                    return io::Error::other("this account may not get or create `pods/portforward`");
                }
                io::Error::other(error)
            })?;
            let stream = forward.take_stream(PORT).ok_or_else(|| io::Error::other("no port to forward"))?;
            // It lives as long as its stream does.
            tokio::spawn(async move { drop(forward.join().await) });
            Ok(Box::new(stream) as Box<dyn crate::hub::Stream>)
        })
    })
}
