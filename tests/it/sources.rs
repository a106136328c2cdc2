//! Files that are strange as texts: `check`, `plan` and `run` take the same ones, and say the same
//! of the others.

use crate::harness::Project;

const GOOD: &str = "on: push\njobs:\n  a:\n    steps: [{ run: echo hi }]\n";

/// A workflow of one step whose name holds a mistake behind some text.
fn named(name: &str) -> Vec<u8> {
    format!("on: push\njobs:\n  a:\n    steps: [{{ name: \"{name}${{{{ githb.ref }}}}\", run: echo hi }}]\n")
        .into_bytes()
}

/// A workflow of one step with an expression.
fn expression(text: &str) -> Vec<u8> {
    format!("on: push\njobs:\n  a:\n    steps: [{{ run: \"echo ${{{{ {text} }}}}\" }}]\n").into_bytes()
}

fn nested(levels: usize) -> Vec<u8> {
    expression(&format!("{}github.ref{}", "(".repeat(levels), ")".repeat(levels)))
}

fn bomb() -> Vec<u8> {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..9 {
        text += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(","));
    }
    text.into_bytes()
}

/// Bytes of a file, and what is said of it; nothing where it is taken.
fn cases() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let of = |text: &str| text.as_bytes().to_vec();
    let utf16 = GOOD.encode_utf16().flat_map(u16::to_le_bytes);
    vec![
        ("byte order mark", of(&format!("\u{feff}{GOOD}")), &[]),
        (
            "a mistake behind one",
            of("\u{feff}on: push\njobz: 1\n"),
            &["test.yml:2:1", "2 | jobz: 1\n  | ^^^^"],
        ),
        ("carriage returns", of(&GOOD.replace('\n', "\r\n")), &[]),
        (
            "a mistake before one",
            of(&GOOD.replace("steps", "stepps").replace('\n', "\r\n")),
            &["test.yml:4:5", "4 |     stepps: [{ run: echo hi }]\n  |     ^^^^^^ did"],
        ),
        (
            "tabs as indentation",
            of("on: push\njobs:\n\ta:\n"),
            &["[yaml-syntax]", "tabs disallowed", "test.yml:3:"],
        ),
        (
            "two documents",
            of(&format!("{GOOD}---\n{GOOD}")),
            &["[yaml-documents]", "test.yml:5:1", "5 | ---\n  | ^^^"],
        ),
        ("an end of the document", of(&format!("---\n{GOOD}...\n")), &[]),
        ("nothing", Vec::new(), &["the file is empty", "test.yml:1:1"]),
        ("a comment", of("# nothing\n"), &["the file is empty"]),
        ("a document of nothing", of("---\n"), &["found nothing", "test.yml:1:4"]),
        (
            "Latin-1",
            [GOOD.as_bytes(), b"name: caf\xe9\n"].concat(),
            &["byte 59 in line 5", "test.yml:5:10", "5 | name: caf\u{fffd}\n  |          ^\n"],
        ),
        (
            "UTF-16",
            [0xff, 0xfe].into_iter().chain(utf16).collect(),
            &["byte 0 in line 1", "begins like UTF-16"],
        ),
        ("NUL", of(&format!("{GOOD}name: a\0b\n")), &["[yaml-syntax]", "test.yml:5:8"]),
        ("a bell", of(&format!("{GOOD}name: a\u{7}b\n")), &["[yaml-syntax]", "test.yml:5:"]),
        ("a bomb of aliases", bomb(), &["[yaml-too-large]", "250000 values", "test.yml:6:10"]),
        ("an alias of nothing", of("on: push\njobs: *x\n"), &["unknown anchor", "test.yml:2:7"]),
        ("an alias in its anchor", of("on: push\njobs: &x\n  a: *x\n"), &["[yaml-alias]", "test.yml:3:6"]),
        (
            "depth",
            of(&format!("on: push\njobs: {}{}\n", "[".repeat(80), "]".repeat(80))),
            &["[yaml-too-deep]", "50 levels", "test.yml:2:56"],
        ),
        ("size", of(&format!("{GOOD}# {}\n", "x".repeat(1 << 20))), &["[yaml-too-large]", "at most 1048576"]),
        (
            "values",
            of(&format!("on: push\nx: [{}]\n", "1,".repeat(260_000))),
            &["250000 values", "test.yml:2:499999"],
        ),
        (
            "a key twice",
            of("on: push\njobs:\n  a:\n    steps: [{ run: x }]\n  A:\n    steps: []\n"),
            &[
                "[duplicate-key]",
                "3 |   a:\n  |   - first defined here",
                "5 |   A:\n  |   ^ defined again here",
            ],
        ),
        (
            "anchors and merge keys",
            of(
                "on: push\njobs:\n  a: &x\n    env: { A: '1' }\n    steps: &s [{ run: test $A = 1 }]\n  b:\n    <<: *x\n    env: { A: '2' }\n    steps: [{ run: test $A = 2 }]\n  c: { <<: [*x], steps: *s }\n",
            ),
            &[],
        ),
        (
            "a merge of no map",
            of(&GOOD.replace("    steps", "    <<: x\n    steps")),
            &["[yaml-merge]", "test.yml:4:9"],
        ),
        (
            "a long line",
            named(&"x".repeat(5000)),
            &["test.yml:4:5026", "xxx${{ githb.ref }}\", run: echo hi }]\n  |", " ^^^^^\n"],
        ),
        ("a line of a megabyte", named(&"x".repeat(1_000_000)), &["test.yml:4:1000026", " ^^^^^\n"]),
        (
            "wide characters",
            named("日本語 "),
            // A terminal gives each of the three two columns.
            &["test.yml:4:30", "日本語 ${{ githb.ref }}", "\n  |                                 ^^^^^\n"],
        ),
        (
            "tabs before a caret",
            named("a\tb\t"),
            &["test.yml:4:30", "\"a    b    ${{", "\n  |                                    ^^^^^\n"],
        ),
        ("50 levels of an expression", nested(48), &[]),
        ("64 levels", nested(64), &["deeper than 50 levels", "test.yml:4:80"]),
        ("5000 levels", nested(5000), &["deeper than 50 levels"]),
        ("64 negations", expression(&format!("{}true", "!".repeat(64))), &["deeper than 50 levels"]),
    ]
}

#[test]
fn check_plan_and_run_agree() {
    let project = Project::workflow("");
    let mut wrong = Vec::new();
    for (name, bytes, said) in cases() {
        std::fs::write(project.path().join(".ml/workflows/test.yml"), bytes).unwrap();
        let code = if said.is_empty() { 0 } else { 2 };
        for command in ["check", "plan", "run"] {
            let done = project.tidegate([command]);
            let text = format!("{}{}", done.stdout, done.stderr);
            if done.code != Some(code) || said.iter().any(|part| !text.contains(part)) || text.len() > 20_000
            {
                let shown: String = text.chars().take(1500).collect();
                wrong.push(format!("{name}: {command} ended with {:?}:\n{shown}", done.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
