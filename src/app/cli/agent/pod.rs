//! `tidegate agent --pod`: the agent of one attempt, as the pod's manifest starts it.

use crate::app::cli::{Exit, Failure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_edge::agent::Control;
use tidegate_edge::executor::inside::{Inside, inside, leave};
use tidegate_flow::job::Conclusion;

/// Copies this program into a folder; what is there gives way whole.
pub(super) fn install(folder: &Path) -> Result<Exit, Failure> {
    let copy = || {
        let new = folder.join(".tidegate.new");
        std::fs::copy("/proc/self/exe", &new)?;
        std::fs::rename(new, folder.join("tidegate"))
    };
    copy().map_err(|e| {
        Failure::tool(format!("cannot copy this program to {}", folder.display())).caused_by(&e)
    })?;
    Ok(Exit::Good)
}

/// Runs the attempt.
pub(super) fn run() -> Result<Exit, Failure> {
    let place = place()?;
    let control = Arc::new(Control::new());
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|e| Failure::tool("listening for signals").caused_by(&e))?;
    let told = control.clone();
    std::thread::spawn(move || signals.forever().for_each(|_| leave(&told)));
    match inside(&place, control) {
        Ok(Conclusion::Success | Conclusion::Skipped) => Ok(Exit::Good),
        Ok(Conclusion::Cancelled) => Ok(Exit::Cancelled),
        Ok(Conclusion::Failure) => Ok(Exit::JobFailed),
        Err(error) => Err(Failure::tool("the attempt cannot go on here").caused_by(&error)),
    }
}

fn place() -> Result<Inside, Failure> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|e| Failure::wrong(format!("the variable {name}")).caused_by(&e))
    };
    let folder = |name: &str, default: &str| {
        std::env::var_os(name).map_or_else(|| Path::new(default).to_owned(), Into::into)
    };
    let secret = folder("TIDEGATE_SECRET", "/run/tidegate/secret");
    let read = |name: &str| {
        let path = secret.join(name);
        std::fs::read_to_string(&path)
            .map_err(|e| Failure::tool(format!("cannot read {}", path.display())).caused_by(&e))
    };
    let hub = variable("TIDEGATE_HUB")?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Inside {
        hub: hub.parse().map_err(|e| Failure::wrong(format!("{hub} is no address")).caused_by(&e))?,
        certificate: read("hub.pem")?,
        attempt: variable("TIDEGATE_ATTEMPT")?,
        node: std::env::var("TIDEGATE_NODE").ok().and_then(|node| node.parse().ok()).unwrap_or_default(),
        key: read("key")?.trim().to_owned(),
        // A restart of the agent in the same pod is another agent: its steps are gone.
        incarnation: format!("{}.{}", variable("TIDEGATE_POD_UID")?, since.as_nanos()),
        orphan_after: std::env::var("TIDEGATE_ORPHAN_AFTER")
            .ok()
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs),
        spec: variable("TIDEGATE_SPEC")?,
        secrets: serde_json::from_str(&read("secrets.json")?)
            .map_err(|e| Failure::tool("the attempt's secrets").caused_by(&e))?,
        shared: folder("TIDEGATE_SHARED", "/run/tidegate/shared"),
        own: folder("TIDEGATE_OWN", "/run/tidegate/own"),
    })
}
