//! Runs this program beside the engine, in its pod: what is asked about its runs is answered there.

use super::manifests::NAME;
use crate::executor::kubernetes::cluster::Cluster;
use crate::executor::kubernetes::error::{ClusterError, api};
use crate::executor::kubernetes::observe::{Waiting, waiting};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, ListParams, TerminalSize};
use std::io::{self, Write};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::Runtime;

/// How often the terminal's size is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Bytes that are passed on at once.
const PIECE: usize = 32 << 10;

/// The terminal that shows it: its columns and rows.
pub type Terminal = Box<dyn Fn() -> Option<(u16, u16)>>;

/// What is run, and where it is shown.
pub struct Beside<'a> {
    /// The context of the kubeconfig; `None`: the current one.
    pub context: Option<&'a str>,
    /// The namespace; `None`: the context's.
    pub namespace: Option<&'a str>,
    /// The arguments of the program.
    pub args: Vec<String>,
    /// Makes it a terminal of its own, of this one's size.
    pub terminal: Option<Terminal>,
}

pub(super) fn runtime() -> Result<Runtime, ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| ClusterError::Io { doing: "starting the connection to the cluster", source })
}

/// Runs a command in the engine's pod until it ends; returns its exit code. `None`: the connection broke
/// before it was known. The command ends with its standard input, and that with the connection.
pub fn run_beside(
    what: Beside<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Option<i32>, ClusterError> {
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        let cluster = Cluster::connect(what.context, what.namespace).await?;
        let pod = match engine_pod(&cluster).await? {
            Pods::Runs(pod) => pod,
            Pods::Waits(reason) => {
                installed(&cluster).await?;
                return Err(ClusterError::EngineAway { namespace: cluster.namespace, reason });
            }
        };
        let tty = what.terminal.is_some();
        let params = AttachParams { stdin: true, stdout: true, stderr: !tty, tty, ..AttachParams::default() }
            .container("engine");
        let command = std::iter::once("/tidegate".to_owned()).chain(what.args);
        let attached = cluster.pods().exec(&pod, command, &params).await;
        let mut attached = attached.map_err(|e| api("asking the engine by `pods/exec`".to_owned(), e))?;
        let status = attached.take_status();
        // Held open to the end: it is how the command knows that somebody listens.
        let _input = attached.stdin();
        let (stdout, stderr) = (attached.stdout(), attached.stderr());
        let sizes = attached.terminal_size();
        let shown = async {
            let (out, err) = tokio::join!(pass(stdout, out), pass(stderr, err));
            out.and(err)
        };
        tokio::select! {
            done = shown => match done {
                // Nobody reads any more: not an error of the engine.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Some(0)),
                Err(source) => return Err(ClusterError::Io { doing: "showing what the engine says", source }),
                Ok(()) => {}
            },
            () = follow_size(sizes, what.terminal) => {}
        }
        match status {
            Some(status) => Ok(status.await.as_ref().and_then(code_of)),
            None => Ok(None),
        }
    });
    runtime.shutdown_background();
    code
}

/// Tells the command how large its terminal is, as long as that may change.
async fn follow_size(
    sizes: Option<futures::channel::mpsc::Sender<TerminalSize>>,
    terminal: Option<Terminal>,
) {
    let (Some(mut sizes), Some(terminal)) = (sizes, terminal) else {
        return std::future::pending().await;
    };
    let mut last = None;
    loop {
        let now = terminal();
        if let Some((width, height)) = now.filter(|_| now != last) {
            let _ = sizes.try_send(TerminalSize { height, width });
            last = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn pass(from: Option<impl AsyncRead + Unpin>, to: &mut dyn Write) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut piece = vec![0; PIECE];
    loop {
        // A connection that broke has no more to say; the missing status tells.
        let Ok(read) = from.read(&mut piece).await else { return Ok(()) };
        if read == 0 {
            return Ok(());
        }
        to.write_all(piece.get(..read).unwrap_or_default())?;
        to.flush()?;
    }
}

/// The exit code in an API server's words about a command.
fn code_of(status: &Status) -> Option<i32> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    code.message.as_deref()?.parse().ok()
}

/// What is seen of the engine's pods.
pub(super) enum Pods {
    /// One runs: its name.
    Runs(String),
    /// None does, and why.
    Waits(String),
}

/// Looks for the engine's pod.
pub(super) async fn engine_pod(cluster: &Cluster) -> Result<Pods, ClusterError> {
    let chosen = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    let pods = cluster.pods().list(&chosen).await.map_err(|e| api("looking for the engine".to_owned(), e))?;
    let runs = |pod: &&Pod| {
        let ready = |status: &k8s_openapi::api::core::v1::PodStatus| {
            status.container_statuses.iter().flatten().any(|c| c.name == "engine" && c.ready)
        };
        pod.metadata.deletion_timestamp.is_none() && pod.status.as_ref().is_some_and(ready)
    };
    if let Some(name) = pods.items.iter().find(runs).and_then(|pod| pod.metadata.name.clone()) {
        return Ok(Pods::Runs(name));
    }
    Ok(Pods::Waits(match pods.items.iter().find_map(waiting) {
        Some(Waiting::Unschedulable(said)) => format!("no node takes its pod: {said}"),
        Some(waits) => waits.reason().to_owned(),
        None if pods.items.is_empty() => "it has no pod".to_owned(),
        None => "its pod is not ready".to_owned(),
    }))
}

/// An error that says so where nobody has put up an engine. Who may not look is believed.
pub(super) async fn installed(cluster: &Cluster) -> Result<(), ClusterError> {
    match cluster.deployments().get_opt(NAME).await {
        Ok(None) => Err(ClusterError::NoEngine { namespace: cluster.namespace.clone() }),
        Ok(Some(_)) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(api("looking for the engine".to_owned(), error)),
    }
}
