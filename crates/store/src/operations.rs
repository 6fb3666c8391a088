//! What people and the clock did to the ledger; written once, in the transaction of its effects.

use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_domain::time::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use crate::time::At;
use crate::{Client, Error, Result, Tx};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Money came to a player's account.
    Deposit,
    /// Money left a player's account.
    Withdrawal,
    /// A person set the end of a match.
    Correction,
    /// The clock gave the stakes of a match back.
    Deadline,
    /// A person gave a grant that was held for review.
    RewardRelease,
    /// A person took a grant back.
    RewardReversal,
    /// A person had the studio told of a grant again.
    RewardRetry,
    /// A person decided which numbers of a match's statistics stand.
    StatsCorrection,
    /// A person said which ids are one player's.
    PlayerLinks,
    /// The studio's back-end said how a match went.
    MatchResult,
    /// The studio's back-end said which other match decides a match.
    MatchLink,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its id; the transfers that it caused name it as their event.
    pub id: EventId,
    /// What was done.
    pub kind: OperationKind,
    /// The source.
    pub source: SourceName,
    /// The player's, the match's or the contest's id at the provider.
    pub subject: String,
    /// The match, where it is about one.
    pub match_no: Option<i64>,
    /// Who did it.
    pub actor: String,
    /// Who agreed, where two persons were needed.
    pub approved_by: Option<String>,
    /// Why.
    pub reason: String,
    /// How much, where it is a deposit or a withdrawal.
    pub amount: Option<Money>,
    /// What else there is to know, a JSON object.
    pub detail: Value,
}

impl OperationKind {
    const ALL: [Self; 11] = [
        Self::Deposit,
        Self::Withdrawal,
        Self::Correction,
        Self::Deadline,
        Self::RewardRelease,
        Self::RewardReversal,
        Self::RewardRetry,
        Self::StatsCorrection,
        Self::PlayerLinks,
        Self::MatchResult,
        Self::MatchLink,
    ];

    /// The word for it in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::Correction => "correction",
            Self::Deadline => "deadline",
            Self::RewardRelease => "reward_release",
            Self::RewardReversal => "reward_reversal",
            Self::RewardRetry => "reward_retry",
            Self::StatsCorrection => "stats_correction",
            Self::PlayerLinks => "player_links",
            Self::MatchResult => "match_result",
            Self::MatchLink => "match_link",
        }
    }
}

/// Records an operation. False when there is one of this id already: then nothing is written, and the caller's
/// effects are there too.
///
/// # Errors
/// [`crate::Error`].
pub async fn record_in_tx(tx: &Tx<'_>, operation: &Operation) -> Result<bool> {
    let amount = operation.amount.as_ref();
    let (minor, currency) = (amount.map(|m| m.minor_units), amount.map(|m| m.currency.as_str()));
    let sql =
        "INSERT INTO operation (operation_id, kind, source, subject, match_no, actor, approved_by, reason,
                                      amount, currency, detail)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (operation_id) DO NOTHING";
    let parameters: crate::client::Params<'_> = &[
        &operation.id.uuid(),
        &operation.kind.as_str(),
        &operation.source.as_str(),
        &operation.subject,
        &operation.match_no,
        &operation.actor,
        &operation.approved_by,
        &operation.reason,
        &minor,
        &currency,
        &operation.detail,
    ];
    Ok(tx.execute(sql, parameters).await? == 1)
}

/// An operation with the time at which it was recorded.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, id: EventId) -> Result<Option<(Operation, Timestamp)>> {
    let sql = format!("SELECT {COLUMNS} FROM operation WHERE operation_id = $1");
    client.query_opt(&sql, &[&id.uuid()]).await?.as_ref().map(read).transpose()
}

/// As [`find`], within a transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn find_in_tx(tx: &Tx<'_>, id: EventId) -> Result<Option<(Operation, Timestamp)>> {
    let sql = format!("SELECT {COLUMNS} FROM operation WHERE operation_id = $1");
    tx.query(&sql, &[&id.uuid()]).await?.first().map(read).transpose()
}

const COLUMNS: &str = "operation_id, kind, source, subject, match_no, actor, approved_by, reason, amount, currency, \
                       detail, at";

fn read(row: &Row) -> Result<(Operation, Timestamp)> {
    let unreadable =
        |what| move || Error::Stored { what, source: "a value that this version does not know".into() };
    let word: &str = row.try_get("kind")?;
    let kind = OperationKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    let amount: Option<i64> = row.try_get("amount")?;
    let currency: Option<&str> = row.try_get("currency")?;
    let money = |(amount, code)| {
        Ok::<_, Error>(Money::new(
            amount,
            CurrencyCode::parse(code).map_err(|_| unreadable("operation's currency")())?,
        ))
    };
    let operation = Operation {
        id: EventId::from_uuid(row.try_get("operation_id")?),
        kind: kind.ok_or_else(unreadable("kind of operation"))?,
        source: SourceName::parse(row.try_get("source")?).map_err(|_| unreadable("operation's source")())?,
        subject: row.try_get("subject")?,
        match_no: row.try_get("match_no")?,
        actor: row.try_get("actor")?,
        approved_by: row.try_get("approved_by")?,
        reason: row.try_get("reason")?,
        amount: amount.zip(currency).map(money).transpose()?,
        detail: row.try_get("detail")?,
    };
    Ok((operation, row.try_get::<_, At>("at")?.0))
}
