use std::sync::Arc;
use std::time::Duration;

use matchpurse_contracts::topology::Queue;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::processing::{chain, process};
use crate::spool_publisher::Wake;
use crate::{
    BusOptions, Delivery, Destination, Disposition, FailureLog, Handler, Spool, SpoolError, SpoolPublisher,
    Spooled, Status,
};

/// The transport without a broker: workers are handed their events from the spool. A message leaves the spool
/// when every worker that wants it has committed it.
#[derive(Clone)]
pub struct EmbeddedTransport {
    spool: Arc<dyn Spool>,
    options: BusOptions,
    wake: Wake,
    publisher: Arc<SpoolPublisher>,
}

impl EmbeddedTransport {
    /// Workers and publishers in one process wake each other; in several processes the workers poll.
    pub fn new(spool: Arc<dyn Spool>, options: &BusOptions) -> Self {
        let wake = Wake::default();
        let publisher = Arc::new(SpoolPublisher::to_workers(spool.clone(), wake.clone()));
        Self { spool, options: options.clone(), wake, publisher }
    }

    /// Puts events into the spool, for each worker that wants them.
    pub fn publisher(&self) -> &Arc<SpoolPublisher> {
        &self.publisher
    }

    pub(crate) async fn run_worker(
        &self,
        queue: Queue,
        handler: Arc<dyn Handler>,
        failure_log: Arc<dyn FailureLog>,
        status: Status,
        shutdown: CancellationToken,
    ) {
        let worker = Worker { transport: self, queue, handler, failure_log, status };
        let mut backoff = Backoff::new(self.options.spool_poll, self.options.reconnect_max);
        while !shutdown.is_cancelled() {
            let wait = match worker.once().await {
                Ok(more) => {
                    backoff.reset();
                    if more {
                        continue;
                    }
                    self.options.spool_poll
                }
                Err(error) => {
                    let (problem, wait) = (chain(&error), backoff.next());
                    tracing::warn!(queue = queue.name(), problem, ?wait, "not consuming");
                    worker.status.set_disconnected(problem);
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.wake.woken(queue) => {}
                () = shutdown.cancelled() => {}
            }
        }
        worker.status.set_disconnected("shut down".to_owned());
    }
}

struct Worker<'t> {
    transport: &'t EmbeddedTransport,
    queue: Queue,
    handler: Arc<dyn Handler>,
    failure_log: Arc<dyn FailureLog>,
    status: Status,
}

impl Worker<'_> {
    /// Handles a batch; true when more may wait.
    async fn once(&self) -> Result<bool, SpoolError> {
        let EmbeddedTransport { spool, options, .. } = self.transport;
        let destination = Destination::Worker(self.queue);
        let batch = spool.claim(destination, options.batch_max, options.spool_lease).await?;
        self.status.set_reading();
        if !batch.is_empty() {
            let deliveries: Vec<Delivery> = batch.iter().map(delivery).collect();
            let dispositions =
                process(self.queue, self.handler.as_ref(), self.failure_log.as_ref(), &deliveries).await;
            self.settle(&batch, dispositions).await?;
        }
        self.status.progressed();
        Ok(batch.len() >= options.batch_max)
    }

    async fn settle(&self, batch: &[Spooled], dispositions: Vec<Disposition>) -> Result<(), SpoolError> {
        let (mut done, mut postponed) = (Vec::new(), Vec::<(i64, Duration)>::new());
        for (spooled, disposition) in batch.iter().zip(dispositions) {
            match disposition {
                // A parked one is on durable storage elsewhere by now.
                Disposition::Ack | Disposition::Park(_) => done.push(spooled.position),
                Disposition::Retry(after) => postponed.push((spooled.position, after)),
            }
        }
        let (spool, destination) = (&self.transport.spool, Destination::Worker(self.queue));
        if !done.is_empty() {
            spool.done(destination, &done).await?;
        }
        if !postponed.is_empty() {
            spool.postpone(destination, &postponed).await?;
        }
        Ok(())
    }
}

fn delivery(spooled: &Spooled) -> Delivery {
    let Spooled { attempts, message, .. } = spooled;
    let traceparent = message.headers.iter().find(|(name, _)| name == "traceparent");
    Delivery {
        id: Some(message.id),
        body: message.body.clone(),
        routing_key: message.routing_key.clone(),
        traceparent: traceparent.map(|(_, value)| value.clone()),
        redelivered: *attempts > 0,
    }
}
