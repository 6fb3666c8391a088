//! The matches that count, as they are stored, and as boards and ratings have got them.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::boards::{Standing, of_seats, of_teams};
use matchpurse_domain::event::{MatchFormat, Outcome, Side};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::stats::Winner;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::FeedKind;
use crate::time::At;
use crate::words::{optional_word, unknown, word};
use crate::{Result, Tx};

/// A place in the order in which matches are rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When the match ended.
    pub at: Timestamp,
    /// Its key; of two that ended at once the smaller is the first.
    pub key: Uuid,
}

/// A match that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchResult {
    /// Where it is in the order.
    pub position: Position,
    /// [`FeedKind::Stats`] or [`FeedKind::Match`].
    pub kind: FeedKind,
    /// Its source.
    pub source: SourceName,
    /// Who had a part in it, by key, each once.
    pub players: Vec<Uuid>,
    /// Where each of them stood; none where the match does not say who is better.
    pub standings: Option<Vec<Standing>>,
}

impl Position {
    /// Before all matches.
    pub const FIRST: Self = Self { at: Timestamp::from_micros(i64::MIN), key: Uuid::nil() };

    /// The last place before this one.
    #[must_use]
    pub fn before(self) -> Self {
        match self.key.as_u128().checked_sub(1) {
            Some(key) => Self { at: self.at, key: Uuid::from_u128(key) },
            None => {
                let at = Timestamp::from_micros(self.at.micros().saturating_sub(1));
                Self { at, key: Uuid::max() }
            }
        }
    }

    pub(super) fn read(row: &Row, at: &str, key: &str) -> Result<Self> {
        Ok(Self { at: row.try_get::<_, At>(at)?.0, key: row.try_get(key)? })
    }
}

/// Of these matches of one kind, those that count now, as their tables have them.
///
/// # Errors
/// [`crate::Error`].
pub async fn stored_in_tx(tx: &Tx<'_>, kind: FeedKind, keys: &[Uuid]) -> Result<BTreeMap<Uuid, MatchResult>> {
    let only = "= ANY($1)";
    let (sql, read): (String, fn(&Row) -> Result<MatchResult>) = match kind {
        FeedKind::Stats => (stats(only), of_stats),
        FeedKind::Match => (matches(only), of_match),
        FeedKind::Player => return Ok(BTreeMap::new()),
    };
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = tx.query(&sql, &[&keys]).await?;
    rows.iter().map(|row| read(row).map(|result| (result.position.key, result))).collect()
}

/// What a match with statistics says; one row a match. `only` is a condition on its key.
pub(super) fn stats(only: &str) -> String {
    format!(
        "SELECT m.stats_key AS key, m.source, m.ended_at, m.result, l.players, l.sides
           FROM stats_match m
           CROSS JOIN LATERAL (
                SELECT array_agg(player_key ORDER BY player_key) AS players,
                       array_agg(side ORDER BY player_key) AS sides
                  FROM player_match_stats WHERE stats_key = m.stats_key AND side <> 'spectator') l
          WHERE m.counted AND m.ended_at IS NOT NULL AND l.players IS NOT NULL AND m.stats_key {only}"
    )
}

/// The same of a match with seats. One that was called off, and everybody got the stake back, is none.
pub(super) fn matches(only: &str) -> String {
    format!(
        "SELECT m.match_key AS key, m.source, coalesce(m.ended_at, m.settled_at) AS ended_at, m.format,
                p.players, p.groups, p.outcomes
           FROM match m
           CROSS JOIN LATERAL (
                SELECT array_agg(player_key ORDER BY player_key) AS players,
                       array_agg(group_id ORDER BY player_key) AS groups,
                       array_agg(outcome ORDER BY player_key) AS outcomes
                  FROM match_participant WHERE match_no = m.match_no AND outcome IS NOT NULL) p
          WHERE m.settlement IN ('payout', 'tie') AND p.players IS NOT NULL AND m.match_key {only}"
    )
}

pub(super) fn of_stats(row: &Row) -> Result<MatchResult> {
    let winner = optional_word(row, "result", Winner::parse)?;
    let sides: Vec<&str> = row.try_get("sides")?;
    let sides = sides.into_iter().map(|side| Side::parse(side).ok_or_else(|| unknown("side")));
    let standings = of_teams(winner, &sides.collect::<Result<Vec<_>>>()?);
    read_result(row, FeedKind::Stats, standings)
}

pub(super) fn of_match(row: &Row) -> Result<MatchResult> {
    let format = optional_word(row, "format", MatchFormat::parse)?;
    let groups: Vec<&str> = row.try_get("groups")?;
    let outcomes: Vec<&str> = row.try_get("outcomes")?;
    let outcomes = outcomes.into_iter().map(|text| Outcome::parse(text).ok_or_else(|| unknown("outcome")));
    let seats: Vec<(&str, Outcome)> = groups.into_iter().zip(outcomes.collect::<Result<Vec<_>>>()?).collect();
    let standings = of_seats(format == Some(MatchFormat::FreeForAll), &seats);
    read_result(row, FeedKind::Match, standings)
}

fn read_result(row: &Row, kind: FeedKind, standings: Option<Vec<Standing>>) -> Result<MatchResult> {
    Ok(MatchResult {
        position: Position::read(row, "ended_at", "key")?,
        kind,
        source: word(row, "source", |text| SourceName::parse(text).ok())?,
        players: row.try_get("players")?,
        standings,
    })
}

/// Of these matches, those that boards and ratings have got, as they got them.
///
/// # Errors
/// [`crate::Error`].
pub async fn known_in_tx(tx: &Tx<'_>, keys: &[Uuid]) -> Result<BTreeMap<Uuid, MatchResult>> {
    let rows = tx.query("SELECT * FROM result WHERE result_key = ANY($1)", &[&keys]).await?;
    rows.iter().map(|row| known(row).map(|result| (result.position.key, result))).collect()
}

pub(super) fn known(row: &Row) -> Result<MatchResult> {
    let sides: Vec<i16> = row.try_get("sides")?;
    let places: Vec<i16> = row.try_get("places")?;
    let standings: Vec<Standing> =
        sides.into_iter().zip(places).map(|(side, place)| Standing { side, place }).collect();
    Ok(MatchResult {
        position: Position::read(row, "ended_at", "result_key")?,
        kind: word(row, "kind", FeedKind::parse)?,
        source: word(row, "source", |text| SourceName::parse(text).ok())?,
        players: row.try_get("players")?,
        standings: (!standings.is_empty()).then_some(standings),
    })
}

/// Keeps matches as boards and ratings get them now, and forgets those of `gone`.
///
/// # Errors
/// [`crate::Error`].
pub async fn keep_in_tx(tx: &Tx<'_>, results: &[&MatchResult], gone: &BTreeSet<Uuid>) -> Result<()> {
    if !gone.is_empty() {
        let gone: Vec<Uuid> = gone.iter().copied().collect();
        tx.execute("DELETE FROM result WHERE result_key = ANY($1)", &[&gone]).await?;
    }
    // Arrays of arrays must be of one length in PostgreSQL, and these are not: one statement a match, all of them
    // travelling together.
    let sql = "INSERT INTO result (result_key, kind, source, ended_at, players, sides, places)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (result_key) DO UPDATE
                  SET source = EXCLUDED.source, ended_at = EXCLUDED.ended_at, players = EXCLUDED.players,
                      sides = EXCLUDED.sides, places = EXCLUDED.places";
    let keep = results.iter().map(async |result| {
        let standings = || result.standings.iter().flatten();
        let sides: Vec<i16> = standings().map(|standing| standing.side).collect();
        let places: Vec<i16> = standings().map(|standing| standing.place).collect();
        let Position { at, key } = result.position;
        let parameters: crate::client::Params<'_> = &[
            &key,
            &result.kind.as_str(),
            &result.source.as_str(),
            &At(at),
            &result.players,
            &sides,
            &places,
        ];
        tx.execute(sql, parameters).await
    });
    futures_util::future::try_join_all(keep).await?;
    Ok(())
}
