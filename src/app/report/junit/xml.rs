//! Writes the document.

use crate::app::report::{InstanceState, InstanceView, JobView, RunView, Style, verdict_lines};
use std::fmt::Write as _;
use tidegate_flow::job::{Conclusion, FailureClass};

/// Writes a run that ended; times are in seconds, as the format wants.
pub fn document(view: &RunView) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let seconds = view.summary.as_ref().map_or(0, |s| s.duration_ms);
    let failures = view.instances.iter().filter(|i| failed(i)).count();
    let _ = writeln!(
        text,
        "<testsuites name=\"{}\" tests=\"{}\" failures=\"{failures}\" time=\"{}\">",
        escape(&view.created.name),
        view.instances.len(),
        time(seconds)
    );
    for job in &view.jobs {
        suite(&mut text, view, job);
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(text: &mut String, view: &RunView, job: &JobView) {
    let all: Vec<&InstanceView> = view.instances_of(job).map(|(_, i)| i).collect();
    let name = escape(&job.declared.display);
    if all.is_empty() {
        let reason = escape(job.reason.as_deref().unwrap_or_default());
        let inner = match job.result {
            Some(Conclusion::Failure) => format!("<failure message=\"{reason}\"/>"),
            _ => format!("<skipped message=\"{reason}\"/>"),
        };
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"1\"><testcase classname=\"{name}\" name=\"{name}\" time=\"0\">{inner}</testcase></testsuite>"
        );
        return;
    }
    let failures = all.iter().filter(|i| failed(i)).count();
    let _ = writeln!(text, "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\">", all.len());
    for instance in all {
        case(text, view, &name, instance);
    }
    text.push_str("  </testsuite>\n");
}

fn case(text: &mut String, view: &RunView, class: &str, instance: &InstanceView) {
    let elapsed = time(instance.elapsed(view.last).unwrap_or(0));
    let _ = write!(
        text,
        "    <testcase classname=\"{class}\" name=\"{}\" time=\"{elapsed}\">",
        escape(&instance.display)
    );
    match instance.state {
        InstanceState::Ended(Conclusion::Failure) => {
            let receipt = instance.receipt.as_ref();
            let class = receipt.and_then(|r| r.class).map_or("failure", FailureClass::word);
            let reason = receipt.and_then(|r| r.reason.clone()).or_else(|| instance.reason.clone());
            let numbers: Vec<String> =
                instance.verdicts.iter().flat_map(|v| verdict_lines(v, Style::default())).collect();
            let _ = write!(
                text,
                "<failure type=\"{class}\" message=\"{}\">{}</failure>",
                escape(&reason.unwrap_or_default()),
                escape(&numbers.join("\n"))
            );
        }
        InstanceState::Ended(Conclusion::Success) => {}
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
