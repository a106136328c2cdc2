//! `tidegate runs diff`.

use super::{Format, Kept};
use crate::app::cli::elsewhere::Elsewhere;
use crate::app::cli::trees::changed_files;
use crate::app::cli::{Exit, Failure, Globals};
use crate::app::report::runs::{Side, compare};
use crate::app::report::{RunView, Style};
use std::collections::BTreeMap;

/// Arguments of `tidegate runs diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate runs diff 6 7")]
pub struct Args {
    /// Number or ULID of the first run
    before: String,
    /// Number or ULID of the second run
    after: String,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Compares two runs.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if let Some(exit) = args.elsewhere.forward(globals, false)? {
        return Ok(exit);
    }
    let kept = Kept::open(globals)?;
    let before = kept.view(&kept.find(Some(&args.before))?)?;
    let after = kept.view(&kept.find(Some(&args.after))?)?;
    let objects = kept.store.file_objects();
    let files = changed_files(&objects, &before.created.source, &after.created.source);
    let difference = compare(
        &Side { view: &before, texts: texts(&kept, &before) },
        &Side { view: &after, texts: texts(&kept, &after) },
        files.unwrap_or_default(),
    );
    globals.print(match args.format {
        Format::Json => serde_json::to_string(&difference).map(|text| text + "\n").unwrap_or_default(),
        Format::Text => difference.text(Style { color: globals.color() }),
    })?;
    Ok(Exit::Good)
}

/// Reads the workflow files of a run from the store, as far as they are kept.
pub(in crate::app::cli) fn texts(kept: &Kept, view: &RunView) -> BTreeMap<String, String> {
    let objects = kept.store.objects();
    let text = |digest: &String| String::from_utf8(objects.get(digest).ok()?).ok();
    view.created.texts.iter().filter_map(|(path, digest)| Some((path.clone(), text(digest)?))).collect()
}
