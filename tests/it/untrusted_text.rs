//! Text of strangers is followed to where it does harm, and is left alone where it does none.

use crate::harness::Project;
use serde_json::Value;

const FIT: &str = r#"name: fit
inputs: { title: {}, depth: {} }
outputs:
  same: { value: "${{ inputs.title }}" }
  slug: { value: "${{ steps.slug.outputs.slug }}" }
runs:
  using: composite
  steps:
    - { id: slug, shell: bash, env: { T: "${{ inputs.title }}" }, run: "echo slug=${T//[^a-z]/} >> $GITHUB_OUTPUT" }
    - { shell: bash, run: "python fit.py ${{ inputs.title }}" }
"#;
const QUIET: &str = r#"name: quiet
inputs: { title: {} }
outputs:
  same: { value: "${{ inputs.title }}" }
runs:
  using: composite
  steps: [{ shell: bash, env: { T: "${{ inputs.title }}" }, run: 'echo "$T"' }]
"#;
const OUTER: &str = r#"name: outer
inputs: { words: {} }
runs:
  using: composite
  steps: [{ uses: ./.github/actions/fit, with: { title: "${{ inputs.words }}" } }]
"#;
const CALLED: &str = r#"on:
  workflow_call:
    inputs: { title: { type: string }, quiet: { type: string } }
    outputs:
      same: { value: "${{ jobs.a.outputs.same }}" }
      other: { value: "${{ jobs.a.outputs.other }}" }
jobs:
  a:
    outputs: { same: "${{ inputs.title }}", other: "1" }
    steps:
      - run: "echo ${{ inputs.title }}"
      - { run: 'echo "$Q"', env: { Q: "${{ inputs.quiet }}" } }
"#;
const NESTED: &str = r#"on: { workflow_call: { inputs: { words: { type: string } } } }
jobs:
  a: { uses: ./.ml/workflows/called.yml, with: { title: "${{ format('{0}!', inputs.words) }}" } }
"#;

/// Findings of a workflow with these jobs, as `line:column` in any file.
fn found(jobs: &str) -> Vec<String> {
    let done = Project::workflow(&format!("on: [pull_request, issues]\njobs:\n{jobs}"))
        .file(".github/actions/fit/action.yml", FIT)
        .file(".github/actions/quiet/action.yml", QUIET)
        .file(".github/actions/outer/action.yml", OUTER)
        .file(".ml/workflows/called.yml", CALLED)
        .file(".ml/workflows/nested.yml", NESTED)
        .tidegate(["check", "--format", "json"]);
    let answer: Value = serde_json::from_str(&done.stdout).unwrap();
    let findings = answer["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|f| {
            assert_eq!(f["rule"], "untrusted-text", "{f}");
            format!("{}:{}", f["line"], f["column"])
        })
        .collect()
}

/// A job whose first step has the text in `T`, with a script, and whose second one runs a script.
fn through(first: &str, second: &str) -> Vec<String> {
    found(&format!(
        "  a:\n    steps:\n      - id: one\n        env: {{ T: \"${{{{ github.event.issue.title }}}}\" }}\n        run: |\n          {}\n      - run: {second}\n",
        first.replace('\n', "\n          ")
    ))
}

#[test]
fn inputs_of_actions_are_followed() {
    let step = |uses: &str, input: &str, value: &str| {
        found(&format!(
            "  a:\n    steps:\n      - {{ id: s, uses: ./.github/actions/{uses}, with: {{ {input}: \"{value}\" }} }}\n"
        ))
    };
    assert_eq!(step("fit", "title", "${{ github.event.issue.title }}"), ["5:67"]);
    assert_eq!(step("outer", "words", "x ${{ github.head_ref }}"), ["5:71"]);
    assert_eq!(step("fit", "title", "${{ github.event.issue.number }}"), [""; 0]);
    assert_eq!(step("fit", "depth", "${{ github.event.issue.title }}"), [""; 0]);
    assert_eq!(step("quiet", "title", "${{ github.event.issue.title }}"), [""; 0]);
}

#[test]
fn actions_that_ask_the_event_are_found() {
    let text = "on: issues\njobs:\n  a:\n    steps: [{ uses: ./x }, { uses: ./x }]\n";
    let action = |run: &str| {
        format!("name: x\nruns: {{ using: composite, steps: [{{ shell: bash, run: \"{run}\" }}] }}\n")
    };
    let project =
        Project::workflow(text).file("x/action.yml", &action("echo ${{ github.event.issue.title }}"));
    let done = project.tidegate(["check"]).code(2);
    done.stdout("test.yml:4:21")
        .stdout("`./x` makes text that anyone can write part of a script")
        .stdout("1 error in");
    project.write("x/action.yml", &action("echo ${{ github.event.issue.number }}"));
    project.tidegate(["check"]).code(0);
}

#[test]
fn outputs_of_actions_are_followed() {
    let after = |uses: &str, output: &str| {
        found(&format!(
            "  a:\n    steps:\n      - {{ id: s, uses: ./.github/actions/{uses}, with: {{ title: \"${{{{ github.head_ref }}}}\" }} }}\n      - run: echo ${{{{ steps.s.outputs.{output} }}}}\n"
        ))
    };
    assert_eq!(after("quiet", "same"), ["6:23"]);
    assert_eq!(after("fit", "same"), ["5:67", "6:23"]);
    assert_eq!(after("fit", "slug"), ["5:67"]);
}

#[test]
fn calls_are_followed_both_ways() {
    let call = |file: &str, input: &str, rest: &str| {
        found(&format!(
            "  a: {{ uses: ./.ml/workflows/{file}.yml, with: {{ {input}: \"${{{{ github.event.issue.title }}}}\" }} }}\n{rest}"
        ))
    };
    assert_eq!(call("called", "title", ""), ["3:62"]);
    assert_eq!(call("nested", "words", ""), ["3:62"]);
    assert_eq!(call("called", "quiet", ""), [""; 0]);
    let after = |output: &str| {
        format!("  b: {{ needs: a, steps: [{{ run: \"echo ${{{{ needs.a.outputs.{output} }}}}\" }}] }}\n")
    };
    assert_eq!(call("called", "title", &after("same")), ["3:62", "4:43"]);
    assert_eq!(call("called", "title", &after("other")), ["3:62"]);
}

#[test]
fn a_call_shows_both_places() {
    let text = "on: issues\njobs:\n  a: { uses: ./.ml/workflows/called.yml, with: { title: \"${{ github.event.issue.title }}\" } }\n";
    let project = Project::workflow(text).file(".ml/workflows/called.yml", CALLED);
    let done = project.tidegate(["check", ".ml/workflows/test.yml"]).code(2);
    done.stdout("makes its input `title` part of a script")
        .stdout("::: .ml/workflows/called.yml:11")
        .stdout("becomes part of a script here")
        .stdout("env: { TITLE: \"${{ inputs.title }}\" }");
}

#[test]
fn outputs_of_scripts_are_followed() {
    let later = "echo ${{ steps.one.outputs.t }}";
    for script in [
        "echo \"t=$T\" >> \"$GITHUB_OUTPUT\"",
        "{\n  echo \"n=1\"\n  echo \"t=$T\"\n} >> $GITHUB_OUTPUT",
        "U=\"x-$T\"\necho \"t=${U}\" | tee -a $GITHUB_OUTPUT",
        "cat <<EOF >> $GITHUB_OUTPUT\nt=$T\nEOF",
        "echo \"t=${GITHUB_HEAD_REF:-main}\" >> $GITHUB_OUTPUT",
    ] {
        let lines = script.lines().count();
        assert_eq!(through(script, later), [format!("{}:23", 8 + lines)], "{script}");
    }
    for script in [
        "echo \"t=1\" >> \"$GITHUB_OUTPUT\"",
        "echo \"u=$T\" >> \"$GITHUB_OUTPUT\"",
        "echo \"t=${T//[^a-z]/}\" >> $GITHUB_OUTPUT",
        "echo \"t=$(wc -c <<< \"$T\")\" >> $GITHUB_OUTPUT",
        "[[ \"$T\" =~ ^[a-z]+$ ]] || exit 1\necho \"t=$T\" >> $GITHUB_OUTPUT",
        "T=fixed\necho \"t=$T\" >> $GITHUB_OUTPUT",
        "echo \"t=$T\" > file",
    ] {
        assert_eq!(through(script, later), [""; 0], "{script}");
    }
    assert_eq!(through("echo \"X=$T\" >> $GITHUB_ENV", "echo ${{ env.X }}"), ["9:23"]);
    assert_eq!(through("echo \"X=1\" >> $GITHUB_ENV", "echo ${{ env.X }}"), [""; 0]);
}

#[test]
fn every_dangerous_place_is_known() {
    let bad = "${{ github.event.comment.body }}";
    let job = |keys: &str| {
        found(&format!("  a:\n    {}\n    steps: [{{ run: \"true\" }}]\n", keys.replace("BAD", bad)))
    };
    for keys in [
        "runs-on: \"BAD\"",
        "container: \"x:BAD\"",
        "container: { image: x, options: \"--name BAD\" }",
        "defaults: { run: { shell: \"BAD {0}\" } }",
        "defaults: { run: { working-directory: \"BAD\" } }",
        "pod-template: \"BAD\"",
        "queue: \"BAD\"",
        "queue: { name: q, priority: \"BAD\" }",
        "resources: { gpu: { count: 1, product: \"BAD\" } }",
        "python: { packages: [\"BAD\"] }",
    ] {
        assert_eq!(job(keys).len(), 1, "{keys}");
    }
    for keys in
        ["name: \"BAD\"", "env: { X: \"BAD\" }", "concurrency: \"BAD\"", "if: contains(github.head_ref, 'x')"]
    {
        assert_eq!(job(keys), [""; 0], "{keys}");
    }
    let step = |keys: &str| found(&format!("  a:\n    steps: [{{ {} }}]\n", keys.replace("BAD", bad)));
    for keys in
        ["run: \"echo BAD\"", "run: x, working-directory: \"BAD\"", "validate: { data: \"BAD\", rows: 1 }"]
    {
        assert_eq!(step(keys).len(), 1, "{keys}");
    }
}

#[test]
fn a_maze_of_outputs_ends() {
    let mut text = String::from("on: issues\njobs:\n");
    for level in 0..8 {
        let next = format!("${{{{ needs.j{}.outputs.o }}}}", level + 1).repeat(400);
        text.push_str(&format!(
            "  j{level}:\n    needs: j{}\n    outputs: {{ o: \"{next}\" }}\n    steps: [{{ run: \"echo {next}\" }}]\n",
            level + 1
        ));
    }
    text.push_str("  j8: { outputs: { o: x }, steps: [{ run: x }] }\n");
    Project::workflow(&text).tidegate(["check"]).code(0);
}
