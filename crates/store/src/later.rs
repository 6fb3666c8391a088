//! Statements whose answers nobody waits for by themselves.
//!
//! A batch writes to ten tables, and none of these writes needs to know how the one before it went: it only must not
//! count if that one failed. So they are kept until something is asked, or the transaction commits, and travel with it:
//! in their order, and in one round trip. The first that fails ends the transaction for all behind it, a commit too,
//! which PostgreSQL makes a rollback then.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::Poll;

use futures_util::poll;
use postgres_types::ToSql;

use crate::Result;

/// A parameter that a statement keeps until it is sent.
pub(crate) type Owned = Box<dyn ToSql + Sync + Send>;

/// A parameter for `Tx::later`.
pub(crate) fn own(value: impl ToSql + Sync + Send + 'static) -> Owned {
    Box::new(value)
}

/// A statement that has not been sent.
pub(crate) struct Later {
    pub(crate) sql: Cow<'static, str>,
    pub(crate) params: Vec<Owned>,
}

/// The answer to a statement that is on its way.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<u64>> + Send + 'a>>;

/// Statements that are on their way, in their order.
#[derive(Default)]
pub(crate) struct Sent<'a> {
    under_way: Vec<Answer<'a>>,
}

impl<'a> Sent<'a> {
    /// Sends one more.
    ///
    /// # Errors
    /// When it could not even be sent: then nothing may be sent behind it, least of all a commit.
    pub(crate) async fn send(&mut self, mut answer: Answer<'a>) -> Result<()> {
        // The driver hands a statement to the connection when it is polled for the first time.
        match poll!(answer.as_mut()) {
            Poll::Ready(answered) => answered.map(|_| ()),
            Poll::Pending => {
                self.under_way.push(answer);
                Ok(())
            }
        }
    }

    /// Waits until all have been answered.
    ///
    /// # Errors
    /// Of the first that failed; those behind it only say that it did.
    pub(crate) async fn answered(self) -> Result<()> {
        for answer in self.under_way {
            answer.await?;
        }
        Ok(())
    }
}
