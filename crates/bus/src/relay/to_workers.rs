use std::sync::Arc;
use std::time::Duration;

use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::REPLAY_HEADER;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::processing::{chain, process};
use crate::spool_publisher::Wake;
use crate::{
    BusOptions, Delivery, Destination, Disposition, FailureLog, Handler, Spool, SpoolError, SpoolPublisher,
    Spooled, Status, watch_spool,
};

/// The transport without a broker: workers are handed their events from the spool. A message leaves the spool
/// when every worker that wants it has committed it.
///
/// The workers of one spool live in one process. So the first worker that runs hands out again at once what a
/// former process had claimed when it was killed. Were there two processes after all, the second start would
/// take from the first what it is working on: that is then done twice and applied once.
#[derive(Clone)]
pub struct EmbeddedTransport {
    spool: Arc<dyn Spool>,
    options: BusOptions,
    wake: Wake,
    publisher: Arc<SpoolPublisher>,
    /// Set when the leases of a former process are released.
    released: Arc<OnceCell<()>>,
}

impl EmbeddedTransport {
    /// Workers and publishers of the process wake each other.
    pub fn new(spool: Arc<dyn Spool>, options: &BusOptions) -> Self {
        let wake = Wake::default();
        let publisher = Arc::new(SpoolPublisher::to_workers(spool.clone(), wake.clone()));
        Self { spool, options: options.clone(), wake, publisher, released: Arc::default() }
    }

    /// The way beside a broker, for replays: workers take from the spool what is addressed to them there. Any number
    /// of processes may have the same worker, so none takes from another what it holds; what a killed one held is
    /// handed out again when its lease is over.
    pub fn beside_broker(spool: Arc<dyn Spool>, options: &BusOptions) -> Self {
        Self { released: Arc::new(OnceCell::new_with(Some(()))), ..Self::new(spool, options) }
    }

    /// Keeps the publisher's readiness and the spool's gauges up to date, until `shutdown`.
    pub async fn watch(&self, shutdown: CancellationToken) {
        let destinations = Queue::ALL.into_iter().map(Destination::Worker).collect();
        let status = self.publisher.status().clone();
        watch_spool(self.spool.clone(), destinations, self.options.spool_watch, status, shutdown).await;
    }

    /// Releases what a former process of ours had claimed, once; no worker claims before that.
    async fn release(&self) -> Result<(), SpoolError> {
        let release = async {
            let messages = self.spool.release_leases().await?;
            if messages > 0 {
                tracing::info!(messages, "what the former process had claimed is handed out again");
            }
            Ok(())
        };
        self.released.get_or_try_init(|| release).await?;
        Ok(())
    }

    /// Puts events into the spool, for each worker that wants them.
    pub fn publisher(&self) -> &Arc<SpoolPublisher> {
        &self.publisher
    }

    pub(crate) fn with_batches(&self, batch_max: usize) -> Self {
        Self { options: BusOptions { batch_max, ..self.options.clone() }, ..self.clone() }
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
        self.transport.release().await?;
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
    let header =
        |wanted: &str| message.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    Delivery {
        id: Some(message.id),
        body: message.body.clone(),
        routing_key: message.routing_key.clone(),
        traceparent: header("traceparent").cloned(),
        redelivered: *attempts > 0,
        replay: header(REPLAY_HEADER).and_then(|id| Uuid::try_parse(id).ok()),
    }
}
