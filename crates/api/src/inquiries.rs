//! What providers are asked, because no webhook may have told it.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_store::inquiries::{InquiryLine, list};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::failure::Result;
use crate::moment::Moment;
use crate::request::{self, Query};
use crate::wire::answer;

/// So many are shown.
const SHOWN_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InquiriesQuery {
    source: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Inquiries)]
pub(crate) struct InquiriesView {
    /// Those that had no answer most often first, then those that are due first.
    inquiries: Vec<InquiryView>,
    /// There are more: 500 are shown.
    more: bool,
}

/// A question that a source's provider is asked, for as long as there is a reason to.
#[derive(Serialize, ToSchema)]
#[schema(as = Inquiry)]
pub(crate) struct InquiryView {
    source: String,
    /// What is asked: `offers` (which there are), `match` (how it stands) or `players_matches` (which a player has, or,
    /// without a subject, which there are).
    kind: String,
    /// The provider's id of the match or the player.
    subject: Option<String>,
    /// When it is asked next; while it is being asked, when somebody else would.
    due_at: Moment,
    /// When it was asked last.
    asked_at: Option<Moment>,
    /// When there was an answer last.
    answered_at: Option<Moment>,
    /// What came of the last time, in a word, as of the metric `matchpurse_reconciler_inquiries_total`.
    outcome: Option<String>,
    /// And in words, where there was no answer; of a list, the provider's count beside ours.
    detail: Option<String>,
    /// How often there was none, since the last one.
    failures: i32,
    /// Events that were published of its answers, repeats too.
    events: i64,
}

impl From<InquiryLine> for InquiryView {
    fn from(line: InquiryLine) -> Self {
        Self {
            source: line.question.source,
            kind: line.question.kind,
            subject: Some(line.question.subject).filter(|subject| !subject.is_empty()),
            due_at: line.due_at.into(),
            asked_at: line.asked_at.map(Into::into),
            answered_at: line.answered_at.map(Into::into),
            outcome: line.outcome,
            detail: line.detail.filter(|detail| !detail.is_empty()),
            failures: line.failures,
            events: line.events,
        }
    }
}

/// `GET /inquiries`
pub(crate) async fn show(api: web::Data<Api>, query: Query<InquiriesQuery>) -> Result<HttpResponse> {
    let source = request::source_of_query(query.0.source.as_deref())?;
    if let Some(source) = &source {
        api.policy(source)?;
    }
    let store = api.store.clone();
    let limit = u32::try_from(SHOWN_MAX + 1).unwrap_or(u32::MAX);
    let mut lines = api
        .run(async move {
            let source = source.as_ref().map(|source| source.as_str());
            Ok(list(&store.client().await?, source, limit).await?)
        })
        .await?;
    let more = lines.len() > SHOWN_MAX;
    lines.truncate(SHOWN_MAX);
    let inquiries = lines.into_iter().map(InquiryView::from).collect();
    Ok(answer(StatusCode::OK, &InquiriesView { inquiries, more }))
}
