//! What GitHub's dialect takes and refuses, and in which order it says so. Each row was first seen
//! as a difference from GitHub's own parser.

use crate::source::{FileId, MergeKeys, Severity, in_order, load_with};
use crate::workflow::{Dialect, parse};

/// Line and rule of each finding, errors as `line:rule` and warnings as `(line:rule)`.
fn found(text: &str, dialect: Dialect) -> Vec<String> {
    let (node, mut findings) = load_with(FileId(0), text, MergeKeys::Keep);
    if let Some(node) = node {
        findings.extend(parse(&node, text, FileId(0), dialect).1);
    }
    in_order(&mut findings);
    let line = |at: u32| text[..at as usize].matches('\n').count() + 1;
    let mut shown: Vec<String> = findings
        .iter()
        .map(|f| match f.severity {
            Severity::Error => format!("{}:{}", line(f.span.start), f.rule),
            Severity::Warning => format!("({}:{})", line(f.span.start), f.rule),
        })
        .collect();
    shown.dedup();
    shown
}

fn github(text: &str) -> Vec<String> {
    found(text, Dialect::Github)
}

/// A workflow with one job, whose further keys start on line 4.
fn job(keys: &str) -> Vec<String> {
    github(&format!("on: push\njobs:\n  a:\n{keys}    runs-on: x\n    steps: [{{ run: x }}]\n"))
}

/// A workflow with one step, whose keys start on line 6.
fn step(keys: &str) -> Vec<String> {
    github(&format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n{keys}"))
}

/// A workflow with a call, whose keys start on line 4.
fn call(keys: &str) -> Vec<String> {
    github(&format!("on: push\njobs:\n  a:\n{keys}"))
}

#[test]
fn a_wrong_shape_is_said_before_a_wrong_meaning() {
    let text = "on: push\njobs:\n  1a:\n    needs: nobody\n    steps: []\n    runs: x\n";
    assert_eq!(github(text), ["6:unknown-key", "4:missing-key", "3:id", "3:needs", "4:needs"]);
    // A key is missing only once the map has ended.
    assert_eq!(github("name: x\nruns: y\n"), ["2:unknown-key", "1:missing-key"]);
    let twice = "on: push\njobs:\n  a:\n    env: {A: 1, a: 2}\n    steps: []\n";
    assert_eq!(github(twice), ["4:duplicate-key", "4:missing-key"]);
}

#[test]
fn a_block_of_text_stands_where_its_header_stands() {
    assert_eq!(job("    permissions: |\n      x\n"), ["4:permissions"]);
    assert_eq!(job("    permissions: >- # why | not\n\n      x\n"), ["4:permissions"]);
    assert_eq!(job("    name: |\n      x\n      ${{ nosuch }}\n"), ["6:unknown-context"]);
    assert!(job("    if: |\n").is_empty());
}

#[test]
fn quoted_text_in_an_expression_is_text() {
    assert!(github("on:\n  push:\n    branches: ${{ 'main' }}\njobs: {a: {runs-on: x}}\n").is_empty());
    assert!(step("      - uses: ${{ 'a/b@v1' }}\n").is_empty());
    assert_eq!(step("      - uses: ${{ github.ref }}\n"), ["6:expression"]);
    assert_eq!(step("      - {uses: a/b@v1, with: \"${{ 'it''s }}' }}\"}\n"), ["6:wrong-type"]);
    assert!(step("      - run: ${{ '${{ x }}' }}\n").is_empty());
}

#[test]
fn white_space_around_an_expression_does_not_count() {
    assert!(step("      - run: echo ${{\u{a0}github.ref\u{a0}}}\n").is_empty());
    assert!(step("      - {run: x, if: \"\u{a0}github.ref == 'x' \"}\n").is_empty());
    assert_eq!(step("      - run: echo ${{ github\u{a0}.ref }}\n"), ["6:expression"]);
}

#[test]
fn expressions_as_keys() {
    assert_eq!(step("      - {run: x, env: {\"${{ contains(1) }}\": y}}\n"), ["6:expression"]);
    assert_eq!(step("      - {run: x, env: {\"${{ github.ref }}\": y}}\n"), ["(6:expression)"]);
    assert_eq!(github("on: push\njobs:\n  ${{ always() }}:\n    runs-on: x\n"), ["3:expression"]);
    assert_eq!(job("    ${{ true }}: {}\n"), ["4:expression"]);
    assert_eq!(job("    outputs: {\"${{ github.ref }}\": y}\n"), ["4:expression"]);
    assert_eq!(call("    uses: ./a.yml\n    with: {\"${{ env.A }}\": y}\n"), ["5:expression"]);
    let tidegate = "on: push\njobs: {a: {steps: [{run: x, env: {\"${{ github.ref }}\": y}}]}}\n";
    assert_eq!(found(tidegate, Dialect::Tidegate), ["2:expression"]);
}

#[test]
fn where_nothing_may_stand() {
    assert!(job("    if:\n").is_empty());
    assert!(job("    if: ~\n").is_empty());
    assert!(github("on: push\nconcurrency:\njobs: {a: {runs-on: x}}\n").is_empty());
    assert_eq!(job("    concurrency:\n"), ["4:wrong-type"]);
    assert_eq!(call("    uses: ./a.yml\n    with:\n    secrets:\n"), ["5:wrong-type", "6:wrong-type"]);
    assert_eq!(job("    strategy: {matrix: {include: [{null: 1}, {'null': 1}]}}\n"), ["4:wrong-type"]);
    assert_eq!(job("    strategy: {matrix: {~: [1]}}\n"), ["4:wrong-type"]);
    let dispatch = |inputs: &str| {
        github(&format!("on:\n  workflow_dispatch:\n    inputs:{inputs}\njobs: {{a: {{runs-on: x}}}}\n"))
    };
    assert_eq!(dispatch(""), ["3:wrong-type"]);
    assert!(dispatch(" {seed: }").is_empty());
    assert_eq!(dispatch(" {seed: {deprecationMessage: x}}"), ["3:unknown-key"]);
    let text = "on:\n  workflow_call:\n    inputs:\njobs: {a: {runs-on: x}}\n";
    assert_eq!(github(text), ["3:wrong-type"]);
    let text = "on: {workflow_dispatch: {input: {}, types: [x]}}\njobs: {a: {runs-on: x}}\n";
    assert_eq!(github(text), ["(1:unknown-key)", "1:unknown-key"]);
}

#[test]
fn expressions_where_a_value_is_meant() {
    assert_eq!(job("    timeout-minutes: x${{ github.ref }}\n"), ["(4:wrong-type)"]);
    assert!(job("    timeout-minutes: ${{ fromJSON('1') }}\n").is_empty());
    assert_eq!(job("    env: ${{ fromJSON('{}') }}\n"), ["4:wrong-type"]);
    assert_eq!(job("    services: ${{ fromJSON('{}') }}\n"), ["4:wrong-type"]);
    assert_eq!(job("    defaults: {run: \"${{ github.ref }}\"}\n"), ["(4:wrong-type)"]);
    assert_eq!(step("      - {run: x, shell: \"${{ matrix.shell }}\"}\n"), ["6:expression"]);
    assert!(job("    defaults: {run: {shell: \"${{ matrix.shell }}\"}}\n").is_empty());
    assert_eq!(call("    uses: ${{ github.ref }}\n"), ["4:expression"]);
    assert_eq!(job("    container: {ports: [80]}\n"), ["4:missing-key"]);
    assert_eq!(job("    container: {ports: [\"${{ matrix.p }}\"]}\n"), ["(4:missing-key)"]);
}

#[test]
fn status_functions_take_jobs_only_above_the_steps() {
    assert!(job("    if: success('b')\n").is_empty());
    assert_eq!(step("      - {run: x, if: success('b')}\n"), ["6:expression"]);
    assert!(step("      - {run: x, if: 'failure()'}\n").is_empty());
}

#[test]
fn names_of_runner_groups() {
    for (group, good) in
        [("g", true), ("org/g", true), ("enterprise/g", true), ("x/g", false), ("org/", false)]
    {
        let text = format!("on: push\njobs: {{a: {{runs-on: {{group: {group}}}}}}}\n");
        assert_eq!(github(&text).is_empty(), good, "{group}");
    }
}

#[test]
fn a_job_needed_twice() {
    let needs = |needs: &str| {
        github(&format!("on: push\njobs:\n  a: {{runs-on: x}}\n  b: {{runs-on: x, needs: {needs}}}\n"))
    };
    assert_eq!(needs("[a, a]"), ["(4:needs)"]);
    assert_eq!(needs("[a, A]"), ["4:needs"]);
}
