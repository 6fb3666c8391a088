//! Points in time as providers write them.

use matchpurse_domain::time::Timestamp;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// The last second of the year 9999, in seconds since the Unix epoch. Later times are somebody's mistake,
/// milliseconds taken for seconds, and would not fit every database type.
const UNIX_SECONDS_MAX: i64 = 253_402_300_799;

/// Reads `2024-07-11T20:26:10.344522Z`, any offset, up to nine digits of a second; also `2024-01-01 00:00:00`,
/// which is taken as UTC. None when it is no such time.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_at_checked(10)?;
    let clock = clock.strip_prefix(['T', 't', ' '])?;
    let zone = if clock.ends_with(['Z', 'z']) || clock.contains(['+', '-']) { "" } else { "Z" };
    let moment = OffsetDateTime::parse(&format!("{date}T{clock}{zone}"), &Rfc3339).ok()?;
    let micros = moment.unix_timestamp_nanos().div_euclid(1_000);
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

/// `2024-07-11T20:26:10.344Z`, the milliseconds cut off. None for years that the calendar does not have.
pub(crate) fn format(at: Timestamp) -> Option<String> {
    const SHOWN: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.micros()) * 1_000).ok()?;
    moment.format(SHOWN).ok()
}

/// A time from whole seconds since the Unix epoch. None before 1970 and after 9999.
pub(crate) fn from_unix_seconds(seconds: i64) -> Option<Timestamp> {
    (0..=UNIX_SECONDS_MAX).contains(&seconds).then(|| Timestamp::from_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<i64> {
        parse(text).map(Timestamp::micros)
    }

    #[test]
    fn the_documented_forms_are_read() {
        assert_eq!(micros("2024-07-11T20:26:10.344522Z"), Some(1_720_729_570_344_522));
        assert_eq!(micros("2024-07-11T20:26:10.344522999Z"), Some(1_720_729_570_344_522));
        assert_eq!(micros("2025-01-17T20:28:20.339716+00:00"), Some(1_737_145_700_339_716));
        assert_eq!(micros("2025-01-17T22:28:20.339716+02:00"), Some(1_737_145_700_339_716));
        assert_eq!(micros("2025-01-17T14:58:20-05:30"), Some(1_737_145_700_000_000));
        assert_eq!(micros("2024-01-01 00:00:00"), Some(1_704_067_200_000_000));
        assert_eq!(micros("2024-01-01T00:00:00"), Some(1_704_067_200_000_000));
        assert_eq!(micros("1969-12-31T23:59:59.9999999Z"), Some(-1));
    }

    #[test]
    fn what_is_written_can_be_read() {
        for (micros, text) in [
            (1_720_729_570_344_522, "2024-07-11T20:26:10.344Z"),
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            let written = format(Timestamp::from_micros(micros));
            assert_eq!(written.as_deref(), Some(text));
            assert_eq!(parse(text).map(Timestamp::micros), Some(micros.div_euclid(1_000) * 1_000));
        }
        assert_eq!(format(Timestamp::from_micros(i64::MAX)), None);
    }

    #[test]
    fn anything_else_is_no_time() {
        for bad in [
            "",
            "now",
            "2024-01-01",
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "1720729570",
            "äöüäöüäöü",
        ] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }

    #[test]
    fn seconds_are_taken_up_to_the_year_9999() {
        assert_eq!(from_unix_seconds(1_704_067_200), parse("2024-01-01T00:00:00Z"));
        assert_eq!(from_unix_seconds(UNIX_SECONDS_MAX), parse("9999-12-31T23:59:59Z"));
        assert_eq!(from_unix_seconds(UNIX_SECONDS_MAX + 1), None);
        assert_eq!(from_unix_seconds(-1), None);
        assert_eq!(from_unix_seconds(i64::MAX), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            proptest::prop_assert!(parse(&text).is_none_or(|time| time.micros() < i64::MAX));
        }
    }
}
