//! `tidegate init`: what it writes fits the folder, and passes `check` and `plan`.

use crate::harness::Project;

fn passes(project: &Project) {
    project.tidegate(["check"]).code(0).stdout("nothing wrong in 1 file");
    project.tidegate(["plan"]).code(0).stdout("starts: started by hand");
    project.tidegate(["check", "--strict"]).code(0);
}

#[test]
fn an_empty_folder_gets_what_runs() {
    let project = Project::new();
    project
        .tidegate(["init", "--name", "first"])
        .code(0)
        .stdout("wrote .ml/workflows/first.yml")
        .stdout("nothing to run yet");
    passes(&project);
    project.tidegate(["run"]).code(0).stdout("passed in");
}

#[test]
fn a_python_project_gets_its_scripts_in_order_and_its_requirements() {
    let project = Project::new()
        .file("src/train.py", "import torch\nopen('metrics.json', 'w')\n")
        .file("evaluate.py", "")
        .file("prepare.py", "")
        .file("requirements.txt", "torch\n");
    let done = project.tidegate(["init", "--name", "model"]).code(0);
    let _ = done.stdout("prepare.py, src/train.py, evaluate.py, requirements.txt");
    passes(&project);
    let text = std::fs::read_to_string(project.path().join(".ml/workflows/model.yml")).unwrap();
    assert!(text.contains("python: { requirements: requirements.txt }"), "{text}");
    let order = ["python prepare.py", "python src/train.py", "python evaluate.py", "    metrics: { files"];
    let places: Vec<usize> = order.iter().map(|part| text.find(part).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn what_is_imported_is_installed_where_no_file_lists_it() {
    let project = Project::new().file("train.py", "import numpy as np\nfrom sklearn.svm import SVC\n");
    project.tidegate(["init", "--name", "m"]).code(0);
    passes(&project);
    project.sh("grep -q 'packages: \\[numpy, scikit-learn\\]' .ml/workflows/m.yml");
}

#[test]
fn notebooks_run_by_name() {
    let cell = r#"{"cells": [{"source": ["import pandas as pd\n"]}]}"#;
    let project = Project::new().file("notebooks/02 fit.ipynb", cell).file("01_load.ipynb", cell);
    project.tidegate(["init", "--name", "nb"]).code(0);
    passes(&project);
    let text = std::fs::read_to_string(project.path().join(".ml/workflows/nb.yml")).unwrap();
    let (load, fit) = (text.find("01_load.ipynb").unwrap(), text.find("'notebooks/02 fit.ipynb'").unwrap());
    assert!(load < fit && text.contains("packages: [pandas, ipykernel, nbclient]"), "{text}");
}

#[test]
fn nothing_is_overwritten() {
    let project = Project::workflow("on: push\n");
    project
        .tidegate(["init"])
        .code(2)
        .stderr("there is a workflow already: .ml/workflows/test.yml")
        .stderr("--name");
    project.tidegate(["init", "--name", "test"]).code(2).stderr("is there already");
    project.sh("test \"$(cat .ml/workflows/test.yml)\" = 'on: push'");
    project.tidegate(["init", "--name", "on"]).code(0);
    project.tidegate(["check", ".ml/workflows/on.yml"]).code(0);
}
