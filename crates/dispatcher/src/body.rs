//! The bytes of a notice. They are made once, stored with it, and sent as they are on every attempt.

use matchpurse_domain::time::Timestamp;
use matchpurse_store::dispatch::NewNotice;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// The years that RFC 3339 has, in microseconds since 1970.
const FIRST_US: i64 = -62_167_219_200_000_000;
const LAST_US: i64 = 253_402_300_799_999_999;

/// A notice as Standard Webhooks recommends: `type`, `timestamp` of what happened, `data`.
pub fn of_notice(notice: &NewNotice) -> Vec<u8> {
    let text = |text: &str| Value::from(text).to_string();
    let (kind, timestamp) = (text(&notice.kind), text(&rfc3339(notice.occurred_at)));
    // The data is JSON already, from the database; read and written again, its numbers could change.
    format!(r#"{{"type":{kind},"timestamp":{timestamp},"data":{}}}"#, notice.data).into_bytes()
}

fn rfc3339(at: Timestamp) -> String {
    let micros = at.micros().clamp(FIRST_US, LAST_US);
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros).saturating_mul(1_000));
    // Within the range there is a date, and every date has a text.
    time.ok().and_then(|time| time.format(FORMAT).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_body_has_the_type_the_time_and_the_data_to_the_digit() {
        let notice = NewNotice {
            webhook_id: Uuid::nil(),
            position: 1,
            source: "s".to_owned(),
            kind: "reward.granted".to_owned(),
            subject: "g".to_owned(),
            occurred_at: Timestamp::from_micros(1_790_000_000_123_456),
            data: r#"{"price": 0.30000000000000004441, "id": 12345678901234567890}"#.to_owned(),
        };
        let expected = concat!(
            r#"{"type":"reward.granted","timestamp":"2026-09-21T14:13:20.123456Z","#,
            r#""data":{"price": 0.30000000000000004441, "id": 12345678901234567890}}"#
        );
        assert_eq!(of_notice(&notice), expected.as_bytes());
        let ends = [(i64::MIN, "0000-01-01T00:00:00.000000Z"), (i64::MAX, "9999-12-31T23:59:59.999999Z")];
        for (micros, text) in ends {
            assert_eq!(rfc3339(Timestamp::from_micros(micros)), text);
        }
    }
}
