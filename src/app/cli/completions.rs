//! `tidegate completions`: prints completions for a shell.

use super::runs::Format;
use super::{Exit, Failure, Globals, command};
use serde_json::json;

/// Arguments of `tidegate completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completions zsh > ~/.zfunc/_tidegate
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command has this signature")]
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command::definition(), "tidegate", &mut script);
    match args.format {
        Format::Text => globals.print_bytes(&script)?,
        Format::Json => {
            let script = String::from_utf8_lossy(&script);
            globals.print(format!("{}\n", json!({ "shell": args.shell.to_string(), "script": script })))?;
        }
    }
    Ok(Exit::Good)
}
