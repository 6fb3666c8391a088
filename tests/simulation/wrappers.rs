//! The points at which a process can die: between it and everything that lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use matchpurse_bus::{
    Destination, FailureLog, FailureLogError, ParkedDelivery, PublishError, Publisher, Spool, SpoolError,
    Spooled,
};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::{Error, Tx};
use matchpurse_worker_kit::Effects;

use crate::conditions::Chance;
use crate::process::Process;

/// A publisher whose answers are heard when it is their task's turn.
pub(crate) struct InTurn {
    pub(crate) process: Process,
    pub(crate) inner: Arc<dyn Publisher>,
}

#[async_trait]
impl Publisher for InTurn {
    async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        let task = self.process.task();
        self.process.point("before it publishes").await;
        let published = self.inner.publish(messages).await;
        self.process.turn_of(task).await;
        published
    }

    fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }
}

/// A spool without a clock: leases and delays are over at once, so everything happens again as soon as it may.
pub(crate) struct Timeless {
    pub(crate) process: Process,
    pub(crate) inner: Arc<dyn Spool>,
    /// Set when there may be something in it.
    pub(crate) spooled: Arc<AtomicBool>,
}

#[async_trait]
impl Spool for Timeless {
    async fn append(&self, messages: &[(Message, Vec<Destination>)]) -> Result<(), SpoolError> {
        self.process.point("before it spools").await;
        self.spooled.store(true, Ordering::Relaxed);
        self.inner.append(messages).await?;
        self.process.note(format_args!("spools {}", messages.len()));
        self.process.point("when it has spooled").await;
        Ok(())
    }

    async fn claim(
        &self,
        destination: Destination,
        limit: usize,
        _: Duration,
    ) -> Result<Vec<Spooled>, SpoolError> {
        let claimed = self.inner.claim(destination, limit, Duration::ZERO).await?;
        if claimed.is_empty() {
            self.spooled.store(false, Ordering::Relaxed);
        } else {
            self.process.note(format_args!("claims {}", claimed.len()));
        }
        self.process.point("when it has claimed").await;
        Ok(claimed)
    }

    async fn done(&self, destination: Destination, positions: &[i64]) -> Result<(), SpoolError> {
        self.process.point("between publishing and forgetting").await;
        self.inner.done(destination, positions).await?;
        self.process.note(format_args!("forgets {}", positions.len()));
        self.process.point("when it has forgotten").await;
        Ok(())
    }

    async fn postpone(
        &self,
        destination: Destination,
        positions: &[(i64, Duration)],
    ) -> Result<(), SpoolError> {
        let at_once: Vec<_> = positions.iter().map(|(position, _)| (*position, Duration::ZERO)).collect();
        self.inner.postpone(destination, &at_once).await
    }

    async fn release_leases(&self) -> Result<u64, SpoolError> {
        self.inner.release_leases().await
    }

    async fn backlog(&self, destination: Destination) -> Result<(u64, Option<Duration>), SpoolError> {
        self.inner.backlog(destination).await
    }
}

/// A log of failures.
pub(crate) struct Log {
    pub(crate) process: Process,
    pub(crate) inner: Arc<dyn FailureLog>,
}

#[async_trait]
impl FailureLog for Log {
    async fn park(&self, parked: &[ParkedDelivery<'_>]) -> Result<(), FailureLogError> {
        self.process.point("before it parks").await;
        self.inner.park(parked).await?;
        self.process.note(format_args!(
            "parks {}: {}",
            parked.len(),
            parked.first().map_or("", |one| one.reason)
        ));
        self.process.point("when it has parked").await;
        Ok(())
    }
}

/// A worker's effects, some of whose transactions fail.
pub(crate) struct Mortal<E> {
    pub(crate) process: Process,
    pub(crate) inner: E,
    pub(crate) chance: Chance,
    /// How many transactions in a thousand fail.
    pub(crate) failures: u64,
}

/// What a database says: one that goes away, one that is busy, one in which something is wrong.
const FAILURES: [&str; 3] = ["57P01", "55P03", "XX000"];

#[async_trait]
impl<E: Effects> Effects for Mortal<E> {
    fn queue(&self) -> Queue {
        self.inner.queue()
    }

    async fn apply_in_tx(
        &self,
        tx: &Tx<'_>,
        events: &[Event],
        now: Timestamp,
    ) -> matchpurse_store::Result<()> {
        self.process.point("before it applies").await;
        if self.chance.permille(self.failures) {
            let code = self.chance.pick(&FAILURES).unwrap_or_default();
            self.process.note(format_args!("fails with {code}, over {} events", events.len()));
            let message = "as the simulation wants it".to_owned();
            return Err(Error::Database { code: code.to_owned(), message, constraint: None });
        }
        self.inner.apply_in_tx(tx, events, now).await?;
        self.process.point("before it commits").await;
        self.process.note(format_args!("applies {} events", events.len()));
        self.process.last_words("while it commits");
        Ok(())
    }
}
