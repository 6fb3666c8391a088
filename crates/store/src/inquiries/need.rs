use matchpurse_domain::time::Timestamp;

use super::Question;
use crate::time::At;
use crate::{Client, Result};

/// Of the matches that were begun so long ago nobody expects news any more, in days; their deadlines end them.
const OPEN_DAYS: i32 = 30;
/// So many matches one look goes through.
const WALKED: i64 = 5_000;

/// How long no news are no reason to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After so many seconds without news a match is asked about.
    pub silent_s: i64,
    /// So many seconds before its deadline it is asked about in any case.
    pub ahead_s: i64,
}

/// Where a look through the matches of a source goes on: looks take turns, and none takes long, however many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(Option<(Timestamp, i64)>);

/// Why somebody asks about a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchNeed {
    /// It has not ended.
    pub open: bool,
    /// When the last news of it were applied.
    pub last_news: Option<Timestamp>,
    /// Its deadline is near.
    pub deadline_near: bool,
    /// An anomaly about it is open: its provider, or we, contradict ourselves.
    pub contradicted: bool,
}

impl MatchNeed {
    /// Whether there is a reason to ask now.
    pub fn is_there(&self, now: Timestamp, patience: Patience) -> bool {
        let silent = self.last_news.is_none_or(|last| last.plus_seconds(patience.silent_s) <= now);
        self.contradicted || self.open && (self.deadline_near || silent)
    }
}

/// Notes the matches of a source about which there is a reason to ask: their deadline is near, there were no news for
/// long, or an anomaly about them is open. Returns where the next look goes on.
///
/// # Errors
/// [`crate::Error`].
pub async fn look(
    client: &Client,
    source: &str,
    patience: Patience,
    from: Cursor,
    now: Timestamp,
) -> Result<Cursor> {
    let near = "INSERT INTO inquiry (source, kind, subject, due_at)
                SELECT $1, 'match', match_id, $2 FROM (
                  SELECT m.match_id FROM match_deadline d JOIN match m USING (match_no)
                   WHERE d.due_at < $3 AND m.source = $1 AND m.settlement IS NULL
                  UNION
                  SELECT match_id FROM stats_match
                   WHERE ended_at IS NULL AND source = $1 AND created_at > $5 AND created_at <= $4 AND updated_at <= $4
                  UNION
                  SELECT a.subject FROM anomaly a
                   WHERE a.resolved_at IS NULL AND a.source = $1
                     AND (EXISTS (SELECT FROM match m WHERE m.source = $1 AND m.match_id = a.subject
                                     AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform'))
                          OR EXISTS (SELECT FROM stats_match s WHERE (s.source, s.match_id) = ($1, a.subject)))) AS needed
                 WHERE NOT EXISTS (SELECT FROM inquiry i
                                    WHERE (i.source, i.kind, i.subject) = ($1, 'match', needed.match_id))
                 ORDER BY match_id ON CONFLICT DO NOTHING";
    let silent_before = now.plus_seconds(patience.silent_s.saturating_neg());
    let begun_after = now.plus_seconds(-i64::from(OPEN_DAYS) * 86_400);
    let due_before = now.plus_seconds(patience.ahead_s);
    let parameters: crate::client::Params<'_> =
        &[&source, &At(now), &At(due_before), &At(silent_before), &At(begun_after)];
    client.execute(near, parameters).await?;

    let walk = "WITH walked AS MATERIALIZED (
                  SELECT match_no, match_id, created_at, updated_at, settlement IS NULL AS open FROM match
                   WHERE source = $1 AND created_at <= $3 AND (created_at, match_no) > ($4, $5)
                   ORDER BY created_at, match_no LIMIT $6),
                noted AS (
                  INSERT INTO inquiry (source, kind, subject, due_at)
                  SELECT $1, 'match', match_id, $2 FROM walked WHERE open AND updated_at <= $3
                   ORDER BY match_id ON CONFLICT DO NOTHING)
                SELECT created_at, match_no FROM walked ORDER BY created_at DESC, match_no DESC LIMIT 1";
    let (at, number) = from.0.filter(|(at, _)| *at > begun_after).unwrap_or((begun_after, 0));
    let parameters: crate::client::Params<'_> =
        &[&source, &At(now), &At(silent_before), &At(at), &number, &WALKED];
    let reached = client.query_opt(walk, parameters).await?;
    // At the end it begins anew.
    reached.map_or(Ok(Cursor(None)), |row| {
        let At(at) = row.try_get(0)?;
        Ok(Cursor(Some((at, row.try_get(1)?))))
    })
}

/// Notes the players of a source who are in a match that has not ended, of its latest matches: theirs are asked for.
///
/// # Errors
/// [`crate::Error`].
pub async fn look_players(client: &Client, source: &str, now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO inquiry (source, kind, subject, due_at)
               SELECT DISTINCT $1, 'players_matches', p.player_id, $2::timestamptz
                 FROM (SELECT match_no, settlement FROM match WHERE source = $1 AND created_at > $3
                        ORDER BY created_at DESC, match_no DESC LIMIT $4) AS latest
                 JOIN match_participant USING (match_no) JOIN player p USING (player_key)
                WHERE latest.settlement IS NULL AND p.source = $1
                ORDER BY p.player_id ON CONFLICT DO NOTHING";
    let begun_after = now.plus_seconds(-i64::from(OPEN_DAYS) * 86_400);
    client.execute(sql, &[&source, &At(now), &At(begun_after), &WALKED]).await?;
    Ok(())
}

/// Why somebody asks about this match now.
///
/// # Errors
/// [`crate::Error`].
pub async fn match_need(
    client: &Client,
    question: &Question,
    patience: Patience,
    now: Timestamp,
) -> Result<MatchNeed> {
    let sql = "SELECT coalesce(bool_or(open), false), max(news), coalesce(bool_or(near), false),
                      EXISTS (SELECT FROM anomaly WHERE (source, subject) = ($1, $2) AND resolved_at IS NULL)
                 FROM (
                   SELECT m.settlement IS NULL AS open, m.updated_at AS news, coalesce(d.due_at < $3, false) AS near
                     FROM match m LEFT JOIN match_deadline d USING (match_no)
                    WHERE m.source = $1 AND m.match_id = $2 AND m.created_at > $4
                      AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform')
                   UNION ALL
                   SELECT ended_at IS NULL, updated_at, false FROM stats_match
                    WHERE (source, match_id) = ($1, $2) AND created_at > $4) AS known";
    let begun_after = now.plus_seconds(-i64::from(OPEN_DAYS) * 86_400);
    let due_before = now.plus_seconds(patience.ahead_s);
    let parameters: crate::client::Params<'_> =
        &[&question.source, &question.subject, &At(due_before), &At(begun_after)];
    let row = client.query_one(sql, parameters).await?;
    Ok(MatchNeed {
        open: row.try_get(0)?,
        last_news: row.try_get::<_, Option<At>>(1)?.map(|At(at)| at),
        deadline_near: row.try_get(2)?,
        contradicted: row.try_get(3)?,
    })
}

/// The offers of a source that are held to be there, by id.
///
/// # Errors
/// [`crate::Error`].
pub async fn offers_held(client: &Client, source: &str) -> Result<Vec<String>> {
    let sql = "SELECT offer_id FROM offer WHERE source = $1 AND state = 'active' ORDER BY offer_id";
    client.query(sql, &[&source]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Whether it is to be asked which matches a player has: one that is known has not ended, or the player is wanted
/// ([`super::want`]).
///
/// # Errors
/// [`crate::Error`].
pub async fn player_need(client: &Client, question: &Question, now: Timestamp) -> Result<bool> {
    let sql = "SELECT EXISTS (
                 SELECT FROM player p JOIN match_participant USING (player_key) JOIN match m USING (match_no)
                  WHERE (p.source, p.player_id) = ($1, $2) AND m.settlement IS NULL AND m.created_at > $3)
               OR EXISTS (
                 SELECT FROM inquiry
                  WHERE (source, kind, subject) = ($1, 'players_matches', $2) AND wanted_until > $4)";
    let begun_after = now.plus_seconds(-i64::from(OPEN_DAYS) * 86_400);
    let parameters: crate::client::Params<'_> =
        &[&question.source, &question.subject, &At(begun_after), &At(now)];
    let row = client.query_one(sql, parameters).await?;
    Ok(row.try_get(0)?)
}
