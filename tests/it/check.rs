//! `tidegate check`: what it looks at, how it says it, and how it ends.

use crate::harness::Project;
use serde_json::Value;
use std::os::unix::ffi::OsStrExt as _;

const GOOD: &str = "on: push\njobs:\n  train:\n    steps: [{ run: python fit.py }]\n";
const BAD: &str = "on: push\njobs:\n  train:\n    stepps: [{ run: python fit.py }]\n";
const TWO: &str = "on: push\njobs:\n  train:\n    steps:\n      - run: echo ${{ steps.a.outputs.b }}\n        shell: pyton\n";

#[test]
fn says_everything_of_all_files_at_once() {
    let project = Project::new()
        .file(".ml/workflows/a.yml", GOOD)
        .file(".ml/workflows/b.yml", TWO)
        .file(".ml/workflows/c.yaml", BAD);
    let done = project.tidegate(["check"]).code(2);
    let done = done.stdout("[undefined-step]").stdout("[shell-name]").stdout("[unknown-key]");
    done.stdout(" in 2 of 3 files\n").nowhere("a.yml");
}

#[test]
fn a_good_file_is_good() {
    let done = Project::workflow(GOOD).tidegate(["check"]).code(0);
    assert_eq!(done.stdout, "nothing wrong in 1 file\n");
}

#[test]
fn warnings_fail_only_when_asked() {
    let project =
        Project::workflow("on: push\njobs:\n  a:\n    steps: [{ run: 'echo ::set-output name=a::b' }]\n");
    project.tidegate(["check"]).code(0).stdout("1 warning in 1 file");
    project.tidegate(["check", "--strict"]).code(2);
}

#[test]
fn the_dialect_decides_what_is_refused() {
    let text =
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [{ uses: actions/setup-python@v5 }]\n";
    let project = Project::new().file(".github/workflows/a.yml", text).file("a.yml", text);
    project.tidegate(["check", ".github/workflows"]).code(0);
    project.tidegate(["check", "a.yml"]).code(2).stdout("[remote-action]").stdout("python: { version");
    project.tidegate(["check", "--dialect", "github", "a.yml"]).code(0);
}

#[test]
fn says_what_is_not_there() {
    let project = Project::new();
    project.tidegate(["check"]).code(2).stderr("`.ml/workflows` does not exist").stderr("tidegate init");
    project.tidegate(["check", "x.yml"]).code(2).stderr("`x.yml` does not exist");
    project.sh("mkdir empty && ln -s nowhere link.yml");
    project.tidegate(["check", "empty"]).code(2).stderr("no workflow files (*.yml, *.yaml) in `empty`");
    project.tidegate(["check", "link.yml"]).code(2).stderr("`link.yml` is a link to nothing");
    let project = Project::new().file(".github/workflows/a.yml", GOOD);
    project.tidegate(["check"]).code(2).stderr("tidegate check .github/workflows");
}

#[test]
fn an_empty_file_is_a_finding() {
    Project::workflow("").tidegate(["check"]).code(2).stdout("error[").stdout("1 error in 1 file");
    Project::workflow("# only a comment\n").tidegate(["check"]).code(2);
}

#[test]
fn names_may_be_strange() {
    let project =
        Project::new().file(".ml/workflows/with space.yml", BAD).file(".ml/workflows/new\nline.yml", BAD);
    let strange = std::ffi::OsStr::from_bytes(b".ml/workflows/\xff\xfe.yml");
    std::fs::write(project.path().join(strange), BAD).unwrap();
    let done = project.tidegate(["check"]).code(2);
    done.stdout("with space.yml:4:5").stdout("new\\nline.yml:4:5").stdout("3 of 3 files");
    let done = project.tidegate(["check", "--format", "sarif"]).code(2);
    done.stdout("with%20space.yml");
    project.tidegate([std::ffi::OsStr::new("check"), strange]).code(2);
}

#[test]
fn bytes_that_are_no_text_are_a_finding() {
    let project = Project::workflow("");
    std::fs::write(project.path().join(".ml/workflows/test.yml"), b"on: push\nname: \xff\n").unwrap();
    project.tidegate(["check"]).code(2).stdout("not UTF-8").stdout("1 error in 1 file");
}

#[test]
fn links_out_of_the_project_are_not_followed() {
    let outside = Project::new().file("secret.yml", "password: hunter2\n");
    let project = Project::workflow(GOOD);
    project.sh(&format!("ln -s {}/secret.yml .ml/workflows/out.yml", outside.path().display()));
    project.sh("ln -s test.yml .ml/workflows/inside.yml");
    let done = project.tidegate(["check"]).code(2).nowhere("hunter2").nowhere("password");
    done.stdout("a link out of the project").stdout("1 error in 1 of 3 files");
}

#[test]
fn a_folder_of_a_thousand_files() {
    let mut project = Project::new();
    for number in 0..1000 {
        project =
            project.file(&format!(".ml/workflows/{number:04}.yml"), if number == 500 { BAD } else { GOOD });
    }
    let done = project.tidegate(["check"]).code(2);
    done.stdout("0500.yml").stdout("in 1 of 1000 files");
}

#[test]
fn a_file_is_checked_once() {
    let project = Project::workflow(BAD);
    let done = project.tidegate(["check", ".ml/workflows", ".ml/workflows/test.yml", "."]).code(2);
    assert!(done.stdout.ends_with(" in 1 file\n"), "{}", done.stdout);
}

#[test]
fn findings_of_a_called_workflow_are_said_once() {
    let caller = "on: push\njobs:\n  a:\n    uses: ./.ml/workflows/called.yml\n";
    let called = "on: workflow_call\njobs:\n  a:\n    steps: [{ run: 'x', shell: pyton }]\n";
    let project = Project::new()
        .file(".ml/workflows/a.yml", caller)
        .file(".ml/workflows/b.yml", caller)
        .file(".ml/workflows/called.yml", called);
    for paths in [
        vec!["check"],
        vec!["check", ".ml/workflows/a.yml", ".ml/workflows/b.yml", ".ml/workflows/called.yml"],
    ] {
        let done = project.tidegate(paths).code(2);
        assert_eq!(done.stdout.matches("[shell-name]").count(), 1, "{}", done.stdout);
    }
}

#[test]
fn json_has_places_and_totals() {
    let done = Project::workflow(TWO).tidegate(["check", "--format", "json"]).code(2);
    let value: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(value["files"], 1);
    assert_eq!(value["errors"], 2);
    let step = value["findings"].as_array().unwrap().iter().find(|f| f["rule"] == "undefined-step").unwrap();
    assert_eq!((&step["line"], &step["column"]), (&5.into(), &23.into()), "{step}");
    let shell = value["findings"].as_array().unwrap().iter().find(|f| f["rule"] == "shell-name").unwrap();
    assert_eq!(shell["fix"]["text"], "python");
    assert_eq!(shell["severity"], "error");
}

#[test]
fn sarif_has_the_shape_that_code_hosts_read() {
    let done = Project::workflow(TWO).tidegate(["check", "--format", "sarif"]).code(2);
    let log: Value = serde_json::from_str(&done.stdout).unwrap();
    // The parts of SARIF 2.1.0 that are required, and those that code scanning wants.
    let schema = serde_json::json!({
        "type": "object",
        "required": ["version", "runs", "$schema"],
        "properties": {
            "version": { "const": "2.1.0" },
            "runs": { "type": "array", "minItems": 1, "items": {
                "required": ["tool", "results"],
                "properties": {
                    "tool": { "required": ["driver"], "properties": { "driver": {
                        "required": ["name", "rules"],
                        "properties": { "rules": { "items": {
                            "required": ["id", "shortDescription"],
                            "properties": { "shortDescription": { "required": ["text"] } },
                        } } },
                    } } },
                    "results": { "minItems": 2, "items": {
                        "required": ["ruleId", "ruleIndex", "level", "message", "locations"],
                        "properties": {
                            "level": { "enum": ["error", "warning"] },
                            "message": { "required": ["text"] },
                            "locations": { "minItems": 1, "items": { "required": ["physicalLocation"], "properties": {
                                "physicalLocation": {
                                    "required": ["artifactLocation", "region"],
                                    "properties": {
                                        "artifactLocation": { "required": ["uri"] },
                                        "region": {
                                            "required": ["startLine", "startColumn", "endLine", "endColumn"],
                                            "properties": { "startLine": { "type": "integer", "minimum": 1 } },
                                        },
                                    },
                                },
                            } } },
                        },
                    } },
                },
            } },
        },
    });
    let errors: Vec<String> =
        jsonschema::validator_for(&schema).unwrap().iter_errors(&log).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let run = &log["runs"][0];
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
}

#[test]
fn annotations_are_one_line_each() {
    let done = Project::workflow(TWO).tidegate(["check", "--format", "github"]).code(2);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("::error file=.ml/workflows/test.yml,line=5,endLine=5,col=23,"),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains("title=undefined-step::"), "{}", lines[0]);
}

#[test]
fn a_call_that_fans_out_ends() {
    let mut project = Project::new();
    for level in 0..9 {
        let mut text = "on: [push, workflow_call]\njobs:\n".to_owned();
        for number in 0..30 {
            text.push_str(&format!("  j{number}:\n    uses: ./.ml/workflows/{}.yml\n", level + 1));
        }
        project = project.file(&format!(".ml/workflows/{level}.yml"), &text);
    }
    project = project.file(".ml/workflows/9.yml", &GOOD.replace("push", "workflow_call"));
    project.tidegate(["check", ".ml/workflows/0.yml"]).code(0);
}

/// Line, column, rule and the suggested text of each finding.
fn findings(text: &str) -> Vec<(u64, u64, String, Option<String>)> {
    let done = Project::workflow(text).tidegate(["check", "--format", "json"]);
    let answer: Value = serde_json::from_str(&done.stdout).unwrap();
    let finding = |f: &Value| {
        let fix = f["fix"]["text"].as_str().map(str::to_owned);
        (
            f["line"].as_u64().unwrap(),
            f["column"].as_u64().unwrap(),
            f["rule"].as_str().unwrap().to_owned(),
            fix,
        )
    };
    answer["findings"].as_array().unwrap().iter().map(finding).collect()
}

#[test]
fn secrets_are_seen_in_variables_and_through_encoders() {
    let step = |script: &str| {
        let text =
            "on: push\njobs:\n  a:\n    env: { S: \"${{ secrets.S }}\" }\n    steps:\n      - run: |\n";
        findings(&format!("{text}          true\n          {script}\n"))
    };
    for (script, column) in [
        ("echo $S", Some(16)),
        ("printf '%s' \"${S}\"", Some(24)),
        ("echo \"$S\" | base64", Some(17)),
        ("echo ${{ secrets.S }} | rev", Some(20)),
        ("echo \"$S\" || true", Some(17)),
        ("echo \"$S\" | docker login --password-stdin", None),
        ("echo \"a=$S\" >> \"$GITHUB_ENV\"", None),
        ("echo \"$SX \\$S ${S:+set}\"", None),
        ("curl -H \"$S\" x", None),
        ("cat <<< \"$S\"", Some(20)),
        ("curl \"https://x.y/?key=$S\"", Some(34)),
        ("set -x; true\n          fit \"$S\"", Some(11)),
        ("set +x\n          fit \"$S\"", None),
        ("env", Some(11)),
        ("true && printenv | sort", Some(19)),
        ("env | grep PYTHON", None),
        ("env A=1 fit", None),
        ("python -c 'import os; print(os.environ[\"S\"])'", Some(39)),
        ("echo ${{ secrets.S != '' }}", None),
        ("fit ${{ fromJSON(secrets.S).a }}", Some(19)),
    ] {
        let wanted: Vec<_> =
            column.map(|column| (8, column, "secret-printed".to_owned(), None)).into_iter().collect();
        assert_eq!(step(script), wanted, "{script}");
    }
}

#[test]
fn strangers_words_are_followed_through_matrices_and_outputs() {
    let text = r#"on: [pull_request, issue_comment]
jobs:
  a:
    strategy: { matrix: { m: ["${{ github.event.comment.body }}"], n: [1] } }
    steps: [{ run: "echo ${{ matrix.m }} ${{ matrix.n }}" }]
  b:
    outputs: { t: "${{ github.event.issue.title }}", n: "${{ github.event.issue.number }}" }
    steps: [{ run: "true" }]
  c:
    needs: b
    container: "x:${{ needs.b.outputs.t }}"
    steps: [{ run: "echo ${{ needs.b.outputs.n }}" }]
"#;
    let found: Vec<_> =
        findings(text).into_iter().map(|(line, column, rule, _)| (line, column, rule)).collect();
    assert_eq!(found, [(5, 30, "untrusted-text".to_owned()), (11, 23, "untrusted-text".to_owned())]);
}

#[test]
fn every_word_of_a_line_is_looked_at_and_mended() {
    let line = "echo ${{ neds.b }} ${{ github.hed_ref }} ${{ containz(1) }} ${{ steps.x.outputs.y }}";
    let found = findings(&format!("on: push\njobs:\n  a:\n    steps: [{{ run: \"{line}\" }}]\n"));
    let found: Vec<_> = found.iter().map(|(_, at, rule, fix)| (*at, rule.as_str(), fix.as_deref())).collect();
    assert_eq!(
        found,
        [
            (30, "unknown-context", Some("needs")),
            (66, "unknown-function", Some("contains")),
            (44, "undefined-property", Some("head_ref")),
            (85, "undefined-step", None),
        ]
    );
}

#[test]
fn gates_that_cannot_decide_are_found() {
    let gate = |gate: &str| {
        let text = "on: push\njobs:\n  a:\n    metrics: { files: m.json, goals: { a: max } }\n    steps:\n      - run: fit\n      - gate: ";
        let found = findings(&format!("{text}{gate}\n"));
        found.into_iter().map(|(_, at, rule, _)| format!("{rule} {at}")).collect::<Vec<_>>()
    };
    for (text, wanted) in [
        ("{ metrics: { a: { min: 0.5, max: 0.5 } } }", None),
        ("{ metrics: { a: { min: 0.9, max: 0.5 } } }", Some(("gate-bounds", "0.5 } }"))),
        ("{ metrics: { a: { min: 0.9, equals: 0.5 } } }", Some(("gate-bounds", "0.5 } }"))),
        ("{ metrics: { a: { max: 0.1, equals: 0.5 } } }", Some(("gate-bounds", "0.5 } }"))),
        ("{ metrics: { a: { min: \"${{ vars.LEAST }}\", max: 0.5 } } }", None),
        ("{ metrics: { a: { min: 0, max-worse: -1% } }, baseline: b.json }", Some(("gate-bounds", "-1%"))),
        ("{ metrics: { a: { min: 0, min-gain: -0.1 } }, baseline: b.json }", Some(("gate-bounds", "-0.1"))),
        (
            "{ metrics: { a: { min: 0, max-worse: 1, min-gain: 1 } }, baseline: b.json }",
            Some(("gate-bounds", "1, min-gain")),
        ),
        ("{ metrics: { a: { min: 0 } }, baseline: b.json }", Some(("gate-baseline", "b.json"))),
        (
            "{ metrics: { a: { max-worse: 0 } }, expect: [metrics.a > 1], baseline: b.json }",
            Some(("gate-baseline", "b.json")),
        ),
        ("{ metrics: { a: { max-worse: 0 } } }", Some(("gate-baseline", "max-worse"))),
        ("{ expect: [1 > 2] }", Some(("gate-bounds", "1 > 2"))),
        ("{ expect: [2 > 1] }", Some(("gate-bounds", "2 > 1"))),
        ("{ expect: [metrics.a > 1] }", None),
        ("{}", Some(("missing-key", "{}"))),
        ("{ metrics: {} }", Some(("missing-key", "{ metrics"))),
        ("{ expect: [] }", Some(("missing-key", "{ expect"))),
        ("{ metrics: { a: {} } }", Some(("wrong-type", "{} }"))),
        ("{ metrics: { a: } }", Some(("wrong-type", ": }"))),
        ("{ metrics: { a: { min: } } }", Some(("wrong-type", ": } } }"))),
        ("{ metrics: { a: { min: 2% } } }", Some(("wrong-type", "2%"))),
        ("{ metrics: { a: { min: '0x10' } } }", Some(("wrong-type", "'0x10'"))),
        ("{ metrics: { a: { min: .nan } } }", Some(("wrong-type", ".nan"))),
        ("{ metrics: { a: { atleast: 1 } } }", Some(("unknown-key", "atleast"))),
    ] {
        let wanted = wanted.map(|(rule, mark)| format!("{rule} {}", text.find(mark).unwrap() + 15));
        assert_eq!(gate(text), wanted.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_local_action_is_said_before_a_run() {
    let uses = |name: &str| format!("on: push\njobs:\n  a:\n    steps: [{{ uses: ./{name} }}]\n");
    let outer = "name: o\nruns: { using: composite, steps: [{ uses: ./x }] }\n";
    let broken = "name: x\nruns:\n  using: composite\n  steps:\n    - run: echo ${{ inputs.a == \"b\" }}\n      shel: bash\n";
    let project = Project::workflow(&uses("o"))
        .file(".ml/workflows/other.yml", &uses("x"))
        .file("o/action.yml", outer)
        .file("x/action.yaml", broken);
    let done = project.tidegate(["check"]).code(2);
    done.stdout("x/action.yaml:5:33").stdout("x/action.yaml:6:7").stdout("2 errors in 1 of 2 files");
    for command in ["plan", "run"] {
        let done = project.tidegate([command, ".ml/workflows/test.yml"]).code(2);
        assert!(format!("{}{}", done.stdout, done.stderr).contains("x/action.yaml:6:7"), "{command}");
    }
    project.write("x/action.yaml", "name: [\n");
    project.tidegate(["check"]).code(2).stdout("x/action.yaml:").stdout("[yaml-syntax]");
}

/// The agent refuses it, too, where nobody looked before (`agent_actions`).
#[test]
fn what_a_local_action_has_that_is_not_there_is_said_before_a_run() {
    let outer = "name: o\nruns: { using: composite, steps: [{ uses: ./x }] }\n";
    let inner = "name: x\nruns:\n  using: composite\n  steps:\n    - { run: sleep 9, shell: sh, background: true }\n    - { wait-all: true }\n";
    let project = Project::workflow("on: push\njobs:\n  a:\n    steps: [{ uses: ./o }]\n")
        .file("o/action.yml", outer)
        .file("x/action.yml", inner);
    // GitHub runs it.
    project.tidegate(["check"]).code(0).stdout("nothing wrong in 1 file").nowhere("background");
    for command in [&["check", "--on", "local"][..], &["check", "--on", "kubernetes"], &["plan"], &["run"]] {
        let done = project.tidegate([command, &[".ml/workflows/test.yml"]].concat()).code(2);
        let said = done.stdout + &done.stderr;
        for words in [
            "x/action.yml:5:",
            "`steps[0].background`: steps that run",
            "x/action.yml:6:",
            "`steps[1].wait-all`",
        ] {
            assert!(said.contains(words), "{command:?}: no {words:?} in {said}");
        }
    }
    assert!(project.tidegate(["runs", "list"]).stdout.matches("test").count() == 0);
}

#[test]
fn what_a_back_end_does_not_do() {
    let text = "on: workflow_dispatch
jobs:
  a:
    queue: gpu
    services: { db: { image: postgres } }
    steps: [{ run: x }]
";
    let project = Project::workflow(text);
    project.tidegate(["check"]).code(0).nowhere("back-end");
    let done = project.tidegate(["check", "--on", "local"]).code(2);
    done.stdout("error[back-end]: `services`: service containers need `--on container` or `--on kubernetes`")
        .stdout("warning[back-end]: `queue`");
    project.tidegate(["check", "--on", "kubernetes"]).code(0).nowhere("back-end");
}

/// What `plan` says would fail, and what it says has no effect, `check` says, too; of what all jobs inherit, once.
#[test]
fn check_says_of_a_cluster_what_plan_says() {
    let text = "on: workflow_dispatch
defaults: { container: 'python:3.12', python: { requirements: r.txt } }
jobs:
  a: { steps: [{ run: x }] }
  b: { runs-on: gpu-pool, steps: [{ run: x }] }
  c: { services: { db: { image: x, volumes: ['/x:/y'] } }, steps: [{ run: x }] }
  d: { resources: { gpu: { count: 1, vendor: amd, memory: 40Gi } }, steps: [{ run: x }] }
  e: { services: { DB_main: { image: x } }, steps: [{ run: x }] }
";
    let project = Project::workflow(text).file("r.txt", "").git();
    let errors = [
        "`services.db.volumes`: `/x:/y`: a pod has no folder of the machine",
        "`resources.gpu.memory`: only NVIDIA's node labels say it",
        "`services.DB_main`: steps could not reach it",
    ];
    let warnings = [
        "`python`: the image brings its own Python; what r.txt names has to be in the image",
        "`runs-on`: `gpu-pool` chooses no node",
    ];
    let mut check = project.tidegate(["check", "--on", "kubernetes"]).code(2);
    let mut plan = project.tidegate(["plan", "--on", "kubernetes"]).code(2);
    for words in errors {
        check = check.stdout(&format!("error[back-end]: {words}"));
        plan = plan.stdout(words);
    }
    for words in warnings {
        check = check.stdout(&format!("warning[back-end]: {words}"));
        plan = plan.stdout(words);
    }
    check.stdout("3 errors and 2 warnings");
    drop(plan);
    let json = project.tidegate(["check", "--on", "kubernetes", "--format", "json"]).code(2).stdout;
    assert_eq!(json.matches("brings its own Python").count(), 1, "{json}");
}
