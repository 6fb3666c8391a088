//! Skill ratings: how far a game's matches are rated, and what each of them did.
//!
//! A game is at a place in the order of its matches: all before and at it that say who is better are rated, and none
//! after it. Forward, the next matches are rated; back, the last steps are taken away and everybody has what he had
//! before. Each is a transaction of its own, after which the ratings are those of that place, so whoever is killed in
//! between leaves nothing that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::results::{MatchResult, Position, known};
use crate::time::At;
use crate::words::unknown;
use crate::{Result, Tx};

/// A player's rating, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rated {
    /// How good the player is believed to be.
    pub mean: i64,
    /// How uncertain that is.
    pub uncertainty: i64,
    /// After how many matches.
    pub matches: i64,
}

/// A game with how far it is rated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatingGame {
    /// Its name.
    pub game: String,
    /// Whose matches are its.
    pub sources: Vec<SourceName>,
    /// The last match that is rated.
    pub rated: Position,
    /// From where on it must be rated anew.
    pub redo: Option<Position>,
    /// Since when it is not rated to the end.
    pub recomputing_since: Option<Timestamp>,
}

/// What a match did to a player's rating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatingStep {
    /// The match.
    pub position: Position,
    /// The player.
    pub player: Uuid,
    /// The rating before; what a new player has, when it is the first match.
    pub before: (i64, i64),
    /// The rating afterwards.
    pub after: Rated,
}

/// Brings the games with their sources into the database; what is made by another `method`, or of other sources, is
/// made anew from the first match on. Games that are not given any more lose their ratings.
///
/// # Errors
/// [`crate::Error`].
pub async fn bring_games_in_tx(
    tx: &Tx<'_>,
    games: &BTreeMap<String, BTreeSet<SourceName>>,
    method: &str,
    now: Timestamp,
) -> Result<()> {
    let first = Position::FIRST;
    for (game, sources) in games {
        let sources: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
        let sql =
            "INSERT INTO rating_game AS g (game, method, sources, recomputing_since) VALUES ($1, $2, $3, $6)
                   ON CONFLICT (game) DO UPDATE
                      SET method = EXCLUDED.method, sources = EXCLUDED.sources, redo_at = $4, redo_key = $5,
                          recomputing_since = coalesce(g.recomputing_since, $6)
                    WHERE (g.method, g.sources) IS DISTINCT FROM (EXCLUDED.method, EXCLUDED.sources)";
        tx.execute(sql, &[game, &method, &sources, &At(first.at), &first.key, &At(now)]).await?;
    }
    let names: Vec<&str> = games.keys().map(String::as_str).collect();
    let sql = "UPDATE rating_game
                  SET sources = '{}', redo_at = $2, redo_key = $3, recomputing_since = coalesce(recomputing_since, $4)
                WHERE game <> ALL($1) AND cardinality(sources) > 0";
    tx.execute(sql, &[&names, &At(first.at), &first.key, &At(now)]).await?;
    Ok(())
}

/// All games, locked.
///
/// # Errors
/// [`crate::Error`].
pub async fn games_in_tx(tx: &Tx<'_>) -> Result<Vec<RatingGame>> {
    let rows = tx.query("SELECT * FROM rating_game ORDER BY game FOR NO KEY UPDATE", &[]).await?;
    rows.iter().map(read_game).collect()
}

fn read_game(row: &Row) -> Result<RatingGame> {
    let sources: Vec<&str> = row.try_get("sources")?;
    let sources = sources.into_iter().map(|text| SourceName::parse(text).map_err(|_| unknown("source")));
    let redo_at: Option<At> = row.try_get("redo_at")?;
    let redo_key: Option<Uuid> = row.try_get("redo_key")?;
    let since: Option<At> = row.try_get("recomputing_since")?;
    Ok(RatingGame {
        game: row.try_get("game")?,
        sources: sources.collect::<Result<_>>()?,
        rated: Position::read(row, "rated_at", "rated_key")?,
        redo: redo_at.zip(redo_key).map(|(At(at), key)| Position { at, key }),
        recomputing_since: since.map(|At(at)| at),
    })
}

/// Writes how far a game is.
///
/// # Errors
/// [`crate::Error`].
pub async fn save_game_in_tx(tx: &Tx<'_>, game: &RatingGame) -> Result<()> {
    let sql = "UPDATE rating_game SET rated_at = $2, rated_key = $3, redo_at = $4, redo_key = $5,
                                      recomputing_since = $6
                WHERE game = $1";
    let parameters: crate::client::Params<'_> = &[
        &game.game,
        &At(game.rated.at),
        &game.rated.key,
        &game.redo.map(|redo| At(redo.at)),
        &game.redo.map(|redo| redo.key),
        &game.recomputing_since.map(At),
    ];
    tx.execute(sql, parameters).await?;
    Ok(())
}

/// Forgets the ratings of a game of which no step is left. There are none then, unless somebody has tampered with them.
///
/// # Errors
/// [`crate::Error`].
pub async fn forget_ratings_in_tx(tx: &Tx<'_>, game: &str) -> Result<()> {
    tx.execute("DELETE FROM rating WHERE game = $1", &[&game]).await?;
    Ok(())
}

/// Forgets a game that has no sources, once its steps are taken back.
///
/// # Errors
/// [`crate::Error`].
pub async fn forget_game_in_tx(tx: &Tx<'_>, game: &str) -> Result<()> {
    tx.execute("DELETE FROM rating_game WHERE game = $1", &[&game]).await?;
    Ok(())
}

/// The matches of these sources that come after a place and say who is better, in order, at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn results_after_in_tx(
    tx: &Tx<'_>,
    sources: &[SourceName],
    after: Position,
    limit: i64,
) -> Result<Vec<MatchResult>> {
    let sources: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
    // Each source's part of the index is read from the place on, so it costs nothing that there are others.
    let sql = "SELECT r.* FROM unnest($1::text[]) AS s (source)
                CROSS JOIN LATERAL (
                  SELECT * FROM result
                   WHERE source = s.source AND cardinality(sides) > 0 AND (ended_at, result_key) > ($2, $3)
                   ORDER BY ended_at, result_key LIMIT $4) r
                ORDER BY r.ended_at, r.result_key LIMIT $4";
    let rows = tx.query(sql, &[&sources, &At(after.at), &after.key, &limit]).await?;
    rows.iter().map(known).collect()
}

/// The ratings that these players have in a game; who has none has not been rated.
///
/// # Errors
/// [`crate::Error`].
pub async fn ratings_in_tx(tx: &Tx<'_>, game: &str, players: &[Uuid]) -> Result<BTreeMap<Uuid, Rated>> {
    let sql = "SELECT * FROM rating WHERE game = $1 AND player_key = ANY($2)";
    let rows = tx.query(sql, &[&game, &players]).await?;
    rows.iter().map(|row| Ok((row.try_get("player_key")?, rated(row)?))).collect()
}

pub(super) fn rated(row: &Row) -> Result<Rated> {
    Ok(Rated {
        mean: row.try_get("mean")?,
        uncertainty: row.try_get("uncertainty")?,
        matches: row.try_get("matches")?,
    })
}

/// Adds what matches did; of a player's steps the last one is the rating.
///
/// # Errors
/// [`crate::Error`].
pub async fn step_in_tx(tx: &Tx<'_>, game: &str, steps: &[RatingStep]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let times: Vec<At> = steps.iter().map(|step| At(step.position.at)).collect();
    let keys: Vec<Uuid> = steps.iter().map(|step| step.position.key).collect();
    let players: Vec<Uuid> = steps.iter().map(|step| step.player).collect();
    let nths: Vec<i64> = steps.iter().map(|step| step.after.matches).collect();
    let before =
        |part: fn(&(i64, i64)) -> i64| -> Vec<i64> { steps.iter().map(|step| part(&step.before)).collect() };
    let (means_before, uncertainties_before) = (before(|b| b.0), before(|b| b.1));
    let means: Vec<i64> = steps.iter().map(|step| step.after.mean).collect();
    let uncertainties: Vec<i64> = steps.iter().map(|step| step.after.uncertainty).collect();
    let sql = "WITH new AS (
                 INSERT INTO rating_step (game, ended_at, result_key, player_key, nth, mean_before,
                                          uncertainty_before, mean, uncertainty)
                 SELECT $1, * FROM unnest($2::timestamptz[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[],
                                          $7::bigint[], $8::bigint[], $9::bigint[])
                 RETURNING player_key, nth, mean, uncertainty)
               INSERT INTO rating (game, player_key, mean, uncertainty, matches)
               SELECT DISTINCT ON (player_key) $1, player_key, mean, uncertainty, nth
                 FROM new ORDER BY player_key, nth DESC
               ON CONFLICT (game, player_key) DO UPDATE
                  SET mean = EXCLUDED.mean, uncertainty = EXCLUDED.uncertainty, matches = EXCLUDED.matches";
    let parameters: crate::client::Params<'_> = &[
        &game,
        &times,
        &keys,
        &players,
        &nths,
        &means_before,
        &uncertainties_before,
        &means,
        &uncertainties,
    ];
    tx.execute(sql, parameters).await?;
    Ok(())
}

/// A step that was taken back: when its match ended, and whose it was.
pub type TakenBack = (Timestamp, Uuid);

/// Takes back the last matches' steps, at most about `limit`, down to and with those of `to`; a match's steps go
/// together. Returns them with the place that the game is at now, none when no step of `to` or later was left.
///
/// # Errors
/// [`crate::Error`].
pub async fn take_back_in_tx(
    tx: &Tx<'_>,
    game: &str,
    to: Position,
    limit: i64,
) -> Result<(Vec<TakenBack>, Option<Position>)> {
    let sql = "SELECT ended_at, result_key FROM (
                 SELECT ended_at, result_key FROM rating_step
                  WHERE game = $1 AND (ended_at, result_key) >= ($2, $3)
                  ORDER BY ended_at DESC, result_key DESC LIMIT $4) last
                ORDER BY ended_at, result_key LIMIT 1";
    let Some(row) = tx.query(sql, &[&game, &At(to.at), &to.key, &limit]).await?.pop() else {
        return Ok((Vec::new(), None));
    };
    let first = Position::read(&row, "ended_at", "result_key")?;
    // A later step's rating before it was made by an earlier one, so of a player's steps the earliest one counts.
    let sql = "WITH gone AS (
                 DELETE FROM rating_step WHERE game = $1 AND (ended_at, result_key) >= ($2, $3)
                 RETURNING ended_at, player_key, nth, mean_before, uncertainty_before),
               earliest AS (SELECT DISTINCT ON (player_key) * FROM gone ORDER BY player_key, nth),
               unrated AS (
                 DELETE FROM rating r USING earliest e
                  WHERE r.game = $1 AND r.player_key = e.player_key AND e.nth = 1),
               restored AS (
                 UPDATE rating r SET mean = e.mean_before, uncertainty = e.uncertainty_before, matches = e.nth - 1
                   FROM earliest e WHERE r.game = $1 AND r.player_key = e.player_key AND e.nth > 1)
               SELECT ended_at, player_key FROM gone";
    let rows = tx.query(sql, &[&game, &At(first.at), &first.key]).await?;
    let gone = rows.iter().map(|row| Ok((row.try_get::<_, At>("ended_at")?.0, row.try_get("player_key")?)));
    Ok((gone.collect::<Result<_>>()?, Some(first.before())))
}
