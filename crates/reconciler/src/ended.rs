//! What came of asking, and when it is asked again.

use matchpurse_bus::PublishError;
use matchpurse_domain::time::Timestamp;
use matchpurse_provider_calls::CallError;
use matchpurse_providers::{ApiError, InquiryAnswer, InquiryKind};
use matchpurse_store::inquiries::{self, Answered, Claimed};
use matchpurse_store::{chain, now};
use metrics::gauge;

use crate::asking::Asking;
use crate::metric;

/// What a provider does not know, it will hardly know soon.
const UNKNOWN_S: i64 = 3_600;
/// Evidence waits for a person, and the provider seldom changes its mind: so many times longer than for news.
const EVIDENCE_INTERVALS: i64 = 6;
/// A key that was refused is not shown all the time.
const KEY_PAUSE_S: i64 = 300;
/// Between attempts while there is no answer: the first and the longest time, each twice the one before.
const BACKOFF_MIN_S: i64 = 5;
const BACKOFF_MAX_S: i64 = 300;

/// How a question ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// There is no reason to ask any more.
    NoReason,
    /// There was an answer.
    Answered {
        outcome: &'static str,
        /// Where it says more than that: the provider's count beside ours.
        detail: String,
        /// That were published of it.
        events: usize,
        /// The validator of the list; it is kept only when all events are on durable storage.
        etag: Option<String>,
        /// In a row, that were not believed.
        empty_lists: u32,
    },
    /// There was none, or it is worth nothing.
    Failed { outcome: &'static str, detail: String, after_s: Option<i64> },
}

impl Ended {
    /// No answer came.
    pub(crate) fn without_answer(error: &CallError) -> Self {
        let (outcome, after_s) = match error {
            CallError::NoSlot => ("limit", None),
            CallError::NoRequest => ("no_request", Some(UNKNOWN_S)),
            CallError::Token(ApiError::KeyRefused) => ("key_refused", Some(KEY_PAUSE_S)),
            CallError::Token(ApiError::Later { after_s }) => ("later", *after_s),
            CallError::Token(ApiError::Unreadable(_)) => ("unreadable", Some(BACKOFF_MAX_S)),
            CallError::Http(_) | CallError::Store(_) => ("no_answer", None),
        };
        Self::Failed { outcome, detail: chain(error), after_s }
    }

    /// An answer came, and nothing is in it.
    pub(crate) fn with_nothing(claimed: &Claimed, answer: InquiryAnswer) -> Self {
        let failed =
            |outcome, detail: &str, after_s| Self::Failed { outcome, detail: detail.to_owned(), after_s };
        let detail = String::new();
        let answered = |outcome, etag| Self::Answered { outcome, detail, events: 0, etag, empty_lists: 0 };
        match answer {
            InquiryAnswer::Found(_) => answered("nothing_new", None),
            InquiryAnswer::Unchanged => answered("unchanged", claimed.etag.clone()),
            InquiryAnswer::Unknown => answered("unknown", None),
            InquiryAnswer::KeyRefused => {
                failed("key_refused", "the provider does not take our key", Some(KEY_PAUSE_S))
            }
            InquiryAnswer::Later { after_s } => failed("later", "the provider cannot answer now", after_s),
            InquiryAnswer::Unreadable(problem) => failed("unreadable", &problem, Some(BACKOFF_MAX_S)),
        }
    }

    /// An answer came, and what is in it could not be handed on.
    pub(crate) fn not_published(error: &PublishError) -> Self {
        Self::Failed { outcome: "not_published", detail: chain(error), after_s: None }
    }

    /// In a word.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::NoReason => "no_reason",
            Self::Answered { outcome, .. } | Self::Failed { outcome, .. } => outcome,
        }
    }

    /// Tells operators what they may have to know.
    pub(crate) fn tell(&self, source: &str, subject: &str) {
        let outcome = self.outcome();
        let refused = outcome == "key_refused";
        if refused || matches!(self, Self::Answered { .. }) {
            gauge!(metric::KEY_REFUSED, "source" => source.to_owned()).set(if refused { 1.0 } else { 0.0 });
        }
        match self {
            Self::Failed { detail, .. } if refused || outcome == "unreadable" => {
                tracing::error!(
                    source,
                    subject,
                    outcome,
                    detail,
                    "a provider was asked in vain; it is asked again"
                );
            }
            Self::Failed { detail, .. } => {
                tracing::info!(
                    source,
                    subject,
                    outcome,
                    detail,
                    "a provider was not asked, or did not answer"
                );
            }
            Self::Answered { events, .. } => {
                tracing::debug!(source, subject, outcome, events, "a provider has answered");
            }
            Self::NoReason => {}
        }
    }
}

impl Asking {
    /// Writes down what came of a question, and when it is asked again.
    pub(crate) async fn write(
        &self,
        claimed: &Claimed,
        kind: InquiryKind,
        ended: &Ended,
        asked_at: Timestamp,
    ) -> matchpurse_store::Result<()> {
        let client = self.store.client().await?;
        let again_after_s = match ended {
            Ended::NoReason => return inquiries::close(&client, claimed).await,
            Ended::Answered { outcome: "unknown", .. } => self.interval_s(kind).max(UNKNOWN_S),
            Ended::Answered { outcome: "evidence", .. } => {
                self.interval_s(kind).saturating_mul(EVIDENCE_INTERVALS)
            }
            Ended::Answered { .. } => self.interval_s(kind),
            Ended::Failed { after_s, .. } => after_s.unwrap_or_else(|| backoff_s(claimed.failures)),
        };
        let (detail, events, etag, empty_lists) = match ended {
            Ended::Answered { detail, events, etag, empty_lists, .. } => {
                (detail.as_str(), *events, etag.as_deref(), *empty_lists)
            }
            // What was known of the list is still good.
            Ended::Failed { detail, .. } => {
                (detail.as_str(), 0, claimed.etag.as_deref(), claimed.empty_lists)
            }
            Ended::NoReason => return Ok(()),
        };
        let answered = Answered {
            outcome: ended.outcome(),
            detail,
            is_answer: matches!(ended, Ended::Answered { .. }),
            events: i64::try_from(events).unwrap_or(i64::MAX),
            etag,
            empty_lists,
            asked_at,
            due_at: now().plus_seconds(again_after_s),
        };
        inquiries::answered(&client, claimed, &answered).await.map(drop)
    }

    /// Between two questions about the same.
    fn interval_s(&self, kind: InquiryKind) -> i64 {
        match kind {
            InquiryKind::Offers => self.settings.offers_every_s.into(),
            InquiryKind::Match => self.settings.silent_s.into(),
            InquiryKind::PlayersMatches => self.settings.pull_every_s.into(),
        }
    }
}

fn backoff_s(failures: u32) -> i64 {
    BACKOFF_MIN_S.saturating_mul(1_i64.checked_shl(failures.min(20)).unwrap_or(i64::MAX)).min(BACKOFF_MAX_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_does_not_answer_is_asked_less_and_less_often_but_asked() {
        let waits: Vec<i64> = [0, 1, 2, 5, 6, 7, 63, u32::MAX].into_iter().map(backoff_s).collect();
        assert_eq!(waits, [5, 10, 20, 160, 300, 300, 300, 300]);
    }
}
