//! How parts of a plan read: fates, gates, resources.

use crate::app::report::{bytes, count};
use tidegate_flow::job::{PodRequest, ResourceRequest, ServiceSpec, Spot};
use tidegate_flow::plan::{CacheAnswer, Estimate, Fate, PlannedGate, PlannedJob, PlannedSource};
use tidegate_lang::workflow::BoundKind;

/// One or two words for what becomes of a job.
pub(super) fn fate(job: &PlannedJob) -> &'static str {
    match job.fate {
        Fate::Runs => "runs",
        Fate::Cached { .. } => "from cache",
        Fate::Skipped { .. } => "does not",
        Fate::Depends { .. } => "may run",
        Fate::Fails { .. } => "would fail",
    }
}

/// Why, where there is more to say than that it runs.
pub(super) fn reason(job: &PlannedJob) -> Option<String> {
    match &job.fate {
        Fate::Runs => cache(job),
        Fate::Cached { runs } => {
            Some(format!("done in {} with the same commands, sources and inputs", listed(runs)))
        }
        Fate::Skipped { reason } | Fate::Fails { reason } => Some(reason.clone()),
        Fate::Depends { on } => Some(format!("decided by {on}")),
    }
}

fn listed(runs: &[u64]) -> String {
    let numbers: Vec<String> = runs.iter().map(u64::to_string).collect();
    let word = if runs.len() == 1 { "run" } else { "runs" };
    format!("{word} {}", numbers.join(", "))
}

/// What the cache says of a job that runs.
fn cache(job: &PlannedJob) -> Option<String> {
    let answers: Vec<&CacheAnswer> = job.instances.iter().filter_map(|one| one.cache.as_ref()).collect();
    let hits = answers.iter().filter(|answer| matches!(answer, CacheAnswer::Hit { .. })).count();
    if hits > 0 {
        return Some(format!("{hits} of {} from cache", job.instances.len()));
    }
    match answers.first()? {
        CacheAnswer::Miss { differs, since: Some(run) } if !differs.is_empty() => {
            let words: Vec<&str> = differs.iter().map(|part| said(part)).collect();
            Some(format!("{} changed since run {run}", words.join(", ")))
        }
        CacheAnswer::Miss { since: Some(run), .. } => {
            Some(format!("nothing changed since run {run}, but nothing was kept there"))
        }
        CacheAnswer::Miss { .. } => Some("not done before".to_owned()),
        CacheAnswer::Later => Some("the cache is asked when its inputs are there".to_owned()),
        CacheAnswer::Hit { .. } => None,
    }
}

/// A part of a key in words; a file is its own name.
fn said(part: &str) -> &str {
    match part {
        "commands" => "its commands",
        "params" => "its parameters",
        "consumes" => "what it consumes",
        "environment" => "the Python environment",
        "image" => "the image",
        "source" => "the sources",
        other => other,
    }
}

/// How long it may take: `about 12 minutes on 4 GPUs at once, 0.8 GPU hours (from runs 4 to 6)`.
pub(super) fn estimate(estimate: &Estimate) -> String {
    let time = match estimate.seconds {
        seconds if seconds < 1.0 => "less than a second".to_owned(),
        seconds if seconds < 90.0 => format!("about {seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("about {:.0} minutes", seconds / 60.0),
        seconds => format!("about {:.1} hours", seconds / 3600.0),
    };
    let gpus = match estimate.gpus {
        0 => String::new(),
        1 => format!(" on 1 GPU, {} GPU hours", hours(estimate.gpu_hours)),
        n => format!(" on {n} GPUs at once, {} GPU hours", hours(estimate.gpu_hours)),
    };
    let from = match estimate.runs.as_slice() {
        [only] => format!("run {only}"),
        [first, .., last] => format!("runs {first} to {last}"),
        [] => "earlier runs".to_owned(),
    };
    format!("{time}{gpus} (from {from})")
}

fn hours(hours: f64) -> String {
    if hours < 0.1 { format!("{hours:.3}") } else { format!("{hours:.1}") }
}

/// A data source: `3 files, 12 kB in data/raw (1 new, 2 changed since the last run)`.
pub(super) fn source(source: &PlannedSource) -> String {
    let (added, removed) = (source.added, source.removed);
    let since: Vec<String> = [(added, "new"), (source.changed, "changed"), (removed, "gone")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{} {word}", count(n as u64)))
        .collect();
    let since = match since.join(", ") {
        none if none.is_empty() => ", as in the last run".to_owned(),
        _ if added as u64 == source.files && removed == 0 => String::new(),
        some => format!(" ({some} since the last run)"),
    };
    format!("{} in {}{since}", amount(source.files, source.size), source.uri)
}

fn amount(files: u64, size: u64) -> String {
    format!("{} {}, {}", count(files), if files == 1 { "file" } else { "files" }, bytes(size))
}

/// What is laid into the work folder, where it is known.
pub(super) fn consumed(job: &PlannedJob) -> Vec<String> {
    let Some(first) = job.instances.first() else { return Vec::new() };
    let lines = first.settings.consumes.iter().zip(0..).map(|(given, index)| {
        let same = job.instances.iter().all(|other| other.settings.consumes.get(index) == Some(given));
        if !same {
            return format!("consumes {}: differs from instance to instance", given.path);
        }
        let files = given.items.iter().map(|item| item.files).sum();
        let size = given.items.iter().map(|item| item.size).sum();
        format!("consumes {}: {}", given.path, amount(files, size))
    });
    lines.collect()
}

/// All thresholds of a gate: `accuracy ≥ 0.95, at most 0.005 worse than branch:main; loss ≤ 2`.
pub(super) fn gate(gate: &PlannedGate) -> String {
    let base = gate.baseline.as_deref().unwrap_or("its baseline");
    let mut parts: Vec<String> = Vec::new();
    let mut last: Option<&str> = None;
    for (metric, kind, limit) in &gate.bounds {
        let bound = match kind {
            BoundKind::Min => format!("≥ {limit}"),
            BoundKind::Max => format!("≤ {limit}"),
            BoundKind::Equals => format!("= {limit}"),
            BoundKind::MaxWorse => format!("at most {limit} worse than {base}"),
            BoundKind::MinGain => format!("at least {limit} better than {base}"),
        };
        match parts.last_mut() {
            Some(part) if last == Some(metric) => {
                part.push_str(", ");
                part.push_str(&bound);
            }
            _ => parts.push(format!("{metric} {bound}")),
        }
        last = Some(metric);
    }
    parts.extend(gate.expect.iter().map(|expectation| {
        let inner = expectation.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
        inner.unwrap_or(expectation).trim().to_owned()
    }));
    parts.join("; ")
}

/// All gates of a job in one line.
pub(super) fn gates(job: &PlannedJob) -> Option<String> {
    let all: Vec<String> = job.steps.iter().filter_map(|step| step.gate.as_ref()).map(gate).collect();
    (!all.is_empty()).then(|| format!("gate: {}", all.join("; ")))
}

/// `train × 6`.
pub(super) fn title(job: &PlannedJob) -> String {
    let own = job.display.as_str();
    if job.instances.len() > 1 {
        return format!("{own} × {}", count(job.instances.len() as u64));
    }
    if job.later.iter().any(|later| later.key == "strategy.matrix") {
        format!("{own} × ?")
    } else {
        own.to_owned()
    }
}

/// Cores, memory and GPUs, each empty where nothing is asked.
pub(super) fn resources(asked: &ResourceRequest) -> [String; 3] {
    let cpu = match asked.cpu_millis {
        0 => String::new(),
        millis if millis % 1000 == 0 => (millis / 1000).to_string(),
        millis => format!("{millis}m"),
    };
    let memory = if asked.memory_bytes == 0 { String::new() } else { quantity(asked.memory_bytes) };
    let gpu = if asked.gpus == 0 {
        String::new()
    } else {
        match asked.gpu.get("product").and_then(|product| product.as_str()) {
            Some(product) => format!("{} {product}", asked.gpus),
            None => asked.gpus.to_string(),
        }
    };
    [cpu, memory, gpu]
}

/// What is asked of a cluster or of containers besides resources, a line each.
pub(super) fn pod(asked: &PodRequest) -> Vec<String> {
    let mut lines = Vec::new();
    if asked.nodes > 0 {
        lines.push(format!("on {} nodes at the same time", asked.nodes));
    }
    match asked.spot {
        Some(Spot::Only) => lines.push("on spot nodes".to_owned()),
        Some(Spot::Preferred) => lines.push("on spot nodes where there are some, else on any".to_owned()),
        None => {}
    }
    let priority = asked.queue_priority.as_ref().map(|p| format!(", with priority {p}")).unwrap_or_default();
    lines.extend(asked.queue.as_ref().map(|queue| format!("through the queue {queue}{priority}")));
    lines.extend(asked.template.as_ref().map(|path| format!("pod template {path}")));
    let service = |service: &ServiceSpec| format!("service {} ({})", service.name, service.image);
    lines.extend(asked.services.iter().map(service));
    lines
}

/// Bytes as they are written in a workflow where that is exact: `16Gi`.
fn quantity(amount: u64) -> String {
    for (unit, size) in [("Gi", 1_u64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if amount.is_multiple_of(size) {
            return format!("{}{unit}", amount / size);
        }
    }
    bytes(amount)
}
