//! What came back, as plain data.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, LOCATION};
use http::{HeaderMap, HeaderName, Response};
use matchpurse_service_kit::http_client::HttpError;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// How much of an answer's text is shown, in characters.
const SHOWN_CHARS: usize = 120;

/// What came back of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An answer.
    Status {
        code: u16,
        /// Where a redirect points to, without its query.
        location: Option<String>,
        /// How far the endpoint's clock is ahead of ours, in seconds.
        clock_ahead_s: Option<i64>,
        /// The beginning of its body, without what a terminal would obey.
        text: String,
    },
    /// Nothing within the limit.
    Silence { limit: Duration },
    /// Nobody took the connection.
    NoConnection(String),
    /// The connection ended before the answer.
    Broken(String),
}

/// A delivery that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) label: &'static str,
    pub(crate) id: Option<String>,
    pub(crate) answer: Answer,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn of(outcome: Result<Response<Bytes>, HttpError>, now_s: i64) -> Self {
        match outcome {
            Ok(response) => Self::Status {
                code: response.status().as_u16(),
                location: text_of(response.headers(), &LOCATION)
                    .map(|text| shown(text.split('?').next().unwrap_or_default())),
                clock_ahead_s: text_of(response.headers(), &DATE)
                    .and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok())
                    .map(|date| date.unix_timestamp().saturating_sub(now_s)),
                text: shown(&String::from_utf8_lossy(response.body())),
            },
            Err(HttpError::Timeout { limit }) => Self::Silence { limit },
            Err(error @ HttpError::Broken(_)) => Self::Broken(last_cause(&error)),
            Err(error) => Self::NoConnection(last_cause(&error)),
        }
    }

    pub(crate) fn code(&self) -> Option<u16> {
        if let Self::Status { code, .. } = self { Some(*code) } else { None }
    }

    pub(crate) fn is_success(&self) -> bool {
        self.code().is_some_and(|code| (200..300).contains(&code))
    }

    /// In words: `answered 200`.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Status { code, location: Some(location), .. } => format!("answered {code}, to {location}"),
            Self::Status { code, text, .. } if !self.is_success() && !text.is_empty() => {
                format!("answered {code} \"{text}\"")
            }
            Self::Status { code, .. } => format!("answered {code}"),
            Self::Silence { limit } => format!("no answer within {} ms", limit.as_millis()),
            Self::NoConnection(why) => format!("no connection ({why})"),
            Self::Broken(why) => format!("the connection ended without an answer ({why})"),
        }
    }
}

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'s> {
            #[serde(skip_serializing_if = "str::is_empty")]
            delivery: &'s str,
            webhook_id: Option<&'s str>,
            status: Option<u16>,
            seen: String,
            took_ms: u128,
        }
        let shown = Shown {
            delivery: self.label,
            webhook_id: self.id.as_deref(),
            status: self.answer.code(),
            seen: self.answer.words(),
            took_ms: self.took.as_millis(),
        };
        shown.serialize(serializer)
    }
}

fn text_of<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What strangers wrote, as one short line that can be printed anywhere.
fn shown(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let short: String = line.chars().take(SHOWN_CHARS).map(printable).collect();
    if line.chars().count() > SHOWN_CHARS { short + "…" } else { short }
}

/// The cause that says most: the last one.
pub(crate) fn last_cause(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    shown(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Answer::of(Ok(response.body(Bytes::from(body.to_owned())).unwrap()), 784_111_777)
    }

    #[test]
    fn an_answer_is_told_in_a_line_that_obeys_nobody() {
        assert_eq!(answered(200, &[], "thanks").words(), "answered 200");
        assert_eq!(
            answered(401, &[], "bad\n signature\x1b[2J").words(),
            "answered 401 \"bad signature\u{fffd}[2J\""
        );
        assert_eq!(answered(302, &[("location", "/a?token=b")], "moved").words(), "answered 302, to /a");
        assert_eq!(
            answered(500, &[], &"x".repeat(200)).words(),
            format!("answered 500 \"{}…\"", "x".repeat(120))
        );
    }

    #[test]
    fn the_date_tells_how_far_the_clocks_are_apart() {
        let ahead = |date: &str| match answered(200, &[("date", date)], "") {
            Answer::Status { clock_ahead_s, .. } => clock_ahead_s,
            other => panic!("{other:?}"),
        };
        assert_eq!(ahead("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(ahead("Sun, 06 Nov 1994 08:39:37 GMT"), Some(-600));
        assert_eq!(ahead("soon"), None);
    }
}
