//! Archived events, applied once more. What they did before they do not do again, because every effect has a permanent
//! key; so a replay repairs what is missing and changes nothing else.

use std::collections::BTreeSet;

use matchpurse_bus::Destination;
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use matchpurse_domain::ids::EventId;
use matchpurse_store::events::{EventFilter, Place, oldest};
use matchpurse_store::{Result, Store, erasure, replays, spool};
use serde_json::json;
use uuid::Uuid;

use crate::rewards::Author;

/// The workers that a replay may be for: all but the archive's, which has what is replayed.
pub const WORKERS: [Queue; 4] =
    [Queue::MatchEscrow, Queue::RewardFulfillment, Queue::PlayerStats, Queue::OfferRemoval];

/// Which events, for which workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Which events.
    pub filter: EventFilter,
    /// For which workers; of these, an event goes to those that want it.
    pub workers: Vec<Queue>,
}

impl Scope {
    /// The workers of this replay that want events of this payload.
    pub fn wanting(&self, payload: PayloadName) -> impl Iterator<Item = Queue> {
        self.workers.iter().copied().filter(move |queue| queue.payloads().contains(&payload))
    }
}

/// A replay on its way, page by page. Who asks for it decides how fast.
#[derive(Debug)]
pub struct Replaying {
    id: Uuid,
    scope: Scope,
    after: Option<Place>,
}

/// What a page was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The events that were looked at; 0 at the end.
    pub read: usize,
    /// Those that a worker wants, and that are on their way to it now.
    pub handed_on: usize,
    /// Those that told of a player who was erased, and are not applied again.
    pub erased: usize,
    /// The place of the last of them in the spool; 0 where there was none.
    pub place: i64,
}

/// Begins a replay, and notes who wants it and why.
///
/// # Errors
/// [`matchpurse_store::Error`].
pub async fn begin(store: &Store, scope: Scope, author: &Author) -> Result<Replaying> {
    let filter = &scope.filter;
    let noted = json!({
        "source": filter.source,
        "subject": filter.subject,
        "type": filter.event_type,
        "from_us": filter.from.map(|at| at.micros()),
        "to_us": filter.to.map(|at| at.micros()),
        "workers": scope.workers.iter().map(|queue| queue.worker()).collect::<Vec<_>>(),
    });
    let id = replays::begin(&store.client().await?, &author.actor, &author.reason, &noted).await?;
    Ok(Replaying { id, scope, after: None })
}

impl Replaying {
    /// Hands the next events on, oldest first, at most so many: into the spool, for the workers that want them. Broken off
    /// before or after, it can be begun anew, and what was handed on twice is applied once.
    ///
    /// # Errors
    /// [`matchpurse_store::Error`]: nothing of this page was handed on.
    pub async fn page(&mut self, store: &Store, limit: u32) -> Result<Page> {
        let mut client = store.client().await?;
        let lines = oldest(&client, &self.scope.filter, self.after, limit).await?;
        let last = lines.last().map(|line| line.place());
        let read = lines.len();
        let tx = client.begin().await?;
        let ids: Vec<EventId> = lines.iter().map(|line| line.event.id).collect();
        let erased = erasure::erased_in_tx(&tx, &ids).await?;
        let messages: Vec<(Message, Vec<Destination>)> = lines
            .into_iter()
            .filter(|line| !erased.contains(&line.event.id))
            .filter_map(|line| {
                let workers: Vec<Destination> =
                    self.scope.wanting(line.event.payload.name()).map(Destination::Worker).collect();
                (!workers.is_empty()).then(|| (Message::new(line.event, None).replayed(self.id), workers))
            })
            .collect();
        let place = spool::append_in_tx(&tx, &messages).await?;
        replays::count_in_tx(&tx, self.id, messages.len()).await?;
        tx.commit().await?;
        self.after = last.or(self.after);
        Ok(Page { read, handed_on: messages.len(), erased: erased.len(), place })
    }

    /// How many of the events that were handed on up to this place have not been applied yet.
    ///
    /// # Errors
    /// [`matchpurse_store::Error`].
    pub async fn waiting(&self, store: &Store, place: i64) -> Result<u64> {
        let workers: BTreeSet<Queue> = self.scope.workers.iter().copied().collect();
        let destinations: Vec<Destination> = workers.into_iter().map(Destination::Worker).collect();
        store.spooled_until(&destinations, place).await
    }

    /// Notes that everything was handed on.
    ///
    /// # Errors
    /// [`matchpurse_store::Error`].
    pub async fn finish(self, store: &Store) -> Result<()> {
        replays::finish(&store.client().await?, self.id).await
    }
}
