//! An archived event as a line of an exported file: a JSON object that says all that its hash covers, so that the
//! file can be verified by itself. `docs/archive.md` is its documentation.

use std::pin::pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt as _;
use matchpurse_contracts::{v1, wire};
use matchpurse_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::days::attached_in_tx;
use super::{GENESIS, Row};
use crate::time::At;
use crate::{Error, Result, Store, Tx};

/// One line. Times are microseconds since 1970, hashes are hexadecimal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    /// The source.
    pub source: String,
    /// Its place in its source's chain, from 1.
    pub seq: i64,
    /// The event's id.
    pub event_id: String,
    /// The id of the first event of its delivery.
    pub delivery_id: String,
    /// Which kind of event it is.
    pub payload: String,
    /// The provider.
    pub provider: String,
    /// The provider's own name for what happened.
    pub provider_type: String,
    /// What it is about.
    pub subject: String,
    /// When the provider says that it happened.
    pub occurred_at_us: Option<i64>,
    /// When the delivery reached us.
    pub received_at_us: i64,
    /// When it was archived.
    pub archived_at_us: i64,
    /// The body that came, where it is UTF-8; empty where another event of the delivery has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raw: Option<String>,
    /// The body that came, in Base64, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raw_base64: Option<String>,
    /// The event without its body, as protobuf bytes in Base64.
    pub event_base64: String,
    /// The same in protobuf's JSON, to be read by people; null where this version could not read it.
    pub normalized: Value,
    /// The hash of the row before, of zeros before the first.
    pub before: String,
    /// The hash: SHA-256 over the hash before and the fields, each with its length.
    pub hash: String,
    /// Of a row whose body was erased: the same over its own hash and what is left of the fields.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sealed: Option<String>,
}

/// Why a line is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is no JSON object of this form.
    #[error("it is no exported event: {0}")]
    Json(String),
    /// A field is not what it must be.
    #[error("`{0}` cannot be read")]
    Field(&'static str),
    /// The normalized form says something else than the event.
    #[error("`normalized` is not what `event_base64` says")]
    Normalized,
}

/// A line with its fields in bytes.
pub(super) struct Parsed {
    line: Exported,
    event_id: Uuid,
    delivery_id: Uuid,
    raw: Vec<u8>,
    event: Vec<u8>,
    pub(super) before: Vec<u8>,
    pub(super) hash: Vec<u8>,
    pub(super) sealed: Option<Vec<u8>>,
}

impl Parsed {
    /// Reads a line.
    pub(super) fn read(text: &[u8]) -> Result<Self, LineError> {
        let line: Exported =
            serde_json::from_slice(text).map_err(|error| LineError::Json(error.to_string()))?;
        let base64 = |text: &str, field| STANDARD.decode(text).map_err(|_| LineError::Field(field));
        let raw = match (&line.raw, &line.raw_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => base64(text, "raw_base64")?,
            _ => return Err(LineError::Field("raw")),
        };
        let uuid = |text: &str, field| Uuid::parse_str(text).map_err(|_| LineError::Field(field));
        let event = base64(&line.event_base64, "event_base64")?;
        if normalized(&event).is_some_and(|normalized| normalized != line.normalized) {
            return Err(LineError::Normalized);
        }
        Ok(Self {
            event_id: uuid(&line.event_id, "event_id")?,
            delivery_id: uuid(&line.delivery_id, "delivery_id")?,
            raw,
            event,
            before: unhex(&line.before).ok_or(LineError::Field("before"))?,
            hash: unhex(&line.hash).ok_or(LineError::Field("hash"))?,
            sealed: match &line.sealed {
                Some(seal) => Some(unhex(seal).ok_or(LineError::Field("sealed"))?),
                None => None,
            },
            line,
        })
    }

    pub(super) fn source(&self) -> &str {
        &self.line.source
    }

    /// The fields as they enter the hash.
    pub(super) fn row(&self) -> Row<'_> {
        Row {
            source: &self.line.source,
            seq: self.line.seq,
            event_id: self.event_id,
            delivery_id: self.delivery_id,
            payload: &self.line.payload,
            provider: &self.line.provider,
            provider_type: &self.line.provider_type,
            subject: &self.line.subject,
            occurred_at: self.line.occurred_at_us.map(Timestamp::from_micros),
            received_at: Timestamp::from_micros(self.line.received_at_us),
            archived_at: Timestamp::from_micros(self.line.archived_at_us),
            raw: &self.raw,
            event: &self.event,
        }
    }
}

/// The event in protobuf's JSON; none where this version cannot read it.
fn normalized(event: &[u8]) -> Option<Value> {
    let event = wire::decode(event).ok()?;
    serde_json::to_value(v1::Event::from(event)).ok()
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

/// Which events are exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted<'w> {
    source: Option<&'w str>,
    from: Option<&'w str>,
    to: Option<&'w str>,
}

impl Store {
    /// Hands on the archived events of a source, or of all, of the days `from` to `to`, both with them
    /// (`YYYY-MM-DD`), day by day and in the order of their chains, all of one moment; returns how many. A few are
    /// in memory at a time. `each` may end it by an error.
    ///
    /// # Errors
    /// [`crate::Error`]; those of `each`.
    pub async fn export_archive<E: From<Error>>(
        &self,
        source: Option<&str>,
        from: Option<&str>,
        to: Option<&str>,
        each: &mut (dyn FnMut(Exported) -> Result<(), E> + Send),
    ) -> Result<u64, E> {
        let mut client = self.client().await?;
        let tx = client.begin_snapshot().await?;
        let wanted = Wanted { source, from, to };
        let mut exported = 0_u64;
        for day in attached_in_tx(&tx).await? {
            if wanted.from.is_some_and(|from| day.as_str() < from)
                || wanted.to.is_some_and(|to| day.as_str() > to)
            {
                continue;
            }
            exported = exported.saturating_add(export_day(&tx, &wanted, &day, each).await?);
        }
        Ok(exported)
    }
}

async fn export_day<E: From<Error>>(
    tx: &Tx<'_>,
    wanted: &Wanted<'_>,
    day: &str,
    each: &mut (dyn FnMut(Exported) -> Result<(), E> + Send),
) -> Result<u64, E> {
    // The sources of the day first: each has its own row before the first.
    let sources = tx
        .query("SELECT source FROM archive_head WHERE $1::text IS NULL OR source = $1 ORDER BY source COLLATE \"C\"", &[
            &wanted.source,
        ])
        .await?;
    let mut exported = 0_u64;
    for source in &sources {
        let source: &str = source.try_get(0).map_err(Error::from)?;
        let sql = format!(
            "SELECT a.source, a.seq, a.event_id, delivery_id, payload, provider, provider_type, subject, occurred_at,
                    received_at, archived_at, raw, event, a.hash, t.sealed
               FROM archive a
               LEFT JOIN archive_tombstone t ON (t.source, t.seq, t.hash) = (a.source, a.seq, a.hash)
              WHERE a.source = $1 AND day = '{day}' ORDER BY a.seq"
        );
        let mut before: Option<Vec<u8>> = None;
        // Of the day's first row only: its place is found before the others are asked for.
        let first = format!("SELECT min(seq) FROM archive WHERE source = $1 AND day = '{day}'");
        let first: Option<i64> =
            tx.query_once(&first, &[&source]).await?.first().and_then(|row| row.try_get(0).ok().flatten());
        let Some(first) = first else { continue };
        let hash = "SELECT hash FROM archive WHERE source = $1 AND seq = $2
                    UNION ALL SELECT hash FROM archive_detached WHERE source = $1 AND last_seq = $2";
        if first > 1 {
            let rows = tx.query(hash, &[&source, &first.saturating_sub(1)]).await?;
            before = rows.first().map(|row| row.try_get(0)).transpose().map_err(Error::from)?;
        }
        let mut before = before.unwrap_or_else(|| GENESIS.to_vec());
        let mut rows = pin!(tx.stream_once(&sql, &[&source]).await?);
        while let Some(row) = rows.try_next().await? {
            let hash: Vec<u8> = row.try_get("hash").map_err(Error::from)?;
            each(line(&row, &before)?)?;
            before = hash;
            exported = exported.saturating_add(1);
        }
    }
    Ok(exported)
}

/// A row as a line.
fn line(row: &tokio_postgres::Row, before: &[u8]) -> Result<Exported> {
    let (raw, event): (&[u8], &[u8]) = (row.try_get("raw")?, row.try_get("event")?);
    let text = str::from_utf8(raw).ok().map(str::to_owned);
    let at = |column: &str| Ok::<_, Error>(row.try_get::<_, At>(column)?.0.micros());
    Ok(Exported {
        source: row.try_get("source")?,
        seq: row.try_get("seq")?,
        event_id: row.try_get::<_, Uuid>("event_id")?.to_string(),
        delivery_id: row.try_get::<_, Uuid>("delivery_id")?.to_string(),
        payload: row.try_get("payload")?,
        provider: row.try_get("provider")?,
        provider_type: row.try_get("provider_type")?,
        subject: row.try_get("subject")?,
        occurred_at_us: row.try_get::<_, Option<At>>("occurred_at")?.map(|at| at.0.micros()),
        received_at_us: at("received_at")?,
        archived_at_us: at("archived_at")?,
        raw_base64: text.is_none().then(|| STANDARD.encode(raw)),
        raw: text,
        event_base64: STANDARD.encode(event),
        normalized: normalized(event).unwrap_or(Value::Null),
        before: hex(before),
        hash: hex(row.try_get("hash")?),
        sealed: row.try_get::<_, Option<&[u8]>>("sealed")?.map(hex),
    })
}
