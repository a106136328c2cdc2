//! Lines of `schedule` that name no time.

use crate::check::{Facts, Level, Rule};
use crate::expr::closest;
use crate::source::Diagnostic;
use crate::workflow::cron::Cron;
use jiff::tz::TimeZoneDatabase;

pub(super) const RULE: Rule = Rule {
    id: "bad-cron",
    level: Level::Error,
    about: "a schedule is malformed, its time zone does not exist, or it is due too often",
    check,
};

/// GitHub's shortest interval in minutes ("Events that trigger workflows", schedule).
const SHORTEST: u32 = 5;

fn check(facts: &Facts<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for line in &facts.workflow.on.schedule {
        match Cron::parse(&line.cron.value) {
            Err(error) => found.push(Diagnostic::error(RULE.id, line.cron.span, error.message).help(
                "minute, hour, day of the month, month, day of the week: `30 3 * * 1` is Mondays at 3:30",
            )),
            Ok(cron) if cron.is_never() => {
                let text = "never due: none of its months has such a day";
                found.push(Diagnostic::warning(RULE.id, line.cron.span, text));
            }
            Ok(cron) if cron.shortest_interval() < SHORTEST => {
                let minutes = cron.shortest_interval();
                let unit = if minutes == 1 { "minute" } else { "minutes" };
                let text = format!(
                    "due again after {minutes} {unit}; GitHub starts schedules every {SHORTEST} minutes at most"
                );
                found.push(Diagnostic::warning(RULE.id, line.cron.span, text));
            }
            Ok(_) => {}
        }
        let Some(zone) = &line.timezone else { continue };
        let zones = TimeZoneDatabase::bundled();
        if zones.get(&zone.value).is_err() {
            let text = format!("there is no time zone `{}`", zone.value);
            let diagnostic = Diagnostic::error(RULE.id, zone.span, text);
            let names: Vec<String> = zones.available().map(|n| n.as_str().to_owned()).collect();
            found.push(match closest(&zone.value, names.iter().map(String::as_str)) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => diagnostic.help("zones have names such as `Europe/Paris` (IANA)"),
            });
        }
    }
    found
}
