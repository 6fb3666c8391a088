use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use super::{Line, lines};
use crate::time::At;
use crate::{Client, Error, Result};

/// What a worker has done with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It has applied it.
    Applied(Timestamp),
    /// It is being tried.
    Tried {
        /// How often it was.
        attempts: i32,
        /// What went wrong the last time.
        error: String,
    },
    /// It was parked.
    Parked {
        /// The number among the parked deliveries.
        id: i64,
        /// Why.
        reason: String,
        /// What somebody did about it, and who.
        resolved: Option<(String, String)>,
    },
    /// Nothing is known of it: it is on its way, or it was applied longer ago than the inbox remembers.
    Unknown,
}

/// One event's story.
#[derive(Debug, Clone, PartialEq)]
pub struct EventStory {
    /// Its place in its source's chain.
    pub seq: i64,
    /// The day under which it is kept, `YYYY-MM-DD`.
    pub day: String,
    /// When it was archived.
    pub archived_at: Timestamp,
    /// The row's hash.
    pub hash: Vec<u8>,
    /// The event, with the body of its delivery, whichever of its events has it.
    pub event: Event,
    /// All events of its delivery, in their order, itself among them: what they are, and about what.
    pub delivery: Vec<(EventId, String, String)>,
    /// The workers that want it, and what they have done.
    pub workers: Vec<(Queue, Fate)>,
    /// What came of it.
    pub effects: Vec<Line>,
}

/// The story of an archived event; none where the archive does not have it.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_event(client: &Client, id: EventId) -> Result<Option<EventStory>> {
    let sql = "SELECT a.seq, to_char(a.day, 'YYYY-MM-DD'), a.archived_at, a.hash, a.event, a.raw
                 FROM archive_event e JOIN archive a USING (source, seq, day) WHERE e.event_id = $1";
    let Some(row) = client.query_opt(sql, &[&id.uuid()]).await? else { return Ok(None) };
    let event = wire::decode(row.try_get(4)?)
        .map_err(|error| Error::Stored { what: "event of the archive", source: error.into() })?;
    let mut raw: Vec<u8> = row.try_get(5)?;
    if raw.is_empty() && event.id != event.delivery_id {
        let sql =
            "SELECT a.raw FROM archive_event e JOIN archive a USING (source, seq, day) WHERE e.event_id = $1";
        if let Some(first) = client.query_opt(sql, &[&event.delivery_id.uuid()]).await? {
            raw = first.try_get(0)?;
        }
    }
    let event = Event { raw: raw.into(), ..event };
    let mut workers = Vec::new();
    for queue in Queue::wanting(event.payload.name()) {
        workers.push((queue, fate(client, queue, id).await?));
    }
    Ok(Some(EventStory {
        seq: row.try_get(0)?,
        day: row.try_get(1)?,
        archived_at: row.try_get::<_, At>(2)?.0,
        hash: row.try_get(3)?,
        delivery: delivery(client, event.delivery_id).await?,
        workers,
        effects: effects(client, &event).await?,
        event,
    }))
}

async fn delivery(client: &Client, id: EventId) -> Result<Vec<(EventId, String, String)>> {
    let sql = "SELECT event_id, payload, subject FROM archive WHERE delivery_id = $1 ORDER BY seq";
    let rows = client.query(sql, &[&id.uuid()]).await?;
    rows.iter()
        .map(|row| Ok((EventId::from_uuid(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?)))
        .collect()
}

async fn fate(client: &Client, queue: Queue, event: EventId) -> Result<Fate> {
    let (worker, id) = (queue.worker(), event.uuid());
    // What is parked and open comes first: the archive has applied what nobody can read, by parking it.
    let sql = "SELECT id, reason, resolution, resolved_by FROM parked
                WHERE event_id = $1 AND queue = $2 ORDER BY id DESC LIMIT 1";
    let mut parked = None;
    if let Some(row) = client.query_opt(sql, &[&id, &queue.name()]).await? {
        let (resolution, by): (Option<String>, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
        let resolved = resolution.map(|resolution| (resolution, by.unwrap_or_default()));
        let fate = Fate::Parked { id: row.try_get(0)?, reason: row.try_get(1)?, resolved: resolved.clone() };
        if resolved.is_none() {
            return Ok(fate);
        }
        parked = Some(fate);
    }
    let sql = "SELECT seen_at FROM inbox WHERE worker = $1 AND event_id = $2";
    if let Some(row) = client.query_opt(sql, &[&worker, &id]).await? {
        return Ok(Fate::Applied(row.try_get::<_, At>(0)?.0));
    }
    if let Some(parked) = parked {
        return Ok(parked);
    }
    let sql = "SELECT attempts, last_error FROM attempts WHERE worker = $1 AND event_id = $2";
    if let Some(row) = client.query_opt(sql, &[&worker, &id]).await? {
        return Ok(Fate::Tried { attempts: row.try_get(0)?, error: row.try_get(1)? });
    }
    Ok(Fate::Unknown)
}

/// What came of the event: the rows that name it as their cause, all of which are about its subject.
async fn effects(client: &Client, event: &Event) -> Result<Vec<Line>> {
    let sql = "
      SELECT at, what, detail, amount, currency FROM (
        SELECT m.created_at AS at, 0 AS rank, 0::bigint AS place, 'match' AS what,
               'first heard of the ' || m.kind || ' match' AS detail, NULL::bigint AS amount, NULL::text AS currency
          FROM match m WHERE m.source = $2 AND m.match_id = $3 AND m.first_event_id = $1
           AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform')
        UNION ALL
        SELECT t.recorded_at, 1, t.generation * 10 + t.kind,
               (ARRAY['hold', 'payout', 'refund', 'fee', 'reward', 'top-up', 'reversal', 'deposit',
                      'withdrawal'])[t.kind],
               coalesce('for player ' || p.player_id, CASE t.kind WHEN 4 THEN 'for the house' ELSE '' END),
               t.amount, m.currency
          FROM match m JOIN transfer t USING (match_no) LEFT JOIN player p ON p.player_key = t.subject
         WHERE m.source = $2 AND m.match_id = $3 AND t.event_id = $1
           AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform')
        UNION ALL
        SELECT m.updated_at, 2, 0, 'match', 'the last event that changed the match: ' || m.status
               || coalesce(', settled as ' || m.settlement, ''), NULL, NULL
          FROM match m WHERE m.source = $2 AND m.match_id = $3 AND m.last_event_id = $1
           AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform')
        UNION ALL
        SELECT c.decided_at, 2, 0, 'contest', 'decided the ' || c.kind || ': ' || c.ending, NULL, NULL
          FROM contest c WHERE c.source = $2 AND c.contest_id = $3 AND c.decided_event_id = $1
           AND c.kind IN ('contest', 'match', 'postback', 'conversion')
        UNION ALL
        SELECT g.updated_at, 3, 0, 'reward', g.kind || ' for player ' || p.player_id || ', ' || g.state
               || coalesce(' (' || g.reason || ')', '') || ', grant ' || g.grant_id, g.amount, g.currency
          FROM contest c JOIN reward_grant g USING (contest_key) JOIN player p USING (player_key)
         WHERE c.source = $2 AND c.contest_id = $3 AND g.event_id = $1
           AND c.kind IN ('contest', 'match', 'postback', 'conversion')
        UNION ALL
        SELECT m.updated_at, 2, 0, 'statistics', 'the last snapshot that counts, '
               || CASE WHEN m.counted THEN 'final' WHEN m.canceled THEN 'called off' ELSE 'running' END
               || ', ' || m.rounds_played || ' rounds', NULL, NULL
          FROM stats_match m WHERE m.source = $2 AND m.match_id = $3 AND m.last_event_id = $1
        UNION ALL
        SELECT k.at, 3, 0, 'kick', 'player ' || p.player_id || ' was voted out', NULL, NULL
          FROM stats_match m JOIN player_kick k USING (stats_key) JOIN player p USING (player_key)
         WHERE m.source = $2 AND m.match_id = $3 AND k.event_id = $1
        UNION ALL
        SELECT o.updated_at, 2, 0, 'offer', 'the last news of the offer: ' || o.state, NULL, NULL
          FROM offer o WHERE o.source = $2 AND o.offer_id = $3 AND o.last_event_id = $1
        UNION ALL
        SELECT s.updated_at, 2, 0, 'standing', 'the player''s standing: ' || coalesce(s.standing, 'unknown'), NULL, NULL
          FROM player p JOIN player_standing s USING (player_key)
         WHERE p.source = $2 AND p.player_id = $3 AND s.last_event_id = $1
        UNION ALL
        SELECT c.at, 2, 0, 'conversion', 'answered ' || c.answer, c.amount, c.currency
          FROM credit_conversion c WHERE c.source = $2 AND c.intent_id = $3 AND c.first_event_id = $1
        UNION ALL
        SELECT at, 4, id, 'anomaly', kind || ': ' || coalesce(detail ->> 'what', detail::text)
               || coalesce('; ' || resolution || ' by ' || resolved_by, '; nobody has decided'), NULL, NULL
          FROM anomaly WHERE source = $2 AND subject = $3 AND event_id = $1
      ) AS effects ORDER BY at, rank, place, detail";
    let id: Uuid = event.id.uuid();
    let rows = client.query(sql, &[&id, &event.source.as_str(), &event.subject]).await?;
    lines(&rows)
}
