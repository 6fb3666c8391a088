use matchpurse_domain::ids::{EventId, SourceName};
use uuid::Uuid;

use crate::{Client, Error, Result};

/// What an id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An archived event.
    Event(EventId),
    /// A match, contest, conversion or offer of a source.
    Subject(SourceName, String),
    /// A player of a source.
    Player(SourceName, String),
}

/// Everything that has this id, whatever it is the id of: an event, a delivery, a grant, a notice's `webhook-id`, an
/// operation, a correction; or at a provider the id of a match, a contest, an offer or a player.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, id: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    if let Ok(uuid) = Uuid::parse_str(id) {
        let sql = "SELECT event_id FROM (
                     SELECT event_id, 0 AS seq FROM archive_event WHERE event_id = $1
                     UNION ALL SELECT event_id, seq FROM archive WHERE delivery_id = $1 AND event_id <> $1) e
                   ORDER BY seq";
        for row in client.query(sql, &[&uuid]).await? {
            found.push(Found::Event(EventId::from_uuid(row.try_get(0)?)));
        }
        let sql = "SELECT c.source, c.contest_id FROM reward_grant g JOIN contest c USING (contest_key)
                    WHERE g.grant_id = $1
                   UNION SELECT source, subject FROM operation WHERE operation_id = $1 AND kind <> 'player_links'
                   UNION SELECT m.source, m.match_id FROM correction c JOIN match m USING (match_no)
                          WHERE c.correction_id = $1
                   UNION SELECT o.source, coalesce(c.contest_id, o.subject) FROM outbox o
                           LEFT JOIN reward_grant g ON g.grant_id::text = o.subject
                           LEFT JOIN contest c USING (contest_key)
                          WHERE o.webhook_id = $1
                   ORDER BY 1, 2";
        for row in client.query(sql, &[&uuid]).await? {
            found.push(Found::Subject(source(row.try_get(0)?)?, row.try_get(1)?));
        }
    }
    // By the unique keys of every source; what was only ever heard of, and left nothing, is in the archive.
    let sql = "SELECT s.source FROM archive_head s
                WHERE EXISTS (SELECT FROM match m WHERE m.source = s.source AND m.match_id = $1
                                 AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform'))
                   OR EXISTS (SELECT FROM contest c WHERE c.source = s.source AND c.contest_id = $1
                                 AND c.kind IN ('contest', 'match', 'postback', 'conversion'))
                   OR EXISTS (SELECT FROM stats_match m WHERE m.source = s.source AND m.match_id = $1)
                   OR EXISTS (SELECT FROM offer o WHERE o.source = s.source AND o.offer_id = $1)
                   OR EXISTS (SELECT FROM archive a WHERE a.source = s.source AND a.subject = $1
                                 AND a.payload NOT IN ('player_standing', 'player_activity'))
                ORDER BY 1";
    for row in client.query(sql, &[&id]).await? {
        found.push(Found::Subject(source(row.try_get(0)?)?, id.to_owned()));
    }
    let sql = "SELECT p.source FROM player p
                WHERE p.source IN (SELECT source FROM archive_head UNION SELECT source FROM operation)
                  AND p.player_id = $1 ORDER BY 1";
    for row in client.query(sql, &[&id]).await? {
        found.push(Found::Player(source(row.try_get(0)?)?, id.to_owned()));
    }
    Ok(found)
}

fn source(name: &str) -> Result<SourceName> {
    SourceName::parse(name).map_err(|error| Error::Stored { what: "source", source: error.into() })
}
