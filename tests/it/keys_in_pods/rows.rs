//! The rows: a key, what stands in the file, what it does.

/// What a key does.
pub(super) enum Does {
    /// The manifests have this, and have it not without the key.
    Makes(&'static str),
    /// What the log keeps of the job has this, and has it not without the key: the engine or the agent goes by it.
    Keeps(&'static str),
    /// It has no effect in pods: `check --on kubernetes` and `plan` say this and go on.
    Says(&'static str),
    /// The job cannot do without: both refuse.
    Refuses(&'static str),
    /// The agent goes by it, with the step runner of all places: this file has this test of it.
    Runs(&'static str, &'static str),
    /// It is read and has no effect anywhere, and this document says so.
    Nothing(&'static str, &'static str),
}

use Does::{Keeps, Makes, Nothing, Refuses, Runs, Says};

/// A key as `SHAPE.KEY` of the schema, with more words where it has several rows; what stands in the file; what it does.
pub(super) type Row = (&'static str, &'static str, Does);

pub(super) const FILE: &[Row] = &[
    ("name", "name: other", Keeps("\"name\": \"other\"")),
    ("run-name", "run-name: other", Keeps("\"run_name\": \"other\"")),
    ("env", "env: { A: b }", Keeps("\"A\"")),
    ("data", "data: { raw: lake }", Keeps("\"name\": \"raw\"")),
    ("concurrency.group", "concurrency: { group: deploy }", Keeps("\"group\": \"deploy\"")),
    ("permissions", "permissions: read-all", Nothing("docs/deviations.md", "| `permissions` |")),
    (
        "defaults.run",
        "defaults: { run: { shell: bash } }",
        Runs("tests/it/runner_half.rs", "directories_and_defaults_come_in_layers"),
    ),
    ("defaults.container", "defaults: { container: other:1 }", Makes("image: other:1")),
    ("defaults.pod-template", "defaults: { pod-template: t.yaml }", Makes("priorityClassName: high")),
    (
        "defaults.python",
        "defaults: { python: { version: '3.11' } }",
        Says("`python`: the image brings its own"),
    ),
];

pub(super) const JOB: &[Row] = &[
    ("job.name", "name: other", Keeps("\"display\": \"other\"")),
    ("job.if", "if: \"${{ github.actor == 'nobody' }}\"", Keeps("\"skipped\"")),
    ("job.needs", "needs: first", Keeps("\"needs\": [\n          \"first\"")),
    (
        "job.permissions",
        "permissions: { contents: read }",
        Nothing("docs/deviations.md", "| `permissions` |"),
    ),
    ("job.runs-on", "runs-on: gpu-box", Says("`runs-on`: `gpu-box` chooses no node")),
    ("job.environment", "environment: production", Keeps("\"environment\": \"production\"")),
    ("job.concurrency", "concurrency: deploy", Keeps("\"group\": \"deploy\"")),
    (
        "concurrency.cancel-in-progress",
        "concurrency: { group: g, cancel-in-progress: true }",
        Keeps("\"cancel_in_progress\": true"),
    ),
    ("concurrency.queue", "concurrency: { group: g, queue: max }", Keeps("\"queue_all\": true")),
    ("job.outputs", "outputs: { x: y }", Runs("tests/it/agent.rs", "steps_see_what_earlier_steps_wrote")),
    ("job.env", "env: { A: b }", Keeps("\"A\"")),
    (
        "job.defaults",
        "defaults: { run: { working-directory: lake } }",
        Runs("tests/it/runner_half.rs", "directories_and_defaults_come_in_layers"),
    ),
    ("defaults.container", "defaults: { container: other:1 }", Makes("image: other:1")),
    ("defaults.pod-template", "defaults: { pod-template: t.yaml }", Makes("priorityClassName: high")),
    (
        "defaults.python",
        "defaults: { python: { version: '3.11' } }",
        Says("`python`: the image brings its own"),
    ),
    ("job.timeout-minutes", "timeout-minutes: 5", Makes("activeDeadlineSeconds: 86710")),
    (
        "job.cancel-timeout-minutes",
        "cancel-timeout-minutes: 5",
        Says("`cancel-timeout-minutes`: it has no effect"),
    ),
    ("job.snapshot", "snapshot: image", Says("`snapshot`: it has no effect")),
    ("job.strategy", "strategy: { matrix: { x: [1, 2] } }", Makes("-a-2-1")),
    ("strategy.matrix", "strategy: { matrix: { x: [1, 2] } }", Keeps("\"x\": 2")),
    (
        "strategy.fail-fast",
        "strategy: { fail-fast: false, matrix: { x: [1] } }",
        Keeps("\"fail_fast\": false"),
    ),
    (
        "strategy.max-parallel",
        "strategy: { max-parallel: 7, matrix: { x: [1] } }",
        Keeps("\"max_parallel\": 7"),
    ),
    ("job.continue-on-error", "continue-on-error: true", Keeps("\"continue_on_error\": true")),
    ("job.container", "container: other:1", Makes("image: other:1")),
    ("container.image", "container: { image: other:1 }", Makes("image: other:1")),
    (
        "container.credentials",
        "container: { image: other:1, credentials: { username: me, password: '${{ secrets.P }}' } }",
        Makes("-pull"),
    ),
    ("container.env", "container: { image: other:1, env: { A: b } }", Keeps("\"A\"")),
    (
        "container.options",
        "container: { image: other:1, options: --cpus 1 }",
        Says("`container.options`: it has no effect in a pod"),
    ),
    (
        "container.ports",
        "container: { image: other:1, ports: [80] }",
        Says("`container.ports`: it has no effect in a pod"),
    ),
    (
        "container.volumes",
        "container: { image: other:1, volumes: ['kept:/kept'] }",
        Makes("mountPath: /kept"),
    ),
    (
        "container.volumes, the machine's",
        "container: { image: other:1, volumes: ['/srv:/srv'] }",
        Refuses("a pod has no folder of the machine"),
    ),
    (
        "container.volumes, twice",
        "container: { image: other:1, volumes: ['a:/kept', 'b:/kept/'] }",
        Refuses("`a:/kept` is there already"),
    ),
    (
        "container.volumes, ours",
        "container: { image: other:1, volumes: ['a:/run/tidegate/shared'] }",
        Refuses("/run/tidegate is Tidegate's own"),
    ),
    (
        "container.volumes, of resources.shm",
        "container: { image: other:1, volumes: ['a:/dev/shm'] }\n    resources: { shm: 1Gi }",
        Refuses("`resources.shm` of this job lies there"),
    ),
    (
        "container.volumes, for resources.shm",
        "container: { image: other:1, volumes: ['a:/dev/shm'] }",
        Makes("mountPath: /dev/shm"),
    ),
    ("job.services", "services: { db: { image: other:1 } }", Makes("name: service-db")),
    ("service.image", "services: { db: { image: other:1 } }", Makes("image: other:1")),
    (
        "service.credentials",
        "services: { db: { image: other:1, credentials: { username: me, password: '${{ secrets.P }}' } } }",
        Makes("-pull"),
    ),
    (
        "service.env",
        "services: { db: { image: other:1, env: { A: other-value } } }",
        Makes("value: other-value"),
    ),
    (
        "service.env, a secret",
        "services: { db: { image: other:1, env: { A: '${{ secrets.P }}' } } }",
        Makes("service.db.A: '***'"),
    ),
    (
        "service.options",
        "services: { db: { image: other:1, options: --health-cmd x } }",
        Makes("startupProbe:"),
    ),
    (
        "service.options, others",
        "services: { db: { image: other:1, options: --cpus 1 } }",
        Says("`services.db.options`: --cpus 1 has no effect in a pod"),
    ),
    ("service.ports", "services: { db: { image: other:1, ports: [81] } }", Makes("containerPort: 81")),
    (
        "service.ports, mapped",
        "services: { db: { image: other:1, ports: ['8080:80'] } }",
        Says("`services.db.ports`: 8080 is not mapped"),
    ),
    (
        "service.volumes",
        "services: { db: { image: other:1, volumes: ['/kept'] } }",
        Makes("mountPath: /kept"),
    ),
    (
        "service.volumes, the machine's",
        "services: { db: { image: other:1, volumes: ['/srv:/srv'] } }",
        Refuses("a pod has no folder of the machine"),
    ),
    (
        "service.volumes, twice",
        "services: { db: { image: other:1, volumes: ['/kept', 'a:/kept'] } }",
        Refuses("`/kept` is there already"),
    ),
    ("service.command", "services: { db: { image: other:1, command: serve } }", Makes("- serve")),
    ("service.entrypoint", "services: { db: { image: other:1, entrypoint: /serve } }", Makes("- /serve")),
    ("job.python", "python: {}", Says("`python`: the image brings its own Python")),
    ("python.version", "python: { version: '3.11' }", Says("`python`: the image brings its own Python")),
    (
        "python.requirements",
        "python: { requirements: r.txt }",
        Says("what r.txt names has to be in the image"),
    ),
    ("python.packages", "python: { packages: [x] }", Says("has to bring the packages")),
    ("job.resources", "resources: { cpu: 2 }", Makes("cpu: 2000m")),
    ("resources.cpu", "resources: { cpu: 500m }", Makes("cpu: 500m")),
    ("resources.memory", "resources: { memory: 2Gi }", Makes("memory: '2147483648'")),
    ("resources.shm", "resources: { shm: 1Gi }", Makes("sizeLimit: '1073741824'")),
    (
        "resources.ephemeral-storage",
        "resources: { ephemeral-storage: 1Gi }",
        Makes("ephemeral-storage: '1073741824'"),
    ),
    ("resources.gpu", "resources: { gpu: 2 }", Makes("nvidia.com/gpu: '2'")),
    ("resources.gpu.count", "resources: { gpu: { count: 2 } }", Makes("nvidia.com/gpu: '2'")),
    ("resources.gpu.vendor", "resources: { gpu: { count: 1, vendor: amd } }", Makes("amd.com/gpu: '1'")),
    ("resources.gpu.product", "resources: { gpu: { count: 1, product: A100 } }", Makes("- A100")),
    (
        "resources.gpu.memory",
        "resources: { gpu: { count: 1, memory: 40Gi } }",
        Makes("nvidia.com/gpu.memory"),
    ),
    (
        "resources.gpu.mig",
        "resources: { gpu: { count: 1, mig: 1g.5gb } }",
        Makes("nvidia.com/mig-1g.5gb: '1'"),
    ),
    ("resources.gpu.resource", "resources: { gpu: { count: 1, resource: x.com/y } }", Makes("x.com/y: '1'")),
    (
        "resources.gpu.product, another vendor's",
        "resources: { gpu: { count: 1, vendor: amd, product: x } }",
        Refuses("only NVIDIA's node labels say it"),
    ),
    ("job.retry", "retry: 2", Keeps("\"attempts\": 2")),
    ("retry.attempts", "retry: { attempts: 3 }", Keeps("\"attempts\": 3")),
    ("retry.on", "retry: { attempts: 2, on: [oom] }", Keeps("\"oom\"")),
    ("retry.infra", "retry: { infra: 3 }", Keeps("\"infra\": 3")),
    (
        "retry.backoff",
        "retry: { attempts: 2, backoff: { initial: 90s } }",
        Keeps("\"backoff_initial\": 90.0"),
    ),
    ("retry.oom", "retry: { attempts: 2, oom: { memory-factor: 1.5 } }", Keeps("\"oom_memory_factor\": 1.5")),
    ("job.checkpoint", "checkpoint: state", Keeps("\"path\": \"state\"")),
    ("checkpoint.path", "checkpoint: { path: state }", Keeps("\"path\": \"state\"")),
    ("checkpoint.every", "checkpoint: { path: state, every: 5m }", Keeps("\"every_seconds\": 300.0")),
    ("checkpoint.grace", "checkpoint: { path: s, grace: 2m }", Makes("terminationGracePeriodSeconds: 150")),
    ("checkpoint.volume", "checkpoint: { path: s, volume: mine }", Makes("claimName: mine")),
    (
        "checkpoint.volume, of several",
        "checkpoint: { path: s, volume: mine }\n    nodes: 2",
        Refuses("a claim is that of one pod"),
    ),
    ("job.produces", "produces: { model: out }", Keeps("\"model\"")),
    ("produce.path", "produces: { model: { path: out } }", Keeps("\"out\"")),
    (
        "produce.if-missing",
        "produces: { model: { path: out, if-missing: ignore } }",
        Runs("tests/it/keys.rs", "keys_of_a_job"),
    ),
    ("job.consumes", "consumes: { in/: '${{ needs.first.artifacts.o }}' }\n    needs: first", Keeps("in/")),
    (
        "consume.from",
        "consumes: { in/: { from: '${{ needs.first.artifacts.o }}' } }\n    needs: first",
        Keeps("in/"),
    ),
    (
        "consume.mount",
        "consumes: { in/: { from: '${{ needs.first.artifacts.o }}', mount: shared } }\n    needs: first",
        Says("a shared tree is not there yet"),
    ),
    (
        "job.metrics",
        "metrics: m.json",
        Runs("tests/it/kubernetes/runs.rs", "a_gate_stops_a_run_and_the_cache_knows_where_things_are"),
    ),
    (
        "metrics.files",
        "metrics: { files: /m.json }",
        Says("`metrics`: /m.json is in the image, where nobody reads it"),
    ),
    (
        "metrics.goals",
        "metrics: { files: m.json, goals: { loss: min } }",
        Runs("tests/it/kubernetes/detach/requests.rs", "clients_at_once_each_get_their_run"),
    ),
    ("job.params", "params: p.json", Runs("tests/it/keys.rs", "keys_of_a_job")),
    ("job.cache", "cache: true", Keeps("\"back end\": \"pods\"")),
    ("cache.inputs", "cache: { inputs: [lake/a.csv] }", Keeps("\"back end\": \"pods\"")),
    ("cache.key", "cache: { key: salt }", Keeps("\"key\": \"salt\"")),
    ("cache.version", "cache: { version: v9 }", Keeps("\"version\": \"v9\"")),
    ("job.nodes", "nodes: 4", Makes("completions: 4")),
    ("job.queue", "queue: gpu", Makes("kueue.x-k8s.io/queue-name: gpu")),
    ("queue.priority", "queue: { name: gpu, priority: high }", Makes("kueue.x-k8s.io/priority-class: high")),
    ("job.spot", "spot: true", Makes("requiredDuringScheduling")),
    ("spot.fallback", "spot: { fallback: on-demand }", Makes("preferredDuringScheduling")),
    ("job.pod-template", "pod-template: t.yaml", Makes("priorityClassName: high")),
    ("job.steps", "env: { A: b }", Keeps("\"A\"")),
];

/// Of a job that calls a workflow.
pub(super) const CALL: &[Row] = &[
    ("job.uses", "uses: ./.ml/workflows/called.yml", Makes("image: called:1")),
    ("job.with", "uses: ./.ml/workflows/called.yml\n    with: { x: given }", Keeps("\"x\": \"given\"")),
    (
        "job.secrets",
        "uses: ./.ml/workflows/called.yml\n    secrets: inherit",
        Runs("tests/it/keys.rs", "secrets_of_a_call"),
    ),
];

/// Of a step, after one that does nothing.
pub(super) const STEP: &[Row] = &[
    ("step.name", "{ run: 'true', name: other }", Keeps("\"name\": \"other\"")),
    ("step.id", "{ run: 'true', id: other }", Keeps("\"id\": \"other\"")),
    ("step.if", "{ run: 'true', if: \"github.actor == 'nobody'\" }", Keeps("github.actor == 'nobody'")),
    ("step.env", "{ run: 'true', env: { A: b } }", Keeps("\"A\"")),
    ("step.run", "{ run: echo other }", Keeps("echo other")),
    (
        "step.shell",
        "{ run: 'true', shell: bash }",
        Runs("tests/it/runner_half.rs", "directories_and_defaults_come_in_layers"),
    ),
    (
        "step.working-directory",
        "{ run: 'true', working-directory: lake }",
        Runs("tests/it/runner_half.rs", "directories_and_defaults_come_in_layers"),
    ),
    (
        "step.continue-on-error",
        "{ run: 'true', continue-on-error: true }",
        Runs("tests/it/agent.rs", "failure_status_functions_and_continue_on_error"),
    ),
    (
        "step.timeout-minutes",
        "{ run: 'true', timeout-minutes: 5 }",
        Runs("tests/it/agent.rs", "timeouts_end_every_grandchild"),
    ),
    ("step.retry", "{ run: 'true', retry: 2 }", Runs("tests/it/keys.rs", "keys_of_a_step")),
    (
        "step.background",
        "{ run: 'true', background: true }",
        Refuses("`steps[1].background`: steps that run beside"),
    ),
    (
        "step.parallel",
        "{ parallel: [{ run: 'true' }] }",
        Refuses("`steps[1].parallel`: steps that run beside"),
    ),
    ("step.wait", "{ wait: x }", Refuses("`steps[1].wait`: steps that run beside")),
    ("step.wait-all", "{ wait-all: true }", Refuses("`steps[1].wait-all`: steps that run beside")),
    ("step.cancel", "{ cancel: x }", Refuses("`steps[1].cancel`: steps that run beside")),
    ("step.container", "{ run: 'true', container: other:1 }", Makes("image: other:1")),
    (
        "step.container, its keys",
        "{ run: 'true', container: { image: other:1, options: --cpus 1 } }",
        Says("`steps[1].container.options`: it has no effect in a pod"),
    ),
    (
        "step.container, its volumes",
        "{ run: 'true', container: { image: other:1, volumes: ['a:/dev/shm'] }, resources: { shm: 1Gi } }",
        Refuses("`steps[1].container.volumes`: `a:/dev/shm`: `resources.shm` of this job lies there"),
    ),
    ("step.resources", "{ run: 'true', resources: { cpu: 2 } }", Makes("cpu: 2000m")),
    ("step.uses", "{ uses: ./act }", Keeps("./act")),
    (
        "step.uses, beside others",
        "{ uses: ./beside }",
        Refuses("`steps[1].background`: steps that run beside"),
    ),
    (
        "step.uses, elsewhere",
        "{ uses: actions/upload-artifact@v4, with: { name: x, path: ~/x } }",
        Says("~/x is in the image"),
    ),
    ("step.with", "{ uses: actions/cache@v4, with: { path: kept, key: other-key } }", Keeps("other-key")),
    ("step.gate", "{ gate: { metrics: { loss: { max: 1 } } } }", Keeps("\"gate\"")),
    ("gate.metrics", "{ gate: { metrics: { loss: { max: 77 } } } }", Keeps("77")),
    ("gate.expect", "{ gate: { expect: [metrics.loss < 88] } }", Keeps("metrics.loss < 88")),
    (
        "gate.baseline",
        "{ gate: { metrics: { loss: { max: 1, max-worse: 2% } }, baseline: /base.json } }",
        Says("/base.json is in the image"),
    ),
    (
        "gate.baseline, a model",
        "{ gate: { metrics: { loss: { max: 1, max-worse: 2% } }, baseline: digits@production } }",
        Refuses("baselines from a model registry are not there yet"),
    ),
    ("step.validate", "{ validate: { data: lake/a.csv, rows: 1 } }", Keeps("lake/a.csv")),
    ("validate.data", "{ validate: { data: /a.csv, rows: 1 } }", Says("/a.csv is in the image")),
    (
        "validate.schema",
        "{ validate: { data: lake/a.csv, schema: /s.json } }",
        Says("/s.json is in the image"),
    ),
    (
        "validate.rows",
        "{ validate: { data: lake/a.csv, rows: 1 } }",
        Runs("tests/it/keys.rs", "keys_of_a_step"),
    ),
    (
        "validate.unique",
        "{ validate: { data: lake/a.csv, unique: n } }",
        Runs("tests/it/keys.rs", "keys_of_a_step"),
    ),
    (
        "validate.nulls",
        "{ validate: { data: lake/a.csv, nulls: { n: 0 } } }",
        Runs("tests/it/keys.rs", "keys_of_a_step"),
    ),
    (
        "validate.drift",
        "{ validate: { data: lake/a.csv, drift: { reference: lake/a.csv } } }",
        Refuses("drift against a reference is not there yet"),
    ),
    ("step.notebook", "{ notebook: a.ipynb }", Refuses("running notebooks is not there yet")),
    (
        "step.register",
        "{ register: { model: digits, path: out, alias: candidate } }",
        Refuses("the model registry is not there yet"),
    ),
    (
        "step.deploy",
        "{ deploy: { model: digits@candidate, target: { kubernetes: { deployment: d } } } }",
        Refuses("deployment is not there yet"),
    ),
];
