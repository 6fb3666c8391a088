use matchpurse_domain::ids::SourceName;
use matchpurse_domain::offers::OfferState;
use matchpurse_domain::time::Timestamp;
use postgres_types::ToSql;
use tokio_postgres::Row;

use crate::time::At;
use crate::words::word;
use crate::{Client, Result};

/// An offer with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferRecord {
    /// The provider's id.
    pub offer_id: String,
    /// Open to players or not.
    pub state: OfferState,
    /// When it was opened or removed, by the provider's clock; none while only descriptions of it have come.
    pub state_at: Option<Timestamp>,
    /// What the provider says of it, a JSON object.
    pub data: String,
    /// When it said that; none where a removal did.
    pub data_at: Option<Timestamp>,
    /// The studio's app at the provider.
    pub app_id: Option<String>,
    /// The campaign behind the offer.
    pub campaign_id: Option<String>,
    /// When it was first heard of.
    pub first_seen_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

const COLUMNS: &str =
    "offer_id, state, state_at, data, data_at, app_id, campaign_id, first_seen_at, updated_at";

/// One offer.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, source: &SourceName, offer_id: &str) -> Result<Option<OfferRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM offer WHERE source = $1 AND offer_id = $2 AND known");
    client.query_opt(&sql, &[&source.as_str(), &offer_id]).await?.as_ref().map(record).transpose()
}

/// A source's offers by their ids, at most `limit`, behind the id `after`.
///
/// # Errors
/// [`crate::Error`].
pub async fn list(
    client: &Client,
    source: &SourceName,
    state: Option<OfferState>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<OfferRecord>> {
    let (source, limit, state) = (source.as_str(), i64::from(limit), state.map(OfferState::as_str));
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&source, &limit];
    let mut conditions = String::new();
    if let Some(state) = &state {
        parameters.push(state);
        conditions.push_str(&format!(" AND state = ${}", parameters.len()));
    }
    if let Some(after) = &after {
        parameters.push(after);
        conditions.push_str(&format!(" AND offer_id > ${}", parameters.len()));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM offer WHERE source = $1 AND known{conditions}
          ORDER BY offer_id LIMIT $2"
    );
    client.query(&sql, &parameters).await?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<OfferRecord> {
    let time = |column| Ok::<_, crate::Error>(row.try_get::<_, Option<At>>(column)?.map(|At(at)| at));
    let (At(first_seen_at), At(updated_at)) = (row.try_get("first_seen_at")?, row.try_get("updated_at")?);
    Ok(OfferRecord {
        offer_id: row.try_get("offer_id")?,
        state: word(row, "state", OfferState::parse)?,
        state_at: time("state_at")?,
        data: row.try_get("data")?,
        data_at: time("data_at")?,
        app_id: row.try_get("app_id")?,
        campaign_id: row.try_get("campaign_id")?,
        first_seen_at,
        updated_at,
    })
}
