//! Artifacts of a run that were laid into a folder.

use crate::app::report::{RunView, Style, bytes, count, shown_name};
use serde_json::{Value as Json, json};
use tidegate_flow::job::ArtifactRef;

/// One artifact where it lies now.
#[derive(Clone, Debug)]
pub struct Laid {
    /// Its name.
    pub name: String,
    /// The job, with its matrix values, that kept it.
    pub of: String,
    /// Where.
    pub path: String,
    /// What it is.
    pub artifact: ArtifactRef,
}

/// One artifact for people, without the end of the line.
pub fn laid(one: &Laid, style: Style) -> String {
    let ArtifactRef { size, files, .. } = one.artifact;
    format!(
        "  {} {}  {}  {} → {}",
        style.good("✓"),
        style.name(&shown_name(&one.name)),
        style.dim(&shown_name(&one.of)),
        amount(files, size),
        shown_name(&one.path)
    )
}

/// All of them for people: the last line.
pub fn downloaded(all: &[Laid], style: Style) -> String {
    let (files, size) =
        all.iter().fold((0, 0), |(files, size), one| (files + one.artifact.files, size + one.artifact.size));
    let what = if all.len() == 1 { "artifact" } else { "artifacts" };
    match all.len() {
        // Why is said with the error.
        0 => String::new(),
        n => format!("\n{}\n", style.dim(&format!("{n} {what}: {}", amount(files, size)))),
    }
}

fn amount(files: u64, size: u64) -> String {
    let what = if files == 1 { "file" } else { "files" };
    format!("{} {what}, {}", count(files), bytes(size))
}

/// All of them for programs, with the names of those that are not kept any more.
pub fn downloaded_json(view: &RunView, all: &[Laid], collected: &[&str]) -> Json {
    let artifacts: Vec<Json> = all
        .iter()
        .map(|one| {
            let ArtifactRef { digest, size, files, .. } = &one.artifact;
            json!({ "name": one.name, "of": one.of, "path": one.path, "files": files, "bytes": size, "digest": digest })
        })
        .collect();
    let created = &view.created;
    json!({ "run": created.run, "number": created.number, "artifacts": artifacts, "collected": collected })
}
