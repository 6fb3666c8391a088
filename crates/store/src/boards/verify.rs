//! What ratings must be, read from the matches themselves, and what they are: for whoever wants to know whether the two
//! are the same.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::ratings::{RatingStep, rated};
use super::results::Position;
use super::{
    FeedKind, MatchResult, RatingGame, feed_in_tx, games_in_tx, known_in_tx, save_game_in_tx, stored_in_tx,
};
use crate::time::At;
use crate::{Client, Result, Tx};

/// Matches that are read at once.
const CHUNK: usize = 500;

/// A game at one moment, with all of its matches by their own tables, in the order in which they are rated.
pub struct GameSnapshot<'c> {
    tx: Tx<'c>,
    game: String,
    matches: Vec<(Position, FeedKind)>,
    read: usize,
    /// The end of what was read.
    to: Position,
}

/// Some matches in order, as they are stored, and what was made of them.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// The matches.
    pub results: Vec<MatchResult>,
    /// The steps that are stored from the end of the chunk before to the end of this one, by place and player.
    pub steps: Vec<RatingStep>,
    /// The matches that boards and ratings know otherwise than they are stored.
    pub outdated: Vec<(FeedKind, Uuid)>,
}

/// Takes a snapshot of a game. None while matches are still on their way into it.
///
/// # Errors
/// [`crate::Error`].
pub async fn game_snapshot<'c>(
    client: &'c mut Client,
    game: &str,
    sources: &BTreeSet<SourceName>,
) -> Result<Option<GameSnapshot<'c>>> {
    let tx = client.begin_snapshot().await?;
    let busy =
        "SELECT EXISTS (SELECT FROM result_feed WHERE kind <> 'player') OR EXISTS (SELECT FROM result_fill)
                    OR NOT EXISTS (SELECT FROM rating_game
                                    WHERE game = $1 AND redo_at IS NULL AND recomputing_since IS NULL)";
    if tx.query_one(busy, &[&game]).await?.try_get(0)? {
        return Ok(None);
    }
    let sources: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
    let sql = "SELECT stats_key AS key, ended_at, true AS of_stats FROM stats_match
                WHERE counted AND ended_at IS NOT NULL AND source = ANY($1)
               UNION ALL
               SELECT match_key, coalesce(ended_at, settled_at), false FROM match
                WHERE settlement IN ('payout', 'tie') AND source = ANY($1)
                ORDER BY ended_at, key";
    let place = |row: &Row| {
        let of_stats: bool = row.try_get("of_stats")?;
        let kind = if of_stats { FeedKind::Stats } else { FeedKind::Match };
        Ok((Position::read(row, "ended_at", "key")?, kind))
    };
    let rows = tx.query(sql, &[&sources]).await?;
    let matches = rows.iter().map(place).collect::<Result<_>>()?;
    Ok(Some(GameSnapshot { tx, game: game.to_owned(), matches, read: 0, to: Position::FIRST }))
}

impl GameSnapshot<'_> {
    /// The next matches; none after the last.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn next(&mut self) -> Result<Option<Chunk>> {
        if self.read > self.matches.len() {
            return Ok(None);
        }
        let end = self.read.saturating_add(CHUNK).min(self.matches.len());
        let places = self.matches.get(self.read..end).unwrap_or_default();
        // After the last match there may be steps still, of matches that are none any more.
        let last = end == self.matches.len();
        let to = places.last().filter(|_| !last).map(|(place, _)| *place);
        let keys = |wanted: FeedKind| -> Vec<Uuid> {
            places.iter().filter(|(_, kind)| *kind == wanted).map(|(place, _)| place.key).collect()
        };
        let mut stored = stored_in_tx(&self.tx, FeedKind::Stats, &keys(FeedKind::Stats)).await?;
        stored.extend(stored_in_tx(&self.tx, FeedKind::Match, &keys(FeedKind::Match)).await?);
        let all: Vec<Uuid> = places.iter().map(|(place, _)| place.key).collect();
        let known = known_in_tx(&self.tx, &all).await?;
        let outdated = places
            .iter()
            .filter(|(place, _)| known.get(&place.key) != stored.get(&place.key))
            .map(|(place, kind)| (*kind, place.key));
        let chunk = Chunk {
            outdated: outdated.collect(),
            steps: steps_between(&self.tx, &self.game, self.to, to).await?,
            results: places.iter().filter_map(|(place, _)| stored.remove(&place.key)).collect(),
        };
        self.to = to.unwrap_or(self.to);
        self.read = if last { usize::MAX } else { end };
        Ok(Some(chunk))
    }

    /// The ratings as they are stored.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn ratings(&self) -> Result<BTreeMap<Uuid, super::Rated>> {
        let rows = self.tx.query("SELECT * FROM rating WHERE game = $1", &[&self.game]).await?;
        rows.iter().map(|row| Ok((row.try_get("player_key")?, rated(row)?))).collect()
    }

    /// The results that boards and ratings know of the sources' matches that do not count.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn strays(&self, sources: &BTreeSet<SourceName>) -> Result<Vec<(FeedKind, Uuid)>> {
        let sources: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
        let sql = "SELECT r.result_key, r.kind = 'stats' AS of_stats FROM result r
                    WHERE r.source = ANY($1)
                      AND NOT EXISTS (SELECT FROM stats_match m WHERE m.stats_key = r.result_key AND m.counted)
                      AND NOT EXISTS (SELECT FROM match m WHERE m.match_key = r.result_key
                                                            AND m.settlement IN ('payout', 'tie'))";
        let rows = self.tx.query(sql, &[&sources]).await?;
        let stray = |row: &Row| {
            let of_stats: bool = row.try_get("of_stats")?;
            let kind = if of_stats { FeedKind::Stats } else { FeedKind::Match };
            Ok((kind, row.try_get("result_key")?))
        };
        rows.iter().map(stray).collect()
    }
}

async fn steps_between(
    tx: &Tx<'_>,
    game: &str,
    after: Position,
    to: Option<Position>,
) -> Result<Vec<RatingStep>> {
    let to = to.unwrap_or(Position { at: Timestamp::from_micros(i64::MAX), key: Uuid::max() });
    let sql = "SELECT *, nth AS matches FROM rating_step
                WHERE game = $1 AND (ended_at, result_key) > ($2, $3) AND (ended_at, result_key) <= ($4, $5)
                ORDER BY ended_at, result_key, player_key";
    let parameters: crate::client::Params<'_> = &[&game, &At(after.at), &after.key, &At(to.at), &to.key];
    let rows = tx.query(sql, parameters).await?;
    let step = |row: &Row| {
        Ok(RatingStep {
            position: Position::read(row, "ended_at", "result_key")?,
            player: row.try_get("player_key")?,
            before: (row.try_get("mean_before")?, row.try_get("uncertainty_before")?),
            after: rated(row)?,
        })
    };
    rows.iter().map(step).collect()
}

/// Has a game rated anew from a place on, and these matches looked at again.
///
/// # Errors
/// [`crate::Error`].
pub async fn redo_in_tx(
    tx: &Tx<'_>,
    game: &str,
    from: Option<Position>,
    outdated: &[(FeedKind, Uuid)],
    now: Timestamp,
) -> Result<()> {
    let games = games_in_tx(tx).await?;
    if let (Some(found), Some(from)) = (games.into_iter().find(|one| one.game == game), from) {
        let redo = found.redo.into_iter().chain([from]).min();
        let recomputing_since = found.recomputing_since.or(Some(now));
        save_game_in_tx(tx, &RatingGame { redo, recomputing_since, ..found }).await?;
    }
    for kind in [FeedKind::Stats, FeedKind::Match] {
        let keys: Vec<Uuid> = outdated.iter().filter(|(of, _)| *of == kind).map(|(_, key)| *key).collect();
        feed_in_tx(tx, kind, &keys).await?;
    }
    Ok(())
}
