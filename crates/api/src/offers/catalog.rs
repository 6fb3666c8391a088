//! Which offers there are.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::offers::OfferState;
use matchpurse_store::offers::{self, OfferRecord};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::Api;
use crate::cursor::List;
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::moment::Moment;
use crate::request::{self, Query, unknown_offer};
use crate::wire::{answer, answer_one, cut, one_more};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OffersQuery {
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// A page of offers.
#[derive(Serialize, ToSchema)]
#[schema(as = OfferPage)]
pub(crate) struct Offers {
    source: String,
    items: Vec<OfferView>,
    /// The cursor of the page that follows; none at the end.
    next: Option<String>,
    /// The place in the stream from which on everything must be taken that is not in here yet.
    as_of: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Offer)]
pub(crate) struct OfferView {
    offer_id: String,
    state: &'static str,
    /// By the provider's clock; none while it has only been described.
    state_at: Option<Moment>,
    app_id: Option<String>,
    campaign_id: Option<String>,
    /// When the provider said what it says of it; none where only a removal has told of it.
    described_at: Option<Moment>,
    first_seen_at: Moment,
    updated_at: Moment,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OfferDetail)]
pub(crate) struct WholeOffer {
    source: String,
    #[serde(flatten)]
    offer: OfferView,
    /// All that the provider says of it, as it came.
    #[schema(value_type = serde_json::Value)]
    description: Box<RawValue>,
    as_of: String,
}

impl From<OfferRecord> for OfferView {
    fn from(record: OfferRecord) -> Self {
        Self {
            offer_id: record.offer_id,
            state: record.state.as_str(),
            state_at: record.state_at.map(Moment),
            app_id: record.app_id,
            campaign_id: record.campaign_id,
            described_at: record.data_at.map(Moment),
            first_seen_at: record.first_seen_at.into(),
            updated_at: record.updated_at.into(),
        }
    }
}

/// `state`, of the query.
pub(crate) fn state_of_query(text: &str) -> Result<OfferState> {
    OfferState::parse(text).ok_or_else(|| Failure::invalid_query("state", "expected active or removed"))
}

/// By their ids.
pub(crate) async fn list(
    api: web::Data<Api>,
    path: web::Path<String>,
    query: Query<OffersQuery>,
) -> Result<HttpResponse> {
    let source = request::source(&path)?;
    api.policy(&source)?;
    let OffersQuery { state, cursor, limit } = query.0;
    let state = state.as_deref().map(state_of_query).transpose()?;
    let read = |place: &str| request::is_id(place).then(|| place.to_owned());
    let after = request::cursor(List::Offers, cursor.as_deref(), read)?;
    let limit = request::limit(limit.as_deref())?;
    let (store, of) = (api.store.clone(), source.clone());
    let (as_of, found) = api
        .run(async move {
            let client = store.client().await?;
            // Before the offers are read, so that they have everything up to it.
            let as_of = offers::position(&client).await?;
            Ok((as_of, offers::list(&client, &of, state, after.as_deref(), one_more(limit)).await?))
        })
        .await?;
    let (found, next) = cut(List::Offers, found, limit, |last| last.offer_id.clone());
    let items = found.into_iter().map(OfferView::from).collect();
    let offers = Offers { source: source.as_str().to_owned(), items, next, as_of: as_of.to_string() };
    Ok(answer(StatusCode::OK, &offers))
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let (source, offer_id) = path.into_inner();
    let (source, offer_id) = (request::source(&source)?, request::offer(offer_id)?);
    let unknown = api.not_found(&source, unknown_offer());
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            let as_of = offers::position(&client).await?.to_string();
            let mut record = offers::find(&client, &source, &offer_id).await?.ok_or(unknown)?;
            let description = RawValue::from_string(std::mem::take(&mut record.data))
                .map_err(|error| Failure::internal(format!("a stored description is no JSON: {error}")))?;
            Ok(WholeOffer { source: source.as_str().to_owned(), offer: record.into(), description, as_of })
        })
        .await?;
    Ok(answer_one(&shown))
}
