//! What should have come and has not.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::rhythm::Silence;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::gaps::{Gaps, Missing, Quiet, gaps};
use matchpurse_store::now;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::failure::Result;
use crate::moment::Moment;
use crate::request::{self, Query};
use crate::wire::answer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GapsQuery {
    source: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Gaps)]
pub(crate) struct GapsView {
    /// When this was looked up.
    at: Moment,
    /// The configured sources, by name.
    sources: Vec<QuietView>,
    /// Matches of which something is missing, the longest missing first.
    missing: Vec<MissingView>,
    /// There are more: of each sort, 500 are shown.
    more: bool,
}

/// A source, and how usual its silence is.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceSilence)]
pub(crate) struct QuietView {
    source: String,
    /// `usual`, `silent` (somebody should look), `too_new` (too little is known of its habits) or `never_heard`.
    state: &'static str,
    /// When its last delivery came.
    last_at: Option<Moment>,
    /// Seconds since then.
    silent_s: Option<i64>,
    /// How many deliveries would have come since, by its usual rhythm.
    expected: Option<i64>,
    /// Of so many silences one is as long, by that rhythm: a power of ten, 1,000,000,000 at most. From 1,000,000 on it
    /// is `silent`.
    one_in: Option<u64>,
}

/// A match of which something is missing.
#[derive(Serialize, ToSchema)]
#[schema(as = MissingEvents)]
pub(crate) struct MissingView {
    source: String,
    match_id: String,
    /// `match`, or `statistics` of one on a game server.
    about: &'static str,
    /// What is missing: `no_news` (it has begun, and nothing has come for long), `end_without_start` (nothing but its
    /// end was told) or `end_without_rounds` (it is over, and no round was played).
    gap: &'static str,
    /// The last news, or the end.
    since: Moment,
    /// Seconds since then.
    age_s: i64,
}

const fn seconds(since: Timestamp, at: Timestamp) -> i64 {
    let seconds = at.seconds().saturating_sub(since.seconds());
    if seconds < 0 { 0 } else { seconds }
}

impl QuietView {
    fn of(quiet: Quiet, at: Timestamp) -> Self {
        let (expected, one_in) = match quiet.silence {
            Silence::TooNew => (None, None),
            Silence::Measured { expected, one_in } => (Some(expected), Some(one_in)),
        };
        Self {
            state: quiet.state(),
            last_at: quiet.last.map(Into::into),
            silent_s: quiet.last.map(|last| seconds(last, at)),
            expected,
            one_in,
            source: quiet.source,
        }
    }
}

impl MissingView {
    fn of(missing: Missing, at: Timestamp) -> Self {
        Self {
            source: missing.source,
            match_id: missing.match_id,
            about: missing.about.as_str(),
            gap: missing.gap.as_str(),
            since: missing.since.into(),
            age_s: seconds(missing.since, at),
        }
    }
}

/// What is missing of these sources now.
pub(crate) async fn read(api: &Api, sources: Vec<String>) -> Result<(Gaps, Timestamp)> {
    let (store, at) = (api.store.clone(), now());
    api.run(async move {
        let names: Vec<&str> = sources.iter().map(String::as_str).collect();
        Ok((gaps(&store.client().await?, &names, at).await?, at))
    })
    .await
}

/// `GET /gaps`
pub(crate) async fn show(api: web::Data<Api>, query: Query<GapsQuery>) -> Result<HttpResponse> {
    let sources = match request::source_of_query(query.0.source.as_deref())? {
        Some(source) => {
            api.policy(&source)?;
            vec![source.as_str().to_owned()]
        }
        None => api.sources().map(str::to_owned).collect(),
    };
    let (found, at) = read(&api, sources).await?;
    Ok(answer(
        StatusCode::OK,
        &GapsView {
            at: at.into(),
            sources: found.sources.into_iter().map(|quiet| QuietView::of(quiet, at)).collect(),
            missing: found.missing.into_iter().map(|missing| MissingView::of(missing, at)).collect(),
            more: found.more,
        },
    ))
}
