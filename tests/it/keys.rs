//! Every key of Tidegate's own, one by one: it does something, or `plan` and `run` say that it does not.

use crate::harness::Project;

/// What a key does.
enum Does {
    /// The run passes, and its output, logs or summary say this.
    Runs(&'static str),
    /// The run ends with this code and says this.
    Ends(i32, &'static str),
    /// The plan as JSON has this: the key is recorded, for where it counts.
    Plans(&'static str),
    /// It has no effect: `plan` and `run` say so and go on.
    Says(&'static str),
    /// The job cannot do without: `plan` and `run` refuse.
    Refuses(&'static str),
}

use Does::{Ends, Plans, Refuses, Runs, Says};

/// A key, what stands in the file, what it does.
type Row = (&'static str, &'static str, Does);

const TOP: &[Row] = &[
    (
        "data.uri",
        "data: { raw: { uri: lake } }\njobs: { a: { consumes: { in/: '${{ data.raw }}' }, steps: [{ run: ls in }] } }",
        Runs("a.csv\nb.csv\nc.txt\n"),
    ),
    (
        "data as text",
        "data: { raw: lake/a.csv }\njobs: { a: { consumes: { in.csv: '${{ data.raw }}' }, steps: [{ run: cat in.csv }] } }",
        Runs("n\n1\n"),
    ),
    (
        "data.include",
        "data: { raw: { uri: lake, include: ['*.csv'] } }\njobs: { a: { consumes: { in/: '${{ data.raw }}' }, steps: [{ run: ls in }] } }",
        Runs("a.csv\nb.csv\ntest ·"),
    ),
    (
        "data.exclude",
        "data: { raw: { uri: lake, exclude: ['b*'] } }\njobs: { a: { consumes: { in/: '${{ data.raw }}' }, steps: [{ run: ls in }] } }",
        Runs("a.csv\nc.txt\n"),
    ),
    (
        "data context",
        "data: { raw: lake }\njobs: { a: { steps: [{ run: 'echo ${{ data.raw.added[0] }} ${{ data.raw.uri }}' }] } }",
        Runs("a.csv lake\n"),
    ),
    (
        "data elsewhere",
        "data: { raw: 's3://lake/x' }\njobs: { a: { steps: [{ run: 'true' }] } }",
        Refuses("sources elsewhere cannot be read yet"),
    ),
    (
        "on.data",
        "on: { data: { raw: { every: 5m, settle: 2m } }, workflow_dispatch: }\ndata: { raw: lake }\njobs: { a: { steps: [{ run: 'true' }] } }",
        Says("`on.data`: waiting for data is not there yet"),
    ),
    (
        "on.model",
        "on: { model: { digits: { alias: production } }, workflow_dispatch: }\njobs: { a: { steps: [{ run: 'true' }] } }",
        Says("`on.model`: waiting for a model is not there yet"),
    ),
    (
        "defaults.python",
        "defaults: { python: { version: '9.99' } }\njobs: { a: { steps: [{ run: 'true' }] } }",
        Ends(1, "9.99"),
    ),
    (
        "defaults.container",
        "defaults: { container: alpine }\njobs: { a: { steps: [{ run: 'true' }] } }",
        Says("`container`: the steps run as processes"),
    ),
    (
        "defaults.pod-template",
        "defaults: { pod-template: x.yaml }\njobs: { a: { steps: [{ run: 'true' }] } }",
        Says("`pod-template`: templates are for pods"),
    ),
    (
        "needs.instances",
        "jobs: { a: { strategy: { matrix: { n: [1, 2] } }, steps: [{ run: 'true' }] }, b: { needs: a, steps: [{ run: 'echo ${{ join(needs.a.instances.*.matrix.n) }}' }] } }",
        Runs("1,2\n"),
    ),
    (
        "best",
        "jobs: { a: { strategy: { matrix: { n: [1, 2] } }, metrics: m.json, produces: { o: m.json }, steps: [{ run: 'echo \"{\\\"x\\\": ${{ matrix.n }}}\" > m.json' }] }, b: { needs: a, consumes: { best.json: \"${{ best(needs.a, 'x', 'min').artifacts.o }}\" }, steps: [{ run: cat best.json }] } }",
        Runs("{\"x\": 1}\n"),
    ),
    (
        "consumes, a list",
        "jobs: { a: { strategy: { matrix: { n: [1, 2] } }, produces: { o: o }, steps: [{ run: 'echo ${{ matrix.n }} > o' }] }, b: { needs: a, consumes: { all/: '${{ needs.a.instances.*.artifacts.o }}' }, steps: [{ run: 'cat all/0/o all/1/o' }] } }",
        Runs("1\n2\n"),
    ),
    (
        "consumes.mount: shared",
        "jobs: { a: { produces: { o: o }, steps: [{ run: 'echo x > o' }] }, b: { needs: a, consumes: { i: { from: '${{ needs.a.artifacts.o }}', mount: shared } }, steps: [{ run: cat i }] } }",
        Says("`consumes.i.mount`: a shared tree is not there yet"),
    ),
    (
        "consumes.mount: copy",
        "jobs: { a: { produces: { o: o }, steps: [{ run: 'echo x > o' }] }, b: { needs: a, consumes: { i: { from: '${{ needs.a.artifacts.o }}', mount: copy } }, steps: [{ run: cat i }] } }",
        Runs("x\n"),
    ),
];

/// The same for what stands in a job, before its steps.
const JOB: &[Row] = &[
    ("python.version", "python: { version: '9.99' }", Ends(1, "9.99")),
    ("python.requirements", "python: { requirements: gone.txt }", Ends(1, "gone.txt")),
    ("python.packages", "python: { packages: [./gone.whl] }", Ends(1, "gone.whl")),
    ("resources.cpu", "resources: { cpu: 9999 }", Runs("it runs alone")),
    ("resources.memory", "resources: { memory: 99999Gi }", Runs("it runs alone")),
    ("resources.gpu", "resources: { gpu: 1 }", Runs("gpus 0\n")),
    ("resources.gpu.count", "resources: { gpu: { count: 1 } }", Runs("gpus 0\n")),
    (
        "resources.gpu.vendor",
        "resources: { gpu: { count: 1, vendor: nvidia } }",
        Says("`resources.gpu.vendor`: it counts in pods"),
    ),
    (
        "resources.gpu.product",
        "resources: { gpu: { count: 1, product: A100 } }",
        Says("`resources.gpu.product`: it counts in pods"),
    ),
    (
        "resources.gpu.memory",
        "resources: { gpu: { count: 1, memory: 40Gi } }",
        Says("`resources.gpu.memory`: it counts in pods"),
    ),
    (
        "resources.gpu.mig",
        "resources: { gpu: { count: 1, mig: 1g.5gb } }",
        Says("`resources.gpu.mig`: it counts in pods"),
    ),
    (
        "resources.gpu.resource",
        "resources: { gpu: { count: 1, resource: example.com/gpu } }",
        Says("`resources.gpu.resource`: it counts in pods"),
    ),
    ("resources.shm", "resources: { shm: 8Gi }", Says("`resources.shm`: it counts in containers and pods")),
    (
        "resources.ephemeral-storage",
        "resources: { ephemeral-storage: 8Gi }",
        Says("`resources.ephemeral-storage`: it counts in pods"),
    ),
    ("container", "container: alpine", Says("`container`: the steps run as processes")),
    (
        "services",
        "services: { db: { image: postgres } }",
        Refuses("service containers need `--on container` or `--on kubernetes`"),
    ),
    ("pod-template", "pod-template: x.yaml", Says("`pod-template`: templates are for pods")),
    ("nodes", "nodes: 4", Refuses("training on several nodes needs `--on kubernetes`")),
    ("nodes: 1", "nodes: 1", Runs("fine\n")),
    ("queue", "queue: gpu", Says("`queue`: queues are those of a cluster; it runs here")),
    (
        "queue.priority",
        "queue: { name: gpu, priority: high }",
        Says("`queue`: queues are those of a cluster; it runs here"),
    ),
    ("spot", "spot: true", Says("`spot`: spot nodes are those of a cluster; it runs on this machine")),
    ("spot.fallback", "spot: { fallback: on-demand }", Says("`spot`: spot nodes are those of a cluster")),
    ("spot: false", "spot: false", Runs("fine\n")),
    ("retry", "retry: 2\n    env: { FAIL: first }", Runs("attempt 2")),
    ("retry.attempts", "retry: { attempts: 2 }\n    env: { FAIL: first }", Runs("attempt 2")),
    (
        "retry.on, another class",
        "retry: { attempts: 2, on: [oom] }\n    env: { FAIL: first }",
        Ends(1, "exit 7"),
    ),
    (
        "retry.on, the exit code",
        "retry: { attempts: 2, on: [exit:7] }\n    env: { FAIL: first }",
        Runs("attempt 2"),
    ),
    ("retry.infra", "retry: { infra: 3 }", Plans("\"infra\": 3")),
    (
        "retry.backoff.initial",
        "retry: { attempts: 2, backoff: { initial: 90s } }",
        Plans("\"backoff_initial\": 90.0"),
    ),
    (
        "retry.backoff.factor",
        "retry: { attempts: 2, backoff: { factor: 3 } }",
        Plans("\"backoff_factor\": 3.0"),
    ),
    ("retry.backoff.max", "retry: { attempts: 2, backoff: { max: 7m } }", Plans("\"backoff_max\": 420.0")),
    (
        "retry.backoff.jitter",
        "retry: { attempts: 2, backoff: { jitter: 0.5 } }",
        Plans("\"backoff_jitter\": 0.5"),
    ),
    (
        "retry.oom.memory-factor",
        "retry: { attempts: 2, oom: { memory-factor: 1.5 } }",
        Plans("\"oom_memory_factor\": 1.5"),
    ),
    (
        "retry.oom.max-memory",
        "retry: { attempts: 2, oom: { max-memory: 1Ki } }",
        Plans("\"oom_max_memory\": 1024"),
    ),
    ("checkpoint", "checkpoint: ck\n    retry: 2\n    env: { FAIL: first }", Runs("kept 1\n")),
    ("checkpoint.path", "checkpoint: { path: ck }\n    retry: 2\n    env: { FAIL: first }", Runs("kept 1\n")),
    (
        "checkpoint.every",
        "checkpoint: { path: ck, every: 5m }",
        Says("`checkpoint.every`: it counts in pods"),
    ),
    ("checkpoint.grace", "checkpoint: { path: ck, grace: 2m }", Plans("\"grace_seconds\": 120.0")),
    ("produces", "produces: { o: out }", Runs("o (4 B,")),
    ("produces, nothing there", "produces: { o: gone }", Ends(1, "gone")),
    ("produces.if-missing: fail", "produces: { o: { path: gone, if-missing: fail } }", Ends(1, "gone")),
    ("produces.if-missing: ignore", "produces: { o: { path: gone, if-missing: ignore } }", Runs("fine\n")),
    ("metrics", "metrics: m.json", Runs("loss=0.25")),
    ("metrics.files", "metrics: { files: [m.json] }", Runs("loss=0.25")),
    ("metrics.goals", "metrics: { files: m.json, goals: { loss: min } }", Runs("loss=0.25")),
    ("params", "params: p.json", Runs("lr=0.1")),
    ("ML_METRICS", "env: { TO: ml }", Runs("said=5")),
    (
        "models",
        "env: { M: '${{ models.digits.production.version }}' }",
        Refuses("`models`: the model registry is not there yet"),
    ),
    (
        "models in if",
        "if: models.digits.production",
        Refuses("`models`: the model registry is not there yet"),
    ),
    ("cache", "cache: true", Plans("\"parts\": {")),
    ("cache.inputs", "cache: { inputs: ['lake/*.csv'] }", Plans("\"inputs\"")),
    ("cache.key", "cache: { key: salt }", Plans("\"salt\"")),
    ("cache.version", "cache: { version: v9 }", Plans("\"v9\"")),
];

/// The same for a step, after one that wrote `m.json`.
const STEP: &[Row] = &[
    (
        "retry",
        "{ retry: 2, run: 'if [ ! -e once ]; then touch once; exit 1; fi; echo again' }",
        Runs("again\n"),
    ),
    (
        "container",
        "{ container: alpine, run: 'true' }",
        Says("the step runs as a process; `--on container` and `--on kubernetes` use it"),
    ),
    (
        "resources",
        "{ resources: { cpu: 2 }, run: 'true' }",
        Says(".resources`: resources of one step count in containers and pods"),
    ),
    ("gate.min", "{ gate: { metrics: { loss: { min: 1 } } } }", Ends(3, "0.25")),
    ("gate.max", "{ gate: { metrics: { loss: { max: 0.1 } } } }", Ends(3, "0.25")),
    ("gate.equals", "{ gate: { metrics: { loss: { equals: 1 } } } }", Ends(3, "0.25")),
    (
        "gate.max-worse",
        "{ gate: { metrics: { loss: { max: 9, max-worse: 2% } }, baseline: base.json } }",
        Ends(3, "max-worse"),
    ),
    (
        "gate.min-gain",
        "{ gate: { metrics: { loss: { max: 9, min-gain: 0.1 } }, baseline: base.json } }",
        Ends(3, "min-gain"),
    ),
    ("gate.expect", "{ gate: { expect: [metrics.loss > 1] } }", Ends(3, "metrics.loss > 1")),
    (
        "gate.baseline branch",
        "{ gate: { metrics: { loss: { max: 9, max-worse: 2% } }, baseline: 'branch:main' } }",
        Runs("fine\n"),
    ),
    (
        "gate.baseline model",
        "{ gate: { metrics: { loss: { max: 9, max-worse: 2% } }, baseline: digits@production } }",
        Refuses("baselines from a model registry are not there yet"),
    ),
    ("validate.schema", "{ validate: { data: lake/a.csv, schema: s.json } }", Ends(3, "is shorter than 9")),
    ("validate.rows", "{ validate: { data: lake/a.csv, rows: { min: 100 } } }", Ends(3, "1 < 100 (min)")),
    ("validate.unique", "{ validate: { data: lake/b.csv, unique: [n] } }", Ends(3, "row 2")),
    ("validate.nulls", "{ validate: { data: nulls.csv, nulls: { n: 0 } } }", Ends(3, "nulls n")),
    (
        "validate.drift",
        "{ validate: { data: lake/a.csv, drift: { reference: lake/b.csv } } }",
        Refuses("drift against a reference is not there yet"),
    ),
    ("validate Parquet", "{ validate: { data: lake/a.parquet, rows: { min: 1 } } }", Ends(1, "arquet")),
    ("notebook", "{ notebook: a.ipynb }", Refuses("running notebooks is not there yet")),
    (
        "notebook, its keys",
        "{ notebook: { path: a.ipynb, params: { n: 1 }, kernel: python3, output: out.ipynb } }",
        Refuses("running notebooks is not there yet"),
    ),
    (
        "register",
        "{ register: { model: digits, path: out, alias: candidate } }",
        Refuses("the model registry is not there yet"),
    ),
    (
        "deploy",
        "{ deploy: { model: digits@candidate, target: { kubernetes: { deployment: d } }, promote: production } }",
        Refuses("deployment is not there yet"),
    ),
];

/// What a job of the tables does besides.
const STEPS: &str = "    steps:
      - run: |
          echo fine; echo out > out; echo gpus $CUDA_VISIBLE_DEVICES
          echo '{\"loss\": 0.25}' > m.json; echo '{\"lr\": 0.1}' > p.json; echo '{\"loss\": 0.1}' > base.json
          if [ \"$TO\" = ml ]; then echo 'said=5' >> \"$ML_METRICS\"; fi
          if [ -d ck ]; then echo kept $(cat ck/* | wc -l); echo x > ck/state; fi
          if [ \"$FAIL\" = first ] && [ ! -e \"$FOLDER/once\" ]; then touch \"$FOLDER/once\"; exit 7; fi
";

fn project(text: &str) -> Project {
    let on = if text.contains("on: {") && text.starts_with("on") { "" } else { "on: workflow_dispatch\n" };
    Project::workflow(&format!("{on}{text}\n"))
        .file("lake/a.csv", "n\n1\n")
        .file("lake/b.csv", "n\n1\n1\n")
        .file("lake/c.txt", "c")
        .file("s.json", "{\"properties\": {\"n\": {\"type\": \"string\", \"minLength\": 9}}}")
        .file("nulls.csv", "n,m\n,1\n")
}

/// All that a run says: as it goes, in its log, afterwards.
fn all(project: &Project, run: &crate::harness::Done) -> String {
    let later =
        [&["runs", "logs", "1"][..], &["runs", "show", "1"]].map(|args| project.tidegate(args).stdout);
    format!("{}{}{}", run.stdout, run.stderr, later.concat())
}

/// Tells what of a row does not hold.
fn wrong(text: &str, does: &Does) -> Option<String> {
    let project = project(text);
    let checked = project.tidegate(["check"]);
    if checked.code != Some(0) {
        return Some(format!("check: {checked:?}"));
    }
    let plan = project.tidegate(["plan"]);
    let json = project.tidegate(["plan", "--format", "json"]).stdout;
    let folder = format!("FOLDER={}", project.path().display());
    let run = project.tidegate(["run", "--gpus", "1", "--env", &folder]);
    let said = all(&project, &run);
    let ends = |code: i32, planned: i32, words: &str| {
        let right = run.code == Some(code) && plan.code == Some(planned) && said.contains(words);
        (!right).then(|| format!("plan {:?}, run {:?}, no {words:?} in:\n{said}", plan.code, run.code))
    };
    match does {
        Runs(words) => ends(0, 0, words).or_else(|| {
            let surplus = said.contains("note: `") || plan.stdout.contains("not there yet");
            surplus.then(|| format!("it says that something is missing:\n{}{said}", plan.stdout))
        }),
        Ends(code, words) => ends(*code, 0, words),
        Plans(words) => {
            ends(0, 0, "").or_else(|| (!json.contains(words)).then(|| format!("no {words:?} in {json}")))
        }
        Says(words) => ends(0, 0, words).or_else(|| {
            (!plan.stdout.contains(words)).then(|| format!("the plan is silent:\n{}", plan.stdout))
        }),
        Refuses(words) => {
            let refused = plan.code == Some(2) && matches!(run.code, Some(1 | 2)) && said.contains(words);
            let planned = plan.stdout.contains(words);
            (!refused || !planned).then(|| format!("{:?} {:?}\n{}{said}", plan.code, run.code, plan.stdout))
        }
    }
}

fn walk(rows: &[Row], whole: impl Fn(&str) -> String) {
    let mut failed = String::new();
    for (key, text, does) in rows {
        if let Some(reason) = wrong(&whole(text), does) {
            failed.push_str(&format!("\n=== {key}\n{reason}\n"));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn keys_of_the_file() {
    walk(TOP, str::to_owned);
}

#[test]
fn keys_of_a_job() {
    walk(JOB, |keys| format!("jobs:\n  a:\n    {keys}\n{STEPS}"));
}

#[test]
fn keys_of_a_step() {
    let job =
        "jobs:\n  a:\n    environment: production\n    metrics: { files: m.json, goals: { loss: min } }\n";
    walk(STEP, |step| format!("{job}{STEPS}      - {step}\n"));
}

/// A called workflow has the secrets that its caller passes: all, one by name, or none.
#[test]
fn secrets_of_a_call() {
    let passes = [
        ("all", "secrets: inherit"),
        ("one", "secrets: { T: '${{ secrets.OTHER }}' }"),
        ("none", "with: {}"),
    ];
    let mut text = "on: workflow_dispatch\njobs:\n".to_owned();
    for (name, passed) in passes {
        text += &format!("  {name}: {{ uses: ./.ml/workflows/{name}.yml, {passed} }}\n");
    }
    let mut project = Project::workflow(&text);
    for (name, _) in passes {
        let called = format!(
            "on: {{ workflow_call: {{ secrets: {{ T: {{ required: false }} }} }} }}\njobs:\n  \
             of-{name}: {{ steps: [{{ env: {{ T: '${{{{ secrets.T }}}}' }}, run: 'echo {name} has ${{#T}}' }}] }}\n"
        );
        project = project.file(&format!(".ml/workflows/{name}.yml"), &called);
    }
    let secrets = ["--secret", "T=hush-7", "--secret", "OTHER=hush-hush-12"];
    project.tidegate([&["run", ".ml/workflows/test.yml"], &secrets[..]].concat()).code(0);
    let logs = project.tidegate(["runs", "logs", "1"]).code(0);
    logs.stdout("all has 6\n").stdout("one has 12\n").stdout("none has 0\n");
}

/// A second run takes it from the cache; what the key names makes it run.
#[test]
fn what_a_cache_looks_at() {
    let change = |what: &str| -> String { what.to_owned() };
    for (cache, changed, unchanged) in [
        ("true", change("echo x > any.txt"), ""),
        ("{ inputs: ['lake/*.csv'] }", change("echo 2 > lake/a.csv"), "echo x > any.txt"),
        (
            "{ inputs: ['lake/*.csv'], key: '${{ vars.k }}' }",
            change("sed -i s/vars.k/vars.j/ .ml/workflows/test.yml"),
            "echo x > any.txt",
        ),
        (
            "{ inputs: ['lake/*.csv'], version: v1 }",
            change("sed -i s/v1/v2/ .ml/workflows/test.yml"),
            "echo x > any.txt",
        ),
    ] {
        let project = project(&format!("jobs:\n  a:\n    cache: {cache}\n{STEPS}"));
        let run = || project.tidegate(["run", "--var", "k=1", "--var", "j=2"]).code(0);
        run().nowhere("from cache");
        project.sh(&format!(": ; {unchanged}"));
        run().stdout("from cache");
        project.sh(&changed);
        run().nowhere("from cache");
    }
}
