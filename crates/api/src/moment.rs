//! Points in time as the API writes them: RFC 3339 in UTC with microseconds, as the database has them.

use matchpurse_domain::time::Timestamp;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// RFC 3339 has years of four digits: 0000-01-01 and the last microsecond of 9999, since 1970.
const FIRST_US: i64 = -62_167_219_200_000_000;
const LAST_US: i64 = 253_402_300_799_999_999;

/// A time in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl Moment {
    /// Reads RFC 3339 with any offset; what is finer than a microsecond is cut off.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let micros = time.unix_timestamp_nanos().div_euclid(1000);
        Some(Self(Timestamp::from_micros(i64::try_from(micros).ok()?)))
    }

    /// The text; a time out of the range of RFC 3339, which only a provider's mistake can be, is its nearest end.
    pub(crate) fn text(self) -> String {
        let micros = self.0.micros().clamp(FIRST_US, LAST_US);
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros).saturating_mul(1000));
        // Within the range there is a date, and every date has a text.
        time.ok().and_then(|time| time.format(FORMAT).ok()).unwrap_or_default()
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_back_from_its_text_to_the_microsecond() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_790_000_000_123_456, "2026-09-21T14:13:20.123456Z"),
            (FIRST_US, "0000-01-01T00:00:00.000000Z"),
            (LAST_US, "9999-12-31T23:59:59.999999Z"),
        ] {
            let moment = Moment(Timestamp::from_micros(micros));
            assert_eq!(moment.text(), text);
            assert_eq!(Moment::parse(text), Some(moment));
        }
        for beyond in [i64::MIN, i64::MAX] {
            assert_eq!(Moment(Timestamp::from_micros(beyond)).text().len(), 27);
        }
    }

    #[test]
    fn other_offsets_and_resolutions_are_read() {
        let expected = Moment::parse("2026-11-22T10:00:00.123456Z");
        assert!(expected.is_some());
        for same in [
            "2026-11-22T12:00:00.123456+02:00",
            "2026-11-22T10:00:00.123456789Z",
            "2026-11-22t10:00:00.123456z",
        ] {
            assert_eq!(Moment::parse(same), expected, "{same}");
        }
        for bad in
            ["", "2026-11-22", "2026-11-22 10:00", "2026-11-22T10:00:00", "2026-02-30T10:00:00Z", "now"]
        {
            assert_eq!(Moment::parse(bad), None, "{bad}");
        }
    }
}
