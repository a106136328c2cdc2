//! What is left of engines that were killed: containers by their labels, folders by their names.

use super::create::{RUN, STORE};
use super::engine::{Bounds, CallError, ContainerEngine};
use super::host::FOLDER;
use crate::agent::remove_folder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// How often they are listed.
const TRIES: u32 = 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: String,
    config: Config,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// Removes, or only lists, the containers of a store whose run does not go on, and the folders they
/// shared with their agents. Returns their names. Another store's are never looked at.
pub fn remove_leftovers(
    engine: &ContainerEngine,
    store: &Path,
    store_id: &str,
    goes_on: &dyn Fn(&str) -> bool,
    dry_run: bool,
) -> Result<Vec<String>, CallError> {
    let mut left = Vec::new();
    for found in all(engine, store_id)? {
        let labels = found.config.labels.unwrap_or_default();
        if !labels.get(RUN).is_some_and(|run| goes_on(run)) {
            left.push(found.name.trim_start_matches('/').to_owned());
        }
    }
    if !dry_run {
        engine.remove(&left)?;
    }
    for entry in std::fs::read_dir(store.join(FOLDER)).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name.split('.').next().unwrap_or_default();
        if !goes_on(run) && !dry_run {
            remove_folder(&entry.path());
        }
    }
    Ok(left)
}

/// All containers of a store. Where one goes before it is looked at, they are listed again: other runs of the store go on.
fn all(engine: &ContainerEngine, store_id: &str) -> Result<Vec<Inspected>, CallError> {
    let filter = format!("--filter=label={STORE}={store_id}");
    let list = ["ps".into(), "--all".into(), "--quiet".into(), filter];
    let mut tries = 1;
    loop {
        let listed = engine.call(&list, Bounds::minutes(1))?;
        let ids: Vec<String> = listed.split_whitespace().map(str::to_owned).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let args: Vec<String> =
            ["inspect", "--type=container"].map(str::to_owned).into_iter().chain(ids).collect();
        match engine.ask(&args, Bounds::minutes(1)) {
            Err(CallError::Failed { .. }) if tries < TRIES => tries += 1,
            found => return found,
        }
    }
}
