//! Erasure of one player's personal data, while everything that was counted still adds up.
//!
//! The rows are changed by functions of the database that run with the owner's rights (`V23__erasure_steps.sql`): a service may
//! call them, and has no right to what they do. They replace the one id by a pseudonym, which is drawn here at random, and
//! take bodies away. What is found by the player's key changes at once; the archive, and texts that may name the player,
//! are gone through in steps. Between two of them an erasure may stand still for as long as it likes.

use std::collections::{BTreeMap, HashSet};

use matchpurse_contracts::topology::Queue;
use matchpurse_domain::ids::{EventId, PlayerId};
use matchpurse_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::links::Identity;
use crate::time::At;
use crate::{Client, Error, Result, Tx};

/// The SQLSTATE of what an erasure refuses.
const REFUSED: &str = "ES025";

/// How often another pseudonym is drawn where one is taken: of the shortest there are few.
const DRAWS_MAX: u32 = 50;

/// Letters of a pseudonym behind its `~`: 6 bits each.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Letters of a short one, 4 bits each: nobody's id consists of these alone.
const SIGNS: &[u8; 16] = b"!$()*,.:;=@_{|}~";

/// The longest id that is written in [`SIGNS`], in bytes.
const SHORT_MAX: usize = 4;

/// Whom, who asks, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The erasure's id: the same for a repeat.
    pub id: Uuid,
    /// The player.
    pub identity: Identity,
    /// Who asks.
    pub actor: String,
    /// Why. Where it names the player, the pseudonym is put there.
    pub reason: String,
}

/// Something of the player that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// `balance`, `match`, `correction`, `reward`, `redemption`, `game`, `anomaly`, `parked`, `notice` or `event`.
    pub what: String,
    /// The currency, the match's id, the grant's id, a number, a webhook-id, an event's id.
    pub about: String,
    /// How much money is in it, minor units.
    pub amount: Option<i64>,
    /// Its currency.
    pub currency: Option<String>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// Something is open; nothing was changed. At most 20 of a kind.
    Open(Vec<Open>),
    /// It was asked for before, or the player is being erased already.
    Known(Erasure),
    /// What is found by the player's key is the pseudonym's now; the rest follows by [`step`].
    Begun(Erasure),
}

/// An erasure. It says nothing of whom it was about, but the pseudonym.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// The source.
    pub source: String,
    /// Whose name everything has now that the player had.
    pub pseudonym: String,
    /// True when all is done.
    pub finished: bool,
    /// Who asked for it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Rows that named the player, by table.
    pub changed: BTreeMap<String, i64>,
    /// Bodies that were taken out of the archive.
    pub bodies: i64,
    /// Days of the source's archive that had left it before, `YYYY-MM-DD`: their files and tables are out of reach.
    pub days_left: Vec<String>,
    /// True when the source told of the id again before the end, as of somebody new.
    pub came_back: bool,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

const COLUMNS: &str = "erasure_id, source, pseudonym, state = 'finished', actor, reason, changed, bodies,
                       array(SELECT to_char(d, 'YYYY-MM-DD') FROM unnest(days_left) AS d ORDER BY d), came_back, began_at,
                       finished_at";

fn read(row: &Row) -> Result<Erasure> {
    let changed: Value = row.try_get(6)?;
    Ok(Erasure {
        id: row.try_get(0)?,
        source: row.try_get(1)?,
        pseudonym: row.try_get(2)?,
        finished: row.try_get(3)?,
        actor: row.try_get(4)?,
        reason: row.try_get(5)?,
        changed: stored(changed)?,
        bodies: row.try_get(7)?,
        days_left: row.try_get(8)?,
        came_back: row.try_get(9)?,
        began_at: row.try_get::<_, At>(10)?.0,
        finished_at: row.try_get::<_, Option<At>>(11)?.map(|at| at.0),
    })
}

fn stored<T: serde::de::DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::Stored { what: "erasure", source: error.into() })
}

/// What the database answers to a request.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Answer {
    Open { open: Vec<Open> },
    Known { erasure_id: String },
    Begun { erasure_id: String },
}

/// Begins an erasure, or says what is open. With `only_look` everything is done and taken back again, so that what it
/// tells is what would be.
///
/// # Errors
/// [`crate::Error`].
pub async fn begin(client: &mut Client, request: &Request, only_look: bool) -> Result<Begun> {
    let mut draws = 0;
    loop {
        let tx = client.begin().await?;
        draws += 1;
        match begin_in_tx(&tx, request).await {
            Err(error) if error.code() == Some(REFUSED) && draws < DRAWS_MAX => tx.rollback().await?,
            Err(error) => return Err(error),
            Ok(Begun::Begun(erasure)) if !only_look => {
                tx.commit().await?;
                return Ok(Begun::Begun(erasure));
            }
            Ok(begun) => {
                tx.rollback().await?;
                return Ok(begun);
            }
        }
    }
}

async fn begin_in_tx(tx: &Tx<'_>, request: &Request) -> Result<Begun> {
    let Request { id, identity, actor, reason } = request;
    let (source, player) = (identity.source.as_str(), identity.player_id.as_str());
    let pseudonym = draw_in_tx(tx, player.len()).await?;
    let pseudonym_key = PlayerId::new(pseudonym.clone()).key(&identity.source);
    // Whoever has not applied what the archive has would tell of the player after all.
    let (workers, payloads): (Vec<&str>, Vec<&str>) = Queue::ALL
        .into_iter()
        .filter(|queue| *queue != Queue::EventArchive)
        .flat_map(|queue| queue.payloads().iter().map(move |payload| (queue.worker(), payload.as_str())))
        .unzip();
    let sql = "SELECT erasure_begin($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let key = identity.key();
    let row = tx
        .query_one(
            sql,
            &[id, &source, &player, &key, &pseudonym, &pseudonym_key, actor, reason, &workers, &payloads],
        )
        .await?;
    let of = async |id: String| {
        let sql = format!("SELECT {COLUMNS} FROM erasure WHERE erasure_id::text = $1");
        read(&tx.query_one(&sql, &[&id]).await?)
    };
    Ok(match stored(row.try_get(0)?)? {
        Answer::Open { open } => Begun::Open(open),
        Answer::Known { erasure_id } => Begun::Known(of(erasure_id).await?),
        Answer::Begun { erasure_id } => Begun::Begun(of(erasure_id).await?),
    })
}

/// A name of so many bytes that nothing leads to. It is as long as the id: then what is stored as bytes with lengths in them
/// can have it in the id's place.
async fn draw_in_tx(tx: &Tx<'_>, length: usize) -> Result<String> {
    let rows = tx
        .query(
            "SELECT gen_random_uuid() FROM generate_series(1, $1::integer)",
            &[&i32::try_from(length / 14 + 1).unwrap_or(i32::MAX)],
        )
        .await?;
    let mut random = Vec::with_capacity(length);
    for row in &rows {
        let uuid: Uuid = row.try_get(0)?;
        // Two of the sixteen bytes say which kind of UUID it is.
        let bytes = uuid.as_bytes().iter().enumerate().filter(|(at, _)| !matches!(at, 6 | 8));
        random.extend(bytes.map(|(_, byte)| *byte));
    }
    Ok(pseudonym(&random, length))
}

fn pseudonym(random: &[u8], length: usize) -> String {
    let letter = |alphabet: &[u8], byte: u8| {
        let at = usize::from(byte) % alphabet.len().max(1);
        alphabet.get(at).copied().map_or('~', char::from)
    };
    if length <= SHORT_MAX {
        return random.iter().take(length).map(|byte| letter(SIGNS, *byte)).collect();
    }
    let letters = random.iter().take(length.saturating_sub(1)).map(|byte| letter(LETTERS, *byte));
    std::iter::once('~').chain(letters).collect()
}

/// Goes on with an erasure: so many rows more are looked at, in one transaction. False when nothing is left to do. Anybody
/// may go on with it, also several at once: each step is done once.
///
/// # Errors
/// [`crate::Error`]: the step was not done.
pub async fn step(client: &mut Client, id: Uuid, rows: u32) -> Result<bool> {
    let tx = client.begin().await?;
    let rows = i32::try_from(rows).unwrap_or(i32::MAX);
    let more = tx.query_one("SELECT erasure_step($1, $2)", &[&id, &rows]).await?.try_get(0)?;
    tx.commit().await?;
    Ok(more)
}

/// One erasure.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, id: Uuid) -> Result<Option<Erasure>> {
    let sql = format!("SELECT {COLUMNS} FROM erasure WHERE erasure_id = $1");
    client.query_opt(&sql, &[&id]).await?.as_ref().map(read).transpose()
}

/// Erasures that have not come to their end, the oldest first.
///
/// # Errors
/// [`crate::Error`].
pub async fn running(client: &Client) -> Result<Vec<Uuid>> {
    let sql = "SELECT erasure_id FROM erasure WHERE state = 'running' ORDER BY position";
    client.query(sql, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Of these events, those that told of somebody who was erased since: they are not applied again, by whatever way they come.
///
/// # Errors
/// [`crate::Error`].
pub async fn erased_in_tx(tx: &Tx<'_>, events: &[EventId]) -> Result<HashSet<EventId>> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.uuid()).collect();
    let rows = tx.query("SELECT event_id FROM erased_event WHERE event_id = ANY ($1)", &[&ids]).await?;
    rows.iter().map(|row| Ok(EventId::from_uuid(row.try_get(0)?))).collect()
}

/// The seal of a row of the archive whose body is gone, as its erasure left it.
///
/// # Errors
/// [`crate::Error`].
pub async fn seal_of(client: &Client, source: &str, seq: i64) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT sealed FROM archive_tombstone WHERE source = $1 AND seq = $2";
    client.query_opt(sql, &[&source, &seq]).await?.map(|row| Ok(row.try_get(0)?)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_as_long_as_the_id_and_is_nobodys() {
        let random: Vec<u8> = (0..=255).collect();
        for length in 1..=200 {
            let made = pseudonym(&random, length);
            assert_eq!(made.len(), length);
            assert!(made.starts_with('~') || made.chars().all(|c| !c.is_ascii_alphanumeric()), "{made}");
        }
    }
}
