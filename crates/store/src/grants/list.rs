use matchpurse_domain::grants::{ContestKey, ContestKind, Grant, GrantState, Slot};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::time::Timestamp;
use postgres_types::ToSql;
use tokio_postgres::Row;
use uuid::Uuid;

use super::load::{COLUMNS, grant, slot};
use crate::time::At;
use crate::words::word;
use crate::{Client, Result, Tx};

/// A grant with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantLine {
    /// Its id, which its notices carry.
    pub id: Uuid,
    /// What it was given for.
    pub contest: ContestKey,
    /// Whose it is, and which of the player's rewards.
    pub slot: Slot,
    /// What it is.
    pub grant: Grant,
    /// The event or operation that changed it last.
    pub cause: EventId,
    /// When it was first heard of.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// Which grants to list; what is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// In this state.
    pub state: Option<GrantState>,
    /// Of this source, and of one player of it.
    pub whose: Option<(SourceName, Option<PlayerId>)>,
    /// Of this contest of the source, which must be given too, by its id at the provider.
    pub contest: Option<String>,
    /// Only those before this one in the list.
    pub before: Option<(Timestamp, Uuid)>,
}

/// What a person did to a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationLine {
    /// The operation.
    pub id: EventId,
    /// `reward_release`, `reward_reversal` or `reward_retry`.
    pub kind: String,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

fn select() -> String {
    format!(
        "SELECT g.grant_id, g.source, c.kind AS contest_kind, c.contest_id, p.player_id, g.reward_ref, {COLUMNS},
                g.event_id, g.created_at, g.updated_at
           FROM reward_grant g JOIN contest c USING (contest_key) JOIN player p USING (player_key)"
    )
}

/// One grant.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, id: Uuid) -> Result<Option<GrantLine>> {
    let sql = format!("{} WHERE g.grant_id = $1", select());
    client.query_opt(&sql, &[&id]).await?.as_ref().map(line).transpose()
}

pub(super) async fn find_in_tx(tx: &Tx<'_>, id: Uuid) -> Result<Option<GrantLine>> {
    let sql = format!("{} WHERE g.grant_id = $1", select());
    tx.query(&sql, &[&id]).await?.first().map(line).transpose()
}

/// Grants, the newest first, at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn list(client: &Client, filter: &GrantFilter, limit: u32) -> Result<Vec<GrantLine>> {
    let (limit, state) = (i64::from(limit), filter.state.map(GrantState::as_str));
    let source = filter.whose.as_ref().map(|(source, _)| source.as_str());
    let player = filter.whose.as_ref().and_then(|(source, player)| Some(player.as_ref()?.key(source)));
    let (at, id) = filter.before.map(|(at, id)| (At(at), id)).unzip();
    // Of every kind that the id may be of: to look for it among the source's contests would be to read them all.
    let of_kind = |(source, id): (&SourceName, &String), kind| {
        ContestKey { source: source.clone(), kind, contest_id: id.clone() }.uuid()
    };
    let named = filter.whose.as_ref().map(|(source, _)| source).zip(filter.contest.as_ref());
    let contests: Vec<Uuid> =
        named.map(|named| ContestKind::ALL.map(|kind| of_kind(named, kind)).to_vec()).unwrap_or_default();
    // Only what is asked for stands in the statement, so that each has a plan by its own index.
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&limit];
    let mut conditions = vec!["true".to_owned()];
    if let Some(state) = state {
        // A word of ours, written out: the indexes are of single states.
        conditions.push(format!("g.state = '{state}'"));
    }
    if let Some(source) = &source {
        parameters.push(source);
        conditions.push(format!("g.source = ${}", parameters.len()));
    }
    if let Some(player) = &player {
        parameters.push(player);
        conditions.push(format!("g.player_key = ${}", parameters.len()));
    }
    if !contests.is_empty() {
        parameters.push(&contests);
        conditions.push(format!("g.contest_key = ANY (${})", parameters.len()));
    }
    if let (Some(at), Some(id)) = (&at, &id) {
        parameters.extend([at as &(dyn ToSql + Sync), id]);
        conditions.push(format!(
            "(g.created_at, g.grant_id) < (${}, ${})",
            parameters.len().saturating_sub(1),
            parameters.len()
        ));
    }
    let (select, conditions) = (select(), conditions.join(" AND "));
    let sql = format!("{select} WHERE {conditions} ORDER BY g.created_at DESC, g.grant_id DESC LIMIT $1");
    client.query(&sql, &parameters).await?.iter().map(line).collect()
}

/// Grants that wait for a person are counted no further.
pub const COUNTED_MAX: i64 = 1_000;

/// How many grants are held for review, and of how many the studio could not be told; [`COUNTED_MAX`] of each at most.
///
/// # Errors
/// [`crate::Error`].
pub async fn waiting(client: &Client) -> Result<Vec<(GrantState, i64)>> {
    let mut counted = Vec::new();
    for state in [GrantState::NeedsReview, GrantState::Failed] {
        let sql = "SELECT count(*) FROM (SELECT FROM reward_grant WHERE state = $1 LIMIT $2) counted";
        let row = client.query_one(sql, &[&state.as_str(), &COUNTED_MAX]).await?;
        counted.push((state, row.try_get(0)?));
    }
    Ok(counted)
}

/// What people did to a grant, in order.
///
/// # Errors
/// [`crate::Error`].
pub async fn operations(client: &Client, id: Uuid) -> Result<Vec<OperationLine>> {
    let sql = "SELECT operation_id, kind, actor, reason, at FROM operation
                WHERE detail ? 'grant_id' AND detail ->> 'grant_id' = $1 ORDER BY position";
    let rows = client.query(sql, &[&id.to_string()]).await?;
    rows.iter()
        .map(|row| {
            let At(at) = row.try_get(4)?;
            Ok(OperationLine {
                id: EventId::from_uuid(row.try_get(0)?),
                kind: row.try_get(1)?,
                actor: row.try_get(2)?,
                reason: row.try_get(3)?,
                at,
            })
        })
        .collect()
}

fn line(row: &Row) -> Result<GrantLine> {
    let (At(created_at), At(updated_at)) = (row.try_get("created_at")?, row.try_get("updated_at")?);
    Ok(GrantLine {
        id: row.try_get("grant_id")?,
        contest: ContestKey {
            source: word(row, "source", |text| SourceName::parse(text).ok())?,
            kind: word(row, "contest_kind", ContestKind::parse)?,
            contest_id: row.try_get("contest_id")?,
        },
        slot: slot(row)?,
        grant: grant(row)?,
        cause: EventId::from_uuid(row.try_get("event_id")?),
        created_at,
        updated_at,
    })
}
