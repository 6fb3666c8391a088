//! Every event with the body that brought it. The rows of a source form a chain: each hash covers the row and
//! the hash before it, so a row that is changed, removed or put in between is found.

use std::collections::{BTreeMap, HashSet};

use matchpurse_contracts::wire;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::later::own;
use crate::shared::Shared;
use crate::time::At;
use crate::{Result, Tx, heard};

mod chain;
mod days;
mod file;
mod line;
mod read;
mod verify;

pub use chain::ChainBreak;
pub use days::{Detached, Part};
pub use file::{FileProblem, FileReport, Segment, check_file};
pub use line::{Exported, LineError};
pub use read::Archived;
pub(crate) use verify::walk_chain;
pub use verify::{ChainReport, Walked};

/// What stands before the first row of a chain.
const GENESIS: [u8; 32] = [0; 32];

/// A row's fields, in the order in which they enter its hash.
struct Row<'r> {
    source: &'r str,
    seq: i64,
    event_id: Uuid,
    delivery_id: Uuid,
    payload: &'r str,
    provider: &'r str,
    provider_type: &'r str,
    subject: &'r str,
    occurred_at: Option<Timestamp>,
    received_at: Timestamp,
    archived_at: Timestamp,
    raw: &'r [u8],
    event: &'r [u8],
}

impl Row<'_> {
    /// SHA-256 over the hash before and every field, each with its length, so that no byte can move from one
    /// field to the next.
    fn hash(&self, before: &[u8]) -> [u8; 32] {
        let occurred_at = self.occurred_at.map(|at| at.micros().to_be_bytes());
        let fields: [&[u8]; 14] = [
            before,
            self.source.as_bytes(),
            &self.seq.to_be_bytes(),
            self.event_id.as_bytes(),
            self.delivery_id.as_bytes(),
            self.payload.as_bytes(),
            self.provider.as_bytes(),
            self.provider_type.as_bytes(),
            self.subject.as_bytes(),
            occurred_at.as_ref().map_or(&[], |bytes| bytes),
            &self.received_at.micros().to_be_bytes(),
            &self.archived_at.micros().to_be_bytes(),
            self.raw,
            self.event,
        ];
        let mut hash = Sha256::new();
        for field in fields {
            hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(field);
        }
        hash.finalize().into()
    }
}

/// Adds events at the end of their sources' chains; those that are archived already stay as they are.
///
/// The chains' ends are locked in the order of sources until the transaction ends, so this belongs at its
/// end. The rows travel with what comes next in it.
///
/// # Errors
/// [`crate::Error`].
pub async fn append_in_tx(tx: &Tx<'_>, events: &[Event], now: Timestamp) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let Locked { mut heads, mut known, days } = lock(tx, events, now).await?;
    let fresh: Vec<(&Event, bytes::Bytes)> =
        events.iter().filter(|event| known.insert(event.id.uuid())).map(with_encoded).collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let rows = link(&fresh, &mut heads, now);
    insert(tx, &fresh, &rows, &days);
    heard::count(tx, fresh.iter().map(|(event, _)| *event), now);
    move_heads(tx, &heads, &days);
    Ok(())
}

/// The ends of chains, by source: number and hash of the last row.
type Heads = BTreeMap<String, (i64, Vec<u8>)>;

/// An event with its protobuf bytes, without the body, which has a column of its own.
fn with_encoded(event: &Event) -> (&Event, bytes::Bytes) {
    (event, wire::encode(Event { raw: bytes::Bytes::new(), ..event.clone() }))
}

/// The events' rows with their hashes, each at the end of its source's chain, which moves.
fn link<'e>(
    events: &'e [(&'e Event, bytes::Bytes)],
    heads: &mut Heads,
    now: Timestamp,
) -> Vec<(Row<'e>, Vec<u8>)> {
    let mut rows = Vec::with_capacity(events.len());
    for (event, encoded) in events {
        let head = heads.entry(event.source.as_str().to_owned()).or_insert((0, GENESIS.to_vec()));
        head.0 = head.0.saturating_add(1);
        let row = row_of(event, encoded, head.0, now);
        head.1 = row.hash(&head.1).to_vec();
        rows.push((row, head.1.clone()));
    }
    rows
}

/// Where the chains end, by source, when an empty archive gets these events in this order: the number and the hash of
/// the last row. Nothing is stored; it is all of [`append_in_tx`] that needs no database.
pub fn chain_end(events: &[Event], now: Timestamp) -> BTreeMap<String, (i64, Vec<u8>)> {
    let encoded: Vec<(&Event, bytes::Bytes)> = events.iter().map(with_encoded).collect();
    let mut heads = Heads::new();
    link(&encoded, &mut heads, now);
    heads
}

fn row_of<'r>(event: &'r Event, encoded: &'r [u8], seq: i64, now: Timestamp) -> Row<'r> {
    Row {
        source: event.source.as_str(),
        seq,
        event_id: event.id.uuid(),
        delivery_id: event.delivery_id.uuid(),
        payload: event.payload.name().as_str(),
        provider: &event.provider,
        provider_type: &event.provider_type,
        subject: &event.subject,
        occurred_at: event.occurred_at,
        received_at: event.received_at,
        archived_at: now,
        raw: &event.raw,
        event: encoded,
    }
}

/// What the archive has when the ends of the sources' chains are locked.
struct Locked {
    heads: Heads,
    /// Which of the events are archived already.
    known: HashSet<Uuid>,
    /// The day under which each source's rows are kept now.
    days: BTreeMap<String, i32>,
}

/// Locks the ends of the chains of the events' sources and looks at what is behind them, which takes one round trip: each
/// statement sees what was committed before it began, so the others see what the lock was waited for.
async fn lock(tx: &Tx<'_>, events: &[Event], now: Timestamp) -> Result<Locked> {
    let mut sources: Vec<&str> = events.iter().map(|event| event.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    let ids: Vec<Uuid> = events.iter().map(|event| event.id.uuid()).collect();
    let lock = "SELECT source, seq, hash FROM archive_head WHERE source = ANY ($1)
                 ORDER BY source COLLATE \"C\" FOR UPDATE";
    let known = "SELECT event_id FROM archive_event WHERE event_id = ANY ($1)";
    let at = At(now);
    let look = async || {
        tx.query_three((lock, &[&sources]), (known, &[&ids]), (days::OF_SOURCES, &[&sources, &at])).await
    };
    let (mut heads, mut known, mut placed) = look().await?;
    if heads.len() < sources.len() {
        let add = "INSERT INTO archive_head (source, seq, hash)
                   SELECT source, 0, $2 FROM unnest($1::text[]) AS new (source) ORDER BY source COLLATE \"C\"
                   ON CONFLICT (source) DO NOTHING";
        tx.execute(add, &[&sources, &GENESIS.as_slice()]).await?;
        (heads, known, placed) = look().await?;
    }
    Ok(Locked {
        heads: heads
            .iter()
            .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?))))
            .collect::<Result<_>>()?,
        known: known.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?,
        days: days::made(tx, &sources, now, &placed).await?,
    })
}

/// Adds the rows of the events that are new.
fn insert(
    tx: &Tx<'_>,
    fresh: &[(&Event, bytes::Bytes)],
    rows: &[(Row<'_>, Vec<u8>)],
    days: &BTreeMap<String, i32>,
) {
    let all = || rows.iter().map(|(row, _)| row);
    let text = |field: for<'r> fn(&Row<'r>) -> &'r str| {
        own(all().map(|row| field(row).to_owned()).collect::<Vec<String>>())
    };
    let uuid = |field: fn(&Row<'_>) -> Uuid| own(all().map(field).collect::<Vec<Uuid>>());
    let time = |field: fn(&Row<'_>) -> At| own(all().map(field).collect::<Vec<At>>());
    let days = all().map(|row| days.get(row.source).copied().unwrap_or_default()).collect::<Vec<i32>>();
    let sql = "WITH added AS MATERIALIZED (
                 SELECT source, seq, event_id, delivery_id, payload, provider, provider_type, subject, occurred_at,
                        received_at, archived_at, raw, event, hash, date '2000-01-01' + day AS day
                   FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                          $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
                          $12::bytea[], $13::bytea[], $14::bytea[], $15::int[])
                     AS new (source, seq, event_id, delivery_id, payload, provider, provider_type, subject,
                             occurred_at, received_at, archived_at, raw, event, hash, day)),
               placed AS (
                 INSERT INTO archive_event (event_id, source, seq, day)
                 SELECT event_id, source, seq, day FROM added ORDER BY event_id)
               INSERT INTO archive (source, seq, event_id, delivery_id, payload, provider, provider_type,
                                    subject, occurred_at, received_at, archived_at, raw, event, hash, day)
               SELECT * FROM added";
    let params = vec![
        text(|row| row.source),
        own(all().map(|row| row.seq).collect::<Vec<i64>>()),
        uuid(|row| row.event_id),
        uuid(|row| row.delivery_id),
        text(|row| row.payload),
        text(|row| row.provider),
        text(|row| row.provider_type),
        text(|row| row.subject),
        own(all().map(|row| row.occurred_at.map(At)).collect::<Vec<Option<At>>>()),
        time(|row| At(row.received_at)),
        time(|row| At(row.archived_at)),
        own(fresh.iter().map(|(event, _)| Shared(event.raw.clone())).collect::<Vec<Shared>>()),
        own(fresh.iter().map(|(_, encoded)| Shared(encoded.clone())).collect::<Vec<Shared>>()),
        own(rows.iter().map(|(_, hash)| hash.clone()).collect::<Vec<Vec<u8>>>()),
        own(days),
    ];
    tx.later(sql, params);
}

fn move_heads(tx: &Tx<'_>, heads: &Heads, days: &BTreeMap<String, i32>) {
    let sources: Vec<String> = heads.keys().cloned().collect();
    let seqs: Vec<i64> = heads.values().map(|(seq, _)| *seq).collect();
    let hashes: Vec<Vec<u8>> = heads.values().map(|(_, hash)| hash.clone()).collect();
    let days: Vec<i32> = heads.keys().map(|source| days.get(source).copied().unwrap_or_default()).collect();
    let sql = "UPDATE archive_head AS h
                  SET seq = new.seq, hash = new.hash, day = greatest(h.day, date '2000-01-01' + new.day)
                 FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::int[]) AS new (source, seq, hash, day)
                WHERE h.source = new.source";
    tx.later(sql, vec![own(sources), own(seqs), own(hashes), own(days)]);
}
