//! An engine of this process: what the tests with a fault or a witness in its log start.

use std::collections::BTreeMap;
use std::path::Path;
use tidegate::app::config::Project;
use tidegate::app::engine::{Observer, RunRequest};
use tidegate_flow::run::RunEvent;
use tidegate_lang::workflow::Dialect;

/// Shows nothing.
pub struct Nobody;

impl Observer for Nobody {
    fn event(&mut self, _event: &RunEvent) {}
    fn warn(&mut self, _text: &str) {}
}

/// `tidegate run` by hand of a harness project's workflow.
pub fn by_hand(root: &Path, store: Option<&Path>) -> RunRequest {
    RunRequest {
        project: Project::find(root, store).unwrap(),
        file: root.join(".ml/workflows/test.yml"),
        dialect: Dialect::Tidegate,
        event: "workflow_dispatch".to_owned(),
        payload: serde_json::json!({}),
        by_hand: true,
        inputs: BTreeMap::new(),
        jobs: Vec::new(),
        matrix: Vec::new(),
        secrets: BTreeMap::new(),
        vars: BTreeMap::new(),
        env: BTreeMap::new(),
        data: BTreeMap::new(),
        in_place: false,
        actor: None,
        debug: false,
        rerun: None,
    }
}
