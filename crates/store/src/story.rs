//! Everything that is known of one subject, in the order in which it was written.

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;

use crate::time::At;
use crate::{Client, Result};

mod event;
mod find;
mod player;

pub use event::{EventStory, Fate, of_event};
pub use find::{Found, find};
pub use player::{PlayerStory, of_player};

/// One line of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: Timestamp,
    /// `event`, `hold`, `payout`, `refund`, `fee`, `top-up`, `reversal`, `deposit`, `withdrawal`, `correction`,
    /// `deadline`, `reward`, `reward_release`, `reward_reversal`, `reward_retry`, `stats_correction`, `statistics`,
    /// `kick`, `offer`, `standing`, `conversion`, `anomaly`, `parked`, `notice` or `told`.
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

/// A place in a story, behind so many of the lines that were written at the same moment and are of the same rank there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoryPlace {
    /// The moment.
    pub at: Timestamp,
    /// What comes first of what was written at one moment.
    pub rank: i32,
    /// Its place among those of its rank.
    pub place: i64,
    /// How many lines of this moment, rank and place stand before it.
    pub lines: i64,
}

/// A part of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoryPage {
    /// In order.
    pub lines: Vec<Line>,
    /// Where the next part begins; none at the end.
    pub next: Option<StoryPlace>,
}

/// The story of a match, contest or offer of a source: what came in and who has applied it, what moved, what was told
/// and whether it arrived; of a player what is about the player alone, and [`of_player`] has the rest.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_subject(client: &Client, source: &SourceName, subject: &str) -> Result<Vec<Line>> {
    let sql = format!("{OF_SUBJECT} ORDER BY at, rank, place, detail, amount");
    let rows = client.query(&sql, &[&source.as_str(), &subject]).await?;
    lines(&rows)
}

/// At most `limit` lines of a subject's story, from a place on.
///
/// # Errors
/// [`crate::Error`].
pub async fn page_of_subject(
    client: &Client,
    source: &SourceName,
    subject: &str,
    from: Option<StoryPlace>,
    limit: u32,
) -> Result<StoryPage> {
    // One more than is shown tells whether a page follows.
    let wanted = i64::from(limit).saturating_add(1);
    let order = "ORDER BY at, rank, place, detail, amount LIMIT $3";
    let rows = match from {
        None => {
            let sql = format!("{OF_SUBJECT} {order}");
            client.query(&sql, &[&source.as_str(), &subject, &wanted]).await?
        }
        Some(StoryPlace { at, rank, place, lines }) => {
            let sql = format!("{OF_SUBJECT} WHERE (at, rank, place) >= ($4, $5, $6) {order} OFFSET $7");
            client.query(&sql, &[&source.as_str(), &subject, &wanted, &At(at), &rank, &place, &lines]).await?
        }
    };
    let shown = rows.get(..usize::try_from(limit).unwrap_or(usize::MAX));
    let next = shown.filter(|shown| shown.len() < rows.len()).map(|shown| behind(shown, from)).transpose()?;
    Ok(StoryPage { lines: lines(shown.unwrap_or(&rows))?, next: next.flatten() })
}

/// The place behind the last of these, which stand from a place on.
fn behind(rows: &[tokio_postgres::Row], from: Option<StoryPlace>) -> Result<Option<StoryPlace>> {
    let mut behind = from;
    for row in rows {
        let (At(at), rank, place) = (row.try_get(0)?, row.try_get(5)?, row.try_get(6)?);
        let before = behind.filter(|last| (last.at, last.rank, last.place) == (at, rank, place));
        let lines = before.map_or(0, |last| last.lines).saturating_add(1);
        behind = Some(StoryPlace { at, rank, place, lines });
    }
    Ok(behind)
}

/// Lines of time, what, detail, amount and currency, with their places.
const OF_SUBJECT: &str = "
      WITH own_grants AS MATERIALIZED (
        SELECT g.grant_id::text AS id FROM contest c JOIN reward_grant g USING (contest_key)
         WHERE c.source = $1 AND c.contest_id = $2
           AND c.kind IN ('contest', 'match', 'postback', 'conversion'))
      SELECT at, what, detail, amount, currency, rank, place FROM (
        SELECT received_at AS at, 0 AS rank, seq AS place, 'event' AS what,
               payload || coalesce(nullif(' (' || provider_type || ')', ' ()'), '') || ', event ' || event_id
               || coalesce('; applied by ' || (SELECT string_agg(w, ', ') FROM unnest(ARRAY['match-escrow',
                    'reward-fulfillment', 'player-stats', 'offer-removal']) w
                   WHERE EXISTS (SELECT FROM inbox i WHERE (i.worker, i.event_id) = (w, a.event_id))), '')
               AS detail, NULL::bigint AS amount, NULL::text AS currency
          FROM archive a WHERE source = $1 AND subject = $2
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
        SELECT updated_at, 2, 0, 'statistics',
               CASE WHEN canceled THEN 'called off' || coalesce(': ' || cancel_reason, '')
                    WHEN counted THEN 'counted' ELSE 'running' END
               || coalesce(', ' || nullif(team1_name, '') || ' ' || team1_score || ' : ' || team2_score || ' '
                           || nullif(team2_name, ''), '')
               || ', ' || rounds_played || ' rounds' || coalesce(' on ' || map, ''), NULL, NULL
          FROM stats_match WHERE source = $1 AND match_id = $2
        UNION ALL
        SELECT k.at, 2, 0, 'kick', 'player ' || p.player_id || ' was voted out', NULL, NULL
          FROM stats_match m JOIN player_kick k USING (stats_key) JOIN player p USING (player_key)
         WHERE m.source = $1 AND m.match_id = $2
        UNION ALL
        SELECT updated_at, 2, 0, 'offer', state || coalesce(' since ' || (state_at AT TIME ZONE 'UTC')::text, '')
               || coalesce(', described ' || (data_at AT TIME ZONE 'UTC')::text, ''), NULL, NULL
          FROM offer WHERE source = $1 AND offer_id = $2
        UNION ALL
        SELECT s.updated_at, 2, 0, 'standing', s.standing || coalesce(': ' || s.reason, ''), NULL, NULL
          FROM player p JOIN player_standing s USING (player_key)
         WHERE p.source = $1 AND p.player_id = $2 AND s.standing IS NOT NULL
        UNION ALL
        SELECT c.at, 2, 0, 'conversion', 'player ' || p.player_id || ' asked for ' || c.converted_amount
               || ' of credit and was answered ' || c.answer, c.amount, c.currency
          FROM credit_conversion c JOIN player p USING (player_key)
         WHERE c.source = $1 AND c.intent_id = $2
        UNION ALL
        SELECT p.parked_at, 3, p.id, 'parked', '#' || p.id || ' at ' || p.queue || ': ' || p.reason
               || coalesce('; ' || p.resolution || ' by ' || p.resolved_by, '; nobody has decided'), NULL, NULL
          FROM archive a JOIN parked p USING (event_id) WHERE a.source = $1 AND a.subject = $2
        UNION ALL
        SELECT o.created_at, 4, o.position, 'notice', o.kind || ', webhook-id ' || o.webhook_id, NULL, NULL
          FROM outbox o WHERE o.source = $1 AND o.subject IN (SELECT $2 UNION ALL SELECT id FROM own_grants)
        UNION ALL
        SELECT coalesce(d.finished_at, t.at, d.created_at), 5, d.delivery_id, 'told',
               e.name || ' of ' || o.kind || ': ' || replace(d.state, '_', ' ')
               || CASE WHEN t.n > 0 THEN ' after ' || t.n || CASE t.n WHEN 1 THEN ' attempt' ELSE ' attempts' END
                       ELSE '' END
               || coalesce(', last answer ' || t.status, ''), NULL, NULL
          FROM outbox o JOIN delivery d USING (webhook_id) JOIN endpoint e USING (endpoint_id)
          LEFT JOIN LATERAL (SELECT count(*) AS n, max(x.at) AS at,
                                    (array_agg(x.status ORDER BY x.claim DESC))[1] AS status
                               FROM delivery_attempt x WHERE x.delivery_id = d.delivery_id) t ON true
         WHERE o.source = $1 AND o.subject IN (SELECT $2 UNION ALL SELECT id FROM own_grants)
      ) AS story";

/// Lines of time, what, detail, amount and currency.
fn lines(rows: &[tokio_postgres::Row]) -> Result<Vec<Line>> {
    let line = |row: &tokio_postgres::Row| {
        let at: At = row.try_get(0)?;
        let amount: Option<i64> = row.try_get(3)?;
        let currency: Option<String> = row.try_get(4)?;
        Ok(Line { at: at.0, what: row.try_get(1)?, detail: row.try_get(2)?, amount: amount.zip(currency) })
    };
    rows.iter().map(line).collect()
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
