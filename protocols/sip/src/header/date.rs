//! Date (RFC 3261 20.17): only GMT. Nobody checks it unless it is used (RFC 4475 3.1.2.12).

use super::FaultKind;
use std::fmt;

/// A moment, in seconds since 1970-01-01T00:00:00Z; prints as the header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub u64);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY: u64 = 86_400;

impl Date {
    /// Reads `Sat, 13 Nov 2010 23:29:00 GMT`.
    ///
    /// # Errors
    /// What is wrong with it; a zone other than GMT is `Syntax`.
    pub fn parse(value: &[u8]) -> Result<Self, FaultKind> {
        let text = std::str::from_utf8(value).map_err(|_| FaultKind::Syntax)?;
        let mut words = text.split_ascii_whitespace();
        let mut next = || words.next().ok_or(FaultKind::Syntax);
        let (weekday, day, month, year, clock, zone) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        if words.next().is_some() || zone != "GMT" {
            return Err(FaultKind::Syntax);
        }
        let weekday = weekday.strip_suffix(',').ok_or(FaultKind::Syntax)?;
        let month = MONTHS
            .iter()
            .position(|name| *name == month)
            .ok_or(FaultKind::Syntax)? as u64
            + 1;
        let days = days_of(digits(year, 4)?, month, digits(day, 2)?).ok_or(FaultKind::Range)?;
        if DAYS.get(usize::try_from(days % 7).unwrap_or(0)) != Some(&weekday) {
            return Err(FaultKind::Syntax);
        }
        Ok(Self(days * DAY + seconds_of(clock)?))
    }
}

impl Date {
    /// As documents write it (RFC 3339), with the zone `Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (year, month, day) = civil(self.0 / DAY);
        let rest = self.0 % DAY;
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )
    }
}

impl fmt::Display for Date {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = civil(days);
        let name = |names: &'static [&str], at: u64| {
            names
                .get(usize::try_from(at).unwrap_or(0))
                .copied()
                .unwrap_or("")
        };
        write!(
            out,
            "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
            name(&DAYS, days % 7),
            name(&MONTHS, month - 1),
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )
    }
}

fn digits(text: &str, length: usize) -> Result<u64, FaultKind> {
    let whole = text.len() == length && text.bytes().all(|octet| octet.is_ascii_digit());
    if whole {
        text.parse().map_err(|_| FaultKind::Syntax)
    } else {
        Err(FaultKind::Syntax)
    }
}

fn seconds_of(clock: &str) -> Result<u64, FaultKind> {
    let mut parts = clock.split(':');
    let mut next = || digits(parts.next().ok_or(FaultKind::Syntax)?, 2);
    let (hour, minute, second) = (next()?, next()?, next()?);
    if parts.next().is_some() {
        return Err(FaultKind::Syntax);
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err(FaultKind::Range);
    }
    Ok(hour * 3600 + minute * 60 + second.min(59))
}

/// Days since 1970-01-01 of a date from then on, in the Gregorian calendar.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    // Count years from March, so that the leap day is the last of its year.
    let shifted = if month > 2 {
        year
    } else {
        year.checked_sub(1)?
    };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = (shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year)
        .checked_sub(EPOCH)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: u64 = 719_468;

fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(EPOCH);
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
