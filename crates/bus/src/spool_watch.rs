use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use crate::processing::chain;
use crate::{Destination, Spool, Status, metric};

/// Measures what waits in the spool for each destination, now and `every` so often until `shutdown`: for the
/// gauges, and because a spool that answers is one that takes events. `status` is that of the publisher whose
/// readiness this is, [`crate::SpoolPublisher::status`].
pub async fn watch_spool(
    spool: Arc<dyn Spool>,
    destinations: Vec<Destination>,
    every: Duration,
    status: Status,
    shutdown: CancellationToken,
) {
    let mut turn = tokio::time::interval(every);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            _ = turn.tick() => {}
        }
        let measured = tokio::select! {
            measured = timeout(every, measure(spool.as_ref(), &destinations)) => measured,
            () = shutdown.cancelled() => return,
        };
        match measured {
            Ok(Ok(())) => status.set_connected(),
            Ok(Err(problem)) => fails(&status, problem),
            Err(_) => fails(&status, format!("the spool has not answered for {every:?}")),
        }
    }
}

async fn measure(spool: &dyn Spool, destinations: &[Destination]) -> Result<(), String> {
    for destination in destinations {
        let (waiting, oldest) = spool.backlog(*destination).await.map_err(|error| chain(&error))?;
        let name = destination.name();
        metrics::gauge!(metric::SPOOL_WAITING, "destination" => name).set(waiting as f64);
        metrics::gauge!(metric::SPOOL_OLDEST_SECONDS, "destination" => name)
            .set(oldest.unwrap_or_default().as_secs_f64());
    }
    Ok(())
}

fn fails(status: &Status, problem: String) {
    if status.state().problem != problem {
        tracing::warn!(problem, "the spool cannot take events");
    }
    status.set_disconnected(problem);
}
