//! What the database says, read with SQL of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use matchpurse_testkit::Database;

use crate::model::{Books, Evidence};

/// A source and something of it.
pub(crate) type Named = (String, String);

/// Everything that the auditor compares.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By source and match.
    pub(crate) matches: BTreeMap<Named, (Books, Evidence)>,
    /// By source and holder: a player, `house` or `external`.
    pub(crate) balances: BTreeMap<Named, i64>,
}

const MATCHES: &str = "SELECT source, match_id, status, settlement, pot, paid, refunded, fee FROM match";
const NETS: &str = "
    SELECT m.source, m.match_id, p.player_id, sum(e.amount)::bigint
      FROM match m JOIN entry e USING (match_no)
      JOIN account a ON a.id = e.account_id AND a.kind = 1
      JOIN player p ON p.player_key = a.owner_key
     GROUP BY 1, 2, 3 HAVING sum(e.amount) <> 0";
const TRANSFERS: &str = "
    SELECT m.source, m.match_id, t.kind, t.event_id::text, t.amount
      FROM match m JOIN transfer t USING (match_no)";
const ANOMALIES: &str = "SELECT source, subject, kind, count(*) FROM anomaly GROUP BY 1, 2, 3";
const BALANCES: &str = "
    SELECT a.source, CASE a.kind WHEN 3 THEN 'house' WHEN 4 THEN 'external' ELSE p.player_id END, a.balance
      FROM account a LEFT JOIN player p ON p.player_key = a.owner_key
     WHERE a.kind <> 2";

impl Ledger {
    pub(crate) async fn read(database: &Database) -> Result<Self> {
        let client = database.connection().await?;
        let mut ledger = Self::default();
        for row in client.query(MATCHES, &[]).await? {
            let books = Books {
                status: row.try_get(2)?,
                settlement: row.try_get(3)?,
                pot: row.try_get(4)?,
                paid: row.try_get(5)?,
                refunded: row.try_get(6)?,
                fee: row.try_get(7)?,
                ..Books::default()
            };
            ledger.matches.insert((row.try_get(0)?, row.try_get(1)?), (books, Evidence::default()));
        }
        for row in client.query(NETS, &[]).await? {
            let (books, _) = ledger.of(row.try_get(0)?, row.try_get(1)?);
            books.nets.insert(row.try_get(2)?, row.try_get(3)?);
        }
        for row in client.query(TRANSFERS, &[]).await? {
            let (books, evidence) = ledger.of(row.try_get(0)?, row.try_get(1)?);
            let (kind, event): (i16, String) = (row.try_get(2)?, row.try_get(3)?);
            (if kind == 1 { &mut evidence.held_by } else { &mut evidence.ended_by }).insert(event);
            books.top_up += if kind == 6 { row.try_get(4)? } else { 0 };
        }
        for row in client.query(ANOMALIES, &[]).await? {
            let (books, _) = ledger.of(row.try_get(0)?, row.try_get(1)?);
            books.anomalies.insert(row.try_get(2)?, usize::try_from(row.try_get::<_, i64>(3)?)?);
        }
        for row in client.query(BALANCES, &[]).await? {
            ledger.balances.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
        }
        Ok(ledger)
    }

    /// A match that only an anomaly names is in no table of matches, which the comparison then shows.
    fn of(&mut self, source: String, match_id: String) -> &mut (Books, Evidence) {
        self.matches.entry((source, match_id)).or_default()
    }
}

/// Queries of a count that must be zero.
const NOTHING: &[(&str, &str)] = &[
    ("parked deliveries", "SELECT count(*) FROM parked"),
    ("events that were tried in vain", "SELECT count(*) FROM attempts"),
    (
        "movements that a match made twice for a subject",
        "SELECT count(*) FROM (SELECT FROM transfer WHERE match_no > 0
                                GROUP BY match_no, subject, kind HAVING count(*) > 1) doubled",
    ),
    (
        "settled matches of which the studio was not told once",
        "SELECT count(*) FROM match m
          WHERE (SELECT count(*) FROM outbox o
                  WHERE (o.source, o.subject) = (m.source, m.match_id)
                    AND o.kind IN ('match.settled', 'match.refunded'))
                <> CASE WHEN m.settlement IS NULL THEN 0 ELSE 1 END",
    ),
    (
        "anomalies of which the studio was not told once",
        "SELECT abs((SELECT count(*) FROM anomaly) - (SELECT count(*) FROM outbox WHERE kind = 'anomaly.opened'))",
    ),
    (
        "players of the studio who have less than nothing, or whose account could",
        "SELECT count(*) FROM account a
          WHERE kind = 1 AND source IN (SELECT source FROM match WHERE custody = 'studio')
            AND (balance < 0 OR min_balance IS DISTINCT FROM 0)",
    ),
];

/// What is there but must not be.
pub(crate) async fn leftovers(database: &Database, events: &BTreeSet<String>) -> Result<Vec<String>> {
    let client = database.connection().await?;
    let mut found = Vec::new();
    for (what, sql) in NOTHING {
        let count: i64 = client.query_one(*sql, &[]).await?.try_get(0)?;
        if count != 0 {
            found.push(format!("{count} {what}"));
        }
    }
    let seen = database.texts("SELECT event_id::text FROM inbox").await?;
    if seen.len() != events.len() || !seen.iter().all(|id| events.contains(id)) {
        found.push(format!("the inbox has {} events of {}", seen.len(), events.len()));
    }
    Ok(found)
}
