//! One full sample of every event, request and message, for the golden files.

use super::{FromHub, Tally, ToHub};
use crate::gate::{Baseline, Finding, Outcome, Verdict};
use crate::job::{
    ActionSpec, AgentRequest, Annotation, Answer, ArtifactRef, CheckpointSpec, Conclusion, ConsumeSpec,
    EnvLayer, FailureClass, GateSpec, JobMessage, JobSpec, MessageBody, MetricsSpec, ProduceSpec, PythonSpec,
    Question, Receipt, ResourceRequest, RetrySpec, SavedCache, SourceSpec, StepMemory, StepSpec,
    ValidateSpec,
};
use crate::run::{
    CacheKey, ConcurrencyGroup, EventKind, InstanceDeclared, InstanceId, InstanceSettings, JobDeclared,
    JobEvaluation, JobId, Millis, ReadySettings, RunCreated, RunEvent, RunSummary,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_lang::workflow::BoundKind;

fn text(text: &str) -> String {
    text.to_owned()
}

fn map<V, const N: usize>(pairs: [(&str, V); N]) -> BTreeMap<String, V> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn artifact() -> ArtifactRef {
    ArtifactRef { digest: text("77de40"), size: 4096, files: 2, tree: true, name: String::new() }
}

fn verdict() -> Verdict {
    Verdict {
        outcome: Outcome::Fail,
        findings: vec![Finding {
            subject: text("accuracy"),
            kind: Some(BoundKind::Min),
            value: Some(0.938),
            bound: Some(0.95),
            baseline: Some(0.961),
            margin: Some(-0.012),
            holds: false,
            note: Some(text("short")),
        }],
    }
}

fn receipt() -> Receipt {
    Receipt {
        conclusion: Conclusion::Failure,
        class: Some(FailureClass::Gate),
        exit: Some(1),
        reason: Some(text("stopped by a gate")),
        failed_step: Some(1),
        step_memory: None,
        outputs: map([("tag", text("v1"))]),
        metrics: map([("accuracy", json!(0.938))]),
        goals: map([("accuracy", text("max"))]),
        params: map([("c", json!(1))]),
        artifacts: map([("model", artifact())]),
        uploads: map([("report", artifact())]),
        summary: text("# done"),
        environment_url: Some(text("http://localhost/")),
        images: Arc::default(),
        log: 512,
        duration_ms: 900,
    }
}

fn source() -> SourceSpec {
    SourceSpec {
        tree: text("ab12"),
        commit: text("4f2a91c"),
        dirty: true,
        project: text("ml"),
        in_place: None,
    }
}

fn created() -> RunCreated {
    RunCreated {
        run: text("01JDXYZ"),
        number: 7,
        semantics: 1,
        workflow: text(".ml/workflows/digits.yml"),
        name: text("digits"),
        run_name: Some(text("nightly")),
        texts: map([(".ml/workflows/digits.yml", text("c0ffee"))]),
        event: text("push"),
        payload: json!({ "ref": "refs/heads/main" }),
        contexts: map([("inputs", json!({ "seed": 7 }))]),
        source: source(),
        rerun_of: Some(text("01JDABC")),
        concurrency: Some(group()),
        options: map([("on", json!("local"))]),
        jobs: vec![job("prepare", vec![], false), job("train", vec![0], true)],
        project: String::new(),
    }
}

fn job(id: &str, needs: Vec<u32>, call: bool) -> Arc<JobDeclared> {
    let workflow = text(".ml/workflows/digits.yml");
    Arc::new(JobDeclared { id: text(id), workflow, display: text(id), needs, call })
}

fn group() -> ConcurrencyGroup {
    ConcurrencyGroup { group: text("prod"), cancel_in_progress: true, queue_all: false }
}

fn ready() -> ReadySettings {
    ReadySettings {
        display: text("train (svm)"),
        continue_on_error: true,
        timeout_seconds: Some(60.5),
        retry: RetrySpec::default(),
        resources: ResourceRequest {
            cpu_millis: 500,
            memory_bytes: 1 << 34,
            storage_bytes: 1,
            shm_bytes: 2,
            gpus: 1,
            gpu: json!({ "count": 1 }),
        },
        concurrency: Some(group()),
        cache: Some(CacheKey { key: text("k"), parts: map([("commands", text("d"))]) }),
        consumes: vec![ConsumeSpec {
            path: text("raw/"),
            items: vec![artifact()],
            list: true,
            shared: false,
        }],
        grace_seconds: 10.0,
        ..ReadySettings::default()
    }
}

/// One event of every kind, and of every shape within a kind.
pub(crate) fn events() -> Vec<RunEvent> {
    let kinds = [
        run_kinds(),
        attempt_kinds(),
        end_kinds(),
        group_kinds(),
        waiting_kinds(),
        images_kinds(),
        project_kinds(),
        step_memory_kinds(),
        service_kinds(),
    ]
    .concat();
    kinds.into_iter().zip(1_700_000_000_000..).map(|(kind, at)| RunEvent { at: Millis(at), kind }).collect()
}

fn run_kinds() -> Vec<EventKind> {
    let (job_id, instance) = (JobId(1), InstanceId(2));
    let evaluated = |outcome| EventKind::JobEvaluated { job: job_id, outcome };
    let settings = |settings| EventKind::InstanceEvaluated { instance, settings: Box::new(settings) };
    vec![
        EventKind::RunCreated(Arc::new(created())),
        EventKind::EngineStarted { epoch: 2, keeps: false },
        EventKind::JobsAdded { caller: instance, jobs: vec![job("inner", vec![], false)] },
        evaluated(JobEvaluation::Skipped { reason: text("github.ref is refs/heads/x") }),
        evaluated(JobEvaluation::Failed { reason: text("no such input") }),
        evaluated(JobEvaluation::Instances {
            instances: vec![Arc::new(InstanceDeclared {
                display: text("train (svm)"),
                matrix: json!({ "model": "svm" }),
            })],
            fail_fast: true,
            max_parallel: Some(4),
        }),
        settings(InstanceSettings::Ready(Box::new(ready()))),
        settings(InstanceSettings::Failed { reason: text("best: none") }),
        EventKind::CacheAnswered {
            instance,
            hit: Some(Box::new((text("01JDABC"), receipt()))),
            verdicts: vec![verdict()],
            reason: None,
        },
        EventKind::CacheAnswered { instance, hit: None, verdicts: vec![], reason: None },
        EventKind::Adopted { instance, from: text("01JDABC"), receipt: Arc::new(receipt()) },
        EventKind::SlotGranted { instance, gpus: Some(vec![0, 3]) },
    ]
}

fn attempt_kinds() -> Vec<EventKind> {
    let (instance, attempt, step) = (InstanceId(2), 3, 1);
    vec![
        EventKind::AttemptStarted { instance, attempt, token: text("01JDXYZ.2.3"), spec: text("5bec") },
        EventKind::AttemptReady { instance, attempt, notes: vec![text("dirty tree")] },
        EventKind::StepStarted { instance, attempt, step, name: text("fit"), log: 10 },
        EventKind::StepEnded {
            instance,
            attempt,
            step,
            name: text("fit"),
            outcome: Conclusion::Failure,
            conclusion: Conclusion::Success,
            exit: Some(137),
            reason: Some(text("killed")),
            log: 99,
        },
        EventKind::Annotated { instance, annotation: annotation() },
        EventKind::Judged { instance, attempt, step, verdict: verdict() },
        EventKind::BaselineFetched { instance, baseline: text("branch:main"), found: baseline() },
        EventKind::BaselineFetched { instance, baseline: text("branch:main"), found: Baseline::Absent },
        EventKind::AttemptEnded { instance, attempt, receipt: Arc::new(receipt()) },
        EventKind::RetryScheduled {
            instance,
            due: Millis(1_700_000_009_000),
            class: FailureClass::Oom,
            infra: false,
            memory: Some(1 << 35),
            step: None,
        },
        EventKind::AttemptCancelled { instance, attempt, reason: text("fail-fast") },
    ]
}

fn end_kinds() -> Vec<EventKind> {
    vec![
        EventKind::InstanceEnded {
            instance: InstanceId(2),
            outcome: Conclusion::Failure,
            conclusion: Conclusion::Success,
            outputs: map([("tag", text("v1"))]),
        },
        EventKind::JobEnded { job: JobId(1), result: Conclusion::Skipped },
        EventKind::CancelRequested { reason: text("ctrl-c"), force: true },
        EventKind::RunEnded(Box::new(RunSummary {
            conclusion: Conclusion::Cancelled,
            gate: true,
            tool_failure: false,
            counts: [1, 2, 3, 4],
            cached: 1,
            artifact_bytes: 4096,
            metrics: map([("train", map([("accuracy", 0.938)]))]),
            artifacts: map([("train", map([("model", artifact())]))]),
            duration_ms: 15_000,
        })),
    ]
}

fn group_kinds() -> Vec<EventKind> {
    let instance = InstanceId(2);
    vec![
        EventKind::GroupGranted { instance: None },
        EventKind::GroupGranted { instance: Some(instance) },
        EventKind::InstanceStopped { instance, reason: text("its group `deploy` is taken") },
        EventKind::CacheAnswered {
            instance,
            hit: None,
            verdicts: vec![],
            reason: Some(text("its gate reads `steps`")),
        },
    ]
}

fn waiting_kinds() -> Vec<EventKind> {
    vec![EventKind::AttemptWaiting {
        instance: InstanceId(2),
        attempt: 3,
        reason: text("no node takes it: 0/4 nodes are available"),
    }]
}

fn project_kinds() -> Vec<EventKind> {
    vec![EventKind::RunCreated(Arc::new(of_a_project()))]
}

/// A run of a store that several projects share.
fn of_a_project() -> RunCreated {
    RunCreated { project: text("github.com/acme/models//ml"), ..created() }
}

fn images_kinds() -> Vec<EventKind> {
    let images = map([("steps", text("python@sha256:01"))]);
    vec![EventKind::ImagesTold { instance: InstanceId(2), attempt: 3, images: Arc::new(images) }]
}

fn service_kinds() -> Vec<EventKind> {
    vec![EventKind::ServiceEnded {
        instance: InstanceId(2),
        attempt: 3,
        service: text("db"),
        node: Some(1),
        times: 2,
        reason: text(
            "the service `db` of node 1 ended with exit 7 while steps ran (2 times), and is started again",
        ),
    }]
}

fn step_memory_kinds() -> Vec<EventKind> {
    let (instance, attempt) = (InstanceId(2), 3);
    let own = StepMemory { step: 1, key: text("steps.fit"), bytes: 1 << 34 };
    let killed = Receipt::bare(Conclusion::Failure, Some(FailureClass::Oom), text("killed"));
    vec![
        EventKind::AttemptEnded {
            instance,
            attempt,
            receipt: Arc::new(Receipt { failed_step: Some(1), step_memory: Some(own), ..killed }),
        },
        EventKind::RetryScheduled {
            instance,
            due: Millis(1_700_000_009_000),
            class: FailureClass::Oom,
            infra: false,
            memory: Some(1 << 35),
            step: Some(1),
        },
    ]
}

fn annotation() -> Annotation {
    Annotation {
        level: text("error"),
        message: text("boom"),
        title: Some(text("t")),
        file: Some(text("a.py")),
        line: Some(31),
        end_line: Some(32),
        column: Some(1),
        end_column: Some(2),
        step: 1,
    }
}

fn baseline() -> Baseline {
    Baseline::Metrics { from: text("run 6"), metrics: map([("accuracy", 0.961)]) }
}

/// One request of every kind.
pub(super) fn requests() -> Vec<AgentRequest> {
    let token = text("01JDXYZ.2.3");
    vec![
        AgentRequest::Start { spec: Box::new(spec()), secrets: map([("TOKEN", text("hush"))]) },
        AgentRequest::Cancel { token: token.clone(), reason: text("fail-fast") },
        AgentRequest::Kill { token: token.clone() },
        AgentRequest::Acknowledge { token: token.clone(), seq: 9 },
        AgentRequest::Reply { token: token.clone(), id: 1, answer: Answer::Baseline(baseline()) },
        AgentRequest::Reply {
            token: token.clone(),
            id: 2,
            answer: Answer::Uploads(map([("r", artifact())])),
        },
        AgentRequest::Reply { token: token.clone(), id: 3, answer: Answer::Unavailable(text("down")) },
        AgentRequest::Reply {
            token: token.clone(),
            id: 4,
            answer: Answer::Cache(Some(SavedCache { key: text("pip-1"), artifact: artifact() })),
        },
        AgentRequest::Reply { token, id: 5, answer: Answer::Cache(None) },
    ]
}

fn step(id: &str, action: ActionSpec) -> StepSpec {
    StepSpec {
        id: text(id),
        name: text("Fit"),
        condition: text("always()"),
        env: EnvLayer { variables: vec![(text("A"), text("${{ matrix.c }}"))], expression: None },
        continue_on_error: text("true"),
        timeout_minutes: text("5"),
        retry: Some(RetrySpec::default()),
        action,
        line: 12,
    }
}

fn spec() -> JobSpec {
    let validate = ValidateSpec {
        data: text("clean.csv"),
        schema: Some(text("s.json")),
        rows: Some(json!({ "min": 1 })),
        unique: Some(json!(["id"])),
        nulls: Some(json!({ "a": 0 })),
    };
    let gate = GateSpec {
        metrics: vec![(
            text("accuracy"),
            vec![(BoundKind::Min, text("0.95")), (BoundKind::MaxWorse, text("2%"))],
        )],
        expect: vec![text("metrics.loss < 1")],
        baseline: Some(text("branch:main")),
    };
    let run = ActionSpec::Run {
        script: text("echo hi"),
        shell: Some(text("bash")),
        working_directory: Some(text("train")),
    };
    let uses = ActionSpec::Uses { uses: text("./a"), with: vec![(text("k"), text("v"))] };
    JobSpec {
        version: 1,
        run: text("01JDXYZ"),
        run_number: 7,
        job: text("train"),
        display: text("train (svm)"),
        instance: 1,
        attempt: 3,
        token: text("01JDXYZ.2.3"),
        dialect: text("tidegate"),
        source: source(),
        contexts: map([("matrix", json!({ "model": "svm" }))]),
        secrets: vec![text("TOKEN")],
        env: vec![EnvLayer { variables: vec![], expression: Some(text("${{ fromJSON('{}') }}")) }],
        shell: Some(text("sh")),
        working_directory: Some(text("w")),
        steps: vec![
            step("run", run),
            step("uses", uses),
            step("gate", ActionSpec::Gate(gate)),
            step("validate", ActionSpec::Validate(validate)),
        ],
        outputs: vec![(text("tag"), text("${{ steps.run.outputs.tag }}"))],
        timeout_seconds: Some(60.0),
        grace_seconds: 10.0,
        consumes: vec![ConsumeSpec {
            path: text("raw/"),
            items: vec![artifact()],
            list: false,
            shared: true,
        }],
        produces: vec![ProduceSpec { name: text("model"), path: text("model.joblib"), ignore_missing: true }],
        metrics: MetricsSpec { files: vec![text("metrics.json")], goals: map([("accuracy", text("max"))]) },
        params: MetricsSpec { files: vec![text("params.json")], goals: BTreeMap::new() },
        python: Some(PythonSpec {
            version: text("3.11"),
            requirements: text("requirements.txt"),
            packages: vec![text("numpy")],
        }),
        checkpoint: Some(CheckpointSpec {
            path: text("ckpt"),
            every_seconds: 60.0,
            grace_seconds: 120.0,
            key: text("ck"),
            saved: None,
            volume: String::new(),
        }),
        gpus: Some(vec![0]),
        image: Some(text("ghcr.io/acme/sklearn:1.5")),
        debug: true,
        ..JobSpec::default()
    }
}

/// One message of every kind.
pub(super) fn messages() -> Vec<JobMessage> {
    let bodies = vec![
        MessageBody::Started { notes: vec![text("dirty tree")] },
        MessageBody::StepStarted { step: 0, name: text("fit"), log: 0 },
        MessageBody::StepEnded {
            step: 0,
            name: text("fit"),
            outcome: Conclusion::Failure,
            conclusion: Conclusion::Failure,
            exit: Some(1),
            reason: Some(text("exit 1")),
            log: 80,
        },
        MessageBody::Annotation(annotation()),
        MessageBody::Judged { step: 1, verdict: verdict() },
        MessageBody::Tail { step: 1, line: text("epoch 3") },
        MessageBody::Ask { id: 1, question: Question::Baseline { baseline: text("branch:main") } },
        MessageBody::Ended(receipt()),
        MessageBody::Saved { artifact: artifact() },
        MessageBody::CacheSaved { key: text("pip-1"), paths: text(".pip"), artifact: artifact() },
        MessageBody::Ask {
            id: 2,
            question: Question::Cache { keys: vec![text("pip-1"), text("pip-")], paths: text(".pip") },
        },
    ];
    let message = |(body, seq)| JobMessage { token: text("01JDXYZ.2.3"), seq, at: 1_700_000_000_000, body };
    bodies.into_iter().zip(1..).map(message).collect()
}

/// One word to a hub of every kind.
pub(super) fn to_hub() -> Vec<ToHub> {
    let (attempt, key) = (text("01JDXYZ.2.3"), text("5ec2e7"));
    vec![
        ToHub::Agent {
            attempt: attempt.clone(),
            key: key.clone(),
            incarnation: text("pod.1"),
            version: String::new(),
        },
        ToHub::Engine { key: key.clone(), store: text("01JSTORE") },
        ToHub::Open { attempt: attempt.clone(), key: key.clone(), spec: String::new() },
        ToHub::Close { attempt: attempt.clone() },
        ToHub::Request(AgentRequest::Kill { token: attempt.clone() }),
        ToHub::Message(JobMessage {
            token: attempt.clone(),
            seq: 1,
            at: 1_700_000_000_000,
            body: MessageBody::Started { notes: vec![text("dirty tree")] },
        }),
        ToHub::Log { offset: 80 },
        ToHub::LogKept { attempt: attempt.clone(), upto: 80 },
        ToHub::Missing { id: 1, digests: vec![text("77de40")] },
        ToHub::Get { id: 2, digest: text("77de40"), url: false, again: String::new() },
        ToHub::Put { id: 3, digest: text("77de40") },
        ToHub::Ping,
        ToHub::Open { attempt, key, spec: text("77de40") },
        ToHub::Get { id: 2, digest: text("77de40"), url: true, again: text("403 Forbidden") },
        ToHub::Sign { id: 4, digest: text("77de40"), size: 4096, again: text("403 Forbidden") },
        ToHub::Given { id: 5, digest: text("77de40") },
        ToHub::Agent {
            attempt: text("01JDXYZ.2.3"),
            key: text("5ec2e7"),
            incarnation: text("pod.1"),
            version: text("0.1.0"),
        },
        ToHub::Claim { id: 6, lists: vec![text("77de40")] },
        ToHub::Keeps { lists: vec![text("77de40")] },
        ToHub::Collect { id: 7, keep: vec![text("77de40")], dry_run: false },
        ToHub::Collect { id: 7, keep: Vec::new(), dry_run: true },
    ]
}

/// One word from a hub of every kind.
pub(super) fn from_hub() -> Vec<FromHub> {
    let attempt = text("01JDXYZ.2.3");
    vec![
        FromHub::Welcome { kept: 4, log: 80, store: false, collects: false },
        FromHub::Refused { reason: text("another secret") },
        FromHub::Kept { seq: 5 },
        FromHub::LogKept { upto: 80 },
        FromHub::Request(AgentRequest::Kill { token: attempt.clone() }),
        FromHub::Message(JobMessage {
            token: attempt.clone(),
            seq: 1,
            at: 1_700_000_000_000,
            body: MessageBody::Started { notes: vec![text("dirty tree")] },
        }),
        FromHub::Log { attempt: attempt.clone(), offset: 80 },
        FromHub::Agent { attempt, incarnation: text("pod.1"), version: String::new() },
        FromHub::Missing { id: 1, digests: vec![text("77de40")] },
        FromHub::Object { id: 2, found: true },
        FromHub::Stored { id: 3, error: Some(text("no room")), full: false },
        FromHub::Pong,
        FromHub::Lease { away: 7 },
        FromHub::Welcome { kept: 4, log: 80, store: true, collects: false },
        FromHub::Signed {
            id: 4,
            url: text("https://localhost/bucket/77de40?signed"),
            headers: vec![(text("x-ms-blob-type"), text("BlockBlob"))],
        },
        FromHub::Store { problem: Some(text("connection refused")) },
        FromHub::Store { problem: None },
        FromHub::Stored { id: 6, error: Some(text("no room")), full: true },
        FromHub::Closed { attempt: text("01JDXYZ.2.3") },
        FromHub::Disk { problem: Some(text("no space left on device")) },
        FromHub::Agent { attempt: text("01JDXYZ.2.3"), incarnation: text("pod.1"), version: text("0.1.0") },
        FromHub::Welcome { kept: 0, log: 0, store: true, collects: true },
        FromHub::Collected {
            id: 7,
            gone: Tally { count: 2, bytes: 4096 },
            kept: Tally { count: 5, bytes: 80 },
            error: None,
        },
        FromHub::Collected {
            id: 7,
            gone: Tally::default(),
            kept: Tally::default(),
            error: Some(text("connection refused")),
        },
    ]
}

/// A run for an engine elsewhere.
pub(super) fn submission() -> super::Submission {
    super::Submission {
        tidegate: text("0.1.0"),
        at: Millis(1_700_000_000_000),
        created: created(),
        texts: [(text(".ml/workflows/digits.yml"), text("on: push\n"))].into(),
        pods_at_once: Some(8),
        pods: super::SubmittedPods {
            image: text("ghcr.io/acme/sklearn:1.5"),
            image_patience: 300.0,
            node_patience: 120.0,
            pending_timeout: None,
            orphan_after: 86400.0,
            pull_secrets: vec![text("regcred")],
            spot: json!({ "labels": { "pool": "cheap" }, "taints": ["cheap"] }),
        },
    }
}

/// The same, saying whose run it is.
pub(super) fn submission_of_a_project() -> super::Submission {
    super::Submission { created: of_a_project(), ..submission() }
}
