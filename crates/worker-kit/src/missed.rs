//! What a worker never got although the archive has it, brought to it from there.
//!
//! An event counts as published when any queue has taken it. So when a worker's queue is deleted, or a binding is taken
//! away, what is in it and what is published until it is declared again reaches the others only. Nobody is told: hence it
//! is looked for. An event that is archived, whose worker has neither applied nor parked it although its queue has been
//! seen empty since, is not on its way any more.

use std::collections::BTreeMap;
use std::time::Instant;

use matchpurse_bus::{Destination, Status};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_store::{Result, Store, missed, replays, spool};
use serde_json::json;

use crate::metric;

/// Who stands in the table of replays.
const ACTOR: &str = "matchpurse";
/// How far back a worker looks that has just started, in events of each source, and of the last week. What was missed
/// before that is brought back by `matchpurse replay`.
const BACK_AT_START: i64 = 100_000;
/// How many places of a chain are looked at in one transaction.
const PART: i64 = 10_000;
/// How many events are brought back in one transaction.
const EVENTS: i64 = 500;

/// Looks for what a worker has missed.
pub(crate) struct Search {
    store: Store,
    queue: Queue,
    /// Up to here each source has been looked through.
    done: BTreeMap<String, i64>,
    waiting: Option<Waiting>,
}

/// What will be looked through when the queue has been seen empty.
struct Waiting {
    heads: Vec<(String, i64)>,
    since: Instant,
    /// When it was seen that the queue had been empty; what was in somebody's hands then has ended at the turn after.
    emptied: bool,
}

impl Search {
    pub(crate) fn new(store: Store, queue: Queue) -> Self {
        Self { store, queue, done: BTreeMap::new(), waiting: None }
    }

    /// One turn: takes down how long the archive is; or sees whether the queue has been empty since; or looks.
    ///
    /// # Errors
    /// [`matchpurse_store::Error`]: what was not looked through is at the next turn.
    pub(crate) async fn turn(&mut self, status: &Status) -> Result<()> {
        match &mut self.waiting {
            None => {
                let heads = missed::heads(&self.store.client().await?).await?;
                self.waiting = Some(Waiting { heads, since: Instant::now(), emptied: false });
            }
            Some(waiting) if waiting.emptied => {
                let heads = waiting.heads.clone();
                for (source, head) in heads {
                    self.look_through(&source, head).await?;
                }
                self.waiting = None;
            }
            Some(waiting) => {
                waiting.emptied = status.since_empty().is_some_and(|ago| ago < waiting.since.elapsed());
            }
        }
        Ok(())
    }

    async fn look_through(&mut self, source: &str, head: i64) -> Result<()> {
        loop {
            let after =
                self.done.get(source).copied().unwrap_or_else(|| head.saturating_sub(BACK_AT_START).max(0));
            if after >= head {
                return Ok(());
            }
            let through = head.min(after.saturating_add(PART));
            let Some(reached) = self.bring_back(source, (after, through)).await? else { return Ok(()) };
            self.done.insert(source.to_owned(), reached);
            // Not further where something is still being tried.
            if reached < through {
                return Ok(());
            }
        }
    }

    /// Hands what is missing in a part of a chain to the worker, and returns how far nothing is missing; none when another
    /// process does it at this moment.
    async fn bring_back(&self, source: &str, part: (i64, i64)) -> Result<Option<i64>> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        let Some(found) = missed::find_in_tx(&tx, self.queue, source, part, EVENTS).await? else {
            return Ok(None);
        };
        let count = found.events.len();
        if count > 0 {
            let worker = self.queue.worker();
            let reason = format!("{worker} never got them");
            let scope =
                json!({"source": source, "from_seq": part.0 + 1, "to_seq": part.1, "workers": [worker]});
            replays::note_in_tx(&tx, ACTOR, &reason, &scope, count).await?;
            let to = vec![Destination::Worker(self.queue)];
            // Not marked as a replay, which goes past the inbox: whoever has applied one meanwhile has it there.
            let messages: Vec<_> =
                found.events.into_iter().map(|event| (Message::new(event, None), to.clone())).collect();
            spool::append_in_tx(&tx, &messages).await?;
        }
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
        Ok(Some(found.through))
    }
}
