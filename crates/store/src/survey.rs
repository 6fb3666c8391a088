//! What is in the database, source by source: the figures of the command line's summaries, and what an audit
//! compares with what must be there.

use matchpurse_domain::event::COUNTER_NAMES;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;

use crate::time::At;
use crate::{Client, Result};

/// A match with its amounts in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRow {
    /// The provider's id.
    pub match_id: String,
    /// The kind's word.
    pub kind: String,
    /// The status' code.
    pub status: String,
    /// `payout`, `tie` or `refund`; none while it runs.
    pub settlement: Option<String>,
    /// All that came into escrow.
    pub pot: i64,
    /// Went to players as winnings.
    pub paid: i64,
    /// Went back to players.
    pub refunded: i64,
    /// Was kept.
    pub fee: i64,
}

/// A reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// `contest`, `match`, `postback` or `conversion`.
    pub contest_kind: String,
    /// The provider's id of that.
    pub contest_id: String,
    /// Who gets it.
    pub player_id: String,
    /// What tells it from the player's other rewards there.
    pub reward_ref: String,
    /// The state's word.
    pub state: String,
    /// Minor units, where it is money or points.
    pub amount: Option<i64>,
}

/// A player's sums over finished matches on game servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalsRow {
    /// The player.
    pub player_id: String,
    /// Matches, wins, losses, draws and rounds.
    pub counts: [i64; 5],
    /// The counters, by name.
    pub counters: Vec<(&'static str, i64)>,
}

/// A wish to turn money into credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversionRow {
    /// The provider's id.
    pub intent_id: String,
    /// The player.
    pub player_id: String,
    /// Minor units.
    pub amount: i64,
    /// What was answered.
    pub answer: String,
}

/// The source's matches.
///
/// # Errors
/// [`crate::Error`], as of every function here.
pub async fn matches(client: &Client, source: &SourceName) -> Result<Vec<MatchRow>> {
    let sql =
        "SELECT match_id, kind, status, settlement, pot, paid, refunded, fee FROM match WHERE source = $1";
    let rows = client.query(sql, &[&source.as_str()]).await?;
    let row = |row: &tokio_postgres::Row| {
        Ok(MatchRow {
            match_id: row.try_get(0)?,
            kind: row.try_get(1)?,
            status: row.try_get(2)?,
            settlement: row.try_get(3)?,
            pot: row.try_get(4)?,
            paid: row.try_get(5)?,
            refunded: row.try_get(6)?,
            fee: row.try_get(7)?,
        })
    };
    rows.iter().map(row).collect()
}

/// What each player won or lost in each match: (match, player, minor units), zeros left out.
///
/// # Errors
/// [`crate::Error`].
pub async fn nets(client: &Client, source: &SourceName) -> Result<Vec<(String, String, i64)>> {
    let sql = "SELECT m.match_id, p.player_id, sum(e.amount)::bigint
                 FROM match m
                 JOIN entry e USING (match_no)
                 JOIN account a ON a.id = e.account_id AND a.kind = 1
                 JOIN player p ON p.player_key = a.owner_key
                WHERE m.source = $1
                GROUP BY 1, 2 HAVING sum(e.amount) <> 0";
    let rows = client.query(sql, &[&source.as_str()]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}

/// The source's rewards.
///
/// # Errors
/// [`crate::Error`].
pub async fn grants(client: &Client, source: &SourceName) -> Result<Vec<GrantRow>> {
    let sql = "SELECT c.kind, c.contest_id, p.player_id, g.reward_ref, g.state, g.amount
                 FROM reward_grant g JOIN contest c USING (contest_key) JOIN player p USING (player_key)
                WHERE g.source = $1";
    let rows = client.query(sql, &[&source.as_str()]).await?;
    let row = |row: &tokio_postgres::Row| {
        Ok(GrantRow {
            contest_kind: row.try_get(0)?,
            contest_id: row.try_get(1)?,
            player_id: row.try_get(2)?,
            reward_ref: row.try_get(3)?,
            state: row.try_get(4)?,
            amount: row.try_get(5)?,
        })
    };
    rows.iter().map(row).collect()
}

/// How often each player won, lost and tied: (player, wins, losses, ties).
///
/// # Errors
/// [`crate::Error`].
pub async fn records(client: &Client, source: &SourceName) -> Result<Vec<(String, [i64; 3])>> {
    let sql = "SELECT p.player_id, count(*) FILTER (WHERE outcome = 'WIN'),
                      count(*) FILTER (WHERE outcome = 'LOSS'), count(*) FILTER (WHERE outcome = 'TIE')
                 FROM match m JOIN match_participant s USING (match_no) JOIN player p USING (player_key)
                WHERE m.source = $1 AND outcome IS NOT NULL
                GROUP BY 1";
    let rows = client.query(sql, &[&source.as_str()]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?])))
        .collect()
}

/// The players' totals of all time.
///
/// # Errors
/// [`crate::Error`].
pub async fn totals(client: &Client, source: &SourceName) -> Result<Vec<TotalsRow>> {
    let sql = format!(
        "SELECT p.player_id, t.matches, t.wins, t.losses, t.draws, t.rounds, {}
           FROM player_totals t JOIN player p USING (player_key)
          WHERE t.source = $1 AND t.season = 0",
        COUNTER_NAMES.join(", ")
    );
    let rows = client.query(&sql, &[&source.as_str()]).await?;
    let row = |row: &tokio_postgres::Row| {
        let mut counts = [0_i64; 5];
        for (to, name) in counts.iter_mut().zip(["matches", "wins", "losses", "draws", "rounds"]) {
            *to = row.try_get(name)?;
        }
        let counters =
            COUNTER_NAMES.iter().map(|name| Ok((*name, row.try_get(*name)?))).collect::<Result<_>>()?;
        Ok(TotalsRow { player_id: row.try_get("player_id")?, counts, counters })
    };
    rows.iter().map(row).collect()
}

/// Who was voted out of which match: (match, player).
///
/// # Errors
/// [`crate::Error`].
pub async fn kicks(client: &Client, source: &SourceName) -> Result<Vec<(String, String)>> {
    let sql = "SELECT k.match_id, p.player_id FROM player_kick k JOIN player p USING (player_key)
                WHERE k.source = $1";
    let rows = client.query(sql, &[&source.as_str()]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The offers: (offer, open to new players, when that was last set).
///
/// # Errors
/// [`crate::Error`].
pub async fn offers(client: &Client, source: &SourceName) -> Result<Vec<(String, bool, Option<Timestamp>)>> {
    let sql = "SELECT offer_id, state = 'active', state_at FROM offer WHERE source = $1";
    registers(client, sql, source).await
}

/// The players whose standing was ever set: (player, banned, when).
///
/// # Errors
/// [`crate::Error`].
pub async fn standings(
    client: &Client,
    source: &SourceName,
) -> Result<Vec<(String, bool, Option<Timestamp>)>> {
    let sql = "SELECT p.player_id, s.standing = 'banned', s.changed_at
                 FROM player_standing s JOIN player p USING (player_key)
                WHERE s.source = $1 AND s.standing IS NOT NULL";
    registers(client, sql, source).await
}

async fn registers(
    client: &Client,
    sql: &str,
    source: &SourceName,
) -> Result<Vec<(String, bool, Option<Timestamp>)>> {
    let rows = client.query(sql, &[&source.as_str()]).await?;
    let row = |row: &tokio_postgres::Row| {
        let at: Option<At> = row.try_get(2)?;
        Ok((row.try_get(0)?, row.try_get(1)?, at.map(|at| at.0)))
    };
    rows.iter().map(row).collect()
}

/// The wishes to turn money into credit.
///
/// # Errors
/// [`crate::Error`].
pub async fn conversions(client: &Client, source: &SourceName) -> Result<Vec<ConversionRow>> {
    let sql = "SELECT c.intent_id, p.player_id, c.amount, c.answer
                 FROM credit_conversion c JOIN player p USING (player_key)
                WHERE c.source = $1";
    let rows = client.query(sql, &[&source.as_str()]).await?;
    let row = |row: &tokio_postgres::Row| {
        Ok(ConversionRow {
            intent_id: row.try_get(0)?,
            player_id: row.try_get(1)?,
            amount: row.try_get(2)?,
            answer: row.try_get(3)?,
        })
    };
    rows.iter().map(row).collect()
}

/// Open and resolved anomalies, counted by kind.
///
/// # Errors
/// [`crate::Error`].
pub async fn anomalies(client: &Client, source: &SourceName) -> Result<Vec<(String, i64)>> {
    counted(client, "SELECT kind, count(*) FROM anomaly WHERE source = $1 GROUP BY 1 ORDER BY 1", source)
        .await
}

/// Parked deliveries that wait for somebody, counted by the first word of the reason: for one that is not
/// understood that is the kind of the misunderstanding.
///
/// # Errors
/// [`crate::Error`].
pub async fn parked(client: &Client, source: &SourceName) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT CASE kind WHEN 'unrecognized' THEN split_part(reason, ':', 1) ELSE kind END, count(*)
                 FROM parked WHERE split_part(routing_key, '.', 3) = $1 AND resolved_at IS NULL
                GROUP BY 1 ORDER BY 1";
    counted(client, sql, source).await
}

/// Notices in the outbox, counted by kind.
///
/// # Errors
/// [`crate::Error`].
pub async fn notices(client: &Client, source: &SourceName) -> Result<Vec<(String, i64)>> {
    counted(client, "SELECT kind, count(*) FROM outbox WHERE source = $1 GROUP BY 1 ORDER BY 1", source).await
}

/// Archived events, counted by payload.
///
/// # Errors
/// [`crate::Error`].
pub async fn events(client: &Client, source: &SourceName) -> Result<Vec<(String, i64)>> {
    counted(client, "SELECT payload, count(*) FROM archive WHERE source = $1 GROUP BY 1 ORDER BY 1", source)
        .await
}

async fn counted(client: &Client, sql: &str, source: &SourceName) -> Result<Vec<(String, i64)>> {
    let rows = client.query(sql, &[&source.as_str()]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The sum of every currency's balances; all must be zero.
///
/// # Errors
/// [`crate::Error`].
pub async fn trial_balance(client: &Client) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT currency, sum(balance)::bigint FROM account GROUP BY 1 ORDER BY 1";
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// How many transfers the ledger has, and what each currency has in escrow now.
///
/// # Errors
/// [`crate::Error`].
pub async fn ledger(client: &Client) -> Result<(i64, Vec<(String, i64)>)> {
    let transfers = client.query_one("SELECT count(*) FROM transfer", &[]).await?.try_get(0)?;
    Ok((transfers, in_escrow(client).await?))
}

/// What each currency has in escrow now.
///
/// # Errors
/// [`crate::Error`].
pub async fn in_escrow(client: &Client) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT currency, sum(balance)::bigint FROM account WHERE kind = 2 GROUP BY 1 ORDER BY 1";
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
