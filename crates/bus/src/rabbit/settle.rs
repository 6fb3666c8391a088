//! Turning dispositions into acknowledgements. Nothing is acknowledged before it is durable somewhere else.

use std::time::Duration;

use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};

use super::convert::Incoming;

/// What becomes of one event's message, as far as that event is concerned.
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

/// Tells the broker of the messages whose last event is in the batch; one of which any event goes back goes back.
///
/// # Errors
/// When that hangs. The channel has to end then, so that the broker hands out again what it was not told about.
pub(super) async fn settle(batch: &[Incoming], settlements: &[Settlement]) -> Result<(), String> {
    let told = tokio::time::timeout(TELLING_PATIENCE, tell(batch, settlements)).await;
    told.map_err(|_| format!("an acknowledgement was not sent within {TELLING_PATIENCE:?}"))
}

/// With as few frames as possible.
async fn tell(batch: &[Incoming], settlements: &[Settlement]) {
    for (incoming, settlement) in batch.iter().zip(settlements) {
        if *settlement == Settlement::Requeue {
            incoming.goes_back();
        }
    }
    let messages: Vec<(&Acker, bool)> = batch.iter().filter_map(Incoming::settles).collect();
    // Every earlier message of the channel is settled, so one frame may acknowledge all up to a tag.
    let run = messages.iter().take_while(|(_, goes_back)| !goes_back).count();
    if let Some((last, _)) = run.checked_sub(1).and_then(|last| messages.get(last)) {
        heard(last.ack(BasicAckOptions { multiple: true }).await);
    }
    for (acker, goes_back) in messages.into_iter().skip(run) {
        heard(if goes_back {
            acker.nack(BasicNackOptions { requeue: true, multiple: false }).await
        } else {
            acker.ack(BasicAckOptions::default()).await
        });
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
