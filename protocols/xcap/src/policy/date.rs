//! xs:dateTime as RFC 4745 uses it: always with a time zone.

/// Milliseconds since 1970; `None` if it is no such time, has no zone, or is before 1970.
pub fn instant(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let year: i64 = digits(date.next()?, 4)?;
    let month: i64 = digits(date.next()?, 2)?;
    let day: i64 = digits(date.next()?, 2)?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (time, zone) = rest.split_at_checked(zone_at)?;
    let mut time = time.splitn(3, ':');
    let hour: i64 = digits(time.next()?, 2)?;
    let minute: i64 = digits(time.next()?, 2)?;
    let (second, fraction) = match time.next()?.split_once('.') {
        Some((second, fraction)) => (second, fraction),
        None => (time_second(rest)?, "0"),
    };
    let second: i64 = digits(second, 2)?;
    let millis = fraction_millis(fraction)?;
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 24
        && minute < 60
        && second <= 60;
    if !fits {
        return None;
    }
    let seconds =
        days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    u64::try_from(seconds * 1000 + millis).ok()
}

fn time_second(rest: &str) -> Option<&str> {
    rest.get(6..8)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let fine = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    fine.then(|| text.parse().ok())?
}

fn fraction_millis(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let three: String = text.chars().chain("000".chars()).take(3).collect();
    three.parse().ok()
}

/// Seconds that the zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes): (i64, i64) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that start in March, so that the leap day is the last of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn reads_times_with_zones() {
        assert_eq!(instant("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            instant("2003-12-24T17:00:00+01:00"),
            Some(1_072_281_600_000)
        );
        assert_eq!(instant("2000-02-29T12:00:00.5Z"), Some(951_825_600_500));
        assert_eq!(
            instant("2026-11-28T21:00:00-05:30"),
            Some(1_795_919_400_000)
        );
        for bad in [
            "2003-12-24T17:00:00",
            "2003-12-24",
            "2003-13-24T17:00:00Z",
            "1960-01-01T00:00:00Z",
            "2003-12-24T17:00Z",
            "x",
        ] {
            assert_eq!(instant(bad), None, "{bad}");
        }
    }
}
