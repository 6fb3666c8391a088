//! Balances and statements: what any account held at any moment, and by which movements.
//!
//! A balance at a moment is the sum of all entries recorded until then, read from the two covering indexes of
//! `transfer` alone. Transfers are recorded when their accounts are locked, so what was recorded until a moment is
//! what the account held then; only a transaction that is being committed at this very moment may still add to it.
//! Both legs of a transfer are recorded at once, so at every moment the balances of a source and currency add up to
//! zero. Amounts are minor units; what an account receives is positive.

use std::fmt;
use std::str::FromStr;

use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::client::Params;
use crate::time::At;
use crate::{Client, Error, Result};

/// Whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    /// A player's own.
    Player,
    /// The escrow of one match.
    Escrow,
    /// The studio's fees.
    House,
    /// The provider, or wherever deposits come from.
    External,
    /// The studio's rewards.
    RewardFund,
}

/// An account as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: i64,
    /// The source; no transfer crosses sources.
    pub source: String,
    /// Whose it is.
    pub kind: AccountKind,
    /// The owner's key: a player's, a match's, or one made from the source.
    pub owner: Uuid,
    /// The currency's code.
    pub currency: String,
    /// What is on it.
    pub balance: i64,
    /// The least that may be on it; none for an account that only records.
    pub floor: Option<i64>,
    /// True for the escrow of a settled match.
    pub closed: bool,
    /// Since when it is there.
    pub opened_at: Timestamp,
}

/// What all accounts of a kind held together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialLine {
    /// The source.
    pub source: String,
    /// The currency's code.
    pub currency: String,
    /// The accounts' kind.
    pub kind: AccountKind,
    /// The sum of their balances.
    pub balance: i64,
}

/// One leg of a transfer, as its account sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the account's statement.
    pub cursor: Cursor,
    /// `hold`, `payout`, `refund`, `fee`, `reward`, `top-up`, `reversal`, `deposit` or `withdrawal`.
    pub what: &'static str,
    /// What the account received; negative where it gave.
    pub amount: i64,
    /// The account on the other side.
    pub other_account: i64,
    /// The match's kind and its id at the provider, where it belongs to one.
    pub of_match: Option<(String, String)>,
    /// The event or operation that caused it.
    pub event_id: Option<Uuid>,
    /// That event's time.
    pub event_at: Timestamp,
}

/// The place of an entry in its account's statement: when it was recorded, then the transfer's permanent key. As a
/// text it is for whoever asks for the next page, and means nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The match's number; 0 for deposits and withdrawals.
    pub match_no: i64,
    /// Whom the transfer concerns.
    pub subject: Uuid,
    /// The transfer's kind.
    pub kind: i16,
    /// The match's generation.
    pub generation: i16,
}

/// From which end a statement is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The newest entry first.
    Newest,
    /// The oldest entry first.
    Oldest,
}

/// A text that is no [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no place in a statement: expected what an earlier page gave")]
pub struct NoCursor;

/// One account.
///
/// # Errors
/// [`crate::Error`], as of every function here.
pub async fn account(client: &Client, id: i64) -> Result<Option<Account>> {
    let sql = format!("SELECT {ACCOUNT} FROM account WHERE id = $1");
    client.query_opt(&sql, &[&id]).await?.as_ref().map(read_account).transpose()
}

/// A player's accounts, one a currency; none for a player who never had one.
///
/// # Errors
/// [`crate::Error`].
pub async fn accounts_of_player(
    client: &Client,
    source: &SourceName,
    player: &PlayerId,
) -> Result<Vec<Account>> {
    let sql = format!("SELECT {ACCOUNT} FROM account WHERE owner_key = $1 AND kind = 1 ORDER BY currency");
    client.query(&sql, &[&player.key(source)]).await?.iter().map(read_account).collect()
}

/// What an account held at a moment, that moment included, or holds now; none where there is no such account.
///
/// # Errors
/// [`crate::Error`].
pub async fn at(client: &Client, account: i64, moment: Option<Timestamp>) -> Result<Option<i64>> {
    let row = match moment {
        None => client.query_opt("SELECT balance FROM account WHERE id = $1", &[&account]).await?,
        Some(moment) => {
            let sql = "SELECT ((SELECT coalesce(sum(amount), 0) FROM transfer
                                 WHERE credit_id = $1 AND recorded_at <= $2)
                             - (SELECT coalesce(sum(amount), 0) FROM transfer
                                 WHERE debit_id = $1 AND recorded_at <= $2))::bigint
                         FROM account WHERE id = $1";
            client.query_opt(sql, &[&account, &At(moment)]).await?
        }
    };
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// What the accounts of each source, currency and kind held together at a moment, or hold now. It reads the whole
/// ledger until that moment.
///
/// # Errors
/// [`crate::Error`].
pub async fn trial_balance(client: &Client, moment: Option<Timestamp>) -> Result<Vec<TrialLine>> {
    let rows = match moment {
        None => {
            let sql = "SELECT source, currency, kind, sum(balance)::bigint FROM account WHERE version > 0
                        GROUP BY source, currency, kind ORDER BY source, currency, kind";
            client.query(sql, &[]).await?
        }
        Some(moment) => {
            let sql = "SELECT a.source, a.currency, a.kind, sum(e.total)::bigint
                         FROM (SELECT account_id, sum(amount) AS total
                                 FROM (SELECT credit_id AS account_id, amount, recorded_at FROM transfer
                                       UNION ALL SELECT debit_id, -amount, recorded_at FROM transfer) legs
                                WHERE recorded_at <= $1 GROUP BY account_id) e
                         JOIN account a ON a.id = e.account_id
                        GROUP BY a.source, a.currency, a.kind ORDER BY a.source, a.currency, a.kind";
            client.query(sql, &[&At(moment)]).await?
        }
    };
    let line = |row: &Row| {
        Ok(TrialLine {
            source: row.try_get(0)?,
            currency: row.try_get(1)?,
            kind: kind_of(row.try_get(2)?)?,
            balance: row.try_get(3)?,
        })
    };
    rows.iter().map(line).collect()
}

/// An account's statement, a page of at most `limit` entries: those that follow `after` in this order, or the first.
///
/// # Errors
/// [`crate::Error`].
pub async fn entries(
    client: &Client,
    account: i64,
    order: Order,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Vec<Entry>> {
    let (direction, beyond) = match order {
        Order::Newest => ("DESC", "<"),
        Order::Oldest => ("ASC", ">"),
    };
    let follows = after.map_or_else(String::new, |_| {
        format!("AND (recorded_at, match_no, subject, kind, generation) {beyond} ($3, $4, $5, $6, $7)")
    });
    // By the first five columns of every select here.
    let sorted = [1, 2, 3, 4, 5].map(|column| format!("{column} {direction}")).join(", ");
    // Each side by its own index, which ends where the page does; a condition on both sides would read the account
    // whole.
    let side = |own: &str, other: &str, sign: &str| {
        format!(
            "(SELECT recorded_at, match_no, subject, kind, generation, {sign}amount AS amount, {other} AS other,
                     event_id, event_at
                FROM transfer WHERE {own} = $1 {follows} ORDER BY {sorted} LIMIT $2)"
        )
    };
    let (gave, received) = (side("debit_id", "credit_id", "-"), side("credit_id", "debit_id", ""));
    let sql = format!(
        "SELECT e.*, m.kind AS match_kind, m.match_id
           FROM (SELECT * FROM ({gave} UNION ALL {received}) AS sides ORDER BY {sorted} LIMIT $2) e
           LEFT JOIN match m ON m.match_no = e.match_no ORDER BY {sorted}"
    );
    let limit = i64::from(limit);
    let rows = match after {
        None => client.query(&sql, &[&account, &limit]).await?,
        Some(Cursor { recorded_at, match_no, subject, kind, generation }) => {
            let recorded_at = At(*recorded_at);
            let parameters: Params<'_> =
                &[&account, &limit, &recorded_at, match_no, subject, kind, generation];
            client.query(&sql, parameters).await?
        }
    };
    rows.iter().map(read_entry).collect()
}

const ACCOUNT: &str = "id, source, kind, owner_key, currency, balance, min_balance, closed, opened_at";

fn read_account(row: &Row) -> Result<Account> {
    Ok(Account {
        id: row.try_get("id")?,
        source: row.try_get("source")?,
        kind: kind_of(row.try_get("kind")?)?,
        owner: row.try_get("owner_key")?,
        currency: row.try_get("currency")?,
        balance: row.try_get("balance")?,
        floor: row.try_get("min_balance")?,
        closed: row.try_get("closed")?,
        opened_at: row.try_get::<_, At>("opened_at")?.0,
    })
}

fn read_entry(row: &Row) -> Result<Entry> {
    let kind: i16 = row.try_get("kind")?;
    let match_kind: Option<String> = row.try_get("match_kind")?;
    let match_id: Option<String> = row.try_get("match_id")?;
    Ok(Entry {
        cursor: Cursor {
            recorded_at: row.try_get::<_, At>("recorded_at")?.0,
            match_no: row.try_get("match_no")?,
            subject: row.try_get("subject")?,
            kind,
            generation: row.try_get("generation")?,
        },
        what: word_of(kind)?,
        amount: row.try_get("amount")?,
        other_account: row.try_get("other")?,
        of_match: match_kind.zip(match_id),
        event_id: row.try_get("event_id")?,
        event_at: row.try_get::<_, At>("event_at")?.0,
    })
}

fn unknown(what: &'static str) -> Error {
    Error::Stored { what, source: "a value that this version does not know".into() }
}

fn kind_of(code: i16) -> Result<AccountKind> {
    let all = [
        AccountKind::Player,
        AccountKind::Escrow,
        AccountKind::House,
        AccountKind::External,
        AccountKind::RewardFund,
    ];
    (1..)
        .zip(all)
        .find(|(own, _)| *own == code)
        .map(|(_, kind)| kind)
        .ok_or_else(|| unknown("kind of account"))
}

fn word_of(kind: i16) -> Result<&'static str> {
    let words = ["hold", "payout", "refund", "fee", "reward", "top-up", "reversal", "deposit", "withdrawal"];
    (1..)
        .zip(words)
        .find(|(code, _)| *code == kind)
        .map(|(_, word)| word)
        .ok_or_else(|| unknown("kind of transfer"))
}

impl AccountKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Escrow => "escrow",
            Self::House => "house",
            Self::External => "external",
            Self::RewardFund => "reward_fund",
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded_at, match_no, subject, kind, generation } = self;
        write!(f, "{}.{match_no}.{}.{kind}.{generation}", recorded_at.micros(), subject.simple())
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        fn part<T: FromStr>(parts: &mut std::str::Split<'_, char>) -> Result<T, NoCursor> {
            parts.next().and_then(|part| part.parse().ok()).ok_or(NoCursor)
        }
        let parts = &mut text.split('.');
        let micros: i64 = part(parts)?;
        let cursor = Self {
            // Beyond these years the database has no time.
            recorded_at: Timestamp::from_micros(micros.clamp(-(1 << 57), 1 << 57)),
            match_no: part(parts)?,
            subject: part(parts)?,
            kind: part(parts)?,
            generation: part(parts)?,
        };
        if parts.next().is_some() { Err(NoCursor) } else { Ok(cursor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text_and_nothing_else_is_one() {
        let cursor = Cursor {
            recorded_at: Timestamp::from_micros(1_790_000_000_123_456),
            match_no: 17,
            subject: Uuid::from_u128(0xabc),
            kind: 2,
            generation: 1,
        };
        let text = cursor.to_string();
        assert_eq!(text.parse(), Ok(cursor));
        for bad in ["", "1", "1.2.x.4.5", "1.2.00000000-0000-0000-0000-000000000000.4", &format!("{text}.1")]
        {
            assert_eq!(bad.parse::<Cursor>(), Err(NoCursor), "{bad}");
        }
    }
}
