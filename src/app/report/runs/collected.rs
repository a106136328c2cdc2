//! What a collection freed, or would free.

use crate::app::report::{Style, bytes, count};
use serde_json::{Value as Json, json};

/// How many files or folders, and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part {
    /// How many.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The figures of a collection.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// As it was asked: `30d`.
    pub keep: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Runs that keep what they need.
    pub runs_kept: u64,
    /// Of these, the ones that have not ended and that no engine runs.
    pub interrupted: u64,
    /// Runs that need nothing any more.
    pub runs_old: u64,
    /// Objects that stay.
    pub kept: Part,
    /// Of these, what nobody needs and was written too lately to go.
    pub young: Part,
    /// Objects that went.
    pub objects: Part,
    /// Logs of whole runs that went.
    pub logs: Part,
    /// Checkpoints that went.
    pub checkpoints: Part,
    /// Cache entries that went.
    pub cache: u64,
}

impl Figures {
    fn freed(&self) -> u64 {
        self.objects.bytes + self.logs.bytes + self.checkpoints.bytes
    }

    fn nothing(&self) -> bool {
        self.objects.count + self.logs.count + self.checkpoints.count + self.cache == 0
    }
}

/// Writes the figures for people. `next` makes a command line of this program.
pub fn collected(figures: &Figures, style: Style, next: &dyn Fn(&str) -> String) -> String {
    let keep = &figures.keep;
    let mut text = format!(
        "runs     {} keep what they need, {} ended more than {keep} ago\n",
        count(figures.runs_kept),
        count(figures.runs_old),
    );
    text.push_str(&format!("objects  {} stay ({})", count(figures.kept.count), bytes(figures.kept.bytes)));
    if figures.young.count > 0 {
        text.push_str(&format!(
            ", {} of them only because they are young ({})",
            count(figures.young.count),
            bytes(figures.young.bytes)
        ));
    }
    text.push_str("\n\n");
    if figures.nothing() {
        text.push_str("nothing to free\n");
    } else {
        let parts = [
            (figures.objects.count, "object", "objects"),
            (figures.logs.count, "run's logs", "runs' logs"),
            (figures.checkpoints.count, "checkpoint", "checkpoints"),
            (figures.cache, "cache entry", "cache entries"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(n, ..)| *n > 0)
            .map(|(n, one, many)| format!("{} {}", count(*n), if *n == 1 { one } else { many }))
            .collect();
        let verb = if figures.dry_run { "would be freed" } else { "freed" };
        text.push_str(&format!("{} {verb}: {}\n", bytes(figures.freed()), parts.join(", ")));
    }
    let mut hints = Vec::new();
    if figures.dry_run && !figures.nothing() {
        hints.push(format!("{} frees it", next(&format!("runs gc --keep {keep}"))));
    }
    if figures.young.count > 0 {
        hints.push("what is young goes an hour after it was written or used last".to_owned());
    }
    if figures.interrupted > 0 {
        let runs = if figures.interrupted == 1 { "run" } else { "runs" };
        hints.push(format!(
            "{} interrupted {runs} may still go on: {}",
            count(figures.interrupted),
            next("runs list --state interrupted")
        ));
    }
    for hint in hints {
        text.push_str(&format!("{}\n", style.dim(&hint)));
    }
    text
}

/// The figures for programs.
pub fn collected_json(figures: &Figures) -> Json {
    let part = |part: Part| json!({ "count": part.count, "bytes": part.bytes });
    json!({
        "dry_run": figures.dry_run,
        "keep": figures.keep,
        "runs": { "kept": figures.runs_kept, "interrupted": figures.interrupted, "old": figures.runs_old },
        "kept": part(figures.kept),
        "young": part(figures.young),
        "freed": {
            "bytes": figures.freed(), "objects": part(figures.objects), "logs": part(figures.logs),
            "checkpoints": part(figures.checkpoints), "cache_entries": figures.cache,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(figures: &Figures) -> String {
        collected(figures, Style { color: false }, &|args| format!("tidegate {args}"))
    }

    #[test]
    fn figures_for_people() {
        let part = |count, bytes| Part { count, bytes };
        let figures = Figures {
            keep: "30d".to_owned(),
            dry_run: true,
            runs_kept: 12,
            interrupted: 1,
            runs_old: 40,
            kept: part(1204, 3_100_000_000),
            young: part(2, 900),
            objects: part(380, 1_200_000_000),
            logs: part(40, 2_000_000),
            checkpoints: part(0, 0),
            cache: 1,
        };
        assert_eq!(
            shown(&figures),
            "runs     12 keep what they need, 40 ended more than 30d ago\n\
             objects  1,204 stay (3.1 GB), 2 of them only because they are young (900 B)\n\
             \n\
             1.2 GB would be freed: 380 objects, 40 runs' logs, 1 cache entry\n\
             tidegate runs gc --keep 30d frees it\n\
             what is young goes an hour after it was written or used last\n\
             1 interrupted run may still go on: tidegate runs list --state interrupted\n"
        );
        let none = Figures { keep: "12h".to_owned(), ..Figures::default() };
        assert!(shown(&none).ends_with("\n\nnothing to free\n"), "{}", shown(&none));
        let one = Figures { objects: part(1, 5), keep: "12h".to_owned(), ..Figures::default() };
        assert!(shown(&one).ends_with("\n\n5 B freed: 1 object\n"), "{}", shown(&one));
    }
}
