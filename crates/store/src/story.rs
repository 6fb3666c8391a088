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
    /// `event`, `hold`, `payout`, `refund`, `fee`, `top-up`, `reversal`, `deposit`, `withdrawal`, `correction`,
    /// `deadline`, `reward`, `reward_release`, `reward_reversal`, `reward_retry`, `anomaly` or `notice`.
    pub what: String,
    /// In words.
    pub detail: String,
    /// How much, in minor units, and of which currency, where it is about money.
    pub amount: Option<(i64, String)>,
}

/// A match in figures, minor units of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Its kind, status and settlement, in words.
    pub state: String,
    /// The currency.
    pub currency: String,
    /// The pot, what was paid, what went back, what was kept, what is in escrow.
    pub amounts: [i64; 5],
}

/// The story of a match, contest, offer or player of a source: what came in, what moved, what was told.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_subject(client: &Client, source: &SourceName, subject: &str) -> Result<Vec<Line>> {
    let sql = "
      SELECT at, what, detail, amount, currency FROM (
        SELECT received_at AS at, 0 AS rank, seq AS place, 'event' AS what,
               payload || coalesce(nullif(' (' || provider_type || ')', ' ()'), '') || ', event ' || event_id
               AS detail, NULL::bigint AS amount, NULL::text AS currency
          FROM archive WHERE source = $1 AND subject = $2
        UNION ALL
        SELECT t.recorded_at, 1, t.generation * 10 + t.kind,
               (ARRAY['hold', 'payout', 'refund', 'fee', 'reward', 'top-up', 'reversal', 'deposit',
                      'withdrawal'])[t.kind],
               'from ' || dn.name || ' to ' || cn.name, t.amount, d.currency
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
           AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform')
        UNION ALL
        SELECT coalesce(c.decided_at, c.proposed_at), 1, 0, 'correction',
               c.state || ' by ' || coalesce(c.decided_by, c.proposed_by)
               || CASE WHEN c.decided_by <> c.proposed_by THEN ', proposed by ' || c.proposed_by ELSE '' END
               || ': ' || c.verdict || ', ' || coalesce(c.decision_reason, c.reason), NULL, NULL
          FROM match m JOIN correction c USING (match_no)
         WHERE m.source = $1 AND m.match_id = $2
           AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform')
        UNION ALL
        SELECT o.at, 1, 0, o.kind, 'by ' || o.actor || ': ' || o.reason, o.amount, o.currency
          FROM operation o WHERE o.source = $1 AND o.subject = $2 AND o.kind <> 'correction'
        UNION ALL
        SELECT g.created_at, 2, 0, 'reward',
               g.kind || ' for player ' || p.player_id || ': ' || g.state
               || coalesce(' (' || g.reason || ')', ''), g.amount, g.currency
          FROM contest c JOIN reward_grant g USING (contest_key) JOIN player p USING (player_key)
         WHERE c.source = $1 AND c.contest_id = $2
           AND c.kind IN ('contest', 'match', 'postback', 'conversion')
        UNION ALL
        SELECT at, 3, id, 'anomaly', kind || ': ' || coalesce(detail ->> 'what', detail::text), NULL, NULL
          FROM anomaly WHERE source = $1 AND subject = $2
        UNION ALL
        SELECT created_at, 4, position, 'notice', kind || ', webhook-id ' || webhook_id, NULL, NULL
          FROM outbox WHERE source = $1 AND subject = $2
      ) AS story ORDER BY at, rank, place, detail";
    let rows = client.query(sql, &[&source.as_str(), &subject]).await?;
    rows.iter()
        .map(|row| {
            let at: At = row.try_get(0)?;
            let amount: Option<i64> = row.try_get(3)?;
            let currency: Option<String> = row.try_get(4)?;
            Ok(Line {
                at: at.0,
                what: row.try_get(1)?,
                detail: row.try_get(2)?,
                amount: amount.zip(currency),
            })
        })
        .collect()
}

/// The matches of this id; a provider may use one id for matches of several kinds.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_match(client: &Client, source: &SourceName, match_id: &str) -> Result<Vec<Figures>> {
    let sql = "SELECT kind || ' match, ' || status || coalesce(', settled as ' || settlement, ''), currency,
                      pot, paid, refunded, fee, pot - paid - refunded - fee
                 FROM match
                WHERE source = $1 AND match_id = $2
                  AND kind IN ('recreational', 'free_to_play', 'tournament', 'platform') ORDER BY kind";
    let rows = client.query(sql, &[&source.as_str(), &match_id]).await?;
    rows.iter()
        .map(|row| {
            let mut amounts = [0_i64; 5];
            for (at, amount) in (2..).zip(&mut amounts) {
                *amount = row.try_get::<usize, i64>(at)?;
            }
            Ok(Figures { state: row.try_get(0)?, currency: row.try_get(1)?, amounts })
        })
        .collect()
}
