//! Applying events for a look: what they would do is done in a transaction that never commits, and read off there.

use std::collections::BTreeMap;

use matchpurse_domain::event::Event;

use crate::{Client, Result, Tx};

/// What one event would do by one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// How many rows of which table would be added or changed; those of the tables that are not about meaning (the
    /// inbox, attempts) are left out.
    pub rows: BTreeMap<String, Rows>,
    /// The money that would move.
    pub transfers: Vec<Moved>,
    /// The rewards that would come to be, or to another state.
    pub grants: Vec<Granted>,
    /// The kinds of the anomalies that would be opened.
    pub anomalies: Vec<String>,
    /// The notices that the studio would get: kind and subject.
    pub notices: Vec<(String, String)>,
}

impl Effect {
    /// True when nothing at all would change.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Rows of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// Would be added.
    pub added: i64,
    /// Would be written anew, or would go.
    pub changed: i64,
}

/// A transfer that would be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// `hold`, `payout`, `refund`, `fee`, `reward`, `top-up`, `reversal`, `deposit` or `withdrawal`.
    pub kind: String,
    /// In minor units.
    pub amount: i64,
    /// The currency's code.
    pub currency: String,
    /// The provider's id of the player whom it is about, if it is about one.
    pub player_id: Option<String>,
}

/// A reward that would come to be, or to another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// `cash`, `studio`, `points` or `credit`.
    pub kind: String,
    /// The state that it would have.
    pub state: String,
    /// Whose.
    pub player_id: String,
    /// Minor units and currency, where it has an amount.
    pub amount: Option<(i64, String)>,
}

/// What only says that something was seen or tried.
const NOT_MEANING: [&str; 2] = ["inbox", "attempts"];

/// A transaction in which events are applied for a look.
pub struct Rehearsal<'c> {
    tx: Tx<'c>,
    counts: BTreeMap<String, Rows>,
    /// The last notice that was there.
    position: i64,
}

impl<'c> Rehearsal<'c> {
    /// Begins. Every statement sees the database as it is now; what other workers commit meanwhile is not seen, and
    /// where it would have to be, the rehearsal fails and must be begun anew.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn begin(client: &'c mut Client) -> Result<Self> {
        let tx = client.begin_repeatable().await?;
        let position = tx.query_one("SELECT coalesce(max(position), 0) FROM outbox", &[]).await?;
        let position = position.try_get(0)?;
        // The session's earlier transactions may still be counted with this one.
        let counts = counts(&tx).await?;
        Ok(Self { tx, counts, position })
    }

    /// The transaction, to apply an event in.
    pub const fn tx(&self) -> &Tx<'c> {
        &self.tx
    }

    /// Remembers this place, to come back to it when an event cannot be applied.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn mark(&self) -> Result<()> {
        self.tx.set_local("SAVEPOINT rehearsal").await
    }

    /// Takes back what was done since [`Rehearsal::mark`].
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn back(&mut self) -> Result<()> {
        self.tx.forget_waiting();
        self.tx.set_local("ROLLBACK TO SAVEPOINT rehearsal").await?;
        // What was taken back is counted all the same; from here on it is not news.
        self.counts = counts(&self.tx).await?;
        Ok(())
    }

    /// What `event` has done since the last look.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn look(&mut self, event: &Event) -> Result<Effect> {
        let now = counts(&self.tx).await?;
        let mut effect = Effect::default();
        for (table, rows) in &now {
            let before = self.counts.get(table).copied().unwrap_or_default();
            let added = rows.added.saturating_sub(before.added);
            let changed = rows.changed.saturating_sub(before.changed);
            if added > 0 || changed > 0 {
                effect.rows.insert(table.clone(), Rows { added, changed });
            }
        }
        self.counts = now;
        let touched = |table: &str| effect.rows.contains_key(table);
        if touched("transfer") {
            effect.transfers = transfers(&self.tx, event).await?;
        }
        if touched("reward_grant") {
            effect.grants = grants(&self.tx, event).await?;
        }
        if touched("anomaly") {
            effect.anomalies = anomalies(&self.tx, event).await?;
        }
        if touched("outbox") {
            effect.notices = self.notices().await?;
        }
        Ok(effect)
    }

    /// Ends it: nothing has happened.
    ///
    /// # Errors
    /// When the database is away; nothing has happened then either.
    pub async fn end(self) -> Result<()> {
        self.tx.rollback().await
    }

    async fn notices(&mut self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT position, kind, subject FROM outbox WHERE position > $1 ORDER BY position";
        let mut notices = Vec::new();
        for row in &self.tx.query(sql, &[&self.position]).await? {
            self.position = row.try_get(0)?;
            notices.push((row.try_get(1)?, row.try_get(2)?));
        }
        Ok(notices)
    }
}

/// What this transaction has written so far, by table. The database counts it for its statistics.
async fn counts(tx: &Tx<'_>) -> Result<BTreeMap<String, Rows>> {
    let sql = "SELECT relname::text, n_tup_ins, n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables
                WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND NOT relname::text = ANY ($1)
                  AND schemaname = current_schema()";
    let mut counts = BTreeMap::new();
    for row in &tx.query(sql, &[&NOT_MEANING.as_slice()]).await? {
        let rows = Rows { added: row.try_get(1)?, changed: row.try_get(2)? };
        counts.insert(row.try_get(0)?, rows);
    }
    Ok(counts)
}

/// Transfers and grants name the event that caused them; those of before this transaction are older than it.
async fn transfers(tx: &Tx<'_>, event: &Event) -> Result<Vec<Moved>> {
    let sql = "SELECT (ARRAY['hold', 'payout', 'refund', 'fee', 'reward', 'top-up', 'reversal', 'deposit',
                             'withdrawal'])[t.kind], t.amount, d.currency, p.player_id
                 FROM match m JOIN transfer t USING (match_no) JOIN account d ON d.id = t.debit_id
                 LEFT JOIN player p ON p.player_key = t.subject
                WHERE m.source = $1 AND m.match_id = $2
                  AND m.kind IN ('recreational', 'free_to_play', 'tournament', 'platform')
                  AND t.event_id = $3 AND t.recorded_at >= now()
                ORDER BY t.kind, p.player_id";
    let rows = tx.query(sql, &[&event.source.as_str(), &event.subject, &event.id.uuid()]).await?;
    let moved = |row: &tokio_postgres::Row| {
        Ok(Moved {
            kind: row.try_get(0)?,
            amount: row.try_get(1)?,
            currency: row.try_get(2)?,
            player_id: row.try_get(3)?,
        })
    };
    rows.iter().map(moved).collect()
}

async fn grants(tx: &Tx<'_>, event: &Event) -> Result<Vec<Granted>> {
    let sql = "SELECT g.kind, g.state, p.player_id, g.amount, g.currency
                 FROM contest c JOIN reward_grant g USING (contest_key) JOIN player p USING (player_key)
                WHERE c.source = $1 AND c.contest_id = $2
                  AND c.kind IN ('contest', 'match', 'postback', 'conversion')
                  AND g.event_id = $3 AND g.updated_at = now()
                ORDER BY p.player_id, g.kind";
    let rows = tx.query(sql, &[&event.source.as_str(), &event.subject, &event.id.uuid()]).await?;
    let granted = |row: &tokio_postgres::Row| {
        let (amount, currency): (Option<i64>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
        Ok(Granted {
            kind: row.try_get(0)?,
            state: row.try_get(1)?,
            player_id: row.try_get(2)?,
            amount: amount.zip(currency),
        })
    };
    rows.iter().map(granted).collect()
}

async fn anomalies(tx: &Tx<'_>, event: &Event) -> Result<Vec<String>> {
    let sql = "SELECT kind FROM anomaly WHERE source = $1 AND event_id = $2 AND at >= now() ORDER BY id";
    let rows = tx.query(sql, &[&event.source.as_str(), &event.id.uuid()]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
