//! The local executor through the binary: what runs at once, which GPUs a job gets, failure classes and
//! their retries.

use crate::harness::Project;

/// A project with a program `nvidia-smi` that lists so many GPUs.
fn with_gpus(text: &str, count: u32) -> (Project, String) {
    let lines: Vec<String> = (0..count).map(|i| format!("echo '{i}, GPU-{i}{i}'\n")).collect();
    let lines = lines.concat();
    let project = Project::workflow(text);
    let counted = project.path().join("asked");
    let script = format!("#!/bin/sh\necho asked >> \"{}\"\n{lines}", counted.display());
    let project = project.program("bin/nvidia-smi", &script);
    let path = format!("{}:{}", project.path().join("bin").display(), std::env::var("PATH").unwrap());
    (project, path)
}

/// Each job notes when it had which GPU; no two may have one at the same time.
const TRAIN: &str = r#"on: workflow_dispatch
jobs:
  train:
    strategy: { matrix: { n: [1, 2, 3, 4, 5, 6] } }
    resources: { gpu: 1, cpu: 100m }
    steps:
      - run: |
          for g in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do
            mkdir "$ROOT/gpu-$g" || exit 9
          done
          echo "$CUDA_VISIBLE_DEVICES" >> "$ROOT/seen"
          sleep 0.15
          for g in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do rmdir "$ROOT/gpu-$g"; done
"#;

#[test]
fn each_gpu_job_has_its_own() {
    let (project, path) = with_gpus(TRAIN, 2);
    let root = project.path().to_string_lossy().into_owned();
    project.tidegate_with(["run", "--jobs", "6"], &[("PATH", &path), ("ROOT", &root)]).code(0);
    let seen = std::fs::read_to_string(project.path().join("seen")).unwrap();
    assert_eq!(seen.lines().count(), 6);
    assert!(seen.lines().all(|l| l == "0" || l == "1") && seen.contains('0') && seen.contains('1'), "{seen}");
    let asked = std::fs::read_to_string(project.path().join("asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "nvidia-smi takes a second: it is asked once");

    // Told with --gpus, and limited by the caller's own CUDA_VISIBLE_DEVICES.
    std::fs::remove_file(project.path().join("seen")).unwrap();
    project.tidegate_with(["run", "--jobs", "6", "--gpus", "3"], &[("ROOT", &root)]).code(0);
    let env = [("PATH", path.as_str()), ("ROOT", root.as_str()), ("CUDA_VISIBLE_DEVICES", "1")];
    project.tidegate_with(["run", "--jobs", "6"], &env).code(0);
    let seen = std::fs::read_to_string(project.path().join("seen")).unwrap();
    assert!(seen.lines().take(6).any(|l| l == "2") && seen.lines().skip(6).all(|l| l == "1"), "{seen}");
}

#[test]
fn nobody_asks_for_gpus_where_no_job_wants_one() {
    let (project, path) = with_gpus("on: workflow_dispatch\njobs: { a: { steps: [{ run: 'true' }] } }\n", 1);
    project.tidegate_with(["run"], &[("PATH", &path)]).code(0);
    assert!(!project.path().join("asked").exists());
}

#[test]
fn more_than_the_machine_has_runs_alone_with_a_warning_or_is_refused() {
    let text = r#"on: workflow_dispatch
jobs:
  big:
    strategy: { matrix: { ask: [{ cpu: 4000 }, { memory: 900Ti }, { gpu: 3 }] } }
    resources: { cpu: "${{ matrix.ask.cpu || 1 }}", memory: "${{ matrix.ask.memory || '1Mi' }}", gpu: "${{ matrix.ask.gpu || 0 }}" }
    steps: [{ run: 'mkdir "$ROOT/alone" && sleep 0.1 && rmdir "$ROOT/alone"; echo "[$CUDA_VISIBLE_DEVICES]"' }]
  small:
    strategy: { matrix: { n: [1, 2, 3, 4] } }
    resources: { cpu: 1m }
    steps: [{ run: 'test ! -e "$ROOT/alone" && sleep 0.05 && test ! -e "$ROOT/alone"' }]
"#;
    let project = Project::workflow(text);
    let root = project.path().to_string_lossy().into_owned();
    let ran = project.tidegate_with(["run", "--jobs", "8", "--gpus", "1"], &[("ROOT", &root)]).code(0);
    for words in [
        "4000 cores asked for",
        "of memory asked for, this machine has",
        "3 GPUs asked for, this machine has 1",
    ] {
        assert!(ran.stderr.contains(words) || ran.stdout.contains(words), "{words}: {ran:?}");
    }
    let strict = project.tidegate_with(["run", "--strict-resources"], &[("ROOT", &root)]).code(1);
    assert!(strict.stdout.contains("(--strict-resources)"), "{strict:?}");
}

/// A job that fails in some way until its third attempt, with this `retry`.
fn flaky(retry: &str, way: &str, extra: &str) -> Project {
    Project::workflow(&format!(
        "on: workflow_dispatch\njobs:\n  a:\n    retry: {retry}\n{extra}    steps:\n      - run: |\n          n=$(cat $ROOT/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > $ROOT/n\n          test $n -lt 3 || exit 0\n          {way}\n"
    ))
}

fn attempts(project: &Project, args: &[&str], code: i32) -> String {
    let root = project.path().to_string_lossy().into_owned();
    let ran = project.tidegate_with(args, &[("ROOT", root.as_str())]);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    std::fs::read_to_string(project.path().join("n")).unwrap_or_default().trim().to_owned()
}

#[test]
fn each_class_is_tried_again_where_retry_names_it() {
    // The third attempt gets through in this time, on a busy machine, too.
    let timeout = "    timeout-minutes: 0.06\n";
    for (retry, way, extra, want, code) in [
        ("{ attempts: 3 }", "exit 1", "", "3", 0),
        ("{ attempts: 2 }", "exit 1", "", "2", 1),
        ("{ attempts: 3, on: ['exit:75'] }", "exit 75", "", "3", 0),
        ("{ attempts: 3, on: ['exit:75'] }", "exit 1", "", "1", 1),
        ("{ attempts: 3, on: [timeout] }", "sleep 60", timeout, "3", 0),
        ("{ attempts: 3, on: [failure] }", "sleep 60", timeout, "1", 1),
        ("{ attempts: 3, on: [disk] }", "echo 'write: No space left on device' >&2; exit 1", "", "3", 0),
        ("{ attempts: 3, on: [oom] }", "exit 1", "", "1", 1),
        // Programs that are killed by a signal are failures of the program, with the shell's code.
        ("{ attempts: 3, on: ['exit:137'] }", "kill -9 $$", "", "3", 0),
    ] {
        let project = flaky(retry, way, extra);
        assert_eq!(attempts(&project, &["run"], code), want, "{retry} {way}");
    }
}

#[test]
fn a_gate_is_never_tried_again() {
    let text = "on: workflow_dispatch\njobs:\n  a:\n    retry: { attempts: 3, on: [failure] }\n    metrics: m.json\n    steps:\n      - run: echo x >> $ROOT/n; echo '{\"a\":1}' > m.json\n      - gate: { metrics: { a: { min: 2 } } }\n";
    assert_eq!(attempts(&Project::workflow(text), &["run"], 3), "x");
}

#[test]
fn a_killed_supervisor_is_lost_and_spends_the_other_budget() {
    // The step kills the supervisor, its parent, twice; `attempts` is 1.
    let project = flaky("{ attempts: 1, infra: 5 }", "kill -9 $PPID; sleep 60", "");
    assert_eq!(attempts(&project, &["run"], 0), "3");
    let project = flaky("{ attempts: 9, infra: 1 }", "kill -9 $PPID; sleep 60", "");
    assert_eq!(attempts(&project, &["run"], 4), "2", "the surroundings failed, not the job");
    let json = project.tidegate(["runs", "show", "1", "--format", "json"]).code(0);
    json.stdout("\"class\":\"lost\"").stdout("\"uncounted\":1");
    let shown = project.tidegate(["runs", "show", "1"]).code(0);
    shown.stdout("lost").stdout("1 of 1 infrastructure retries (`retry.infra`) are spent");
}

#[test]
fn attempts_that_the_infrastructure_ended_are_told_from_those_that_count() {
    let step = "echo x >> $ROOT/n; test $(wc -l < $ROOT/n) = 1 && kill -9 $PPID && sleep 60; exit 3";
    let text = format!(
        "on: workflow_dispatch\njobs:\n  a:\n    retry: {{ attempts: 2 }}\n    steps: [{{ run: '{step}' }}]\n"
    );
    let project = Project::workflow(&text);
    assert_eq!(attempts(&project, &["run"], 1), "x\nx\nx");
    let shown = project.tidegate(["runs", "show", "1"]).code(0);
    let shown = shown.stdout("does not count as an attempt (infrastructure retry 1 of 10)");
    shown.stdout("attempt 2 (1 of 2 that count): failure: exit 3").stdout("attempt 3 (2 of 2 that count)");
    project.tidegate(["why", "a"]).stdout("failed after 3 attempts, 1 of which do not count");
}

#[test]
fn damaged_content_is_class_data() {
    let project = Project::workflow(
        "on: workflow_dispatch\njobs:\n  make:\n    steps: [{ run: 'head -c 100000 /dev/urandom > big' }]\n    produces: { big: big }\n  break:\n    needs: make\n    steps: [{ run: \"find $ROOT/.tidegate/objects -size +90k -exec sh -c 'chmod u+w {}; echo x > {}' ';'\" }]\n  use:\n    needs: [make, break]\n    consumes: { big: \"${{ needs.make.artifacts.big }}\" }\n    steps: [{ run: 'true' }]\n",
    );
    let root = project.path().to_string_lossy().into_owned();
    project.tidegate_with(["run"], &[("ROOT", &root)]).code(1);
    project.tidegate(["runs", "show", "1", "--format", "json"]).code(0).stdout("\"class\":\"data\"");
}

#[test]
fn a_cancel_gives_the_grace_and_then_kills() {
    let text = "on: workflow_dispatch\njobs:\n  a:\n    checkpoint: { path: c, grace: 2s }\n    timeout-minutes: 0.05\n    steps:\n      - run: trap 'date +%s > c/told' TERM; echo up; while :; do date +%s >> c/lives; sleep 0.05; done\n";
    let project = Project::workflow(text);
    project.tidegate(["run"]).code(1).stdout("timed out");
    // Seconds that it lived after it was told; without the file's grace they would be ten.
    project.sh("cd .tidegate/checkpoints/*; test $(($(tail -n 1 lives) - $(cat told))) -lt 8");
}

/// A control group with little memory; removed at the end.
struct Group(std::path::PathBuf);

impl Group {
    /// Makes one below this process's own, if that is allowed: version 1 or 2.
    fn with_memory(bytes: u64) -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let of = |name: &str| {
            groups
                .lines()
                .find_map(|l| l.split_once(name).map(|(_, path)| path.trim_start_matches('/').to_owned()))
        };
        let (top, own, file) = match of(":memory:") {
            Some(own) => ("/sys/fs/cgroup/memory", own, "memory.limit_in_bytes"),
            None => ("/sys/fs/cgroup", of("0::")?, "memory.max"),
        };
        let group =
            Self(std::path::Path::new(top).join(own).join(format!("tidegate-it-{}", std::process::id())));
        std::fs::create_dir(&group.0).ok()?;
        std::fs::write(group.0.join(file), bytes.to_string()).ok()?;
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_kill_for_memory_is_class_oom_and_the_groups_limit_is_the_machines() {
    let Some(group) = Group::with_memory(200_000_000) else {
        eprintln!("NOT TESTED: a kill for memory needs the right to make a control group");
        return;
    };
    let project = Project::workflow(
        "on: workflow_dispatch\njobs:\n  a:\n    resources: { memory: 300Mi }\n    retry: { attempts: 2, on: [oom] }\n    steps:\n      - run: echo try; python3 -c 'bytearray(500_000_000)'\n",
    );
    let line = format!(
        "echo $$ > {}/cgroup.procs && exec '{}' run",
        group.0.display(),
        crate::harness::binary().display()
    );
    let done =
        std::process::Command::new("sh").args(["-c", &line]).current_dir(project.path()).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("attempt 2 of 2: oom: killed for memory"), "{text}");
    assert!(text.contains("raise `resources.memory`, or let `retry.on: [oom]`"), "{text}");
    assert!(text.contains("300 MiB of memory asked for, this machine has"), "{text}");
}
