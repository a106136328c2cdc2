//! `tidegate init`: writes a first workflow for the project that is here. Never overwrites.

use super::{Exit, Failure, Globals};
use std::path::Path;

/// Arguments of `tidegate init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate init    write .ml/workflows/NAME.yml for what is in this folder")]
pub struct Args {
    /// Name of the workflow [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let here =
        std::env::current_dir().map_err(|e| Failure::tool("cannot see the current folder").caused_by(&e))?;
    let folder = here.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = args
        .name
        .unwrap_or(folder)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .collect();
    let name = if name.trim_matches('-').is_empty() { "first".to_owned() } else { name };
    let path = here.join(".ml/workflows").join(format!("{name}.yml"));
    let shown = format!(".ml/workflows/{name}.yml");
    if path.exists() {
        return Err(Failure::wrong(format!("{shown} is there already")).hint("`--name` gives another name"));
    }
    let text = workflow(&here, &name);
    let failed = |e: std::io::Error| Failure::tool(format!("cannot write {shown}")).caused_by(&e);
    std::fs::create_dir_all(here.join(".ml/workflows")).map_err(failed)?;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(failed)?;
    globals.print(format!("wrote {shown}\ntidegate check · tidegate run {shown}\n"))?;
    Ok(Exit::Good)
}

/// Writes what fits the files that are here: a script to train with, and what it requires.
fn workflow(here: &Path, name: &str) -> String {
    let requirements = here.join("requirements.txt").is_file();
    let script =
        ["train.py", "main.py", "src/train.py", "train/train.py"].iter().find(|p| here.join(p).is_file());
    let python = if requirements {
        "defaults:\n  python: { requirements: requirements.txt }   # made once, then reused\n\n"
    } else {
        ""
    };
    let step = script.map_or_else(
        || "echo 'put the command that trains here'".to_owned(),
        |script| format!("python {script}"),
    );
    format!(
        "name: {name}\n\non:\n  push:\n  workflow_dispatch:\n\n{python}jobs:\n  train:\n    steps:\n      - run: {step}\n\
         \u{20}   # Numbers that the command writes, such as {{\"accuracy\": 0.97}}, and a gate on them:\n\
         \u{20}   # metrics: {{ files: metrics.json, goals: {{ accuracy: max }} }}\n\
         \u{20}   #  - gate: {{ metrics: {{ accuracy: {{ min: 0.9 }} }} }}\n"
    )
}
