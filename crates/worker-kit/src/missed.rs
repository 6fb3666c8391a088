//! What a worker never got although the archive has it, brought to it from there.
//!
//! An event counts as published when any queue has taken it. So when a worker's queue is deleted, or a binding is taken
//! away, what is in it and what is published until it is declared again reaches the others only. Nobody is told: hence it
//! is looked for. An event that is archived, whose worker has neither applied nor parked it although its queue has been
//! seen empty since and some time has gone by, is not on its way any more.
//!
//! Brought back by mistake, because a process held it for longer than that, an event is applied once all the same: it goes
//! through the inbox.

use std::time::Instant;

use matchpurse_bus::{Destination, Status};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::Event;
use matchpurse_store::missed::{self, Missed};
use matchpurse_store::{Result, Store, Tx, chain, replays, spool};
use serde_json::json;

use crate::metric;

/// Who stands in the table of replays.
const ACTOR: &str = "matchpurse";
/// How many places of a chain are looked at in one transaction.
const PART: i64 = 10_000;
/// How many events are brought back in one transaction.
const EVENTS: usize = 500;
/// How many may wait for the worker in the spool, which others need too, before the search pauses until its next turn.
const SPOOLED_MAX: i64 = 10_000;
/// How many turns must go by after the queue was seen empty: in that time what was in somebody's hands is applied, parked,
/// given back, or counted as tried. At the 10 s between two turns that stand in the defaults it is a minute.
const PATIENCE_TURNS: u32 = 6;

/// Looks for what a worker has missed, turn by turn.
pub struct Search {
    store: Store,
    queue: Queue,
    waiting: Option<Waiting>,
}

/// What will be looked through when the queue has been seen empty.
struct Waiting {
    heads: Vec<(String, i64)>,
    since: Instant,
    /// How many turns have gone by since it was seen that the queue had been empty.
    emptied: Option<u32>,
}

/// How far a source was looked through.
enum Progress {
    /// As far as it was meant to be, or another process does it at this moment.
    Done,
    /// The worker has enough to do: on at the next turn.
    Paused,
}

impl Search {
    /// For the worker of this queue.
    pub fn new(store: Store, queue: Queue) -> Self {
        Self { store, queue, waiting: None }
    }

    /// One turn: takes down how long the archive is; or sees whether the queue has been empty since; or, six turns
    /// later, looks.
    ///
    /// # Errors
    /// [`matchpurse_store::Error`], the first one, after all other sources were looked through: what was not is at one of
    /// the next turns.
    pub async fn turn(&mut self, status: &Status) -> Result<()> {
        let Some(waiting) = &mut self.waiting else {
            let heads = missed::heads(&self.store.client().await?).await?;
            self.waiting = Some(Waiting { heads, since: Instant::now(), emptied: None });
            return Ok(());
        };
        match &mut waiting.emptied {
            None => {
                if status.since_empty().is_some_and(|ago| ago < waiting.since.elapsed()) {
                    waiting.emptied = Some(0);
                }
                Ok(())
            }
            Some(turns) => {
                *turns = turns.saturating_add(1);
                if *turns < PATIENCE_TURNS {
                    return Ok(());
                }
                self.look().await
            }
        }
    }

    /// Looks through every source; one that fails does not keep the others waiting.
    async fn look(&mut self) -> Result<()> {
        let Some(Waiting { heads, since, emptied }) = self.waiting.take() else { return Ok(()) };
        let mut paused = Vec::new();
        let mut first_error = Ok(());
        for (source, head) in heads {
            match self.look_through(&source, head).await {
                Ok(Progress::Done) => {}
                Ok(Progress::Paused) => paused.push((source, head)),
                Err(error) => {
                    let (worker, reason) = (self.queue.worker(), chain(&error));
                    tracing::error!(worker, source, reason, "what a worker never got was not found out");
                    first_error = first_error.and(Err(error));
                }
            }
        }
        if !paused.is_empty() {
            self.waiting = Some(Waiting { heads: paused, since, emptied });
        }
        first_error
    }

    async fn look_through(&self, source: &str, head: i64) -> Result<Progress> {
        let mut place = missed::begin(&self.store.client().await?, self.queue, source, head).await?;
        // Where the next search begins, if not at the end of this one.
        let mut held = None;
        let mut unreadable = Ok(());
        while place < head {
            let client = self.store.client().await?;
            if missed::waiting(&client, self.queue, SPOOLED_MAX).await? >= SPOOLED_MAX {
                return unreadable.map(|()| Progress::Paused);
            }
            drop(client);
            let part = (place, head.min(place.saturating_add(PART)));
            let Some(found) = self.bring_back(source, part, held).await? else { break };
            held = held.or(found.held);
            place = found.reached;
            for (seq, error) in found.unreadable {
                let (worker, reason) = (self.queue.worker(), chain(&error));
                tracing::error!(
                    worker,
                    source,
                    seq,
                    reason,
                    "an archived event that this worker never got cannot be read; it is held"
                );
                unreadable = unreadable.and(Err(error));
            }
        }
        unreadable.map(|()| Progress::Done)
    }

    /// Hands what is missing in a part of a chain to the worker, and notes from where the next search need look: from what
    /// is `held`, in an earlier part or in this one. None when another process does it at this moment.
    async fn bring_back(&self, source: &str, part: (i64, i64), held: Option<i64>) -> Result<Option<Missed>> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        let Some(mut found) = missed::find_in_tx(&tx, self.queue, source, part, EVENTS).await? else {
            return Ok(None);
        };
        let events = std::mem::take(&mut found.events);
        let count = events.len();
        if count > 0 {
            self.append_in_tx(&tx, source, (part.0, found.reached), events).await?;
        }
        let through = held.or(found.held).map_or(found.reached, |held| held.saturating_sub(1));
        missed::note_in_tx(&tx, self.queue, source, through).await?;
        tx.commit().await?;
        if count > 0 {
            let (worker, events) = (self.queue.worker(), u64::try_from(count).unwrap_or(u64::MAX));
            metrics::counter!(metric::MISSED, "worker" => worker).increment(events);
            tracing::error!(
                worker,
                source,
                events,
                "archived events had never reached this worker, as if somebody had deleted its queue; they are brought to it"
            );
        }
        Ok(Some(found))
    }

    async fn append_in_tx(
        &self,
        tx: &Tx<'_>,
        source: &str,
        (after, through): (i64, i64),
        events: Vec<Event>,
    ) -> Result<()> {
        let worker = self.queue.worker();
        let reason = format!("{worker} never got them");
        let scope = json!({"source": source, "from_seq": after.saturating_add(1), "to_seq": through, "workers": [worker]});
        replays::note_in_tx(tx, ACTOR, &reason, &scope, events.len()).await?;
        let to = vec![Destination::Worker(self.queue)];
        // Not marked as a replay, which goes past the inbox: whoever has applied one meanwhile has it there.
        let messages: Vec<_> =
            events.into_iter().map(|event| (Message::new(event, None), to.clone())).collect();
        spool::append_in_tx(tx, &messages).await?;
        Ok(())
    }
}
