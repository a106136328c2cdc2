//! The examples under `.mlflow-examples`, each run as a user would.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An example in a repository of its own, so that its store and its work folders are its own.
struct Example {
    folder: tempfile::TempDir,
}

impl Example {
    fn new(name: &str) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(".mlflow-examples").join(name);
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-r").arg(from.join(".")).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        let example = Self { folder };
        for words in ["init -q -b main", "add -A", "-c user.name=t -c user.email=t@t commit -q -m example"] {
            let ok = Command::new("git")
                .args(words.split(' '))
                .current_dir(example.folder.path())
                .status()
                .unwrap();
            assert!(ok.success());
        }
        example
    }

    /// Runs `tidegate` here; exit code and all that was printed. Python environments are kept in
    /// the user's cache, as they are for a user.
    fn tidegate(&self, arguments: &[&str]) -> (i32, String) {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("GITHUB_ACTIONS")
            .env("XDG_CACHE_HOME", cache.unwrap())
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    }
}

#[test]
fn digits_trains_six_models_and_lets_the_best_through() {
    let example = Example::new("digits");
    let (code, text) = example.tidegate(&["run", ".ml/workflows/digits.yml"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("6 of 6") && text.contains("best accuracy 0.9889: model=svm c=1"), "{text}");
    assert!(text.contains("accuracy   0.9889 ≥ 0.95   0.0389 to spare"), "{text}");

    // Again: preparation and training come from the cache, the gate is judged anew.
    let (code, text) = example.tidegate(&["run", ".ml/workflows/digits.yml"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("7 from cache"), "{text}");

    // Another training script: the data stay, the models do not, and `plan` and `why` name the file.
    let fit = example.folder.path().join("train/fit.py");
    let changed = std::fs::read_to_string(&fit).unwrap() + "# another\n";
    std::fs::write(fit, changed).unwrap();
    let (_, text) = example.tidegate(&["plan", ".ml/workflows/digits.yml"]);
    assert!(text.contains("prepare    from cache  done in run 1"), "{text}");
    assert!(text.contains("train × 6  runs        train/fit.py changed since run 2"), "{text}");
    assert!(text.contains("(from runs 1 to 2)"), "how long it may take:\n{text}");
    let (code, text) = example.tidegate(&["run", ".ml/workflows/digits.yml"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("working tree (1 file changed since") && text.contains("1 from cache"), "{text}");
    let (_, text) = example.tidegate(&["why", "train"]);
    assert!(text.contains("differs from run 2 in one part\n  source   train/fit.py   "), "{text}");
}

#[test]
fn a_gate_that_nothing_passes_ends_with_3() {
    let example = Example::new("digits");
    let (code, text) = example.tidegate(&["run", ".ml/workflows/too-good.yml"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("accuracy 0.9289 < 0.9999 (min)   short by 0.071"), "{text}");
    assert!(text.contains("– publish") && text.contains("skipped: evaluate failed"), "{text}");
    assert!(!text.contains("this line is never printed"), "{text}");
}

#[test]
fn reviews_stop_when_the_data_drift() {
    let example = Example::new("reviews");
    let (code, text) = example.tidegate(&["run"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = example.tidegate(&["run", "--data", "reviews=drifted"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("row 17 (line 17): label: \"meh\" is not one of"), "{text}");
    assert!(text.contains("skipped: prepare failed"), "{text}");
    let (_, text) = example.tidegate(&["runs", "diff", "1", "2"]);
    assert!(text.contains("data.reviews   ") && text.contains("train     success → skipped"), "{text}");

    // A rerun sees the data as they were pinned, whatever lies there now.
    std::fs::write(example.folder.path().join("data/reviews.jsonl"), "").unwrap();
    let (code, text) = example.tidegate(&["runs", "rerun", "1", "--from", "train"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn boosting_goes_on_from_its_checkpoint() {
    let example = Example::new("boosting");
    let (code, text) = example.tidegate(&["run"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("on attempt 2") && text.contains("rounds 60 = 60"), "{text}");
    let (_, log) = example.tidegate(&["runs", "logs", "1", "train", "--attempt", "1"]);
    assert!(log.contains("starting from round 0") && log.contains("killed in round 35"), "{log}");
    let (code, log) = example.tidegate(&["runs", "logs", "1", "train"]);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("starting from round 30"), "{log}");
}
