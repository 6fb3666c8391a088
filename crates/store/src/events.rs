//! Looking for events in the archive.

use std::collections::BTreeMap;

use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use crate::conditions::Conditions;
use crate::time::At;
use crate::{Client, Result};

mod page;

pub use page::{EventPage, newest};

/// Which events are wanted; all of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// The source.
    pub source: Option<String>,
    /// The match, contest, player or offer that they are about.
    pub subject: Option<String>,
    /// The provider's name for what happened, or ours.
    pub event_type: Option<String>,
    /// That came at this time or later.
    pub from: Option<Timestamp>,
    /// That came before this time.
    pub to: Option<Timestamp>,
}

impl EventFilter {
    fn conditions(&self) -> Conditions {
        let anywhere = Conditions::new();
        // The index of subjects begins with the source, so it is asked for each that there is.
        let of_any_source = "source = ANY (ARRAY(SELECT source FROM archive_head))";
        let anywhere = match (&self.source, &self.subject) {
            (None, Some(_)) => anywhere.always(of_any_source),
            _ => anywhere,
        };
        anywhere
            .and("source = ?", self.source.clone())
            .and("subject = ?", self.subject.clone())
            .and("(provider_type = ? OR payload = ?)", self.event_type.clone())
            .and("received_at >= ?", self.from.map(At))
            .and("received_at < ?", self.to.map(At))
    }
}

/// The place of an event in a list of them: when it came, and its id.
pub type Place = (Timestamp, EventId);

/// An archived event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLine {
    /// Its place in its source's chain.
    pub seq: i64,
    /// When it was archived.
    pub archived_at: Timestamp,
    /// The event, without its delivery's body.
    pub event: Event,
}

impl EventLine {
    /// Its place in the list.
    pub const fn place(&self) -> Place {
        (self.event.received_at, self.event.id)
    }
}

/// The events that came first, those after a place if one is given; at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn oldest(
    client: &Client,
    filter: &EventFilter,
    after: Option<Place>,
    limit: u32,
) -> Result<Vec<EventLine>> {
    let place = "received_at >= ?1 AND (received_at > ?1 OR event_id < ?2)";
    let conditions = filter.conditions().and_both(place, after.map(columns));
    read(client, conditions, "received_at, event_id DESC", limit).await
}

/// How many events there are.
///
/// # Errors
/// [`crate::Error`].
pub async fn count(client: &Client, filter: &EventFilter) -> Result<u64> {
    let conditions = filter.conditions();
    let sql = format!("SELECT count(*) FROM archive WHERE {}", conditions.sql());
    let row = client.query_one(&sql, &conditions.params()).await?;
    Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
}

/// How far a chain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of the last event.
    pub seq: i64,
    /// The day under which that is kept, as PostgreSQL writes it; those behind it are of this day or later ones. None for
    /// an empty chain.
    pub day: Option<String>,
}

/// How far the chain of each source goes.
///
/// # Errors
/// [`crate::Error`].
pub async fn heads(client: &Client) -> Result<BTreeMap<String, Head>> {
    let rows = client.query("SELECT source, seq, day::text FROM archive_head", &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, Head { seq: row.try_get(1)?, day: row.try_get(2)? })))
        .collect()
}

/// The events of a piece of a source's chain, in its order: those behind the `after`-th, up to the `upto`-th. The
/// filter's source does not count. Where it is known what day they are of at least, other days are not looked into.
///
/// # Errors
/// [`crate::Error`].
pub async fn piece_of_chain(
    client: &Client,
    filter: &EventFilter,
    source: &str,
    (after, upto): (i64, i64),
    not_before: Option<String>,
) -> Result<Vec<EventLine>> {
    let own = EventFilter { source: Some(source.to_owned()), ..filter.clone() };
    let conditions = own
        .conditions()
        .and_both("seq > ?1 AND seq <= ?2", Some((after, upto)))
        .and("day >= ?::text::date", not_before);
    // The piece is the bound.
    read(client, conditions, "seq", u32::MAX).await
}

fn columns((at, id): Place) -> (At, Uuid) {
    (At(at), id.uuid())
}

/// All that fits, in an order.
async fn read(client: &Client, conditions: Conditions, order: &str, limit: u32) -> Result<Vec<EventLine>> {
    let sql = format!(
        "SELECT seq, archived_at, event FROM archive WHERE {} ORDER BY {order} LIMIT {limit}",
        conditions.sql()
    );
    client.query(&sql, &conditions.params()).await?.iter().map(page::line).collect()
}
