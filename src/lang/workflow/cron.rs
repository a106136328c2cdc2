//! Five fields of POSIX cron, as GitHub's `schedule` takes them.
//!
//! Minutes, hours, days, months (or `JAN`–`DEC`), weekdays (0–6 or `SUN`–`SAT`), with spaces between
//! them; `*`, lists, ranges and steps. Day and weekday together mean either, as in POSIX. Not here:
//! what time it is.

use jiff::civil::DateTime;

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// What is wrong.
    pub message: String,
}

struct Field {
    name: &'static str,
    from: u32,
    to: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", from: 0, to: 59, words: &[] },
    Field { name: "hour", from: 0, to: 23, words: &[] },
    Field { name: "day of the month", from: 1, to: 31, words: &[] },
    Field {
        name: "month",
        from: 1,
        to: 12,
        words: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    },
    Field {
        name: "day of the week",
        from: 0,
        to: 6,
        words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    },
];

impl Cron {
    /// Reads a schedule.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let parts: Vec<&str> = text.split(' ').filter(|part| !part.is_empty()).collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            let message = format!("a schedule has five fields, and `{text}` has {}", parts.len());
            return Err(CronError { message });
        };
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(CronError {
                message: "a schedule begins and ends with a field, not with a space".to_owned(),
            });
        }
        let [minute, hour, day, month, weekday] = &FIELDS;
        Ok(Self {
            minutes: minute.parse(minutes)?,
            hours: hour.parse(hours)?,
            days: day.parse(days)?,
            months: month.parse(months)?,
            weekdays: weekday.parse(weekdays)?,
            any_day: days.starts_with('*'),
            any_weekday: weekdays.starts_with('*'),
        })
    }

    /// Tells whether no year has such a day: the 31st of February.
    pub fn is_never(&self) -> bool {
        const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let some = DAYS.iter().zip(1..).any(|(days, month)| {
            self.months & (1 << month) != 0 && (1..=*days).any(|day| self.days & (1 << day) != 0)
        });
        self.any_weekday && !some
    }

    /// Tells whether it is due in this minute of its time zone.
    pub fn matches(&self, at: DateTime) -> bool {
        let has = |set: u64, value: i8| u32::try_from(value).is_ok_and(|v| set & (1 << v) != 0);
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        let date = match (self.any_day, self.any_weekday) {
            (false, false) => day || weekday,
            _ => day && weekday,
        };
        has(self.minutes, at.minute()) && has(self.hours, at.hour()) && has(self.months, at.month()) && date
    }

    /// Returns the shortest time between two dues, in minutes; 60 stands for an hour or more.
    pub fn shortest_interval(&self) -> u32 {
        let due: Vec<u32> = (0..60).filter(|m| self.minutes & (1 << m) != 0).collect();
        let mut shortest = due.iter().zip(due.iter().skip(1)).map(|(a, b)| b - a).min().unwrap_or(60);
        let next_hour =
            self.hours & (self.hours >> 1) != 0 || self.hours & 1 != 0 && self.hours & (1 << 23) != 0;
        if let (true, Some(first), Some(last)) = (next_hour, due.first(), due.last()) {
            shortest = shortest.min(first + 60 - last);
        }
        shortest
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, CronError> {
        let mut set = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step)?)),
                None => (part, None),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.from, self.to),
                Some((from, to)) => (self.value(from)?, self.value(to)?),
                // `5/15` means from 5 on.
                None if step.is_some() => (self.value(range)?, self.to),
                None => (self.value(range)?, self.value(range)?),
            };
            if from > to {
                return Err(self.error(&format!("the range `{range}` runs backwards")));
            }
            let step = step.unwrap_or(1);
            for value in (from..=to).step_by(step as usize) {
                set |= 1_u64 << value;
            }
        }
        Ok(set)
    }

    fn step(&self, text: &str) -> Result<u32, CronError> {
        match text.parse() {
            Ok(step) if (1..=self.to).contains(&step) => Ok(step),
            _ => Err(self.error(&format!("`{text}` is no step"))),
        }
    }

    fn value(&self, text: &str) -> Result<u32, CronError> {
        if let Some(index) = self.words.iter().position(|w| w.eq_ignore_ascii_case(text)) {
            return Ok(self.from + u32::try_from(index).unwrap_or(0));
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(value) if digits && (self.from..=self.to).contains(&value) => Ok(value),
            Ok(_) if digits => {
                Err(self.error(&format!("`{text}` is not between {} and {}", self.from, self.to)))
            }
            _ => Err(self.error(&format!("`{text}` is no number"))),
        }
    }

    fn error(&self, what: &str) -> CronError {
        CronError { message: format!("{}: {what}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::Cron;
    use jiff::civil::date;

    #[test]
    fn dues() {
        // 24 November 2025 is a Monday.
        let monday = date(2025, 11, 24).at(3, 0, 0, 0);
        for (text, expected) in [
            ("0 3 * * 1", true),
            ("0 3 * * MON-FRI", true),
            ("*/15 3 * NOV *", true),
            ("0 3 1 * 1", true),
            ("0 3 1 * *", false),
            ("0 3 * * 0,6", false),
            ("0  3 *  * 1/6", true),
            ("5/15 3 * * *", false),
        ] {
            assert_eq!(Cron::parse(text).unwrap().matches(monday), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_schedule() {
        for text in [
            "0 3 * *",
            "60 * * * *",
            "a * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "* * 0 * *",
            "+1 * * * *",
            "0 3 * * 7",
            "*/60 * * * *",
            "0 0 * */13 *",
            "0\t3 * * *",
            " 0 3 * * *",
            "0 3 * * * ",
            "",
        ] {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_that_no_month_has() {
        let never = |text: &str| Cron::parse(text).unwrap().is_never();
        assert!(never("0 0 31 2 *") && never("0 0 31 4,6 *"));
        assert!(!never("0 0 29 2 *") && !never("0 0 31 2 1") && !never("0 0 31 2-3 *"));
    }

    #[test]
    fn intervals() {
        let interval = |text: &str| Cron::parse(text).unwrap().shortest_interval();
        assert_eq!(interval("* * * * *"), 1);
        assert_eq!(interval("*/5 * * * *"), 5);
        assert_eq!(interval("0,58 * * * *"), 2);
        assert_eq!(interval("0 3 * * *"), 60);
    }
}
