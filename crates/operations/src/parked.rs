//! What people do about deliveries that could not be applied: have them applied after all, or not.
//!
//! | parked because | a replay is |
//! | --- | --- |
//! | a worker could not apply it | the same message again, for that worker only |
//! | the broker gave it up | the same; for every worker that wants it, where nobody knows whose it was |
//! | nobody could read it | what today's adapter makes of it, published like any event |
//!
//! What is handed on is put into the spool in the transaction that closes the parked delivery. So it is either still
//! parked or durably on its way, whenever anything is killed; and asked for twice, it is done once.

use matchpurse_bus::Destination;
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::{self, Message};
use matchpurse_domain::event::{Event, Kept, PayloadName};
use matchpurse_domain::ids::{EventId, derived_uuid};
use matchpurse_store::parked::{Parked, ParkedKind, Resolution, lock_in_tx, resolve_in_tx};
use matchpurse_store::{Store, spool};

pub use crate::rewards::Author;

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing was done about a parked delivery; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such parked delivery.
    #[error("there is no such parked delivery")]
    NoParked,
    /// Something else was done about it before, and that stands.
    #[error("it was {resolution} by {by} already")]
    Resolved {
        /// `replayed` or `discarded`.
        resolution: String,
        /// Who did it.
        by: String,
    },
    /// What is parked is no event, so there is nothing to hand on.
    #[error("it is no event, so it can only be discarded: {0}")]
    NoEvent(String),
    /// The archive does not have its body any more, or does not say what vouched for it.
    #[error("the archive does not have its body, or not what vouched for it, so it cannot be read once more")]
    NotArchived,
    /// It cannot be read today either.
    #[error("{0}")]
    Unreadable(String),
    /// The database; see [`matchpurse_store::Error::is_transient`] for whether to try again.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The parked delivery as it is now.
    pub parked: Parked,
    /// The events that were handed on; none when it was discarded or had been done before.
    pub events: Vec<EventId>,
    /// True when it had been done before and nothing was done now.
    pub repeated: bool,
}

/// Where events go that are new to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlet {
    /// By the broker, to whoever has a queue for them.
    Broker,
    /// There is no broker: to our workers.
    Workers,
}

/// Reads an archived delivery with today's adapter, or says why not.
pub type Reader<'r> = &'r (dyn Fn(&Kept) -> Result<Vec<Event>, String> + Send + Sync);

/// Has a parked delivery applied once more.
///
/// # Errors
/// [`Error`].
pub async fn replay(
    store: &Store,
    id: i64,
    author: &Author,
    read: Reader<'_>,
    outlet: Outlet,
) -> Result<Done> {
    let parked = store.parked_by_id(id).await?.ok_or(Error::NoParked)?;
    let messages = match &parked.resolved {
        // Nothing is handed on, so it is not looked at either: it may be readable by now, or not any more.
        Some(_) => Vec::new(),
        None => messages(store, &parked, read, outlet).await?,
    };
    resolve(store, id, Resolution::Replayed, author, &messages).await
}

/// What a replay would hand on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// The event.
    pub id: EventId,
    /// What it is.
    pub payload: PayloadName,
    /// What it is, of which provider and source.
    pub routing_key: String,
    /// The workers that it would go to; none by name where it goes to the broker.
    pub workers: Vec<&'static str>,
}

/// What [`replay`] would hand on, without doing it.
///
/// # Errors
/// Those that the replay would end with.
pub async fn rehearse(store: &Store, id: i64, read: Reader<'_>, outlet: Outlet) -> Result<Vec<Handed>> {
    let parked = store.parked_by_id(id).await?.ok_or(Error::NoParked)?;
    if let Some(earlier) = parked.resolved {
        return Err(Error::Resolved { resolution: earlier.resolution, by: earlier.by });
    }
    let worker = |destination: &Destination| match destination {
        Destination::Worker(queue) => Some(queue.worker()),
        Destination::Broker => None,
    };
    let messages = messages(store, &parked, read, outlet).await?;
    Ok(messages
        .into_iter()
        .map(|(message, destinations)| Handed {
            id: EventId::from_uuid(message.id),
            payload: message.payload,
            routing_key: message.routing_key,
            workers: destinations.iter().filter_map(worker).collect(),
        })
        .collect())
}

/// Decides that a parked delivery is not wanted. It stays readable.
///
/// # Errors
/// [`Error`].
pub async fn discard(store: &Store, id: i64, author: &Author) -> Result<Done> {
    resolve(store, id, Resolution::Discarded, author, &[]).await
}

type Addressed = (Message, Vec<Destination>);

async fn resolve(
    store: &Store,
    id: i64,
    resolution: Resolution,
    author: &Author,
    messages: &[Addressed],
) -> Result<Done> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let parked = lock_in_tx(&tx, id).await?.ok_or(Error::NoParked)?;
    if let Some(earlier) = &parked.resolved {
        if earlier.resolution == resolution.as_str() {
            return Ok(Done { parked, events: Vec::new(), repeated: true });
        }
        let (resolution, by) = (earlier.resolution.clone(), earlier.by.clone());
        return Err(Error::Resolved { resolution, by });
    }
    let events: Vec<EventId> = messages.iter().map(|(message, _)| EventId::from_uuid(message.id)).collect();
    let became = if parked.kind == ParkedKind::Unrecognized { events.as_slice() } else { &[] };
    spool::append_in_tx(&tx, messages).await?;
    resolve_in_tx(&tx, id, resolution, &author.actor, &author.reason, became).await?;
    tx.commit().await?;
    drop(client);
    let parked = store.parked_by_id(id).await?.ok_or(Error::NoParked)?;
    Ok(Done { parked, events, repeated: false })
}

async fn messages(
    store: &Store,
    parked: &Parked,
    read: Reader<'_>,
    outlet: Outlet,
) -> Result<Vec<Addressed>> {
    let event =
        wire::decode(&parked.body).map_err(|error| Error::NoEvent(matchpurse_store::chain(&error)))?;
    if parked.kind == ParkedKind::Unrecognized {
        let kept = store.kept(event.delivery_id).await?.ok_or(Error::NotArchived)?;
        let events = read(&kept).map_err(Error::Unreadable)?;
        let address = |event: Event| {
            let message = Message::new(event, parked.traceparent.as_deref());
            let destinations = match outlet {
                Outlet::Broker => vec![Destination::Broker],
                Outlet::Workers => Queue::wanting(message.payload).map(Destination::Worker).collect(),
            };
            (message, destinations)
        };
        return Ok(events.into_iter().map(address).collect());
    }
    let destinations = match Queue::by_name(&parked.queue) {
        Some(queue) => vec![Destination::Worker(queue)],
        None => Queue::wanting(event.payload.name()).map(Destination::Worker).collect(),
    };
    // The bytes as they came: a newer version may have written what this one does not know.
    let message = Message {
        body: parked.body.clone().into(),
        routing_key: parked.routing_key.clone(),
        ..Message::new(event, parked.traceparent.as_deref())
    };
    let replay = derived_uuid("parked replay", &[&parked.id.to_string()]);
    Ok(vec![(message.replayed(replay), destinations)])
}
