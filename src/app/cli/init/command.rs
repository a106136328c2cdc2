//! Arguments, and the file that is written.

use super::draft::draft;
use super::look::look;
use crate::app::cli::runs::Format;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::config::workflow_files;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

/// Arguments of `tidegate init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate init                  write .ml/workflows/NAME.yml for what is in this folder
  tidegate init --name nightly   write another one beside what is there")]
pub struct Args {
    /// Name of the workflow [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let here =
        std::env::current_dir().map_err(|e| Failure::tool("cannot see the current folder").caused_by(&e))?;
    let folder = here.join(".ml/workflows");
    let there =
        workflow_files(&folder).map_err(|e| Failure::tool("cannot list .ml/workflows").caused_by(&e))?;
    if args.name.is_none()
        && let Some(first) = there.first()
    {
        let first = first.file_name().unwrap_or_default().to_string_lossy();
        let more = if there.len() > 1 { format!(" and {} more", there.len() - 1) } else { String::new() };
        return Err(Failure::wrong(format!("there is a workflow already: .ml/workflows/{first}{more}"))
            .hint("`tidegate init --name NAME` writes another one beside it")
            .hint("`tidegate check` says whether it is right, `tidegate run` runs it"));
    }
    let name = name(args.name, &here);
    let path = folder.join(format!("{name}.yml"));
    let shown = format!(".ml/workflows/{name}.yml");
    if path.exists() {
        return Err(Failure::wrong(format!("{shown} is there already")).hint("`--name` gives another name"));
    }
    let project = look(&here);
    let failed = |e: std::io::Error| Failure::tool(format!("cannot write {shown}")).caused_by(&e);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(draft(&name, &project).as_bytes()))
        .map_err(failed)?;
    globals.print(match args.format {
        Format::Json => format!("{}\n", json!({ "wrote": shown, "found": project.words() })),
        Format::Text => {
            let found = project.words();
            let found = if found.is_empty() { "nothing to run yet".to_owned() } else { found.join(", ") };
            format!("wrote {shown} for what is here: {found}\ntidegate check · tidegate plan · tidegate run {shown}\n")
        }
    })?;
    Ok(Exit::Good)
}

/// A name that is a file's name, too.
fn name(asked: Option<String>, here: &Path) -> String {
    let folder = here.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = asked.unwrap_or(folder).chars().map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "first".to_owned() } else { name.to_owned() }
}
