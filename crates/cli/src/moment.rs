//! Points in time and untrusted texts, as the command line reads and writes them.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use matchpurse_domain::time::Timestamp;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Reads `2026-11-22T10:00:00Z`, `2026-11-22` (its first moment in UTC), or how long ago: `90s`, `30m`, `6h`, `2d`.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let wrong =
        || format!("{text:?} is no time: expected 2026-11-22T10:00:00Z, 2026-11-22, or 90s, 30m, 6h, 2d ago");
    if let Some(ago) = ago(text) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = now.saturating_sub(ago).as_micros();
        return Ok(Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)));
    }
    let whole = if text.len() == "2026-11-22".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = OffsetDateTime::parse(&whole, &Rfc3339).map_err(|_| wrong())?;
    let micros = i64::try_from(time.unix_timestamp_nanos().div_euclid(1000)).map_err(|_| wrong())?;
    Ok(Timestamp::from_micros(micros))
}

fn ago(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.get(..text.len().checked_sub(1)?)?.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(unit)?))
}

const CLOCK: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
const CLOCK_MS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
const STAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A day and time for people, UTC.
pub(crate) fn clock(at: Timestamp) -> String {
    written(at, CLOCK)
}

/// The same with milliseconds.
pub(crate) fn clock_ms(at: Timestamp) -> String {
    written(at, CLOCK_MS)
}

/// A time for programs, to the microsecond, as the API writes it.
pub(crate) fn stamp(at: Timestamp) -> String {
    written(at, STAMP)
}

fn written(at: Timestamp, form: &[BorrowedFormatItem<'_>]) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.micros()) * 1000).ok();
    // No year that the calendar does not have comes from a clock.
    time.and_then(|time| time.format(form).ok()).unwrap_or_else(|| format!("{} s", at.seconds()))
}

/// `1 attempt`, `3 attempts`.
pub(crate) fn attempts(count: i32) -> String {
    format!("{count} attempt{}", if count == 1 { "" } else { "s" })
}

/// A text that somebody else wrote, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && char != '\n' {
            // Writing to a string cannot fail.
            write!(shown, "{}", char.escape_unicode()).unwrap_or_default();
        } else {
            shown.push(char);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(moment("2026-11-22T10:00:00Z").map(Timestamp::seconds), Ok(1_795_341_600));
        assert_eq!(moment("2026-11-22T12:00:00+02:00"), moment("2026-11-22T10:00:00Z"));
        assert_eq!(moment("2026-11-22"), moment("2026-11-22T00:00:00Z"));
        let (day, hours) = (moment("1d").unwrap().seconds(), moment("24h").unwrap().seconds());
        assert!(day.abs_diff(hours) <= 1, "{day} {hours}");
        for bad in ["", "d", "-1d", "yesterday", "2026-13-01", "99999999999999999999d", "é"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_shown_with_its_day() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_790_000_000, "2026-09-21 14:13:20"),
            (-1, "1969-12-31 23:59:59"),
            (i64::MAX / 1_000_000, "9223372036854 s"),
        ] {
            assert_eq!(clock(Timestamp::from_seconds(seconds)), expected);
        }
        let at = Timestamp::from_micros(1_790_000_000_123_456);
        assert_eq!(clock_ms(at), "2026-09-21 14:13:20.123");
        assert_eq!(stamp(at), "2026-09-21T14:13:20.123456Z");
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("a\nb\u{1b}[2J\u{9b}"), "a\nb\\u{1b}[2J\\u{9b}");
    }
}
