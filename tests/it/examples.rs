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
    assert!(text.contains("accuracy"), "{text}");
    assert!(text.contains("0.9889"), "the best model is svm with c=1.0:\n{text}");

    // Again: preparation and training come from the cache, the gate is judged anew.
    let (code, text) = example.tidegate(&["run", ".ml/workflows/digits.yml"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("7 from cache"), "{text}");
}

#[test]
fn a_gate_that_nothing_passes_ends_with_3() {
    let example = Example::new("digits");
    let (code, text) = example.tidegate(&["run", ".ml/workflows/too-good.yml"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("0.9999"), "{text}");
    assert!(!text.contains("this line is never printed"), "{text}");
}

#[test]
fn reviews_stop_when_the_data_drift() {
    let example = Example::new("reviews");
    let (code, text) = example.tidegate(&["run"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = example.tidegate(&["run", "--input", "file=data/drifted.jsonl"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("17") && text.contains("meh"), "row 17 has the label `meh`:\n{text}");
}

#[test]
fn boosting_goes_on_from_its_checkpoint() {
    let example = Example::new("boosting");
    let (code, text) = example.tidegate(&["run"]);
    assert_eq!(code, 0, "{text}");
    let (code, log) = example.tidegate(&["runs", "logs", "1", "train"]);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("starting from round 30"), "{log}");
}
