//! A failed instance: class, step, last lines, and where all of it is.

use super::ending::quoted;
use super::{LastLines, row};
use crate::app::report::{InstanceView, RunView, Style, cut, duration, verdict_lines};
use tidegate_flow::gate::Outcome;
use tidegate_flow::job::{
    BESIDE, Conclusion, FailureClass, StepMemory, memory_amount, memory_key, oom_advice,
};

/// Columns of a step's name; one without `name` is called as its command.
const NAME: usize = 48;
/// Lines of output that are shown.
const LAST: usize = 12;

/// Writes in one row what an instance failed of.
pub fn brief(view: &RunView, instance: &InstanceView, style: Style) -> String {
    let said = match instance.class() {
        Some(FailureClass::Gate) if instance.taken_from.is_some() => {
            "stopped by a gate, on metrics from cache".to_owned()
        }
        Some(FailureClass::Gate) => "stopped by a gate".to_owned(),
        _ => [Some(headline(instance)), spent(instance)].into_iter().flatten().collect::<Vec<_>>().join("; "),
    };
    let sign = style.sign(Conclusion::Failure);
    row::row(&sign, &row::name(view, instance), "", instance.elapsed(view.last), &[said])
}

/// Writes what an instance failed of.
pub fn failure(
    view: &RunView,
    index: u32,
    instance: &InstanceView,
    style: Style,
    lines: &LastLines,
) -> String {
    let mut text = brief(view, instance, style);
    // Of what has no step: the place in a template, the last lines of a service.
    let reason = instance.receipt.as_ref().and_then(|receipt| receipt.reason.as_deref());
    for line in reason.unwrap_or_default().lines().skip(1) {
        text.push_str(format!("    {} {line}", style.dim("│")).trim_end());
        text.push('\n');
    }
    for verdict in instance.verdicts.iter().filter(|v| v.outcome != Outcome::Pass) {
        for line in verdict_lines(verdict, style) {
            text.push_str(&format!("      {line}\n"));
        }
    }
    for annotation in instance.annotations.iter().filter(|a| a.level == "error").take(5) {
        let place = match (&annotation.file, annotation.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            (Some(file), None) => format!("{file}: "),
            _ => String::new(),
        };
        text.push_str(&format!("    {}{place}{}\n", style.bad("error: "), annotation.message));
    }
    if instance.class() == Some(FailureClass::Gate) {
        for line in best_of_needs(view, instance) {
            text.push_str(&format!("    {}\n", style.dim(&line)));
        }
        return text;
    }
    let failed = instance.steps.iter().rev().find(|s| s.conclusion == Some(Conclusion::Failure));
    let mut origin = None;
    if let Some(step) = failed.or(instance.steps.last()) {
        let said = lines(index, instance.attempt, step.log.0, step.log.1);
        origin = place(&said);
        let said: Vec<&String> = said.iter().filter(|line| !is_echo(line)).collect();
        for line in said.iter().skip(said.len().saturating_sub(LAST)) {
            text.push_str(&format!("    {} {line}\n", style.dim("│")));
        }
    }
    if instance.attempt > 0 {
        let place = origin.map(|place| format!("{place} · ")).unwrap_or_default();
        text.push_str(&format!(
            "    {place}{}\n",
            style.dim(&format!("all of it: {}", logs(view, instance)))
        ));
    }
    text
}

/// Lines of the log that say in other words what the row above them says.
fn is_echo(line: &str) -> bool {
    line.starts_with("##[error]Process completed with exit code")
}

/// Finds the line of the user's own file in a Python traceback: the last one with a relative path.
fn place(lines: &[String]) -> Option<String> {
    lines.iter().rev().find_map(|line| {
        let (file, rest) = line.trim_start().strip_prefix("File \"")?.split_once("\", line ")?;
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let own = !file.starts_with(['/', '<']) && !number.is_empty();
        own.then(|| format!("{}:{number}", file.trim_start_matches("./")))
    })
}

/// What was best of the matrices that a job that a gate stopped needs.
fn best_of_needs(view: &RunView, instance: &InstanceView) -> Vec<String> {
    let needs =
        view.jobs.get(instance.job as usize).map(|job| job.declared.needs.clone()).unwrap_or_default();
    let needed = needs.iter().filter_map(|need| view.jobs.get(*need as usize));
    needed
        .filter(|job| job.instances.len() > 1)
        .filter_map(|job| {
            let all: Vec<&InstanceView> = view.instances_of(job).map(|(_, i)| i).collect();
            let good = all.iter().filter(|i| i.outcome == Some(Conclusion::Success)).count();
            let best = row::best_lines(&all).into_iter().next()?;
            let (value, matrix) = best.strip_prefix("best ")?.split_once(": ")?;
            let name = &job.declared.display;
            Some(format!(
                "the best of {name} was {matrix}, {value} ({good} of {} instances finished)",
                all.len()
            ))
        })
        .collect()
}

/// How an instance is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// Milliseconds from now.
    pub wait_ms: u64,
    /// Whether the infrastructure budget pays.
    pub infra: bool,
    /// Bytes of memory of the next attempt, where `oom` was asked to raise them.
    pub memory: Option<u64>,
}

/// Writes that an instance will be tried again: what the attempt failed of, and how long it ran.
pub fn retry(view: &RunView, instance: &InstanceView, again: Again, style: Style) -> String {
    let mut said = headline(instance);
    let own = own_memory(instance);
    if again.memory.is_some() {
        // What it would advise is done.
        said = said.replace(&format!("; {}", oom_advice(own)), "");
    }
    if again.infra {
        let (used, all) = (instance.infra, instance.infra_allowed);
        said.push_str(&format!("; does not count as an attempt (infrastructure retry {used} of {all})"));
    }
    said.push_str(&match again.wait_ms {
        0..100 => "; again now".to_owned(),
        wait => format!("; again in {}", duration(wait)),
    });
    if let Some(memory) = again.memory {
        let factor = instance.memory_factor;
        let place = own.map(|own| format!(" for `{}`", own.key)).unwrap_or_default();
        said.push_str(&format!(" with {}{place} (`oom.memory-factor` {factor})", memory_amount(memory)));
    }
    row::row(&style.again("↻"), &row::name(view, instance), "", instance.ran(), &[said])
}

/// What the container had that was killed for memory, where a step's own `resources` said it.
fn own_memory(instance: &InstanceView) -> Option<&StepMemory> {
    instance.receipt.as_ref()?.step_memory.as_ref()
}

/// The command that shows an instance's whole log.
pub fn logs(view: &RunView, instance: &InstanceView) -> String {
    let job = view.jobs.get(instance.job as usize).map(|j| j.declared.id.as_str()).unwrap_or_default();
    let matrix = instance.matrix_text(",");
    let matrix = if matrix.is_empty() { matrix } else { format!(" --matrix {}", quoted(&matrix)) };
    view.next(&format!("runs logs {} {}{matrix}", view.created.number, quoted(job)))
}

/// Which attempt it was, where there is more than one, and of which budget; with `: ` at its end.
fn attempts(instance: &InstanceView) -> String {
    let number = instance.attempt;
    // Without what the infrastructure or an engine ended.
    let own = number.saturating_sub(instance.uncounted);
    let allowed = instance.attempts_allowed.max(own);
    if instance.class().is_some_and(FailureClass::is_infrastructure) {
        if number > 1 || allowed > 1 { format!("attempt {number}: ") } else { String::new() }
    } else if instance.uncounted > 0 {
        format!("attempt {number} ({own} of {allowed} that count): ")
    } else if allowed > 1 {
        format!("attempt {number} of {allowed}: ")
    } else {
        String::new()
    }
}

/// That the other budget is spent, if that is why nothing is tried again.
fn spent(instance: &InstanceView) -> Option<String> {
    let infra = instance.class().is_some_and(FailureClass::is_infrastructure);
    let over = infra && instance.outcome.is_some() && instance.infra >= instance.infra_allowed;
    over.then(|| match instance.infra_allowed {
        0 => "not tried again: `retry.infra` is 0".to_owned(),
        all => format!("not tried again: {all} of {all} infrastructure retries (`retry.infra`) are spent"),
    })
}

/// `failure: exit 1 in step fit`.
fn headline(instance: &InstanceView) -> String {
    let Some(receipt) = &instance.receipt else {
        return instance.reason.clone().unwrap_or_else(|| "failed".to_owned());
    };
    let class = receipt.class.map_or("failure", FailureClass::word);
    let first = receipt.reason.as_deref().and_then(|reason| reason.lines().next()).map(str::to_owned);
    let reason = first.or_else(|| receipt.exit.map(|e| format!("exit {e}"))).unwrap_or_default();
    let (reason, beside) = reason.split_at(reason.find(BESIDE).unwrap_or(reason.len()));
    let step = receipt.failed_step.and_then(|n| instance.steps.iter().find(|s| s.index == n));
    let place = match step {
        Some(step) if !reason.contains(&step.name) => format!(" in step `{}`", cut(&step.name, NAME)),
        _ => String::new(),
    };
    // Where the file raises memory already, only the person can give it more.
    let raised = instance.memory_factor > 1.0 && instance.outcome.is_some();
    let advice = oom_advice(own_memory(instance));
    let reason = if raised {
        let key = memory_key(own_memory(instance));
        reason.replace(&advice, &format!("raise `{key}`, `oom.max-memory` or `retry.attempts`"))
    } else {
        reason.to_owned()
    };
    let again = attempts(instance);
    if reason.is_empty() {
        format!("{again}{class}{place}{beside}")
    } else {
        format!("{again}{class}: {reason}{place}{beside}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::report::StepView;
    use tidegate_flow::job::{Receipt, service_ended};
    use tidegate_flow::run::Millis;

    /// An instance of which some attempts, of those so far, spent the budget of the infrastructure.
    fn failed(class: FailureClass, attempt: u32, infra: u32, allowed: [u32; 2]) -> InstanceView {
        let receipt = Receipt::bare(Conclusion::Failure, Some(class), "why".to_owned());
        InstanceView {
            attempt,
            infra,
            uncounted: infra,
            attempts_allowed: allowed[0],
            infra_allowed: allowed[1],
            receipt: Some(receipt.into()),
            ..InstanceView::default()
        }
    }

    #[test]
    fn each_failure_says_which_budget_it_spends() {
        let table = [
            (failed(FailureClass::Failure, 1, 0, [1, 10]), "failure: why; again now"),
            (failed(FailureClass::Failure, 2, 0, [3, 10]), "attempt 2 of 3: failure: why; again now"),
            (
                failed(FailureClass::Failure, 3, 2, [3, 10]),
                "attempt 3 (1 of 3 that count): failure: why; again now",
            ),
            (
                failed(FailureClass::Preempted, 2, 2, [3, 10]),
                "attempt 2: preempted: why; does not count as an attempt (infrastructure retry 2 of 10); again now",
            ),
            (
                failed(FailureClass::Lost, 1, 1, [1, 10]),
                "lost: why; does not count as an attempt (infrastructure retry 1 of 10); again now",
            ),
        ];
        for (instance, words) in table {
            let infra = instance.class().is_some_and(FailureClass::is_infrastructure);
            let again = Again { wait_ms: 0, infra, memory: None };
            let said = retry(&RunView::default(), &instance, again, Style::default());
            assert!(said.trim_end().ends_with(&format!("  {words}")), "{said}");
        }
    }

    #[test]
    fn a_retry_after_a_kill_for_memory_says_what_the_next_attempt_has() {
        let killed = |factor: f64| InstanceView {
            receipt: Some(
                Receipt::bare(
                    Conclusion::Failure,
                    Some(FailureClass::Oom),
                    format!("killed at its limit of 16 GiB of memory (exit 137); {}", oom_advice(None)),
                )
                .into(),
            ),
            memory_factor: factor,
            attempt_started: Some(Millis(0)),
            attempt_ready: Some(Millis(60_000)),
            attempt_ended: Some(Millis(312_000)),
            ..failed(FailureClass::Oom, 1, 0, [2, 10])
        };
        let said = |factor, memory, wait_ms| {
            let again = Again { wait_ms, infra: false, memory };
            retry(&RunView::default(), &killed(factor), again, Style::default())
        };
        let more = said(1.5, Some(24 << 30), 0);
        let words = "4m12s   attempt 1 of 2: oom: killed at its limit of 16 GiB of memory (exit 137); again now with 24 GiB \
                     (`oom.memory-factor` 1.5)\n";
        assert!(more.ends_with(words), "{more}");
        let same = said(1.0, None, 5000);
        assert!(
            same.contains("raise `resources.memory`, or let") && same.contains("; again in 5.0s\n"),
            "{same}"
        );
        // The memory is a step's own.
        let mut own = killed(1.5);
        if let Some(receipt) = own.receipt.as_mut().map(std::sync::Arc::make_mut) {
            let memory = StepMemory { step: 1, key: "steps.fit".into(), bytes: 16 << 30 };
            receipt.reason = Some(format!("killed for memory (exit 137); {}", oom_advice(Some(&memory))));
            receipt.step_memory = Some(memory);
        }
        let again = Again { wait_ms: 0, infra: false, memory: Some(24 << 30) };
        let said = retry(&RunView::default(), &own, again, Style::default());
        let words = "(exit 137); again now with 24 GiB for `steps.fit` (`oom.memory-factor` 1.5)\n";
        assert!(said.ends_with(words), "{said}");
        own.outcome = Some(Conclusion::Failure);
        let said = brief(&RunView::default(), &own, Style::default());
        assert!(said.contains("raise `steps.fit.resources.memory`, `oom.max-memory` or"), "{said}");
        // The last one: the file does what it would advise.
        let last = InstanceView { outcome: Some(Conclusion::Failure), ..killed(1.5) };
        let said = brief(&RunView::default(), &last, Style::default());
        assert!(said.contains("`oom.max-memory`") && !said.contains("or let"), "{said}");
    }

    #[test]
    fn what_ended_beside_a_failure_comes_after_its_step() {
        let mut instance = failed(FailureClass::Failure, 1, 0, [1, 10]);
        instance.steps.push(StepView { index: 0, name: "fit".into(), ..StepView::default() });
        if let Some(receipt) = instance.receipt.as_mut().map(std::sync::Arc::make_mut) {
            receipt.failed_step = Some(0);
            receipt.add_beside(&[service_ended("db", None, "ended with exit 7", 1)]);
        }
        let said = headline(&instance);
        assert_eq!(said, "failure: why in step `fit`; the service `db` ended with exit 7 while steps ran");
        // A step that is called as the service is.
        instance.steps[0].name = "db".into();
        assert!(headline(&instance).starts_with("failure: why in step `db`; the service `db`"));
    }

    #[test]
    fn the_last_failure_says_that_its_budget_is_spent() {
        let table = [
            (
                failed(FailureClass::Lost, 11, 10, [1, 10]),
                "attempt 11: lost: why; not tried again: 10 of 10 infrastructure retries (`retry.infra`) are spent",
            ),
            (failed(FailureClass::Lost, 1, 0, [1, 0]), "lost: why; not tried again: `retry.infra` is 0"),
            // A run that is cancelled tries nothing again, whatever is left.
            (failed(FailureClass::Lost, 3, 2, [1, 10]), "attempt 3: lost: why"),
            (failed(FailureClass::Failure, 13, 10, [3, 10]), "attempt 13 (3 of 3 that count): failure: why"),
        ];
        for (instance, words) in table {
            let instance = InstanceView { outcome: Some(Conclusion::Failure), ..instance };
            let said = brief(&RunView::default(), &instance, Style::default());
            assert!(said.trim_end().ends_with(&format!("  {words}")), "{said}");
        }
    }
}
