use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::offers::{Eligibility, OfferState};
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;

use crate::time::At;
use crate::words::optional_word;
use crate::{Client, Result};

/// A player's start of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The source of both.
    pub source: SourceName,
    /// The provider's id of the offer.
    pub offer_id: String,
    /// The player.
    pub player: PlayerId,
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It was recorded just now.
    Now(Timestamp),
    /// The player had started the offer before.
    Before(Timestamp),
    /// It is not recorded, for this reason.
    Refused(Eligibility),
}

/// Records that a player has started an offer. A removal that is being committed is waited for, so the answer is the one
/// that [`eligible`](super::eligible) gives from then on.
///
/// # Errors
/// [`crate::Error`].
pub async fn start(client: &Client, start: &Start) -> Result<Started> {
    loop {
        if let Some(at) = started_at(client, start).await? {
            return Ok(Started::Before(at));
        }
        let row = try_to_start(client, start).await?;
        if let Some(At(at)) = row.try_get("started_at")? {
            return Ok(Started::Now(at));
        }
        // Somebody else may have recorded the same start since the first look, and the offer may be removed since.
        if let Some(at) = started_at(client, start).await? {
            return Ok(Started::Before(at));
        }
        let state = optional_word(&row, "state", OfferState::parse)?;
        let why = Eligibility::judge(row.try_get("banned")?, state, false);
        // Open, and yet nothing was recorded: somebody else's start was in the way, and was taken back since.
        if !why.is_eligible() {
            return Ok(Started::Refused(why));
        }
    }
}

/// Records the start where the offer is open to the player, and tells what it found.
async fn try_to_start(client: &Client, start: &Start) -> Result<Row> {
    // The lock shows the offer as the last writer left it, and no other writer comes between it and the commit.
    let sql = "WITH offered AS MATERIALIZED (
                 SELECT state FROM offer WHERE source = $1 AND offer_id = $2 AND known FOR SHARE),
               banned AS MATERIALIZED (
                 SELECT FROM player_standing WHERE player_key = $3 AND standing = 'banned'),
               added AS (
                 INSERT INTO offer_start (source, offer_id, player_key)
                 SELECT $1, $2, $3 FROM offered WHERE state = 'active' AND NOT EXISTS (SELECT FROM banned)
                 ON CONFLICT (source, offer_id, player_key) DO NOTHING
                 RETURNING started_at),
               named AS (
                 INSERT INTO player (player_key, source, player_id)
                 SELECT $3, $1, $4 FROM added WHERE NOT EXISTS (SELECT FROM player WHERE player_key = $3)
                 ON CONFLICT DO NOTHING)
               SELECT (SELECT state FROM offered) AS state, EXISTS (SELECT FROM banned) AS banned,
                      (SELECT started_at FROM added) AS started_at";
    let (source, player, player_key) =
        (start.source.as_str(), start.player.as_str(), start.player.key(&start.source));
    client.query_one(sql, &[&source, &start.offer_id, &player_key, &player]).await
}

async fn started_at(client: &Client, start: &Start) -> Result<Option<Timestamp>> {
    let sql = "SELECT started_at FROM offer_start WHERE source = $1 AND offer_id = $2 AND player_key = $3";
    let player_key = start.player.key(&start.source);
    let row = client.query_opt(sql, &[&start.source.as_str(), &start.offer_id, &player_key]).await?;
    Ok(row.map(|row| row.try_get::<_, At>(0)).transpose()?.map(|At(at)| at))
}

/// Takes a start back, and keeps who did it and why. Returns when the offer had been started; none when it had not.
///
/// # Errors
/// [`crate::Error`].
pub async fn withdraw_start(
    client: &Client,
    start: &Start,
    actor: &str,
    reason: &str,
) -> Result<Option<Timestamp>> {
    let sql = "WITH gone AS (
                 DELETE FROM offer_start WHERE source = $1 AND offer_id = $2 AND player_key = $3
                 RETURNING started_at)
               INSERT INTO offer_start_withdrawal (source, offer_id, player_key, started_at, actor, reason)
               SELECT $1, $2, $3, started_at, $4, $5 FROM gone
               RETURNING started_at";
    let player_key = start.player.key(&start.source);
    let row = client
        .query_opt(sql, &[&start.source.as_str(), &start.offer_id, &player_key, &actor, &reason])
        .await?;
    Ok(row.map(|row| row.try_get::<_, At>(0)).transpose()?.map(|At(at)| at))
}
