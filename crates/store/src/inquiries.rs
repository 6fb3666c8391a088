//! What providers are asked, because no webhook may have told it.
//!
//! | step | what it does | locks, in this order |
//! | --- | --- | --- |
//! | [`look`] | notes which matches there is a reason to ask about | – |
//! | [`want`] | notes somebody who is to be asked about without one | the question |
//! | [`claim`] | takes questions that are due | the questions, skipping what is locked |
//! | [`match_need`], [`offers_held`] | what is known, right before the call | none: no transaction is open |
//! | the call, and the publishing of what it found | none of this module's business | none |
//! | [`attach`] | puts an answer beside the open anomalies about its match | the anomalies, by number |
//! | [`answered`], [`close`] | writes what came of it, and when it is asked again | the question |
//!
//! As with deliveries, a claim is a lease: who has died is replaced when it ends, and an answer that is asked for twice is
//! published twice, under the same ids.

mod attach;
mod need;

use matchpurse_domain::time::Timestamp;

pub use self::attach::{Evidence, attach};
pub use self::need::{Cursor, MatchNeed, Patience, look, look_players, match_need, offers_held, player_need};
use crate::time::At;
use crate::words::storable;
use crate::{Client, Result};

/// The longest detail that is kept, in characters.
const DETAIL_CHARS_MAX: usize = 500;

/// A question: what a source's provider is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The source.
    pub source: String,
    /// The word of what is asked: `offers`, `match`, `players_matches`.
    pub kind: String,
    /// The provider's id of the match or player; empty where it is about none.
    pub subject: String,
}

/// A question that the caller holds until the end of its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// What is asked.
    pub question: Question,
    claim: i64,
    /// How often there was no answer, since the last one.
    pub failures: u32,
    /// How many of the last lists in a row were empty and not believed.
    pub empty_lists: u32,
    /// The validator of the last list.
    pub etag: Option<String>,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered<'a> {
    /// In a word.
    pub outcome: &'a str,
    /// In words, where they say more; without anything secret.
    pub detail: &'a str,
    /// There was an answer.
    pub is_answer: bool,
    /// Events that were published.
    pub events: i64,
    /// The validator of the list, if it is to be asked for by that; none forgets it.
    pub etag: Option<&'a str>,
    /// How many of the last lists in a row were empty and not believed.
    pub empty_lists: u32,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it is asked again.
    pub due_at: Timestamp,
}

/// A question as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InquiryLine {
    /// What is asked.
    pub question: Question,
    /// When it is asked next, or, while somebody asks, when another one may.
    pub due_at: Timestamp,
    /// When it was asked last.
    pub asked_at: Option<Timestamp>,
    /// When it was answered last.
    pub answered_at: Option<Timestamp>,
    /// What came of the last time, in a word.
    pub outcome: Option<String>,
    /// And in words.
    pub detail: Option<String>,
    /// How often there was no answer, since the last one.
    pub failures: i32,
    /// Events that were published of its answers, repeats too.
    pub events: i64,
}

/// Notes a question that is always asked; one that stands already stays as it is.
///
/// # Errors
/// [`crate::Error`].
pub async fn open(client: &Client, question: &Question, due_at: Timestamp) -> Result<()> {
    let sql =
        "INSERT INTO inquiry (source, kind, subject, due_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    let Question { source, kind, subject } = question;
    client.execute(sql, &[source, kind, subject, &At(due_at)]).await?;
    Ok(())
}

/// Notes a question that is to be asked at once, and again until `until`, although nothing that is known gives a
/// reason for it. Whoever asks it just now has lost it: what is answered there may be from before.
///
/// # Errors
/// [`crate::Error`].
pub async fn want(client: &Client, question: &Question, now: Timestamp, until: Timestamp) -> Result<()> {
    let sql =
        "INSERT INTO inquiry AS i (source, kind, subject, due_at, wanted_until) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (source, kind, subject) DO UPDATE
                  SET claims = i.claims + 1, due_at = least(i.due_at, excluded.due_at),
                      wanted_until = greatest(i.wanted_until, excluded.wanted_until)";
    let Question { source, kind, subject } = question;
    client.execute(sql, &[source, kind, subject, &At(now), &At(until)]).await?;
    Ok(())
}

/// Takes questions of a source that are due, the longest due first, at most so many. They are the caller's until
/// `lease_until`.
///
/// # Errors
/// [`crate::Error`]; then none is taken, or it is due again when the lease would have ended.
pub async fn claim(
    client: &Client,
    source: &str,
    kinds: &[&str],
    most: u32,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<Claimed>> {
    let sql = "WITH due AS MATERIALIZED (
                 SELECT source, kind, subject FROM inquiry
                  WHERE source = $1 AND kind = ANY ($2) AND due_at <= $3
                  ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED)
               UPDATE inquiry AS i SET claims = i.claims + 1, due_at = $4
                 FROM due WHERE (i.source, i.kind, i.subject) = (due.source, due.kind, due.subject)
               RETURNING i.source, i.kind, i.subject, i.claims, i.failures, i.empty_lists, i.etag";
    let rows = client.query(sql, &[&source, &kinds, &At(now), &At(lease_until), &i64::from(most)]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Claimed {
            question: Question { source: row.try_get(0)?, kind: row.try_get(1)?, subject: row.try_get(2)? },
            claim: row.try_get(3)?,
            failures: u32::try_from(row.try_get::<_, i32>(4)?).unwrap_or(0),
            empty_lists: u32::try_from(row.try_get::<_, i32>(5)?).unwrap_or(0),
            etag: row.try_get(6)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Writes what came of a claimed question. False when it is another's by now, or gone.
///
/// # Errors
/// [`crate::Error`]; then it is asked again when its lease ends.
pub async fn answered(client: &Client, claimed: &Claimed, answered: &Answered<'_>) -> Result<bool> {
    let sql = "UPDATE inquiry
                  SET due_at = $5, asked_at = $6, outcome = $7, detail = $8, etag = $9, empty_lists = $10,
                      events = events + $11, failures = CASE WHEN $12 THEN 0 ELSE failures + 1 END,
                      answered_at = CASE WHEN $12 THEN clock_timestamp() ELSE answered_at END
                WHERE (source, kind, subject, claims) = ($1, $2, $3, $4)";
    let Question { source, kind, subject } = &claimed.question;
    let Answered { outcome, detail, is_answer, events, etag, empty_lists, asked_at, due_at } = answered;
    let detail = storable(detail, DETAIL_CHARS_MAX);
    let empty_lists = i32::try_from(*empty_lists).unwrap_or(i32::MAX);
    let parameters: crate::client::Params<'_> = &[
        source,
        kind,
        subject,
        &claimed.claim,
        &At(*due_at),
        &At(*asked_at),
        outcome,
        &detail.as_ref(),
        etag,
        &empty_lists,
        events,
        is_answer,
    ];
    Ok(client.execute(sql, parameters).await? > 0)
}

/// Nobody has a reason to ask any more.
///
/// # Errors
/// [`crate::Error`].
pub async fn close(client: &Client, claimed: &Claimed) -> Result<()> {
    let sql = "DELETE FROM inquiry WHERE (source, kind, subject, claims) = ($1, $2, $3, $4)";
    let Question { source, kind, subject } = &claimed.question;
    client.execute(sql, &[source, kind, subject, &claimed.claim]).await?;
    Ok(())
}

/// How long the question of a source that is longest due has been so, in seconds; zero where none is.
///
/// # Errors
/// [`crate::Error`].
pub async fn overdue_s(client: &Client, source: &str, now: Timestamp) -> Result<f64> {
    let sql =
        "SELECT coalesce(extract(epoch FROM $2 - min(due_at)), 0)::float8 FROM inquiry WHERE source = $1";
    let overdue: f64 = client.query_one(sql, &[&source, &At(now)]).await?.try_get(0)?;
    Ok(overdue.max(0.0))
}

/// The questions that stand, of a source or of all, those that failed most first; at most so many.
///
/// # Errors
/// [`crate::Error`].
pub async fn list(client: &Client, source: Option<&str>, limit: u32) -> Result<Vec<InquiryLine>> {
    let sql = "SELECT source, kind, subject, due_at, asked_at, answered_at, outcome, detail, failures, events
                 FROM inquiry WHERE $1::text IS NULL OR source = $1
                ORDER BY failures DESC, due_at, source, kind, subject LIMIT $2";
    let read = |row: &tokio_postgres::Row| {
        let at = |place: usize| Ok::<_, crate::Error>(row.try_get::<_, Option<At>>(place)?.map(|At(at)| at));
        Ok(InquiryLine {
            question: Question { source: row.try_get(0)?, kind: row.try_get(1)?, subject: row.try_get(2)? },
            due_at: row.try_get::<_, At>(3)?.0,
            asked_at: at(4)?,
            answered_at: at(5)?,
            outcome: row.try_get(6)?,
            detail: row.try_get(7)?,
            failures: row.try_get(8)?,
            events: row.try_get(9)?,
        })
    };
    client.query(sql, &[&source, &i64::from(limit)]).await?.iter().map(read).collect()
}
