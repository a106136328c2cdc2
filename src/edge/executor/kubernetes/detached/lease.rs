//! The right to be the engine of a namespace: a Lease that one engine holds, and the next one takes over.

use super::desk::Desk;
use super::manifests::NAME;
use crate::executor::kubernetes::error::{ClusterError, api};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use std::time::Duration;
use tokio::time::Instant;

/// A lease that was not renewed for this long is anybody's.
const LENGTH: Duration = Duration::from_secs(15);

/// What became of an attempt to hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// By this engine.
    Here,
    /// By another one.
    By(String),
}

/// The lease of a namespace's engine, as one engine sees it.
pub struct EngineLease {
    leases: Api<Lease>,
    holder: String,
    /// The other holder's last sign of life, and when it was seen: no clock is compared with another's.
    seen: Option<(String, Instant)>,
}

impl EngineLease {
    /// `holder`: the pod's UID. A container that starts again in its pod is the same holder.
    pub fn new(desk: &Desk, holder: &str) -> Self {
        let cluster = &desk.cluster;
        let leases = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        Self { leases, holder: holder.to_owned(), seen: None }
    }

    /// How long an engine that cannot renew it may go on.
    pub fn length() -> Duration {
        LENGTH
    }

    /// Takes or renews it; tells who has it otherwise.
    pub async fn hold(&mut self) -> Result<Held, ClusterError> {
        let asking = |e| api(format!("the Lease {NAME}"), e);
        let Some(mut lease) = self.leases.get_opt(NAME).await.map_err(asking)? else {
            let made = Lease { metadata: named(), spec: Some(self.spec(0)) };
            return match self.leases.create(&PostParams::default(), &made).await {
                Ok(_) => Ok(Held::Here),
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(Held::By("another".to_owned())),
                Err(error) => Err(asking(error)),
            };
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let free = holder.is_empty() || holder == self.holder || self.silent(&lease);
        if !free {
            return Ok(Held::By(holder));
        }
        let changes = spec.lease_transitions.unwrap_or(0) + i32::from(holder != self.holder);
        lease.spec = Some(self.spec(changes));
        match self.leases.replace(NAME, &PostParams::default(), &lease).await {
            Ok(_) => Ok(Held::Here),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Held::By("another".to_owned())),
            Err(error) => Err(asking(error)),
        }
    }

    /// Gives it back, so that the next engine need not wait.
    pub async fn give_back(&self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(NAME).await else { return };
        let Some(spec) = lease.spec.as_mut().filter(|s| s.holder_identity.as_ref() == Some(&self.holder))
        else {
            return;
        };
        spec.holder_identity = None;
        let _ = self.leases.replace(NAME, &PostParams::default(), &lease).await;
    }

    /// Whether its holder has not renewed it for its whole length while this engine looked.
    fn silent(&mut self, lease: &Lease) -> bool {
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed() >= LENGTH,
            _ => {
                self.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    fn spec(&self, changes: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(LENGTH.as_secs()).ok(),
            lease_transitions: Some(changes),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }
    }
}

fn named() -> ObjectMeta {
    ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() }
}
