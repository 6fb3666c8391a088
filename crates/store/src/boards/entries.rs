//! Entries of boards. They are never added to: an entry is made anew from all matches of its player and season, so it
//! is right however often and in whatever order it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use matchpurse_domain::boards::{Basis, Board, Direction, Metric, Unlisted};
use matchpurse_domain::event::COUNTER_NAMES;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::CurrencyCode;
use matchpurse_domain::stats::Totals;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{BoardId, StoredBoard};
use crate::time::At;
use crate::{Result, Tx};

/// A player in a season of a board.
pub type Seat = (String, Uuid);

/// What a player's matches of a season come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How many they are.
    pub matches: i64,
    /// When the last one ended that changed the score; if none ever did, the first one.
    pub reached_at: Timestamp,
    /// What the score is made of.
    pub sum: Sum,
}

/// What a score is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// Sums of statistics.
    Totals(Totals),
    /// The score itself.
    Whole(i64),
    /// A skill rating: mean and uncertainty, in millionths.
    Rating(i64, i64),
}

/// An entry as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEntry {
    /// The score.
    pub score: i64,
    /// When it was reached.
    pub reached_at: Timestamp,
    /// How many matches it is of.
    pub matches: i64,
    /// Why the player is not listed.
    pub unlisted: Option<Unlisted>,
}

/// Puts entries onto the list of what to do.
///
/// # Errors
/// [`crate::Error`].
pub async fn todo_in_tx(tx: &Tx<'_>, todo: &BTreeSet<(BoardId, String, Uuid)>) -> Result<()> {
    if todo.is_empty() {
        return Ok(());
    }
    let boards: Vec<i32> = todo.iter().map(|(board, ..)| board.0).collect();
    let seasons: Vec<&str> = todo.iter().map(|(_, season, _)| season.as_str()).collect();
    let players: Vec<Uuid> = todo.iter().map(|(.., player)| *player).collect();
    let sql = "INSERT INTO board_todo (board_id, season, player_key)
               SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[]) ON CONFLICT DO NOTHING";
    tx.execute(sql, &[&boards, &seasons, &players]).await?;
    Ok(())
}

/// Puts all entries of these players, and of whoever is linked to them, onto the list.
///
/// # Errors
/// [`crate::Error`].
pub async fn todo_of_players_in_tx(tx: &Tx<'_>, players: &[Uuid]) -> Result<()> {
    if players.is_empty() {
        return Ok(());
    }
    // A ban is of everybody who is linked.
    let sql = "INSERT INTO board_todo (board_id, season, player_key)
               SELECT e.board_id, e.season, e.player_key
                 FROM board_entry e JOIN board b USING (board_id)
                WHERE b.state IN ('building', 'current') AND b.removed_at IS NULL
                  AND e.player_key IN (SELECT unnest($1::uuid[])
                                        UNION
                                       SELECT other.player_key
                                         FROM player_link own JOIN player_link other USING (person)
                                        WHERE own.player_key = ANY($1))
               ON CONFLICT DO NOTHING";
    tx.execute(sql, &[&players]).await?;
    Ok(())
}

/// Takes up to `limit` of a board's entries off the list; they must be written in the same transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn take_todo_in_tx(tx: &Tx<'_>, board: BoardId, limit: i64) -> Result<Vec<Seat>> {
    let sql = "DELETE FROM board_todo WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM board_todo WHERE board_id = $1 ORDER BY season, player_key LIMIT $2))
               RETURNING season, player_key";
    let rows = tx.query(sql, &[&board.0, &limit]).await?;
    rows.iter().map(|row| Ok((row.try_get("season")?, row.try_get("player_key")?))).collect()
}

/// What these players' matches come to; who has none in the season is not among the results.
///
/// # Errors
/// [`crate::Error`].
pub async fn tally_in_tx(tx: &Tx<'_>, board: &Board, seats: &[Seat]) -> Result<BTreeMap<Seat, Tally>> {
    // A season of another kind is one of an earlier definition; nothing is in it.
    let known = seats.iter().filter_map(|(season, player)| Some((board.season.named(season)?, *player)));
    let (mut players, mut names, mut since, mut until) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (season, player) in known {
        players.push(player);
        names.push(season.name);
        since.push(At(season.since));
        until.push(At(season.until));
    }
    let sources: Option<Vec<&str>> =
        board.sources.as_ref().map(|sources| sources.iter().map(SourceName::as_str).collect());
    let currency = board.currency.as_ref().map(CurrencyCode::as_str);
    let (sql, last): (String, &(dyn postgres_types::ToSql + Sync)) = match board.metric.basis() {
        Basis::Statistics => (statistics(board.metric), &sources),
        Basis::Settlements => (settlements(board.metric), &sources),
        Basis::Skill => (SKILL.to_owned(), &board.game),
    };
    let mut parameters: Vec<&(dyn postgres_types::ToSql + Sync)> =
        vec![&players, &names, &since, &until, last];
    if board.metric.basis() == Basis::Settlements {
        parameters.push(&currency);
    }
    let mut tallies = BTreeMap::new();
    for row in &tx.query(&sql, &parameters).await? {
        let sum = match board.metric.basis() {
            Basis::Statistics => Sum::Totals(totals(row)?),
            Basis::Settlements => Sum::Whole(row.try_get("score")?),
            Basis::Skill => Sum::Rating(row.try_get("mean")?, row.try_get("uncertainty")?),
        };
        let tally = Tally {
            matches: row.try_get("matches")?,
            reached_at: row.try_get::<_, At>("reached_at")?.0,
            sum,
        };
        tallies.insert((row.try_get("season")?, row.try_get("player_key")?), tally);
    }
    Ok(tallies)
}

/// Whose entries, of which season.
const WANTED: &str = "unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
                        AS w (player_key, season, since, until)";

/// The sums of all counters, in the order of [`COUNTER_NAMES`].
static COUNTER_SUMS: LazyLock<String> =
    LazyLock::new(|| COUNTER_NAMES.map(|name| format!("sum(l.{name})::bigint AS {name}")).join(", "));

fn statistics(metric: Metric) -> String {
    // What a match must have to change the score. A share changes with every match.
    let changes = match metric {
        Metric::Counter(_) => format!("l.{} <> 0", metric.as_str()),
        Metric::Wins => "l.outcome = 'win'".to_owned(),
        _ => "true".to_owned(),
    };
    let sums = COUNTER_SUMS.as_str();
    format!(
        "SELECT w.player_key, w.season, count(*) AS matches,
                coalesce(max(l.ended_at) FILTER (WHERE {changes}), min(l.ended_at)) AS reached_at,
                count(*) FILTER (WHERE l.outcome = 'win') AS wins,
                count(*) FILTER (WHERE l.outcome = 'loss') AS losses,
                count(*) FILTER (WHERE l.outcome = 'draw') AS draws,
                sum(m.rounds_played)::bigint AS rounds, {sums}
           FROM {WANTED}
           JOIN player_match_stats l ON l.player_key = w.player_key AND l.ended_at >= w.since AND l.ended_at < w.until
           JOIN stats_match m ON m.stats_key = l.stats_key
          WHERE m.counted AND ($5::text[] IS NULL OR m.source = ANY($5))
          GROUP BY w.player_key, w.season"
    )
}

fn totals(row: &Row) -> Result<Totals> {
    let mut counters = [0; COUNTER_NAMES.len()];
    for (counter, name) in counters.iter_mut().zip(COUNTER_NAMES) {
        *counter = row.try_get(name)?;
    }
    Ok(Totals {
        matches: row.try_get("matches")?,
        wins: row.try_get("wins")?,
        losses: row.try_get("losses")?,
        draws: row.try_get("draws")?,
        rounds: row.try_get("rounds")?,
        counters,
    })
}

fn settlements(metric: Metric) -> String {
    let value = match metric {
        Metric::Won => "CASE WHEN p.outcome = 'WIN' THEN 1 ELSE 0 END",
        Metric::Stakes => "p.hold",
        Metric::Winnings => "p.payout",
        Metric::Net => "p.payout + p.refund - p.hold",
        _ => "1",
    };
    // Sums of bigint are numeric; one beyond 63 bits would stop everybody's entries.
    format!(
        "SELECT w.player_key, w.season, count(*) AS matches,
                coalesce(max(s.ended_at) FILTER (WHERE s.value <> 0), min(s.ended_at)) AS reached_at,
                least(greatest(sum(s.value), -9000000000000000000), 9000000000000000000)::bigint AS score
           FROM {WANTED}
           JOIN LATERAL (
                SELECT coalesce(m.ended_at, m.settled_at) AS ended_at, {value} AS value
                  FROM match_participant p JOIN match m USING (match_no)
                 WHERE p.player_key = w.player_key AND p.outcome IS NOT NULL
                   AND m.settlement IN ('payout', 'tie')
                   AND ($5::text[] IS NULL OR m.source = ANY($5))
                   AND ($6::text IS NULL OR m.currency = $6)) s
             ON s.ended_at >= w.since AND s.ended_at < w.until
          GROUP BY w.player_key, w.season"
    )
}

/// The rating after the season's last match. The matches' numbers have no gaps, so two of them say how many there are.
const SKILL: &str = "SELECT w.player_key, w.season, last.ended_at AS reached_at, last.mean, last.uncertainty,
                            last.nth - first.nth + 1 AS matches
                       FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
                              AS w (player_key, season, since, until)
                      CROSS JOIN LATERAL (
                        SELECT * FROM rating_step s
                         WHERE s.player_key = w.player_key AND s.game = $5 AND s.ended_at < w.until
                         ORDER BY s.ended_at DESC, s.result_key DESC LIMIT 1) last
                      CROSS JOIN LATERAL (
                        SELECT nth FROM rating_step s
                         WHERE s.player_key = w.player_key AND s.game = $5 AND s.ended_at >= w.since
                         ORDER BY s.ended_at, s.result_key LIMIT 1) first
                      WHERE last.ended_at >= w.since";

/// Who of these players may not be on the board, whatever the score: those whom an operator has excluded, and, where the
/// board wants it, those who are banned or linked to somebody who is.
///
/// # Errors
/// [`crate::Error`].
pub async fn barred_in_tx(tx: &Tx<'_>, board: &Board, players: &[Uuid]) -> Result<BTreeMap<Uuid, Unlisted>> {
    let sql = "SELECT p.key, EXISTS (SELECT FROM board_exclusion x
                                      WHERE x.board = $2 AND x.player_key = p.key) AS excluded
                 FROM (SELECT DISTINCT unnest($1::uuid[]) AS key) p
                WHERE EXISTS (SELECT FROM board_exclusion x WHERE x.board = $2 AND x.player_key = p.key)
                   OR $3 AND (EXISTS (SELECT FROM player_standing s
                                       WHERE s.player_key = p.key AND s.standing = 'banned')
                              OR EXISTS (SELECT FROM player_link own
                                           JOIN player_link other USING (person)
                                           JOIN player_standing s ON s.player_key = other.player_key
                                          WHERE own.player_key = p.key AND s.standing = 'banned'))";
    let rows = tx.query(sql, &[&players, &board.name.as_str(), &board.exclude_banned]).await?;
    let barred = rows.iter().map(|row| {
        let excluded: bool = row.try_get("excluded")?;
        Ok((row.try_get("key")?, if excluded { Unlisted::Excluded } else { Unlisted::Banned }))
    });
    barred.collect()
}

/// Writes entries, none for who has none.
///
/// # Errors
/// [`crate::Error`].
pub async fn write_in_tx(
    tx: &Tx<'_>,
    stored: &StoredBoard,
    entries: &BTreeMap<Seat, Option<NewEntry>>,
    now: Timestamp,
) -> Result<()> {
    let some = || entries.iter().filter_map(|(seat, entry)| Some((seat, entry.as_ref()?)));
    let none = || entries.iter().filter(|(_, entry)| entry.is_none()).map(|(seat, _)| seat);
    let direction: Direction = stored.board.direction;
    let seasons: Vec<&str> = some().map(|((season, _), _)| season.as_str()).collect();
    let players: Vec<Uuid> = some().map(|((_, player), _)| *player).collect();
    let scores: Vec<i64> = some().map(|(_, entry)| entry.score).collect();
    let places: Vec<i64> = scores.iter().map(|score| direction.place(*score)).collect();
    let reached: Vec<At> = some().map(|(_, entry)| At(entry.reached_at)).collect();
    let matches: Vec<i64> = some().map(|(_, entry)| entry.matches).collect();
    let unlisted: Vec<Option<&str>> = some().map(|(_, entry)| entry.unlisted.map(Unlisted::as_str)).collect();
    let sql = "INSERT INTO board_entry AS e (board_id, season, player_key, score, place, reached_at, matches, unlisted)
               SELECT $1, s, p, sc, pl, at, m, why
                 FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::bigint[],
                             $8::text[]) AS new (s, p, sc, pl, at, m, why) ORDER BY s, p
               ON CONFLICT (board_id, season, player_key) DO UPDATE
                  SET score = EXCLUDED.score, place = EXCLUDED.place, reached_at = EXCLUDED.reached_at,
                      matches = EXCLUDED.matches, unlisted = EXCLUDED.unlisted
                WHERE (e.score, e.place, e.reached_at, e.matches, e.unlisted) IS DISTINCT FROM
                      (EXCLUDED.score, EXCLUDED.place, EXCLUDED.reached_at, EXCLUDED.matches, EXCLUDED.unlisted)";
    let id = stored.id.0;
    let parameters: crate::client::Params<'_> =
        &[&id, &seasons, &players, &scores, &places, &reached, &matches, &unlisted];
    tx.execute(sql, parameters).await?;
    let gone_seasons: Vec<&str> = none().map(|(season, _)| season.as_str()).collect();
    let gone_players: Vec<Uuid> = none().map(|(_, player)| *player).collect();
    let sql = "DELETE FROM board_entry e USING unnest($2::text[], $3::uuid[]) AS gone (s, p)
                WHERE e.board_id = $1 AND e.season = s AND e.player_key = p";
    tx.execute(sql, &[&id, &gone_seasons, &gone_players]).await?;
    let touched: BTreeSet<&str> = entries.keys().map(|(season, _)| season.as_str()).collect();
    let touched: Vec<&str> = touched.into_iter().collect();
    changed_in_tx(tx, stored.id, &touched, now).await
}

/// Notes that these seasons of a board have changed.
pub(super) async fn changed_in_tx(
    tx: &Tx<'_>,
    board: BoardId,
    seasons: &[&str],
    now: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO board_season (board_id, season, changed_at)
               SELECT $1, s, $3 FROM unnest($2::text[]) AS new (s) ORDER BY s
               ON CONFLICT (board_id, season) DO UPDATE SET changed_at = EXCLUDED.changed_at";
    tx.execute(sql, &[&board.0, &seasons, &At(now)]).await?;
    Ok(())
}
