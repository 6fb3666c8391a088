use matchpurse_domain::time::Timestamp;

use crate::time::At;
use crate::{Client, Result};

/// What there is to do, by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pending {
    /// Matches that are older than the feed are not all in it.
    pub fill: bool,
    /// Something is in the feed.
    pub feed: bool,
    /// A game is not rated to its end.
    pub rate: bool,
    /// A board is being built.
    pub build: bool,
    /// An entry must be made anew.
    pub enter: bool,
    /// A season's players must be counted.
    pub count: bool,
    /// A board was replaced.
    pub clear: bool,
}

/// What there is to do: one look, with which most turns end. Seasons that were counted before `counted_before` and have
/// changed are to be counted again.
///
/// # Errors
/// [`crate::Error`].
pub async fn pending(client: &Client, counted_before: Timestamp) -> Result<Pending> {
    let sql = "SELECT EXISTS (SELECT FROM result_fill) AS fill,
                      EXISTS (SELECT FROM result_feed) AS feed,
                      EXISTS (SELECT FROM rating_game g
                               WHERE g.redo_at IS NOT NULL OR g.recomputing_since IS NOT NULL
                                  OR EXISTS (SELECT FROM unnest(g.sources) AS s (source)
                                              CROSS JOIN LATERAL (
                                                SELECT FROM result r
                                                 WHERE r.source = s.source AND cardinality(r.sides) > 0
                                                   AND (r.ended_at, r.result_key) > (g.rated_at, g.rated_key)
                                                 LIMIT 1) later)) AS rate,
                      EXISTS (SELECT FROM board WHERE state = 'building') AS build,
                      EXISTS (SELECT FROM board_todo) AS enter,
                      EXISTS (SELECT FROM board_season s JOIN board b USING (board_id)
                               WHERE b.state = 'current'
                                 AND (s.counted_at IS NULL
                                      OR s.changed_at >= s.counted_at AND s.counted_at < $1)) AS count,
                      EXISTS (SELECT FROM board WHERE state = 'replaced') AS clear";
    let row = client.query_one(sql, &[&At(counted_before)]).await?;
    Ok(Pending {
        fill: row.try_get("fill")?,
        feed: row.try_get("feed")?,
        rate: row.try_get("rate")?,
        build: row.try_get("build")?,
        enter: row.try_get("enter")?,
        count: row.try_get("count")?,
        clear: row.try_get("clear")?,
    })
}
