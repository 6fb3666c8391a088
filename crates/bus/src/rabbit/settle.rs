//! Turning dispositions into acknowledgements. Nothing is acknowledged before it is durable somewhere else.

use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicNackOptions};

use super::convert::Incoming;

/// What the broker is told about one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settlement {
    Ack,
    /// Hand it out again at once.
    Requeue,
}

/// How long a failed retry is held before it goes back: the broker hands it out again at once, and without a
/// pause a broker that takes no publishes would be asked in a hot loop.
pub(super) const BEFORE_REQUEUE: Duration = Duration::from_secs(5);

/// How long telling the broker may take. It only has to be handed to the connection, but in a connection that breaks at
/// that very moment lapin may never say that it was not.
const TELLING_PATIENCE: Duration = Duration::from_secs(10);

/// Tells the broker.
///
/// # Errors
/// When that hangs. The channel has to end then, so that the broker hands out again what it was not told about.
pub(super) async fn settle(batch: &[Incoming], settlements: &[Settlement]) -> Result<(), String> {
    let told = tokio::time::timeout(TELLING_PATIENCE, tell(batch, settlements)).await;
    told.map_err(|_| format!("an acknowledgement was not sent within {TELLING_PATIENCE:?}"))
}

/// With as few frames as possible.
async fn tell(batch: &[Incoming], settlements: &[Settlement]) {
    // Every earlier delivery of the channel is settled, so one frame may acknowledge all up to a tag.
    let run = settlements.iter().take_while(|settlement| **settlement == Settlement::Ack).count();
    if let Some(last) = run.checked_sub(1).and_then(|last| batch.get(last)) {
        heard(last.acker.ack(BasicAckOptions { multiple: true }).await);
    }
    for (incoming, settlement) in batch.iter().zip(settlements).skip(run) {
        let told = match settlement {
            Settlement::Ack => incoming.acker.ack(BasicAckOptions::default()).await,
            Settlement::Requeue => {
                incoming.acker.nack(BasicNackOptions { requeue: true, multiple: false }).await
            }
        };
        heard(told);
    }
}

/// A broker that was not told hands the delivery out again; handlers expect that.
fn heard(told: Result<bool, lapin::Error>) {
    match told {
        Ok(true) => {}
        Ok(false) => tracing::debug!("the channel ended before an acknowledgement"),
        Err(error) => tracing::debug!(%error, "an acknowledgement was not sent"),
    }
}
