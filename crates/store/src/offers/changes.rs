//! What changed, in an order by which a stream can be resumed.
//!
//! Identities are given before a commit, so a row of a smaller one may appear after a greater one was read. Here a row is
//! shown only when every transaction up to its own has ended: nothing appears behind what has been shown.

use matchpurse_domain::event::Standing;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::offers::OfferState;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;

use super::Position;
use crate::later::own;
use crate::time::At;
use crate::words::{unknown, word};
use crate::{Client, Listener, Result, StoreOptions, Tx};

/// The channel on which PostgreSQL tells that something changed.
const CHANNEL: &str = "matchpurse_offers";

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// An offer is new.
    OfferCreated,
    /// An offer is closed to new players.
    OfferRemoved,
    /// An offer that was removed is open again.
    OfferRestored,
    /// Something else is said of an offer.
    OfferUpdated,
    /// A player is shown no offers any more.
    PlayerBanned,
    /// A player is as everybody again.
    PlayerUnbanned,
}

/// What an offer or a player is after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An offer, open or closed to new players.
    Offer(OfferState),
    /// A player, banned or not.
    Player(Standing),
}

/// A change that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChange {
    /// The source.
    pub source: SourceName,
    /// What happened.
    pub kind: ChangeKind,
    /// The provider's id of the offer or player.
    pub subject: String,
    /// What it is now.
    pub state: State,
    /// When, by the provider's clock.
    pub changed_at: Timestamp,
}

/// A change with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the order of all changes.
    pub position: Position,
    /// The change.
    pub change: NewChange,
}

/// A part of the changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// In order.
    pub changes: Vec<Change>,
    /// How far this slice goes: whoever has its changes has everything up to here, of the sources that it is of.
    pub upto: Position,
    /// True when the limit cut it off, and there is more at once.
    pub more: bool,
    /// True when there are changes that cannot be shown yet, because a transaction that began before them still runs.
    pub held: bool,
    /// True when changes that stand behind the place that was asked from are gone, or that place is none of this
    /// database.
    pub lost: bool,
}

impl ChangeKind {
    const ALL: [Self; 6] = [
        Self::OfferCreated,
        Self::OfferRemoved,
        Self::OfferRestored,
        Self::OfferUpdated,
        Self::PlayerBanned,
        Self::PlayerUnbanned,
    ];

    /// The word for it in the database and in the stream.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OfferCreated => "offer.created",
            Self::OfferRemoved => "offer.removed",
            Self::OfferRestored => "offer.restored",
            Self::OfferUpdated => "offer.updated",
            Self::PlayerBanned => "player.banned",
            Self::PlayerUnbanned => "player.unbanned",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl State {
    /// The word for it in the database and in the stream.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer(state) => state.as_str(),
            Self::Player(standing) => standing.as_str(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let standing = [Standing::Banned, Standing::Good].into_iter().find(|it| it.as_str() == text);
        OfferState::parse(text).map(Self::Offer).or(standing.map(Self::Player))
    }
}

/// Records changes in this order, with what comes next in the transaction; the rows that they are of must be locked. Wakes
/// the streams at commit.
///
/// # Errors
/// [`crate::Error`].
pub async fn record_changes_in_tx(tx: &Tx<'_>, changes: &[NewChange]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let sources: Vec<String> = changes.iter().map(|change| change.source.as_str().to_owned()).collect();
    let kinds: Vec<&str> = changes.iter().map(|change| change.kind.as_str()).collect();
    let subjects: Vec<String> = changes.iter().map(|change| change.subject.clone()).collect();
    let states: Vec<&str> = changes.iter().map(|change| change.state.as_str()).collect();
    let times: Vec<At> = changes.iter().map(|change| At(change.changed_at)).collect();
    // The greater xid keeps a subject's changes in the order of its lock, which the earlier change had and released. It
    // is no less than this transaction's own, so nobody is shown the row, nor anything behind it, before the commit.
    let sql = "INSERT INTO offer_change (xid, source, kind, subject, state, changed_at)
               SELECT greatest(pg_current_xact_id(),
                               (SELECT earlier.xid FROM offer_change earlier
                                 WHERE earlier.source = n.source AND earlier.subject = n.subject
                                 ORDER BY earlier.xid DESC LIMIT 1)),
                      n.source, kind, n.subject, state, changed_at
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
                   WITH ORDINALITY AS n (source, kind, subject, state, changed_at, place)
                ORDER BY place";
    tx.later(sql, vec![own(sources), own(kinds), own(subjects), own(states), own(times)]);
    tx.tell(CHANNEL);
    Ok(())
}

/// The present place: what is read of offers and standings after this has all changes up to it.
///
/// # Errors
/// [`crate::Error`].
pub async fn position(client: &Client) -> Result<Position> {
    let row = client.query_one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text", &[]).await?;
    Ok(Position { xid: xid(row.try_get(0)?)?, id: 0 })
}

/// At most `limit` changes behind a place, of one source or of all, in order.
///
/// # Errors
/// [`crate::Error`].
pub async fn changes_after(
    client: &Client,
    source: Option<&SourceName>,
    after: Position,
    limit: u32,
) -> Result<Slice> {
    // One source and all of them have an index each, so there are two statements.
    let condition = if source.is_some() { "source = $4" } else { "$4::text IS NULL" };
    // All in one statement, so that what was pruned, what is shown and what still runs are of one moment.
    let sql = format!(
        "WITH present AS MATERIALIZED (
           SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin,
                  (SELECT xid FROM offer_change ORDER BY xid DESC, id DESC LIMIT 1) AS last_xid)
         SELECT present.xmin::text, horizon.xid::text AS horizon_xid, horizon.id AS horizon_id,
                coalesce(present.last_xid >= present.xmin, false) AS held,
                c.xid::text, c.id, c.source, c.kind, c.subject, c.state, c.changed_at
           FROM present CROSS JOIN offer_change_horizon horizon
           LEFT JOIN LATERAL (
                SELECT * FROM offer_change
                 WHERE (xid, id) > ($1::text::xid8, $2::int8) AND xid < present.xmin AND {condition}
                 ORDER BY xid, id LIMIT $3) c ON true"
    );
    let rows = client
        .query(&sql, &[&after.xid.to_string(), &after.id, &i64::from(limit), &source.map(SourceName::as_str)])
        .await?;
    let first = rows.first().ok_or_else(|| unknown("horizon of the changes"))?;
    let present = Position { xid: xid(first.try_get("xmin")?)?, id: 0 };
    let horizon = Position { xid: xid(first.try_get("horizon_xid")?)?, id: first.try_get("horizon_id")? };
    let held = first.try_get("held")?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(id) = row.try_get::<_, Option<i64>>("id")? {
            changes.push(change(row, id)?);
        }
    }
    let more = u32::try_from(changes.len()).is_ok_and(|count| count >= limit);
    let last = changes.last().map(|change| change.position);
    Ok(Slice {
        upto: last.filter(|_| more).unwrap_or(present.max(after)),
        more,
        held,
        lost: after < horizon || after.xid > present.xid,
        changes,
    })
}

fn change(row: &Row, id: i64) -> Result<Change> {
    let At(changed_at) = row.try_get("changed_at")?;
    Ok(Change {
        position: Position { xid: xid(row.try_get("xid")?)?, id },
        change: NewChange {
            source: word(row, "source", |text| SourceName::parse(text).ok())?,
            kind: word(row, "kind", ChangeKind::parse)?,
            subject: row.try_get("subject")?,
            state: word(row, "state", State::parse)?,
            changed_at,
        },
    })
}

/// As text: the driver knows no such type.
fn xid(text: &str) -> Result<u64> {
    text.parse().map_err(|_| unknown("transaction id"))
}

/// Begins to listen for changes. What was told before is not told, so whoever listens looks once by himself.
///
/// # Errors
/// When the database is away.
pub async fn listen(options: &StoreOptions) -> Result<Listener> {
    Listener::to(options, CHANNEL).await
}

/// Forgets at most `limit` changes that were recorded before a time, and says how many; less than `limit` means that
/// none are left.
///
/// # Errors
/// [`crate::Error`].
pub async fn prune_changes(client: &mut Client, before: Timestamp, limit: u32) -> Result<u64> {
    let tx = client.begin().await?;
    // Whoever prunes holds the horizon, so two of them take turns.
    tx.query("SELECT FROM offer_change_horizon FOR UPDATE", &[]).await?;
    let sql = "WITH old AS MATERIALIZED (
                 SELECT xid, id FROM offer_change
                  WHERE recorded_at < $1 AND xid < pg_snapshot_xmin(pg_current_snapshot())
                  ORDER BY recorded_at LIMIT $2),
               gone AS (
                 DELETE FROM offer_change c USING old WHERE (c.xid, c.id) = (old.xid, old.id)
                 RETURNING c.xid, c.id),
               last AS (SELECT xid, id FROM gone ORDER BY xid DESC, id DESC LIMIT 1),
               moved AS (
                 UPDATE offer_change_horizon h SET xid = last.xid, id = last.id
                   FROM last WHERE (last.xid, last.id) > (h.xid, h.id))
               SELECT count(*) FROM gone";
    let gone: i64 = tx.query_one(sql, &[&At(before), &i64::from(limit)]).await?.try_get(0)?;
    tx.commit().await?;
    Ok(gone.unsigned_abs())
}
