//! Matches and their players' lines, to be looked at.

use matchpurse_domain::event::{COUNTER_NAMES, Counters, Side};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::stats::{MatchOutcome, MatchStats, Totals, Winner};
use matchpurse_domain::time::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::load::state;
use super::{Kick, StatsKey};
use crate::time::At;
use crate::words::{optional_word, unknown, word};
use crate::{Client, Result};

/// One player's line in a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The player.
    pub player_id: PlayerId,
    /// Which side.
    pub side: Side,
    /// The name shown; may be empty.
    pub nickname: String,
    /// True when the last delivery said that the player was voted out.
    pub kicked: bool,
    /// How it went; none of a match that does not count, and of who only watched.
    pub outcome: Option<MatchOutcome>,
    /// The counters.
    pub counters: Counters,
}

/// A counted match of a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayedMatch {
    /// The match.
    pub key: StatsKey,
    /// The map, if known.
    pub map: Option<String>,
    /// Rounds won by `team1` and `team2`.
    pub scores: [Option<u32>; 2],
    /// How many rounds it had.
    pub rounds: u32,
    /// Who won; none when a score is missing.
    pub winner: Option<Winner>,
    /// Where it stands in the list.
    pub place: Place,
    /// The player's line.
    pub line: Line,
}

/// A place in the list of a person's matches: the match's end, the match, the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When the match ended.
    pub ended_at: Timestamp,
    /// The match's key.
    pub stats_key: Uuid,
    /// The player's key.
    pub player_key: Uuid,
}

/// A match with everything that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchRecord {
    /// Its name.
    pub key: StatsKey,
    /// Its numbers; none when nobody was told of it but that a player was voted out, or an event of it waits.
    pub state: Option<MatchStats>,
    /// The last event that changed it.
    pub last_event: EventId,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The players' lines, by side and then by score, the best first.
    pub lines: Vec<Line>,
    /// Who was voted out, in order.
    pub kicks: Vec<Kick>,
    /// What happened, in order.
    pub history: Vec<HistoryRecord>,
    /// What operators did to its numbers, in order.
    pub corrections: Vec<CorrectionRecord>,
}

/// One line of a match's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRecord {
    /// Its place in the provider's list.
    pub index: i32,
    /// The provider's word.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// Whom it is about, if it is about somebody.
    pub player_id: Option<PlayerId>,
}

/// What an operator did to a match's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct CorrectionRecord {
    /// The operation.
    pub operation: EventId,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// What: a JSON object.
    pub detail: Value,
}

impl Line {
    /// The line as sums over one match of `rounds` rounds, for figures; who only watched played none of them.
    pub fn totals(&self, rounds: u32) -> Totals {
        if self.side == Side::Spectator {
            return Totals::default();
        }
        let one = |outcome| i64::from(self.outcome == Some(outcome));
        Totals {
            matches: 1,
            wins: one(MatchOutcome::Win),
            losses: one(MatchOutcome::Loss),
            draws: one(MatchOutcome::Draw),
            rounds: rounds.into(),
            counters: self.counters.0.map(i64::from),
        }
    }
}

/// The counted matches of a person's identities, the latest first: before `before`, at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn matches_of(
    client: &Client,
    players: &[Uuid],
    before: Option<Place>,
    limit: u32,
) -> Result<Vec<PlayedMatch>> {
    // Of each identity no more than fit on the page are read, from the end of its index.
    let sql =
        "SELECT s.*, p.player_id, m.source, m.match_id, m.map, m.team1_score, m.team2_score, m.rounds_played,
                      m.result
                 FROM unnest($1::uuid[]) AS identity (key),
              LATERAL (SELECT * FROM player_match_stats s
                        WHERE s.player_key = identity.key AND s.ended_at IS NOT NULL
                          AND (s.ended_at, s.stats_key) <= (coalesce($2, 'infinity'::timestamptz), $3)
                          AND (s.ended_at, s.stats_key, s.player_key)
                            < (coalesce($2, 'infinity'::timestamptz), $3, $4)
                        ORDER BY s.ended_at DESC, s.stats_key DESC LIMIT $5) s
                 JOIN stats_match m USING (stats_key) JOIN player p USING (player_key)
                ORDER BY s.ended_at DESC, s.stats_key DESC, s.player_key DESC LIMIT $5";
    let (at, match_key, player_key) = before.map_or((None, Uuid::max(), Uuid::max()), |place| {
        (Some(At(place.ended_at)), place.stats_key, place.player_key)
    });
    let limit = i64::from(limit);
    let rows = client.query(sql, &[&players, &at, &match_key, &player_key, &limit]).await?;
    rows.iter().map(played).collect()
}

fn played(row: &Row) -> Result<PlayedMatch> {
    let count = |column| {
        let count: Option<i32> = row.try_get(column)?;
        count.map(|count| u32::try_from(count).map_err(|_| unknown(column))).transpose()
    };
    Ok(PlayedMatch {
        key: StatsKey {
            source: word(row, "source", |text| SourceName::parse(text).ok())?,
            match_id: row.try_get("match_id")?,
        },
        map: row.try_get("map")?,
        scores: [count("team1_score")?, count("team2_score")?],
        rounds: count("rounds_played")?.unwrap_or_default(),
        winner: optional_word(row, "result", Winner::parse)?,
        place: Place {
            ended_at: row.try_get::<_, At>("ended_at")?.0,
            stats_key: row.try_get("stats_key")?,
            player_key: row.try_get("player_key")?,
        },
        line: line(row)?,
    })
}

/// A line; the row has the player's id beside it.
pub(super) fn line(row: &Row) -> Result<Line> {
    let mut counters = Counters::default();
    for (counter, name) in counters.0.iter_mut().zip(COUNTER_NAMES) {
        *counter = row.try_get(name)?;
    }
    Ok(Line {
        player_id: PlayerId::new(row.try_get::<_, String>("player_id")?),
        side: word(row, "side", Side::parse)?,
        nickname: row.try_get("nickname")?,
        kicked: row.try_get("kicked")?,
        outcome: optional_word(row, "outcome", MatchOutcome::parse)?,
        counters,
    })
}

/// One match.
///
/// # Errors
/// [`crate::Error`].
pub async fn find_match(client: &Client, key: &StatsKey) -> Result<Option<MatchRecord>> {
    let uuid = key.uuid();
    let kicks = kicks(client, key).await?;
    let Some(row) = client.query_opt("SELECT * FROM stats_match WHERE stats_key = $1", &[&uuid]).await?
    else {
        return Ok(kicks.first().map(|kick| kick_only(key, kick.clone(), kicks.clone())));
    };
    Ok(Some(MatchRecord {
        key: key.clone(),
        state: state(&row)?,
        last_event: EventId::from_uuid(row.try_get("last_event_id")?),
        updated_at: row.try_get::<_, At>("updated_at")?.0,
        lines: lines(client, uuid).await?,
        kicks,
        history: history(client, uuid).await?,
        corrections: corrections(client, key).await?,
    }))
}

/// A match of which nothing is known but that players were voted out.
fn kick_only(key: &StatsKey, first: Kick, kicks: Vec<Kick>) -> MatchRecord {
    MatchRecord {
        key: key.clone(),
        state: None,
        last_event: first.event_id,
        updated_at: first.at,
        lines: Vec::new(),
        kicks,
        history: Vec::new(),
        corrections: Vec::new(),
    }
}

async fn lines(client: &Client, key: Uuid) -> Result<Vec<Line>> {
    let sql = "SELECT s.*, p.player_id FROM player_match_stats s JOIN player p USING (player_key)
                WHERE s.stats_key = $1 ORDER BY s.side, s.score DESC, p.player_id COLLATE \"C\"";
    client.query(sql, &[&key]).await?.iter().map(line).collect()
}

async fn kicks(client: &Client, key: &StatsKey) -> Result<Vec<Kick>> {
    let sql = "SELECT p.player_id, k.event_id, k.at FROM player_kick k JOIN player p USING (player_key)
                WHERE k.stats_key = $1 ORDER BY k.at, p.player_id COLLATE \"C\"";
    let read = |row: &Row| {
        Ok(Kick {
            key: key.clone(),
            player_id: PlayerId::new(row.try_get::<_, String>(0)?),
            event_id: EventId::from_uuid(row.try_get(1)?),
            at: row.try_get::<_, At>(2)?.0,
        })
    };
    client.query(sql, &[&key.uuid()]).await?.iter().map(read).collect()
}

async fn history(client: &Client, key: Uuid) -> Result<Vec<HistoryRecord>> {
    let sql = "SELECT e.index, e.name, e.at, p.player_id
                 FROM stats_match_event e LEFT JOIN player p USING (player_key)
                WHERE e.stats_key = $1 ORDER BY e.index";
    let read = |row: &Row| {
        Ok(HistoryRecord {
            index: row.try_get(0)?,
            name: row.try_get(1)?,
            at: row.try_get::<_, At>(2)?.0,
            player_id: row.try_get::<_, Option<String>>(3)?.map(PlayerId::new),
        })
    };
    client.query(sql, &[&key]).await?.iter().map(read).collect()
}

async fn corrections(client: &Client, key: &StatsKey) -> Result<Vec<CorrectionRecord>> {
    let sql = "SELECT operation_id, actor, reason, at, detail FROM operation
                WHERE source = $1 AND subject = $2 AND kind = 'stats_correction' ORDER BY position";
    let read = |row: &Row| {
        Ok(CorrectionRecord {
            operation: EventId::from_uuid(row.try_get(0)?),
            actor: row.try_get(1)?,
            reason: row.try_get(2)?,
            at: row.try_get::<_, At>(3)?.0,
            detail: row.try_get(4)?,
        })
    };
    client.query(sql, &[&key.source.as_str(), &key.match_id]).await?.iter().map(read).collect()
}
