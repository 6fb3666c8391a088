//! A connection on which nobody answers any more.
//!
//! TCP notices a host that is gone. It does not notice a proxy, a balancer or a firewall that holds our side of the
//! connection open and has lost the other one: it goes on to acknowledge what we send, and the keep-alives too. The
//! server's own limits say nothing then, because what they have to say does not arrive. So every answer has a limit
//! here, a little longer than the server gives the statement. A statement that is slow but alive ends by the server's
//! limit, with the server's words; where even these do not come, the connection is dead.
//!
//! Whether what was asked has happened is not known then, as with any connection that breaks: a commit may have
//! arrived. The error is a transient one, and whoever does the work again finds its keys there.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{Error, Result};

/// How much longer than a statement may run its answer may be under way, where nobody says otherwise.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Watches one connection, for as long as somebody has it.
pub(crate) struct Watch {
    /// For one answer; none: as long as it takes.
    limit: Option<Duration>,
    grace: Duration,
    begun: Instant,
    /// When the last answer came, in ms after `begun`. Statements that travel together are answered one after the
    /// other, and the limit is for each: the later ones wait from the last answer on.
    heard_ms: AtomicU64,
    silent: AtomicBool,
}

impl Watch {
    /// Of a connection whose statements the server gives so long; zero means "for ever", as it does to PostgreSQL.
    pub(crate) fn new(statements: Duration, grace: Duration) -> Self {
        let limit = (!statements.is_zero()).then(|| statements + grace);
        let (heard_ms, silent) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { limit, grace, begun: Instant::now(), heard_ms, silent }
    }

    /// How much longer than a statement may run its answer may be under way.
    pub(crate) const fn grace(&self) -> Duration {
        self.grace
    }

    /// How long an answer may take.
    pub(crate) const fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// True when an answer did not come in time: the connection is no good any more.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Waits for an answer.
    ///
    /// # Errors
    /// [`Error::Silent`] when nothing was heard on the connection for `limit`, and whatever the answer says.
    pub(crate) async fn answer<T>(
        &self,
        limit: Option<Duration>,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let Some(limit) = limit else { return Ok(asked.await?) };
        if self.is_silent() {
            return Err(Error::Silent(limit));
        }
        let mut asked = pin!(asked);
        let mut until = Instant::now() + limit;
        loop {
            if let Ok(answer) = timeout_at(until, &mut asked).await {
                self.heard_ms.store(self.elapsed_ms(), Ordering::Relaxed);
                return Ok(answer?);
            }
            let later = self.heard() + limit;
            if later <= until {
                self.silent.store(true, Ordering::Relaxed);
                tracing::warn!(?limit, "the database has gone silent on a connection, which is dropped");
                return Err(Error::Silent(limit));
            }
            until = later;
        }
    }

    fn heard(&self) -> Instant {
        self.begun + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn watch() -> Watch {
        Watch::new(LIMIT, Duration::ZERO)
    }

    async fn after(time: Duration) -> Result<(), tokio_postgres::Error> {
        sleep(time).await;
        Ok(())
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_ends_the_connection() {
        let watch = watch();
        let begun = Instant::now();
        let error = watch.answer::<()>(watch.limit(), pending()).await.unwrap_err();
        assert!(matches!(error, Error::Silent(LIMIT)) && error.is_transient() && !error.is_contention());
        assert!(begun.elapsed() >= LIMIT);
        assert!(watch.is_silent());
        // Whoever asks on it once more is not asked to wait again, nor given an answer that belongs to another.
        assert!(watch.answer(watch.limit(), ready(Ok(()))).await.is_err());
    }

    #[tokio::test]
    async fn the_limit_is_for_each_of_those_that_travel_together() {
        let watch = watch();
        let (first, second) = (LIMIT * 8 / 10, LIMIT * 16 / 10);
        let ask = |time| watch.answer(watch.limit(), after(time));
        tokio::try_join!(ask(first), ask(second)).unwrap();
        let begun = Instant::now();
        let late = tokio::try_join!(ask(first), watch.answer::<()>(watch.limit(), pending()));
        assert!(matches!(late, Err(Error::Silent(_))));
        assert!(begun.elapsed() >= first + LIMIT, "it waits from the answer before it on");
    }

    #[tokio::test]
    async fn where_the_server_has_no_limit_there_is_none() {
        let watch = Watch::new(Duration::ZERO, GRACE);
        assert_eq!(watch.limit(), None);
        watch.answer(watch.limit(), after(LIMIT)).await.unwrap();
    }
}
