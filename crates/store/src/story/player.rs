use matchpurse_domain::ids::{PlayerId, SourceName};

use super::{Line, lines};
use crate::{Client, Result};

/// The most lines of one player: the newest.
const LINES_MAX: i64 = 1_000;

/// A player's story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerStory {
    /// What is on the player's accounts, in minor units, with the currency, and whether the studio holds it.
    pub balances: Vec<(i64, String, bool)>,
    /// What happened, the newest 1,000 lines.
    pub lines: Vec<Line>,
}

/// The story of a player of a source: money, matches, rewards, statistics, standing, what people did; none where
/// nobody has named the player.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_player(
    client: &Client,
    source: &SourceName,
    player: &PlayerId,
) -> Result<Option<PlayerStory>> {
    let key = player.key(source);
    if client.query_opt("SELECT FROM player WHERE player_key = $1", &[&key]).await?.is_none() {
        return Ok(None);
    }
    let sql = "SELECT balance, currency, min_balance IS NOT NULL FROM account
                WHERE owner_key = $1 AND kind = 1 ORDER BY currency";
    let rows = client.query(sql, &[&key]).await?;
    let balances = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect::<Result<_>>()?;
    let sql = "
      SELECT at, what, detail, amount, currency FROM (
        SELECT * FROM (
          SELECT t.recorded_at AS at, 0 AS rank,
                 (ARRAY['hold', 'payout', 'refund', 'fee', 'reward', 'top-up', 'reversal', 'deposit',
                        'withdrawal'])[t.kind] AS what,
                 coalesce('match ' || m.match_id || ', ', '')
                 || CASE WHEN t.credit_id = a.id THEN 'to the player' ELSE 'from the player' END AS detail,
                 t.amount, a.currency
            FROM account a JOIN transfer t ON a.id IN (t.debit_id, t.credit_id) LEFT JOIN match m USING (match_no)
           WHERE a.owner_key = $1 AND a.kind = 1
          UNION ALL
          SELECT coalesce(p.ended_at, m.updated_at), 1, 'match',
                 m.match_id || ' (' || m.kind || '): ' || coalesce(p.outcome, 'no result') || ', ' || m.status, NULL, NULL
            FROM match_participant p JOIN match m USING (match_no) WHERE p.player_key = $1
          UNION ALL
          SELECT g.created_at, 2, 'reward', g.kind || coalesce(' ' || g.value, '') || ' of ' || c.contest_id || ': '
                 || g.state || coalesce(' (' || g.reason || ')', '') || ', grant ' || g.grant_id, g.amount, g.currency
            FROM reward_grant g JOIN contest c USING (contest_key) WHERE g.player_key = $1
          UNION ALL
          SELECT c.at, 2, 'conversion', c.intent_id || ': ' || c.converted_amount || ' of credit, answered '
                 || c.answer, c.amount, c.currency
            FROM credit_conversion c WHERE c.player_key = $1
          UNION ALL
          SELECT coalesce(l.ended_at, m.updated_at), 2, 'statistics',
                 m.match_id || ': ' || coalesce(l.outcome || ', ', '') || l.kills || ' kills, ' || l.deaths
                 || ' deaths, ' || l.assists || ' assists', NULL, NULL
            FROM player_match_stats l JOIN stats_match m USING (stats_key) WHERE l.player_key = $1
          UNION ALL
          SELECT at, 2, 'kick', 'voted out of match ' || match_id, NULL, NULL FROM player_kick WHERE player_key = $1
          UNION ALL
          SELECT changed_at, 2, 'standing', standing || coalesce(': ' || reason, ''), NULL, NULL
            FROM player_standing WHERE player_key = $1 AND standing IS NOT NULL
          UNION ALL
          SELECT started_at, 2, 'offer', 'started offer ' || offer_id, NULL, NULL
            FROM offer_start WHERE player_key = $1
          UNION ALL
          SELECT at, 3, kind, 'by ' || actor || ': ' || reason, amount, currency
            FROM operation WHERE source = $2 AND subject = $3 AND match_no IS NULL AND kind NOT LIKE 'reward%'
             AND kind <> 'stats_correction'
          UNION ALL
          SELECT linked_at, 3, 'link', 'is one person with ' || coalesce((
                   SELECT string_agg(p.source || '/' || p.player_id, ', ') FROM player_link o JOIN player p USING (player_key)
                    WHERE o.person = l.person AND o.player_key <> $1), 'nobody'), NULL, NULL
            FROM player_link l WHERE l.player_key = $1
        ) AS everything ORDER BY at DESC, rank DESC, detail LIMIT $4
      ) AS story ORDER BY at, rank, detail";
    let rows = client.query(sql, &[&key, &source.as_str(), &player.as_str(), &LINES_MAX]).await?;
    Ok(Some(PlayerStory { balances, lines: lines(&rows)? }))
}
