//! What came back, in the policy's words.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response};
use matchpurse_domain::time::Timestamp;
use matchpurse_service_kit::http_client::HttpError;
use matchpurse_store::chain;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::policy::Answer;

/// How much of an answer that is no success is kept, in bytes: enough for an error's first lines.
const DETAIL_BYTES_MAX: usize = 400;

/// The one form of an HTTP date that anybody still writes.
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// What an exchange came to.
pub fn of_exchange(exchange: Result<Response<Bytes>, HttpError>, now: Timestamp) -> Answer {
    match exchange {
        Ok(response) => {
            let status = response.status();
            let body = response.body().get(..DETAIL_BYTES_MAX).unwrap_or(response.body());
            let detail =
                if status.is_success() { String::new() } else { String::from_utf8_lossy(body).into_owned() };
            Answer::Status {
                status: status.as_u16(),
                retry_after_s: retry_after_s(response.headers(), now),
                detail,
            }
        }
        Err(error) => {
            let reason = chain(&error);
            match error {
                // Nothing went out, or nothing could.
                HttpError::Setup(_)
                | HttpError::Request(_)
                | HttpError::Forbidden(_)
                | HttpError::Connect(_) => Answer::NotSent { reason },
                HttpError::Timeout { .. } | HttpError::Broken(_) | HttpError::TooLarge { .. } => {
                    Answer::Unknown { reason }
                }
            }
        }
    }
}

/// The seconds that `Retry-After` asks for, as a number or as a date; none when it asks for nothing that is readable.
fn retry_after_s(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
        // More digits than fit ask for longer than we wait at all.
        return Some(text.parse().unwrap_or(i64::MAX));
    }
    let date = PrimitiveDateTime::parse(text, HTTP_DATE).ok()?;
    Some(date.assume_utc().unix_timestamp().saturating_sub(now.seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = Timestamp::from_seconds(1_445_412_420);
        let asks = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after_s(&headers, now)
        };
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(i64::MAX)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2015 07:26:00 GMT", Some(-60)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(asks(text), seconds, "{text:?}");
        }
        assert_eq!(retry_after_s(&HeaderMap::new(), now), None);
    }

    #[test]
    fn of_an_answer_that_is_no_success_the_beginning_is_kept() {
        let answer = |status: u16, body: &'static [u8]| {
            let response = Response::builder().status(status).body(Bytes::from_static(body)).unwrap();
            of_exchange(Ok(response), Timestamp::from_seconds(0))
        };
        let status = |status, detail: String| Answer::Status { status, retry_after_s: None, detail };
        assert_eq!(answer(200, b"whatever"), status(200, String::new()));
        assert_eq!(answer(500, b"no \xff"), status(500, "no \u{fffd}".to_owned()));
        assert_eq!(answer(500, &[b'x'; 1000]), status(500, "x".repeat(400)));
    }
}
