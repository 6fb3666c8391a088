use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;

use super::MatchKey;
use crate::time::At;
use crate::{Client, Error, Result};

/// The most matches that [`overdue`] returns: one transaction's worth.
pub const OVERDUE_MAX: i64 = 100;

/// Matches whose deadline has passed and about which nobody was asked yet, the longest overdue first; without those of
/// which a person has proposed the end, because then it waits for another person, not for the clock. Nothing is locked:
/// whoever acts on one looks again when it has the match.
///
/// # Errors
/// [`crate::Error`].
pub async fn overdue(client: &Client, now: Timestamp) -> Result<Vec<MatchKey>> {
    let sql = "SELECT m.source, m.kind, m.match_id
                 FROM match_deadline d JOIN match m USING (match_no)
                WHERE d.due_at <= $1 AND d.asked_at IS NULL
                  AND NOT EXISTS (SELECT FROM correction c WHERE c.match_no = d.match_no AND c.state = 'proposed')
                ORDER BY d.due_at LIMIT $2";
    let rows = client.query(sql, &[&At(now), &OVERDUE_MAX]).await?;
    rows.iter()
        .map(|row| {
            let source = SourceName::parse(row.try_get(0)?).map_err(|_| unreadable("source"))?;
            let kind = MatchKind::parse(row.try_get(1)?).ok_or_else(|| unreadable("kind of match"))?;
            Ok(MatchKey { source, kind, match_id: row.try_get(2)? })
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
