//! What lies in a folder that a first workflow could run: scripts, notebooks, requirements.

use std::collections::BTreeSet;
use std::path::Path;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Python scripts in the order in which they would run: prepare, train, evaluate.
    pub(super) scripts: Vec<String>,
    /// Notebooks by name, where there is no script.
    pub(super) notebooks: Vec<String>,
    /// Whether there is a `requirements.txt`.
    pub(super) requirements: bool,
    /// Packages that the files import, as they are installed; only without `requirements.txt`.
    pub(super) packages: Vec<&'static str>,
    /// The metrics file that a script names.
    pub(super) metrics: Option<&'static str>,
}

/// Names of scripts by what they are for, the likeliest first.
const STAGES: [&[&str]; 3] = [
    &["prepare", "preprocess", "make_dataset", "clean", "download"],
    &["train", "fit", "train_model", "main"],
    &["evaluate", "eval", "score"],
];

/// Folders in which scripts are looked for.
const FOLDERS: [&str; 4] = ["", "src/", "scripts/", "train/"];

/// What is imported, and how it is installed. Others have to be named by hand.
const PACKAGES: [(&str, &str); 22] = [
    ("catboost", "catboost"),
    ("cv2", "opencv-python-headless"),
    ("datasets", "datasets"),
    ("joblib", "joblib"),
    ("keras", "keras"),
    ("lightgbm", "lightgbm"),
    ("matplotlib", "matplotlib"),
    ("numpy", "numpy"),
    ("pandas", "pandas"),
    ("PIL", "pillow"),
    ("polars", "polars"),
    ("pyarrow", "pyarrow"),
    ("requests", "requests"),
    ("scipy", "scipy"),
    ("seaborn", "seaborn"),
    ("sklearn", "scikit-learn"),
    ("statsmodels", "statsmodels"),
    ("tensorflow", "tensorflow"),
    ("torch", "torch"),
    ("torchvision", "torchvision"),
    ("transformers", "transformers"),
    ("xgboost", "xgboost"),
];

/// Most bytes of a file that are searched for imports.
const MOST: u64 = 4 << 20;

impl Found {
    /// Returns what was found, for people.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.scripts.iter().chain(&self.notebooks).cloned().collect();
        if self.requirements {
            words.push("requirements.txt".to_owned());
        }
        words
    }
}

/// Looks at a folder. What cannot be read is not there.
pub(super) fn look(here: &Path) -> Found {
    let mut found = Found { requirements: here.join("requirements.txt").is_file(), ..Found::default() };
    for names in STAGES {
        let places = names.iter().flat_map(|name| FOLDERS.map(|folder| format!("{folder}{name}.py")));
        found.scripts.extend(places.into_iter().find(|path| here.join(path).is_file()));
    }
    if found.scripts.is_empty() {
        found.notebooks = notebooks(here);
    }
    let mut imports = BTreeSet::new();
    for path in found.scripts.iter().chain(&found.notebooks) {
        let path = here.join(path);
        if path.metadata().map_or(0, |meta| meta.len()) > MOST {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap_or_default();
        imports
            .extend(PACKAGES.iter().filter(|(module, _)| is_imported(&text, module)).map(|(_, name)| *name));
        if text.contains("metrics.json") {
            found.metrics = Some("metrics.json");
        }
    }
    if !found.requirements {
        found.packages = imports.into_iter().collect();
    }
    found
}

/// The notebooks of a folder and of its `notebooks/`, by name: `01_load.ipynb` before `02_fit.ipynb`.
fn notebooks(here: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "notebooks/"] {
        let entries = std::fs::read_dir(here.join(folder)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        found.extend(
            names
                .filter(|name| Path::new(name).extension().is_some_and(|e| e == "ipynb"))
                .map(|name| format!("{folder}{name}")),
        );
    }
    found.sort();
    found
}

/// Tells whether Python text, or a notebook's JSON, imports a module.
fn is_imported(text: &str, module: &str) -> bool {
    ["import ", "from "].iter().any(|word| {
        let asked = format!("{word}{module}");
        text.match_indices(&asked).any(|(at, _)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + asked.len()..).and_then(|text| text.chars().next());
            before.is_none_or(|c| matches!(c, '\n' | '"' | ' '))
                && after.is_none_or(|c| !c.is_alphanumeric() && c != '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::is_imported;

    #[test]
    fn imports_are_found_in_scripts_and_notebooks() {
        let table = [
            ("import numpy as np", "numpy", true),
            ("x = 1\nfrom sklearn.svm import SVC", "sklearn", true),
            (r#"["import torch\n"]"#, "torch", true),
            ("import torchvision", "torch", false),
            ("# reimport numpy", "numpy", false),
        ];
        for (text, module, wanted) in table {
            assert_eq!(is_imported(text, module), wanted, "{text}");
        }
    }
}
