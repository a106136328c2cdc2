//! Writes the document.

use crate::app::report::terminal::{LastLines, why_not};
use crate::app::report::{InstanceState, InstanceView, JobView, RunView, Style, verdict_lines};
use std::fmt::Write as _;
use tidegate_flow::job::{Conclusion, FailureClass};

/// Lines of output that are kept with a failure.
const LAST: usize = 50;

/// Writes a run that ended; times are in seconds, as the format wants. The form is that of Jenkins'
/// `junit-10.xsd`, which CI tools read.
pub fn document(view: &RunView, lines: &LastLines) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let seconds = view.summary.as_ref().map_or(0, |s| s.duration_ms);
    let counts = view.jobs.iter().map(|job| Counts::of(view, job));
    let all = counts.fold(Counts::default(), |sum, one| Counts {
        tests: sum.tests + one.tests,
        failures: sum.failures + one.failures,
        skipped: sum.skipped + one.skipped,
    });
    let _ = writeln!(
        text,
        "<testsuites name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{}\">",
        escape(&view.created.name),
        all.tests,
        all.failures,
        time(seconds)
    );
    for job in &view.jobs {
        suite(&mut text, view, job, lines);
    }
    text.push_str("</testsuites>\n");
    text
}

/// What a suite's attributes count; a job without instances is one case.
#[derive(Default)]
struct Counts {
    tests: usize,
    failures: usize,
    skipped: usize,
}

impl Counts {
    fn of(view: &RunView, job: &JobView) -> Self {
        let all: Vec<&InstanceView> = view.instances_of(job).map(|(_, i)| i).collect();
        if all.is_empty() {
            let failures = usize::from(job.result == Some(Conclusion::Failure));
            return Self { tests: 1, failures, skipped: 1 - failures };
        }
        let failures = all.iter().filter(|i| failed(i)).count();
        let good = all.iter().filter(|i| i.state == InstanceState::Ended(Conclusion::Success)).count();
        Self { tests: all.len(), failures, skipped: all.len() - failures - good }
    }
}

fn suite(text: &mut String, view: &RunView, job: &JobView, lines: &LastLines) {
    let name = escape(&job.declared.display);
    let Counts { tests, failures, skipped } = Counts::of(view, job);
    let all: Vec<(u32, &InstanceView)> = view.instances_of(job).collect();
    let began = all.iter().filter_map(|(_, i)| i.started).min();
    let ended = all.iter().filter_map(|(_, i)| i.ended).max();
    let took = began.zip(ended).and_then(|(a, b)| u64::try_from(b.0 - a.0).ok()).unwrap_or(0);
    let _ = writeln!(
        text,
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{}\">",
        time(took)
    );
    if all.is_empty() {
        let reason = escape(&why_not(view, job));
        let inner = match job.result {
            Some(Conclusion::Failure) => format!("<failure type=\"failure\" message=\"{reason}\"/>"),
            _ => format!("<skipped message=\"{reason}\"/>"),
        };
        let _ = writeln!(
            text,
            "    <testcase classname=\"{name}\" name=\"{name}\" time=\"0\">{inner}</testcase>"
        );
    }
    for (index, instance) in all {
        case(text, view, &name, (index, instance), lines);
    }
    text.push_str("  </testsuite>\n");
}

fn case(
    text: &mut String,
    view: &RunView,
    class: &str,
    (index, instance): (u32, &InstanceView),
    lines: &LastLines,
) {
    let elapsed = time(instance.elapsed(view.last).unwrap_or(0));
    let _ = write!(
        text,
        "    <testcase classname=\"{class}\" name=\"{}\" time=\"{elapsed}\">",
        escape(instance.display())
    );
    match instance.state {
        InstanceState::Ended(Conclusion::Failure) => {
            let receipt = instance.receipt.as_ref();
            let class = receipt.and_then(|r| r.class).map_or("failure", FailureClass::word);
            let reason = receipt.and_then(|r| r.reason.clone()).or_else(|| instance.reason.clone());
            let mut details: Vec<String> =
                instance.verdicts.iter().flat_map(|v| verdict_lines(v, Style::default())).collect();
            if let Some(step) = instance.steps.last().filter(|_| class != FailureClass::Gate.word()) {
                let said = lines(index, instance.attempt, step.log.0, step.log.1);
                details.extend(said.iter().skip(said.len().saturating_sub(LAST)).cloned());
            }
            let _ = write!(
                text,
                "<failure type=\"{class}\" message=\"{}\">{}</failure>",
                escape(&reason.unwrap_or_default()),
                escape(&details.join("\n"))
            );
        }
        InstanceState::Ended(Conclusion::Success) => {}
        InstanceState::Ended(Conclusion::Cancelled) => text.push_str("<skipped message=\"cancelled\"/>"),
        _ => text.push_str("<skipped/>"),
    }
    text.push_str("</testcase>\n");
}

fn failed(instance: &InstanceView) -> bool {
    instance.state == InstanceState::Ended(Conclusion::Failure)
}

fn time(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Escapes text and drops the characters XML 1.0 cannot hold.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_xml_cannot_hold_is_left_out() {
        assert_eq!(escape("a<b & \"c\"\x1b[31m\n"), "a&lt;b &amp; &quot;c&quot;[31m&#10;");
    }
}
