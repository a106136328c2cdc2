//! `tidegate hub`: keeps messages, logs and objects between agents and engines elsewhere.

use super::{Exit, Failure, Globals};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_edge::hub::{Bucket, Hub, Identity};

/// Arguments of `tidegate hub`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7433")]
    listen: SocketAddr,
    /// Where to keep things
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// A folder with `hub.pem` (certificate), `hub.key` (private key) and `key` (the engines' secret)
    #[arg(long, value_name = "DIR")]
    identity: PathBuf,
    /// An object store to keep objects in: `s3://BUCKET/PREFIX`, `gs://…` or `az://…`; its credentials are this
    /// process's environment, or the pod's identity
    #[arg(long, value_name = "URL")]
    object_store: Option<String>,
}

/// Runs the command.
pub fn run(args: Args, _: &Globals) -> Result<Exit, Failure> {
    let read = |name: &str| read(&args.identity.join(name));
    let identity = Identity { certificate: read("hub.pem")?, key: read("hub.key")? };
    let bucket = args.object_store.as_deref().map(|url| Bucket::open(url, std::env::vars())).transpose();
    let bucket = bucket.map_err(|reason| Failure::wrong(format!("the object store: {reason}")))?;
    let hub = Hub::open(&args.folder, read("key")?.trim(), bucket)
        .map_err(|e| Failure::tool("the hub's folder").caused_by(&e))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::tool("starting the hub").caused_by(&e))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen)
            .await
            .map_err(|e| Failure::tool(format!("cannot listen at {}", args.listen)).caused_by(&e))?;
        Arc::new(hub).serve(listener, &identity).await.map_err(|e| Failure::tool("the hub").caused_by(&e))
    })?;
    Ok(Exit::Good)
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|e| Failure::tool(format!("cannot read {}", path.display())).caused_by(&e))
}
