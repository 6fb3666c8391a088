use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;

use super::MatchKey;
use crate::time::At;
use crate::{Client, Error, Result};

/// The most matches that [`overdue`] returns: one transaction's worth.
pub const OVERDUE_MAX: i64 = 100;

/// A match whose deadline has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// Which match.
    pub key: MatchKey,
    /// True when an event of it was archived a while ago and has not been applied: it is parked, so somebody must
    /// look at it.
    pub unapplied: bool,
}

/// Matches whose deadline has passed and about which nobody was asked yet, the longest overdue first. Left out are
/// those of which a person has proposed the end, because then it waits for another person, not for the clock; and
/// those of which the archive has an event, from the last day, that `worker` has not applied yet: after an outage the
/// end may stand in the queue. Nothing is locked: whoever acts on one looks again when it has the match.
///
/// # Errors
/// [`crate::Error`].
pub async fn overdue(client: &Client, worker: &str, now: Timestamp) -> Result<Vec<Overdue>> {
    // The inbox remembers for a month, so nothing older than that is asked for in it.
    let sql = "WITH due AS (
                 SELECT m.source, m.kind, m.match_id, d.due_at,
                        (SELECT max(a.archived_at) FROM archive a
                          WHERE (a.source, a.subject, a.payload) = (m.source, m.match_id, 'match_snapshot')
                            AND a.archived_at > $1::timestamptz - interval '29 days'
                            AND a.day >= ($1::timestamptz AT TIME ZONE 'UTC')::date - 30
                            AND NOT EXISTS (SELECT FROM inbox i
                                             WHERE (i.worker, i.event_id) = ($3, a.event_id))) AS unapplied
                   FROM match_deadline d JOIN match m USING (match_no)
                  WHERE d.due_at <= $1 AND d.asked_at IS NULL
                    AND NOT EXISTS (SELECT FROM correction c
                                     WHERE c.match_no = d.match_no AND c.state = 'proposed'))
               SELECT source, kind, match_id, unapplied IS NOT NULL FROM due
                WHERE unapplied IS NULL OR unapplied <= $1::timestamptz - interval '1 day'
                ORDER BY due_at LIMIT $2";
    let rows = client.query(sql, &[&At(now), &OVERDUE_MAX, &worker]).await?;
    rows.iter()
        .map(|row| {
            let source = SourceName::parse(row.try_get(0)?).map_err(|_| unreadable("source"))?;
            let kind = MatchKind::parse(row.try_get(1)?).ok_or_else(|| unreadable("kind of match"))?;
            let key = MatchKey { source, kind, match_id: row.try_get(2)? };
            Ok(Overdue { key, unapplied: row.try_get(3)? })
        })
        .collect()
}

/// The kinds of which the source has a match of this id; a provider may use one id for several kinds.
///
/// # Errors
/// [`crate::Error`].
pub async fn kinds_of(client: &Client, source: &SourceName, match_id: &str) -> Result<Vec<MatchKind>> {
    // Naming every kind makes it four probes of the unique key, not a walk over all of the source's matches.
    let sql = "SELECT kind FROM match
                WHERE source = $1 AND kind IN ('recreational', 'free_to_play', 'tournament', 'platform')
                  AND match_id = $2 ORDER BY kind";
    let rows = client.query(sql, &[&source.as_str(), &match_id]).await?;
    rows.iter()
        .map(|row| MatchKind::parse(row.try_get(0)?).ok_or_else(|| unreadable("kind of match")))
        .collect()
}

fn unreadable(what: &'static str) -> Error {
    Error::Stored { what, source: "a value that this version does not know".into() }
}
