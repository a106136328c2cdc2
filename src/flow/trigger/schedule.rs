//! When a line of `schedule` is due. Time is an argument.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidegate_lang::workflow::Schedule;

/// Why a line of `schedule` has no times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five POSIX fields.
    #[error("`{cron}` is no cron line: {reason}")]
    Cron {
        /// As written.
        cron: String,
        /// What is wrong.
        reason: String,
    },
    /// No IANA name.
    #[error("there is no time zone `{0}`")]
    Zone(String),
    /// It names a time that never comes, such as 31 February.
    #[error("`{0}` never comes")]
    Never(String),
}

/// Tells whether the line is due in the minute of `at`.
pub fn is_due(schedule: &Schedule, at: Timestamp) -> Result<bool, ScheduleError> {
    let (cron, zone) = read(schedule)?;
    let second = at.as_second();
    let minute = Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at);
    cron.is_time_matching(&minute.to_zoned(zone)).map_err(|error| wrong(schedule, &error))
}

/// Returns the next time strictly after `after`.
pub fn next_due(schedule: &Schedule, after: Timestamp) -> Result<Timestamp, ScheduleError> {
    let (cron, zone) = read(schedule)?;
    cron.find_next_occurrence(&after.to_zoned(zone), false)
        .map(|zoned| zoned.timestamp())
        .map_err(|_| ScheduleError::Never(schedule.cron.value.clone()))
}

fn read(schedule: &Schedule) -> Result<(croner::Cron, TimeZone), ScheduleError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(&schedule.cron.value).map_err(|error| wrong(schedule, &error))?;
    let zone = match &schedule.timezone {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(&name.value).map_err(|_| ScheduleError::Zone(name.value.clone()))?,
    };
    Ok((cron, zone))
}

fn wrong(schedule: &Schedule, error: &croner::errors::CronError) -> ScheduleError {
    ScheduleError::Cron { cron: schedule.cron.value.clone(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_lang::source::{Span, Spanned};

    fn line(cron: &str, zone: Option<&str>) -> Schedule {
        let here = |text: &str| Spanned::new(text.to_owned(), Span::default());
        Schedule { cron: here(cron), timezone: zone.map(here) }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_minute_is_due_whatever_its_second() {
        let table = [
            ("0 3 * * 1", None, "2026-11-23T03:00:59Z", true),
            ("0 3 * * 1", None, "2026-11-23T03:01:00Z", false),
            ("0 3 * * 1", None, "2026-11-24T03:00:00Z", false),
            ("*/15 * * * *", None, "2026-11-24T03:45:10Z", true),
            ("0 9 * * MON-FRI", Some("Europe/Berlin"), "2026-11-24T08:00:00Z", true),
            ("0 9 * * MON-FRI", Some("Europe/Berlin"), "2026-07-24T07:00:00Z", true),
            ("0 0 1 * 1", None, "2026-11-23T00:00:00Z", true),
            ("0 0 1 * 1", None, "2026-11-01T00:00:00Z", true),
        ];
        for (cron, zone, time, due) in table {
            assert_eq!(is_due(&line(cron, zone), at(time)), Ok(due), "{cron} {time}");
        }
    }

    #[test]
    fn the_next_time_and_what_never_comes() {
        assert_eq!(
            next_due(&line("0 3 * * 1", None), at("2026-11-23T03:00:00Z")),
            Ok(at("2026-11-30T03:00:00Z"))
        );
        assert!(next_due(&line("0 0 31 2 *", None), at("2026-01-01T00:00:00Z")).is_err());
        assert!(is_due(&line("* * * *", None), at("2026-01-01T00:00:00Z")).is_err());
        assert!(is_due(&line("* * * * *", Some("Mars/Olympus")), at("2026-01-01T00:00:00Z")).is_err());
    }
}
