//! Times of the day (UTC) and days of the week.

use crate::core::time::Time;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day.
const DAY: u64 = 24 * 60;

/// When a filter looks at messages: on these days, between these minutes (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// From Monday on.
    days: [bool; 7],
    /// Minutes of the day, the last one not included; the first may be later than the last.
    from: u64,
    until: u64,
}

/// Why a text names no hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write hours as 18:00-08:00, and days as mon, tue, wed, thu, fri, sat, sun")]
pub struct BadHours;

impl Hours {
    /// `18:00-08:00` (empty = all day) on these days (none = all).
    ///
    /// # Errors
    /// [`BadHours`].
    pub fn parse(hours: &str, days: &[String]) -> Result<Self, BadHours> {
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
            let minutes = hour * 60 + minute;
            (hour <= 24 && minute < 60 && minutes <= DAY).then_some(minutes)
        };
        let (from, until) = match hours.trim() {
            "" => (0, DAY),
            span => {
                let (from, until) = span.split_once('-').ok_or(BadHours)?;
                let ends = minute(from).zip(minute(until));
                ends.filter(|(from, until)| from != until).ok_or(BadHours)?
            }
        };
        let mut named = [days.is_empty(); 7];
        for day in days {
            let at = DAYS.iter().position(|name| *name == day.trim());
            let place = at.and_then(|at| named.get_mut(at)).ok_or(BadHours)?;
            *place = true;
        }
        Ok(Self {
            days: named,
            from,
            until,
        })
    }

    /// Whether a time is among them. What begins in the evening belongs to that day until it ends.
    pub fn cover(&self, now: Time) -> bool {
        let minutes = now.0 / 60_000;
        let (day, minute) = (minutes / DAY, minutes % DAY);
        let on = |day: u64| {
            // The epoch was a Thursday.
            let of_week = usize::try_from((day + 3) % 7).unwrap_or(0);
            self.days.get(of_week).copied().unwrap_or(false)
        };
        if self.from < self.until {
            return on(day) && (self.from..self.until).contains(&minute);
        }
        (on(day) && minute >= self.from) || (day > 0 && on(day - 1) && minute < self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes since Monday 2026-11-30 00:00 UTC.
    fn at(day: u64, hour: u64, minute: u64) -> Time {
        Time(
            1_796_000_000_000 / 86_400_000 * 86_400_000
                + ((day * 24 + hour) * 60 + minute) * 60_000,
        )
    }

    #[test]
    fn hours_are_of_their_days() {
        let days = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let monday = (0..7)
            .find(|day| {
                Hours::parse("", &days(&["mon"]))
                    .unwrap()
                    .cover(at(*day, 0, 0))
            })
            .unwrap();
        let office = Hours::parse("08:30-17:00", &days(&["mon", "tue"])).unwrap();
        for (day, hour, minute, wanted) in [
            (0, 8, 29, false),
            (0, 8, 30, true),
            (1, 16, 59, true),
            (1, 17, 0, false),
            (2, 12, 0, false),
        ] {
            assert_eq!(
                office.cover(at(monday + day, hour, minute)),
                wanted,
                "{day} {hour}"
            );
        }
        let night = Hours::parse("22:00-06:00", &days(&["mon"])).unwrap();
        for (day, hour, wanted) in [
            (0, 5, false),
            (0, 22, true),
            (1, 5, true),
            (1, 6, false),
            (1, 22, false),
        ] {
            assert_eq!(
                night.cover(at(monday + day, hour, 0)),
                wanted,
                "{day} {hour}"
            );
        }
        // 1970-01-01 was a Thursday.
        assert!(Hours::parse("", &days(&["thu"])).unwrap().cover(Time(0)));
        assert!(Hours::parse("", &[]).unwrap().cover(at(3, 3, 3)));
        for (hours, day) in [
            ("8-9", "mon"),
            ("25:00-26:00", "mon"),
            ("08:00-08:00", "mon"),
            ("", "monday"),
        ] {
            assert_eq!(Hours::parse(hours, &days(&[day])), Err(BadHours), "{hours}");
        }
    }
}
