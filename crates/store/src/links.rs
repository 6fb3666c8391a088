//! Which identities are one person's. A person is a set of two identities or more; who is in none stands alone.
//!
//! Links only serve reading: totals, ratings, boards and money stay with the identity, so linking and unlinking move
//! nothing. Changes are made one at a time, by one lock for all, because a change reads the sets that it changes: there
//! are few of them, and so two cannot leave an identity in two sets, nor wait for each other in a circle.

use std::collections::BTreeSet;

use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::words::word;
use crate::{Client, Result, Tx, players};

/// The key of the advisory lock under which links change: the letters `matchlnk`.
const LOCK: i64 = 0x6d61_7463_686c_6e6b;

/// A player's id at one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The source.
    pub source: SourceName,
    /// The provider's id.
    pub player_id: PlayerId,
}

impl Identity {
    /// The key by which tables name it.
    pub fn key(&self) -> Uuid {
        self.player_id.key(&self.source)
    }
}

/// The identities of the person whose this one is, itself included, in the order of sources and ids. Who is not
/// linked, or not even known, stands alone.
///
/// # Errors
/// [`crate::Error`].
pub async fn person_of(client: &Client, identity: &Identity) -> Result<BTreeSet<Identity>> {
    let found = client.query(MEMBERS, &[&identity.key()]).await?;
    members(&found, identity)
}

/// True when an event or a person has named this identity.
///
/// # Errors
/// [`crate::Error`].
pub async fn is_known(client: &Client, identity: &Identity) -> Result<bool> {
    let sql = "SELECT FROM player WHERE player_key = $1";
    Ok(client.query_opt(sql, &[&identity.key()]).await?.is_some())
}

const MEMBERS: &str = "SELECT p.source, p.player_id
                         FROM player_link l JOIN player_link own USING (person)
                         JOIN player p ON p.player_key = l.player_key
                        WHERE own.player_key = $1";

fn members(rows: &[Row], identity: &Identity) -> Result<BTreeSet<Identity>> {
    let mut members: BTreeSet<Identity> = rows.iter().map(read).collect::<Result<_>>()?;
    members.insert(identity.clone());
    Ok(members)
}

fn read(row: &Row) -> Result<Identity> {
    Ok(Identity {
        source: word(row, "source", |text| SourceName::parse(text).ok())?,
        player_id: PlayerId::new(row.try_get::<_, String>("player_id")?),
    })
}

/// Waits until nobody else changes links, until the end of the transaction, and returns the identities of the person
/// whose this one is, itself included.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_in_tx(tx: &Tx<'_>, identity: &Identity) -> Result<BTreeSet<Identity>> {
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    members(&tx.query(MEMBERS, &[&identity.key()]).await?, identity)
}

/// Of these identities, those that are some person's. Needs [`lock_in_tx`].
///
/// # Errors
/// [`crate::Error`].
pub async fn linked_in_tx(tx: &Tx<'_>, identities: &BTreeSet<Identity>) -> Result<BTreeSet<Identity>> {
    let keys: Vec<Uuid> = identities.iter().map(Identity::key).collect();
    let sql = "SELECT p.source, p.player_id FROM player_link l JOIN player p USING (player_key)
                WHERE l.player_key = ANY($1)";
    tx.query(sql, &[&keys]).await?.iter().map(read).collect()
}

/// Makes the set `before` the set `after`. What of `before` is not in `after` stands alone from now on, and so does who
/// is left alone. Needs [`lock_in_tx`], and that nobody in `after` is another person's.
///
/// # Errors
/// [`crate::Error`].
pub async fn change_in_tx(
    tx: &Tx<'_>,
    before: &BTreeSet<Identity>,
    after: &BTreeSet<Identity>,
) -> Result<()> {
    let named: Vec<_> =
        after.iter().map(|identity| (identity.source.clone(), identity.player_id.clone())).collect();
    players::remember_in_tx(tx, &named).await?;
    let alone = after.len() < 2;
    let goes = |identity: &&Identity| alone || !after.contains(identity);
    let gone: Vec<Uuid> = before.iter().filter(goes).map(Identity::key).collect();
    tx.execute("DELETE FROM player_link WHERE player_key = ANY($1)", &[&gone]).await?;
    if alone {
        return Ok(());
    }
    let keys: Vec<Uuid> = after.iter().map(Identity::key).collect();
    // The person stays the same as long as anybody of it does.
    let sql = "INSERT INTO player_link (player_key, person)
               SELECT key, coalesce((SELECT person FROM player_link WHERE player_key = ANY($1) LIMIT 1), $2)
                 FROM unnest($1::uuid[]) AS new (key) ORDER BY key
               ON CONFLICT (player_key) DO NOTHING";
    tx.execute(sql, &[&keys, &new_id_in_tx(tx).await?.uuid()]).await?;
    Ok(())
}

/// An id that nothing else has.
///
/// # Errors
/// [`crate::Error`].
pub async fn new_id_in_tx(tx: &Tx<'_>) -> Result<EventId> {
    Ok(EventId::from_uuid(tx.query_one("SELECT gen_random_uuid()", &[]).await?.try_get(0)?))
}
