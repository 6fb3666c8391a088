//! Looking for players by what somebody knows of their ids.

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use crate::links::Identity;
use crate::time::At;
use crate::words::word;
use crate::{Client, Result};

/// The most players of a source that are looked at for one page. Not every order of texts has those with the same
/// beginning side by side.
const LOOKED_AT_MAX: i64 = 10_000;

/// A player in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerLine {
    /// Whose it is.
    pub identity: Identity,
    /// When it was first heard of.
    pub first_seen_at: Timestamp,
}

/// Those of these identities that an event or a person has named, in the order of sources and ids.
///
/// # Errors
/// [`crate::Error`].
pub async fn known_of(client: &Client, identities: &[Identity]) -> Result<Vec<PlayerLine>> {
    let keys: Vec<Uuid> = identities.iter().map(Identity::key).collect();
    let sql = "SELECT source, player_id, first_seen_at FROM player WHERE player_key = ANY ($1)
                ORDER BY source, player_id";
    client.query(sql, &[&keys]).await?.iter().map(line).collect()
}

/// A source's players whose ids begin with this, by their ids, behind the id `after`; at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn beginning_with(
    client: &Client,
    source: &SourceName,
    beginning: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<PlayerLine>> {
    let sql = "SELECT source, player_id, first_seen_at
                 FROM (SELECT * FROM player
                        WHERE source = $1 AND player_id >= $2 AND ($3::text IS NULL OR player_id > $3)
                        ORDER BY player_id LIMIT $4) looked_at
                WHERE starts_with(player_id, $2) ORDER BY player_id LIMIT $5";
    let limit = i64::from(limit);
    let rows = client.query(sql, &[&source.as_str(), &beginning, &after, &LOOKED_AT_MAX, &limit]).await?;
    rows.iter().map(line).collect()
}

fn line(row: &tokio_postgres::Row) -> Result<PlayerLine> {
    let source = word(row, "source", |text| SourceName::parse(text).ok())?;
    let player_id: String = row.try_get("player_id")?;
    let At(first_seen_at) = row.try_get("first_seen_at")?;
    Ok(PlayerLine { identity: Identity { source, player_id: player_id.as_str().into() }, first_seen_at })
}
