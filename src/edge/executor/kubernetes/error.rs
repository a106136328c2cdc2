//! Why the cluster did not do what was asked, and what to do about it.

use super::observe::Waiting;
use kube::client::UpgradeConnectionError;
use tower::timeout::error::Elapsed;

/// Why the cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No configuration of a cluster can be found or read.
    #[error("no cluster to talk to: {0}")]
    Config(String),
    /// The API server cannot be reached, or said no.
    #[error("{doing}: {}", said(.source))]
    Api {
        /// What was being done.
        doing: String,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// Our own manifest is not what Kubernetes takes.
    #[error("the manifest of {what}: {source}")]
    Manifest {
        /// Of what.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The hub in the namespace does not come up.
    #[error("the hub `{name}` in namespace `{namespace}` does not come up: {reason}")]
    Hub {
        /// Its Deployment.
        name: String,
        /// Where.
        namespace: String,
        /// What is seen of it.
        reason: String,
    },
    /// This account may not do what is about to be done.
    #[error("this account lacks rights in namespace `{namespace}`: {rights}")]
    Rights {
        /// Where.
        namespace: String,
        /// Verbs and resources.
        rights: String,
    },
    /// Something else, of a cluster that is known.
    #[error("the cluster at {address}")]
    At {
        /// Its API server's.
        address: String,
        /// What.
        source: Box<Self>,
    },
    /// Somebody wants the run to end while the API server is waited for.
    #[error("stopped while the API server was waited for")]
    Stopped,
    /// There is no engine in the namespace.
    #[error("there is no engine in namespace `{namespace}`")]
    NoEngine {
        /// Where.
        namespace: String,
    },
    /// The engine in the namespace cannot be talked to.
    #[error("the engine in namespace `{namespace}` does not run: {reason}")]
    EngineAway {
        /// Where.
        namespace: String,
        /// What is seen of it.
        reason: String,
    },
    /// More than a Secret holds.
    #[error("the request has {bytes} bytes; a Secret holds {limit}")]
    TooLarge {
        /// Of the request.
        bytes: usize,
        /// Of a Secret.
        limit: usize,
    },
    /// Anything else of this machine.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ClusterError {
    /// Tells whether asking again may help: the API server is away, has too much to do, or a quota is
    /// used up.
    pub(super) fn is_passing(&self) -> bool {
        let Self::Api { source, .. } = self else { return false };
        match &**source {
            kube::Error::Api(status) => {
                matches!(status.code, 409 | 429 | 500 | 502 | 503 | 504)
                    || status.code == 403 && status.message.contains("exceeded quota")
            }
            kube::Error::Service(_) | kube::Error::HyperError(_) => true,
            _ => false,
        }
    }

    /// Tells whether this account may not do it.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Api { source, .. } if is_denied(source))
    }

    /// What an attempt waits for whose Job is not taken for now.
    pub(super) fn waiting(&self) -> Waiting {
        let reason = format!("{self}; it is asked again");
        match self {
            Self::Api { source, .. } if matches!(&**source, kube::Error::Api(s) if s.code == 403) => {
                Waiting::NotMade(reason)
            }
            _ => Waiting::NoAnswer(reason),
        }
    }

    /// Tells whether the API server may only be away for the moment: nobody listens, it has too much to do.
    /// Wrong credentials, certificates and names are wrong the next time, too.
    pub(super) fn is_away(&self) -> bool {
        if let Self::At { source, .. } = self {
            return source.is_away();
        }
        let Self::Api { source, .. } = self else { return false };
        match &**source {
            kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
            error @ (kube::Error::Service(_) | kube::Error::HyperError(_)) => nobody_listens(error),
            _ => false,
        }
    }

    /// Returns what to look at.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Config(_) => {
                Some("`kubectl config get-contexts` lists what there is; `--context` chooses one")
            }
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) if status.code == 401 => {
                    Some("the credentials of the kubeconfig are not taken: log in to the cluster again")
                }
                error if is_denied(error) => Some(
                    "`tidegate install --for runner` makes the Role with all rights that are needed in the namespace, \
                     `--for user` the one for runs of an engine in the cluster; `--print` shows them",
                ),
                kube::Error::Api(_) => None,
                kube::Error::Auth(_) => Some("log in to the cluster again; `kubectl get pods` must work"),
                _ => Some("see whether `kubectl get pods` works: the address, a VPN, the cluster itself"),
            },
            Self::Rights { .. } => Some(
                "`tidegate install --for runner` makes the Role `tidegate-runner` with all that is needed, for somebody \
                 who may; `--print` shows it. `kubectl create rolebinding NAME --role tidegate-runner --user USER` binds it",
            ),
            Self::Hub { .. } => Some("`kubectl get pods` and `kubectl describe pod` say more of it"),
            Self::EngineAway { .. } | Self::NoEngine { .. } | Self::TooLarge { .. } => None,
            Self::Manifest { .. } | Self::Io { .. } | Self::Stopped => None,
            Self::At { source, .. } => source.hint(),
        }
    }
}

/// Tells whether this account may not do what it asked for: the authorizer's words, which say nothing of the object
/// (Kubernetes, `apiserver/pkg/endpoints/handlers/responsewriters/errors.go`). Admission and quotas refuse with 403, too.
pub(super) fn is_denied(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            status.code == 403
                && status.message.contains(" cannot ")
                && status.message.contains(" resource \"")
        }
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => code.as_u16() == 403,
        _ => false,
    }
}

/// Looks for a system's word that nobody answered.
fn nobody_listens(error: &kube::Error) -> bool {
    use std::io::ErrorKind;
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            let away = matches!(
                error.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::NotConnected
                    | ErrorKind::TimedOut
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::BrokenPipe
            );
            if away {
                return true;
            }
        }
        if error.is::<Elapsed>() {
            return true;
        }
        // The connection ended before the answer, or stood and was gone before anything was asked over it.
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// The API server's own words, without the wrapping.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

pub(super) fn api(doing: String, source: kube::Error) -> ClusterError {
    ClusterError::Api { doing, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missing_right_is_told_from_other_refusals() {
        let table = [
            (
                r#"jobs.batch is forbidden: User "ada" cannot create resource "jobs" in API group "batch" in the namespace "ml""#,
                true,
            ),
            (
                r#"secrets "tidegate-hub" is forbidden: User "ada" cannot get resource "secrets" in API group "" in the namespace "ml": RBAC: role.rbac.authorization.k8s.io "runner" not found"#,
                true,
            ),
            (
                r#"pods "a" is forbidden: exceeded quota: small, requested: requests.cpu=1, used: requests.cpu=0, limited: requests.cpu=500m"#,
                false,
            ),
            (
                r#"pods "a" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities"#,
                false,
            ),
            (r#"admission webhook "policy.acme" denied the request: you cannot train on Fridays"#, false),
        ];
        for (message, denied) in table {
            let status =
                json!({ "status": "Failure", "code": 403, "reason": "Forbidden", "message": message });
            let error = kube::Error::Api(serde_json::from_value(status).unwrap());
            assert_eq!(is_denied(&error), denied, "{message}");
            let hint = api("creating".to_owned(), error).hint();
            assert_eq!(hint.is_some_and(|hint| hint.contains("--for runner")), denied, "{message}");
        }
    }
}
