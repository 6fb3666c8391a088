//! Everything that is known of one subject, in the order in which it was written.

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;

use crate::time::At;
use crate::{Client, Result};

/// One line of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: Timestamp,
    /// `event`, `hold`, `payout`, `refund`, `fee`, `top-up`, `reward`, `anomaly`, `notice` or `parked`.
    pub what: String,
    /// In words; amounts in minor units.
    pub detail: String,
}

/// The story of a match, contest, offer or player of a source: what came in, what moved, what was told.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_subject(client: &Client, source: &SourceName, subject: &str) -> Result<Vec<Line>> {
    let sql = "
      SELECT at, what, detail FROM (
        SELECT archived_at AS at, 0 AS rank, seq AS place, 'event' AS what,
               payload || coalesce(nullif(' (' || provider_type || ')', ' ()'), '') || ', event ' || event_id
               AS detail
          FROM archive WHERE source = $1 AND subject = $2
        UNION ALL
        SELECT t.recorded_at, 1, t.kind,
               (ARRAY['hold', 'payout', 'refund', 'fee', 'reward', 'top-up', 'reversal'])[t.kind],
               t.amount || ' ' || d.currency || ' from ' || dn.name || ' to ' || cn.name
          FROM match m
          JOIN transfer t USING (match_no)
          JOIN account d ON d.id = t.debit_id JOIN account c ON c.id = t.credit_id,
          LATERAL (SELECT CASE d.kind WHEN 1 THEN 'player ' || coalesce((SELECT player_id FROM player
                     WHERE player_key = d.owner_key), '?') WHEN 2 THEN 'escrow' WHEN 3 THEN 'the house'
                     WHEN 4 THEN 'the provider' ELSE 'the reward fund' END AS name) dn,
          LATERAL (SELECT CASE c.kind WHEN 1 THEN 'player ' || coalesce((SELECT player_id FROM player
                     WHERE player_key = c.owner_key), '?') WHEN 2 THEN 'escrow' WHEN 3 THEN 'the house'
                     WHEN 4 THEN 'the provider' ELSE 'the reward fund' END AS name) cn
         WHERE m.source = $1 AND m.match_id = $2
        UNION ALL
        SELECT g.created_at, 2, 0, 'reward',
               g.kind || ' for player ' || p.player_id || ': ' || g.state
               || coalesce(', ' || g.amount || ' ' || g.currency, '') || coalesce(' (' || g.reason || ')', '')
          FROM contest c JOIN reward_grant g USING (contest_key) JOIN player p USING (player_key)
         WHERE c.source = $1 AND c.contest_id = $2
        UNION ALL
        SELECT at, 3, id, 'anomaly', kind || ': ' || coalesce(detail ->> 'what', detail::text)
          FROM anomaly WHERE source = $1 AND subject = $2
        UNION ALL
        SELECT created_at, 4, position, 'notice', kind || ', webhook-id ' || webhook_id
          FROM outbox WHERE source = $1 AND subject = $2
      ) AS story ORDER BY at, rank, place, detail";
    let rows = client.query(sql, &[&source.as_str(), &subject]).await?;
    rows.iter()
        .map(|row| {
            let at: At = row.try_get(0)?;
            Ok(Line { at: at.0, what: row.try_get(1)?, detail: row.try_get(2)? })
        })
        .collect()
}

/// A match in one line: status, settlement and amounts in minor units; none when there is no such match.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_match(client: &Client, source: &SourceName, match_id: &str) -> Result<Vec<String>> {
    let sql = "SELECT kind || ' match, ' || status || coalesce(', settled as ' || settlement, '')
                      || ': pot ' || pot || ', paid ' || paid || ', back ' || refunded || ', fee ' || fee
                      || ', in escrow ' || pot - paid - refunded - fee || ' ' || currency
                 FROM match WHERE source = $1 AND match_id = $2 ORDER BY kind";
    let rows = client.query(sql, &[&source.as_str(), &match_id]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
