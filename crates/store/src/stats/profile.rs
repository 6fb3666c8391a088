//! What players did in all their matches: sums, and how the matches went one after the other. Everything takes the
//! keys of one person's identities, and is read from indexes alone, however many matches there are.

use std::collections::BTreeMap;

use matchpurse_domain::event::COUNTER_NAMES;
use matchpurse_domain::stats::{Form, MatchOutcome, Totals};
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::ALL_TIME;
use crate::time::At;
use crate::words::unknown;
use crate::{Client, Result};

/// What an identity won and lost in matches that were settled, in one currency. A match that was called off, or whose
/// end was reversed, is no part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The identity.
    pub player_key: Uuid,
    /// The currency's code.
    pub currency: String,
    /// Settled matches.
    pub matches: i64,
    /// Of them won.
    pub wins: i64,
    /// Of them lost.
    pub losses: i64,
    /// Of them neither.
    pub ties: i64,
    /// What was staked, minor units.
    pub stakes: i64,
    /// What was won, minor units; a stake that comes back with it is a part of it.
    pub winnings: i64,
    /// What went back of the stakes because a match was a tie, minor units.
    pub refunds: i64,
    /// The last match's end.
    pub last_at: Timestamp,
}

impl Record {
    /// What is left over: winnings and refunds less stakes, minor units.
    pub fn net(&self) -> i64 {
        self.winnings.saturating_add(self.refunds).saturating_sub(self.stakes)
    }

    /// Adds another identity's of the same currency.
    pub fn add(&mut self, other: &Self) {
        let mine = [
            &mut self.matches,
            &mut self.wins,
            &mut self.losses,
            &mut self.ties,
            &mut self.stakes,
            &mut self.winnings,
            &mut self.refunds,
        ];
        let more = [
            other.matches,
            other.wins,
            other.losses,
            other.ties,
            other.stakes,
            other.winnings,
            other.refunds,
        ];
        for (sum, more) in mine.into_iter().zip(more) {
            *sum = sum.saturating_add(more);
        }
        self.last_at = self.last_at.max(other.last_at);
    }
}

/// The sums over the counted matches of all time; who has none is not in it.
///
/// # Errors
/// [`crate::Error`].
pub async fn totals_of(client: &Client, players: &[Uuid]) -> Result<BTreeMap<Uuid, Totals>> {
    let rows = client
        .query(
            "SELECT * FROM player_totals WHERE player_key = ANY($1) AND season = $2",
            &[&players, &ALL_TIME],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get("player_key")?, totals(row)?))).collect()
}

fn totals(row: &Row) -> Result<Totals> {
    let mut totals = Totals {
        matches: row.try_get("matches")?,
        wins: row.try_get("wins")?,
        losses: row.try_get("losses")?,
        draws: row.try_get("draws")?,
        rounds: row.try_get("rounds")?,
        ..Totals::default()
    };
    for (counter, name) in totals.counters.iter_mut().zip(COUNTER_NAMES) {
        *counter = row.try_get(name)?;
    }
    Ok(totals)
}

/// How often each was voted out of a match; who never was is not in it.
///
/// # Errors
/// [`crate::Error`].
pub async fn kicks_of(client: &Client, players: &[Uuid]) -> Result<BTreeMap<Uuid, i64>> {
    let sql = "SELECT player_key, count(*) FROM player_kick WHERE player_key = ANY($1) GROUP BY 1";
    let rows = client.query(sql, &[&players]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// How their counted matches went, taken together in the order of their ends.
///
/// # Errors
/// [`crate::Error`].
pub async fn form_of(client: &Client, players: &[Uuid]) -> Result<Form> {
    form(
        client,
        "SELECT string_agg(upper(left(outcome, 1)), '')
           FROM (SELECT outcome FROM player_match_stats
                  WHERE player_key = ANY($1) AND ended_at IS NOT NULL ORDER BY ended_at, stats_key) o",
        players,
    )
    .await
}

/// How their settled matches went, taken together in the order of their ends.
///
/// # Errors
/// [`crate::Error`].
pub async fn record_form_of(client: &Client, players: &[Uuid]) -> Result<Form> {
    form(
        client,
        "SELECT string_agg(left(outcome, 1), '')
           FROM (SELECT outcome FROM match_participant
                  WHERE player_key = ANY($1) AND ended_at IS NOT NULL ORDER BY ended_at, match_no) o",
        players,
    )
    .await
}

/// One letter a match: ten thousand of them travel as one value.
async fn form(client: &Client, sql: &str, players: &[Uuid]) -> Result<Form> {
    let letters: Option<String> = client.query_one(sql, &[&players]).await?.try_get(0)?;
    let outcomes: Result<Vec<MatchOutcome>> = letters
        .unwrap_or_default()
        .chars()
        .map(|letter| match letter {
            'W' => Ok(MatchOutcome::Win),
            'L' => Ok(MatchOutcome::Loss),
            'D' | 'T' => Ok(MatchOutcome::Draw),
            _ => Err(unknown("outcome")),
        })
        .collect();
    Ok(Form::of(outcomes?))
}

/// What they won and lost in settled matches, by identity and currency.
///
/// # Errors
/// [`crate::Error`].
pub async fn records_of(client: &Client, players: &[Uuid]) -> Result<Vec<Record>> {
    let sql = "SELECT player_key, currency, count(*), count(*) FILTER (WHERE outcome = 'WIN'),
                      count(*) FILTER (WHERE outcome = 'LOSS'), count(*) FILTER (WHERE outcome = 'TIE'),
                      sum(hold)::bigint, sum(payout)::bigint, sum(refund)::bigint, max(ended_at)
                 FROM match_participant WHERE player_key = ANY($1) AND ended_at IS NOT NULL
                GROUP BY 1, 2 ORDER BY player_key, currency COLLATE \"C\"";
    let read = |row: &Row| {
        Ok(Record {
            player_key: row.try_get(0)?,
            currency: row.try_get(1)?,
            matches: row.try_get(2)?,
            wins: row.try_get(3)?,
            losses: row.try_get(4)?,
            ties: row.try_get(5)?,
            stakes: row.try_get(6)?,
            winnings: row.try_get(7)?,
            refunds: row.try_get(8)?,
            last_at: row.try_get::<_, At>(9)?.0,
        })
    };
    client.query(sql, &[&players]).await?.iter().map(read).collect()
}
