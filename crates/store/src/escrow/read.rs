//! Matches and players' money as they are now, for those who only look. Each is one statement, so it shows one moment,
//! and locks nothing.

use std::collections::BTreeMap;

use matchpurse_domain::escrow::MatchState;
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use super::row;
use crate::time::At;
use crate::{Client, Result};

/// A match with the times of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRecord {
    /// The match.
    pub state: MatchState,
    /// When it was first heard of.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the last end was settled; none while it has none.
    pub settled_at: Option<Timestamp>,
}

/// A player's money in one currency, minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerMoney {
    /// The number of the player's account.
    pub account: i64,
    /// The currency's code.
    pub currency: String,
    /// What is on the account.
    pub available: i64,
    /// What is in escrow for the player, in matches that have not ended.
    pub held: i64,
}

/// Named one by one, a match is found by its unique index whatever its kind.
const KINDS: [MatchKind; 4] =
    [MatchKind::Recreational, MatchKind::FreeToPlay, MatchKind::Tournament, MatchKind::Platform];

/// The matches of this id: of one kind, or of all that there are, in the order of their kinds' names.
///
/// # Errors
/// [`crate::Error`].
pub async fn find_matches(
    client: &Client,
    source: &SourceName,
    match_id: &str,
    kind: Option<MatchKind>,
) -> Result<Vec<MatchRecord>> {
    let sql = "SELECT m.*, d.due_at, d.asked_at IS NOT NULL AS asked, player.player_id, p.group_id, p.state, p.hold,
                      p.payout, p.refund, p.outcome
                 FROM match m
                 LEFT JOIN match_deadline d USING (match_no)
                 LEFT JOIN match_participant p USING (match_no)
                 LEFT JOIN player ON player.player_key = p.player_key
                WHERE m.source = $1 AND m.kind = ANY($3) AND m.match_id = $2";
    let kinds: Vec<&str> =
        KINDS.into_iter().filter(|own| kind.is_none_or(|kind| kind == *own)).map(MatchKind::as_str).collect();
    let rows = client.query(sql, &[&source.as_str(), &match_id, &kinds]).await?;
    let mut found: BTreeMap<String, MatchRecord> = BTreeMap::new();
    for row in &rows {
        let kind: String = row.try_get("kind")?;
        if !found.contains_key(&kind) {
            found.insert(kind.clone(), record(row)?);
        }
        // A match of which nobody has joined yet has one row without a player.
        let seated: Option<&str> = row.try_get("player_id")?;
        if let (Some(record), Some(_)) = (found.get_mut(&kind), seated) {
            let (player, seat) = row::seat(row)?;
            record.state.seats.insert(player, seat);
        }
    }
    Ok(found.into_values().collect())
}

fn record(row: &tokio_postgres::Row) -> Result<MatchRecord> {
    let mut state = row::match_state(row)?;
    state.deadline = row.try_get::<_, Option<At>>("due_at")?.map(|At(due)| due);
    state.arbitration_asked = row.try_get("asked")?;
    Ok(MatchRecord {
        state,
        created_at: row.try_get::<_, At>("created_at")?.0,
        updated_at: row.try_get::<_, At>("updated_at")?.0,
        settled_at: row.try_get::<_, Option<At>>("settled_at")?.map(|At(settled)| settled),
    })
}

/// What a player has, by currency; none when nobody has told of this player.
///
/// # Errors
/// [`crate::Error`].
pub async fn money_of(
    client: &Client,
    source: &SourceName,
    player: &PlayerId,
) -> Result<Option<Vec<PlayerMoney>>> {
    let sql = "SELECT a.id, a.currency, a.balance, held.amount
                 FROM player
                 LEFT JOIN account a ON a.owner_key = player.player_key AND a.kind = 1,
                 LATERAL (SELECT coalesce(sum(p.hold), 0)::bigint AS amount
                            FROM match_participant p JOIN match m USING (match_no)
                           WHERE p.player_key = player.player_key AND p.state = 1 AND m.currency = a.currency) held
                WHERE player.player_key = $1 ORDER BY a.currency";
    let rows = client.query(sql, &[&player.key(source)]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut money = Vec::new();
    for row in &rows {
        // A player who never had an account has one row without one.
        if let Some(account) = row.try_get::<_, Option<i64>>(0)? {
            money.push(PlayerMoney {
                account,
                currency: row.try_get(1)?,
                available: row.try_get(2)?,
                held: row.try_get(3)?,
            });
        }
    }
    Ok(Some(money))
}

/// Whose an account is, where it is a player's or a match's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountOwner {
    /// The provider's id of the player.
    Player(String),
    /// The match's kind, and the provider's id of it.
    Match(String, String),
}

/// Who stands behind the owner's key of an account; none for those that are the source's own.
///
/// # Errors
/// [`crate::Error`].
pub async fn account_owner(client: &Client, owner: Uuid) -> Result<Option<AccountOwner>> {
    let sql = "SELECT player_id, NULL AS kind, NULL AS match_id FROM player WHERE player_key = $1
               UNION ALL SELECT NULL, kind, match_id FROM match WHERE match_key = $1";
    let Some(row) = client.query_opt(sql, &[&owner]).await? else { return Ok(None) };
    let of_match: Option<String> = row.try_get(1)?;
    Ok(Some(match of_match {
        None => AccountOwner::Player(row.try_get(0)?),
        Some(kind) => AccountOwner::Match(kind, row.try_get(2)?),
    }))
}
