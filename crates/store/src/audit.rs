//! The standing checks: what must be true of the database at every moment.
//!
//! Each check is one statement that returns what breaks it, so a clean ledger returns nothing and the memory
//! that an audit takes does not grow with the ledger. Each is one statement, so it sees one moment: workers may
//! go on meanwhile.

use crate::{Client, Result};

/// One thing that must be true, and the statement that returns what breaks it, as one text column.
#[derive(Debug)]
pub struct Check {
    /// What must be true.
    pub name: &'static str,
    sql: &'static str,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What should have been true.
    pub check: &'static str,
    /// The row that breaks it, with its figures.
    pub what: String,
}

/// The most findings that one check shows; a broken ledger need not be printed whole.
pub const MAX_FINDINGS_PER_CHECK: i64 = 100;

/// All checks.
pub const CHECKS: &[Check] = &[
    Check {
        name: "nothing is made or lost: the balances of a currency add up to zero",
        sql: "SELECT currency || ': ' || sum(balance) FROM account GROUP BY currency HAVING sum(balance) <> 0",
    },
    Check {
        name: "every balance is the sum of its transfers",
        sql: "SELECT 'account ' || a.id || ': balance ' || a.balance || ', transfers ' || coalesce(j.total, 0)
                FROM account a
                LEFT JOIN (SELECT account_id, sum(amount) AS total FROM entry GROUP BY account_id) j
                       ON j.account_id = a.id
               WHERE a.balance <> coalesce(j.total, 0)",
    },
    Check {
        name: "a transfer joins accounts of one source and one currency",
        sql: "SELECT 'transfer of match ' || t.match_no || ', kind ' || t.kind
                FROM transfer t
                LEFT JOIN account d ON d.id = t.debit_id
                LEFT JOIN account c ON c.id = t.credit_id
               WHERE (d.source, d.currency) IS DISTINCT FROM (c.source, c.currency) OR d.id IS NULL OR c.id IS NULL",
    },
    Check {
        name: "a match's escrow account holds what is left of its pot, and nothing once it is settled",
        sql: "SELECT m.source || '/' || m.match_id || ': escrow ' || coalesce(a.balance, 0) || ', pot ' || m.pot
                     || ', paid ' || m.paid || ', back ' || m.refunded || ', fee ' || m.fee
                FROM match m LEFT JOIN account a ON a.owner_key = m.match_key AND a.kind = 2
               WHERE coalesce(a.balance, 0) <> m.pot - m.paid - m.refunded - m.fee
                  OR (m.settlement IS NOT NULL AND coalesce(a.balance, 0) <> 0)",
    },
    Check {
        name: "a match's sums are those of its transfers",
        sql: "SELECT m.source || '/' || m.match_id
                FROM match m
                LEFT JOIN (SELECT match_no,
                                  sum(amount) FILTER (WHERE kind IN (1, 6)) AS pot,
                                  sum(amount) FILTER (WHERE kind = 2) AS paid,
                                  sum(amount) FILTER (WHERE kind = 3) AS refunded,
                                  sum(amount) FILTER (WHERE kind = 4) AS fee
                             FROM transfer WHERE match_no > 0 GROUP BY match_no) t USING (match_no)
               WHERE (m.pot, m.paid, m.refunded, m.fee) IS DISTINCT FROM
                     (coalesce(t.pot, 0), coalesce(t.paid, 0), coalesce(t.refunded, 0), coalesce(t.fee, 0))",
    },
    Check {
        name: "every seat is what its transfers made of it",
        sql: "SELECT m.source || '/' || m.match_id || ': player ' || p.player_key
                FROM match_participant p
                JOIN match m USING (match_no)
                LEFT JOIN (SELECT match_no, subject,
                                  sum(amount) FILTER (WHERE kind = 1) AS hold,
                                  sum(amount) FILTER (WHERE kind = 2) AS payout,
                                  sum(amount) FILTER (WHERE kind = 3) AS refund
                             FROM transfer WHERE match_no > 0 GROUP BY match_no, subject) t
                       ON (t.match_no, t.subject) = (p.match_no, p.player_key)
               WHERE (p.hold, p.payout, p.refund) IS DISTINCT FROM
                     (coalesce(t.hold, 0), coalesce(t.payout, 0), coalesce(t.refund, 0))
                  OR (p.state = 1) <> (p.hold > 0 AND m.settlement IS NULL AND p.refund = 0 AND p.payout = 0)",
    },
    Check {
        name: "a hold, payout or refund belongs to a player of its match",
        sql: "SELECT 'transfer of match ' || t.match_no || ' to ' || t.subject
                FROM transfer t LEFT JOIN match_participant p ON (p.match_no, p.player_key) = (t.match_no, t.subject)
               WHERE t.match_no > 0 AND t.kind IN (1, 2, 3) AND p.match_no IS NULL",
    },
    Check {
        name: "the escrow account of a settled match is closed, and no other",
        sql: "SELECT m.source || '/' || m.match_id FROM match m
                JOIN account a ON a.owner_key = m.match_key AND a.kind = 2
               WHERE a.closed <> (m.settlement IS NOT NULL)",
    },
    Check {
        name: "a match that holds money has a deadline",
        sql: "SELECT m.source || '/' || m.match_id || ': holds ' || m.pot - m.paid - m.refunded - m.fee
                FROM match m LEFT JOIN match_deadline d USING (match_no)
               WHERE m.settlement IS NULL AND m.pot > 0 AND d.match_no IS NULL",
    },
    Check {
        name: "a settled match has no deadline",
        sql: "SELECT m.source || '/' || m.match_id FROM match m JOIN match_deadline USING (match_no)
               WHERE m.settlement IS NOT NULL",
    },
    Check {
        name: "a player's totals are the sums over the matches that count",
        sql: "SELECT 'player ' || coalesce(t.player_key, c.player_key) || ': totals ' || coalesce(t.sums::text, 'none')
                     || ', matches ' || coalesce(c.sums::text, 'none')
                FROM (SELECT player_key,
                             to_jsonb(p) - '{player_key,season,source,updated_at}'::text[] AS sums
                        FROM player_totals p WHERE season = 0) t
                FULL JOIN (SELECT player_key, to_jsonb(of_player) - 'player_key' AS sums FROM (
                      SELECT s.player_key, count(*) AS matches,
                             count(*) FILTER (WHERE m.result = s.side) AS wins,
                             count(*) FILTER (WHERE m.result <> s.side AND m.result <> 'draw') AS losses,
                             count(*) FILTER (WHERE m.result = 'draw') AS draws,
                             sum(m.rounds_played) AS rounds,
                             sum(s.kills) AS kills, sum(s.assists) AS assists, sum(s.deaths) AS deaths,
                             sum(s.mvps) AS mvps, sum(s.score) AS score,
                             sum(s.double_kills) AS double_kills, sum(s.triple_kills) AS triple_kills,
                             sum(s.quadra_kills) AS quadra_kills, sum(s.penta_kills) AS penta_kills,
                             sum(s.headshot_kills) AS headshot_kills,
                             sum(s.pistol_kills) AS pistol_kills, sum(s.sniper_kills) AS sniper_kills,
                             sum(s.damage_dealt) AS damage_dealt,
                             sum(s.entry_attempts) AS entry_attempts,
                             sum(s.entry_successes) AS entry_successes,
                             sum(s.flashes_thrown) AS flashes_thrown,
                             sum(s.flashes_successful) AS flashes_successful,
                             sum(s.enemies_flashed) AS enemies_flashed,
                             sum(s.utility_thrown) AS utility_thrown,
                             sum(s.utility_damage) AS utility_damage,
                             sum(s.clutch_attempts) AS clutch_attempts,
                             sum(s.clutch_wins) AS clutch_wins
                        FROM player_match_stats s JOIN stats_match m USING (stats_key)
                       WHERE m.counted AND s.side <> 'spectator' GROUP BY s.player_key) of_player) c USING (player_key)
               WHERE t.sums IS DISTINCT FROM c.sums",
    },
    Check {
        name: "a reward is only reserved while its contest runs, and no longer once it is decided",
        sql: "SELECT 'grant ' || g.grant_id || ': ' || g.state || ', contest ' || coalesce(c.ending, 'undecided')
                FROM reward_grant g LEFT JOIN contest c USING (contest_key)
               WHERE c.contest_key IS NULL OR (g.state = 'reserved') <> (c.ending IS NULL)",
    },
];

/// Runs one check.
///
/// # Errors
/// [`crate::Error`].
pub async fn run(client: &Client, check: &Check) -> Result<Vec<Finding>> {
    let sql = format!("SELECT * FROM ({}) AS broken LIMIT $1", check.sql);
    let rows = client.query(&sql, &[&MAX_FINDINGS_PER_CHECK]).await?;
    rows.iter().map(|row| Ok(Finding { check: check.name, what: row.try_get(0)? })).collect()
}
