//! A transport with its server, workers that say what they are given, and a failure log that remembers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use matchpurse_bus::{
    BusOptions, Delivery, Disposition, EmbeddedTransport, FailureLog, FailureLogError, Handler,
    ParkedDelivery, PublishError, RabbitTransport, Spool, Status, Transport,
};
use matchpurse_contracts::topology::{DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, Queue, routing_key};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::model_broker::ModelBroker;
use matchpurse_testkit::{Database, Vhost};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::way::{Model, Way};

/// How long a test waits for what must happen. A busy machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Quick where the defaults are slow.
pub(crate) fn options() -> BusOptions {
    BusOptions {
        topology_check: Duration::from_millis(500),
        reconnect_max: Duration::from_millis(500),
        spool_lease: Duration::from_millis(1500),
        ..BusOptions::for_service("test")
    }
}

/// A transport, and the server that it lives on.
pub(crate) struct Rig {
    pub(crate) transport: Way,
    pub(crate) server: Server,
}

pub(crate) enum Server {
    Rabbit(Vhost),
    /// The database goes with its value.
    Spool(Arc<dyn Spool>, #[expect(dead_code, reason = "kept for its drop")] Database),
    Model(ModelBroker),
}

impl Rig {
    pub(crate) async fn rabbit(options: &BusOptions) -> Result<Self> {
        let vhost = Vhost::create()?;
        let transport = Way::from(&Transport::Rabbit(RabbitTransport::start(&vhost.amqp_url(), options)?));
        ready(&transport).await?;
        Ok(Self { transport, server: Server::Rabbit(vhost) })
    }

    pub(crate) async fn embedded(options: &BusOptions) -> Result<Self> {
        let database = Database::create().await?;
        let spool: Arc<dyn Spool> = Arc::new(database.store().await?.spool(100_000));
        let transport = Way::from(&Transport::Embedded(EmbeddedTransport::new(spool.clone(), options)));
        Ok(Self { transport, server: Server::Spool(spool, database) })
    }

    pub(crate) fn model(options: &BusOptions) -> Self {
        let model = Model::start(options);
        Self { server: Server::Model(model.broker.clone()), transport: Way::Model(model) }
    }

    pub(crate) async fn publish(
        &self,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<(), PublishError> {
        self.transport.publisher().publish(messages.into_iter().collect()).await
    }

    /// A worker on `queue` that answers with what `decide` says.
    pub(crate) fn worker(
        &self,
        queue: Queue,
        decide: impl Fn(&Delivery) -> Disposition + Send + Sync + 'static,
    ) -> Worker {
        self.worker_with(queue, Decider::new(decide))
    }

    pub(crate) fn worker_with(&self, queue: Queue, decider: Decider) -> Worker {
        Worker::start(&self.transport, queue, decider)
    }
}

/// What a test does to a broker behind its back.
impl Rig {
    /// Ends every connection; returns when there was one to end.
    pub(crate) async fn drop_connections(&self) -> Result<()> {
        match &self.server {
            Server::Rabbit(vhost) => {
                until("the connections end", || vhost.close_connections().is_ok_and(|some| some)).await
            }
            Server::Model(broker) => {
                broker.restart();
                Ok(())
            }
            Server::Spool(..) => bail!("a spool has no connections"),
        }
    }

    /// Bounds a queue: `max-length`, `delivery-limit`.
    pub(crate) fn limit(&self, queue: Queue, what: &str, max: u32) -> Result<()> {
        match &self.server {
            Server::Rabbit(vhost) => {
                let (name, apply) = (queue.name(), "\"apply-to\":\"queues\"");
                let definition = format!("\"definition\":{{\"{what}\":{max}}}");
                let policy = format!("{{\"pattern\":\"^{name}$\",{definition},{apply}}}");
                vhost.on("PUT", "policies", what, &policy)?;
            }
            Server::Model(broker) if what == "max-length" => {
                broker.limit_length(queue.name(), Some(usize::try_from(max)?));
            }
            Server::Model(broker) => broker.limit_deliveries(queue.name(), max),
            Server::Spool(..) => bail!("a spool has no queues"),
        }
        Ok(())
    }

    pub(crate) fn delete_queue(&self, queue: Queue) -> Result<()> {
        match &self.server {
            Server::Rabbit(vhost) => vhost.delete_queue(queue.name()),
            Server::Model(broker) => {
                broker.delete_queue(queue.name());
                Ok(())
            }
            Server::Spool(..) => bail!("a spool has no queues"),
        }
    }

    /// Rejects the first message of a queue for good.
    pub(crate) fn reject_first(&self, queue: Queue) -> Result<()> {
        match &self.server {
            Server::Rabbit(vhost) => {
                let reject = "{\"count\":1,\"ackmode\":\"reject_requeue_false\",\"encoding\":\"base64\"}";
                vhost.on("POST", "queues", &format!("{}/get", queue.name()), reject)?;
            }
            Server::Model(broker) => ensure!(broker.reject_first(queue.name()), "nothing to reject"),
            Server::Spool(..) => bail!("a spool has no queues"),
        }
        Ok(())
    }

    pub(crate) fn unbind_dead_letters(&self) -> Result<()> {
        match &self.server {
            Server::Rabbit(vhost) => {
                let binding = format!("e/{DEAD_LETTER_EXCHANGE}/q/{DEAD_LETTER_QUEUE}/~");
                vhost.on("DELETE", "bindings", &binding, "")?;
            }
            Server::Model(broker) => broker.unbind_dead_letters(),
            Server::Spool(..) => bail!("a spool has no dead letters"),
        }
        Ok(())
    }

    /// How many messages a queue could hand out, and how many it has handed out. RabbitMQ says so seconds later, but
    /// unlike [`Rig::ready`] it does not touch the messages.
    pub(crate) fn waits(&self, queue: Queue) -> Result<(u64, u64)> {
        match &self.server {
            Server::Rabbit(vhost) => {
                Ok((shown(vhost, queue, "messages_ready")?, shown(vhost, queue, "messages_unacknowledged")?))
            }
            Server::Model(broker) => {
                let (ready, held) = (broker.ready(queue.name()), broker.held(queue.name()));
                Ok((u64::try_from(ready)?, u64::try_from(held - ready)?))
            }
            Server::Spool(..) => bail!("a spool has no queues"),
        }
    }

    /// How many messages a queue could hand out. The first of them is taken and given back for it.
    pub(crate) fn ready(&self, queue: &str) -> Result<u64> {
        match &self.server {
            Server::Rabbit(vhost) => vhost.ready(queue),
            Server::Model(broker) => Ok(u64::try_from(broker.ready(queue))?),
            Server::Spool(..) => bail!("a spool has no queues"),
        }
    }

    /// How many messages a queue has given up and could not bring away.
    pub(crate) fn given_up(&self, queue: Queue) -> Result<u64> {
        match &self.server {
            Server::Rabbit(vhost) => shown(vhost, queue, "messages_dlx"),
            Server::Model(broker) => {
                Ok(u64::try_from(broker.held(queue.name()) - broker.ready(queue.name()))?)
            }
            Server::Spool(..) => bail!("a spool has no queues"),
        }
    }

    pub(crate) fn consumers(&self, queue: Queue) -> Result<u64> {
        match &self.server {
            Server::Rabbit(vhost) => shown(vhost, queue, "consumers"),
            Server::Model(broker) => Ok(u64::try_from(broker.consumers(queue.name()))?),
            Server::Spool(..) => bail!("a spool has no consumers"),
        }
    }
}

fn shown(vhost: &Vhost, queue: Queue, what: &str) -> Result<u64> {
    let shown: serde_json::Value = serde_json::from_str(&vhost.on("GET", "queues", queue.name(), "")?)?;
    Ok(shown.get(what).and_then(serde_json::Value::as_u64).unwrap_or(0))
}

/// Waits until the transport's publisher can publish.
pub(crate) async fn ready(transport: impl Into<Way>) -> Result<()> {
    let publisher = transport.into().publisher();
    until("the publisher is ready", || publisher.is_ready()).await
}

/// Waits until a condition holds, looking every few milliseconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.with_context(|| format!("in vain: {what}"))
}

type Decide = dyn Fn(&Delivery) -> Disposition + Send + Sync;

/// A handler that a test directs.
pub(crate) struct Decider {
    decide: Box<Decide>,
    /// How many further batches may be answered; the others wait.
    pub(crate) gate: Arc<Semaphore>,
    /// Set: the next batch panics.
    pub(crate) panics: Arc<AtomicBool>,
    /// Set: the next batch gets one answer too few.
    pub(crate) forgets: Arc<AtomicBool>,
}

impl Decider {
    pub(crate) fn new(decide: impl Fn(&Delivery) -> Disposition + Send + Sync + 'static) -> Self {
        Self {
            decide: Box::new(decide),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            panics: Arc::default(),
            forgets: Arc::default(),
        }
    }

    /// One that answers no batch before its gate is given permits.
    pub(crate) fn gated(decide: impl Fn(&Delivery) -> Disposition + Send + Sync + 'static) -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::new(decide) }
    }
}

struct Reporting {
    decider: Decider,
    batches: mpsc::UnboundedSender<(Instant, Vec<Delivery>)>,
}

#[async_trait]
impl Handler for Reporting {
    async fn process_batch(&self, batch: &[Delivery]) -> Vec<Disposition> {
        // The test may have seen enough.
        self.batches.send((Instant::now(), batch.to_vec())).ok();
        self.decider.gate.acquire().await.unwrap().forget();
        assert!(!self.decider.panics.swap(false, Ordering::SeqCst), "a panic that the test asked for");
        let mut dispositions: Vec<_> = batch.iter().map(|delivery| (self.decider.decide)(delivery)).collect();
        if self.decider.forgets.swap(false, Ordering::SeqCst) {
            dispositions.pop();
        }
        dispositions
    }
}

/// A running worker.
pub(crate) struct Worker {
    way: Way,
    queue: Queue,
    pub(crate) status: Status,
    pub(crate) failures: Failures,
    batches: mpsc::UnboundedReceiver<(Instant, Vec<Delivery>)>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(way: impl Into<Way>, queue: Queue, decider: Decider) -> Self {
        let way = way.into();
        let (sender, batches) = mpsc::unbounded_channel();
        let (status, failures, shutdown) = (Status::new(), Failures::default(), CancellationToken::new());
        let handler = Arc::new(Reporting { decider, batches: sender });
        let (transport, log) = (way.clone(), Arc::new(failures.clone()));
        let (shown, until) = (status.clone(), shutdown.clone());
        let task = tokio::spawn(async move {
            transport.run_worker(queue, handler, log, shown, until).await;
        });
        Self { way, queue, status, failures, batches, shutdown, task }
    }

    /// The next batch that the handler is given, and when.
    pub(crate) async fn batch(&mut self) -> Result<(Instant, Vec<Delivery>)> {
        let batch = timeout(PATIENCE, self.batches.recv()).await.context("in vain: another batch")?;
        batch.context("the worker has ended")
    }

    /// The next deliveries, in their order, until there are `count`.
    pub(crate) async fn deliveries(&mut self, count: usize) -> Result<Vec<Delivery>> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.batch().await?.1);
        }
        Ok(all)
    }

    /// Waits until it is subscribed.
    pub(crate) async fn consuming(&self) -> Result<()> {
        until("the worker is consuming", || self.way.is_consuming(self.queue, &self.status)).await
    }

    /// Asks it to end, without waiting.
    pub(crate) fn ask_to_end(&self) {
        self.shutdown.cancel();
    }

    /// Ends it gracefully.
    pub(crate) async fn end(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(timeout(PATIENCE, self.task).await.context("in vain: the worker ends")??)
    }

    /// Ends it as a crash would: in the middle of what it does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }
}

/// A failure log that a test reads, and can break.
#[derive(Clone, Default)]
pub(crate) struct Failures {
    parked: Arc<Mutex<Vec<Parked>>>,
    pub(crate) broken: Arc<AtomicBool>,
    tries: Arc<AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parked {
    pub(crate) queue: String,
    pub(crate) id: Option<Uuid>,
    pub(crate) routing_key: String,
    pub(crate) body: Bytes,
    pub(crate) reason: String,
    pub(crate) by_broker: bool,
}

impl Failures {
    pub(crate) fn parked(&self) -> Vec<Parked> {
        self.parked.lock().unwrap().clone()
    }

    pub(crate) fn tries(&self) -> u64 {
        self.tries.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl FailureLog for Failures {
    async fn park(&self, parked: &[ParkedDelivery<'_>]) -> Result<(), FailureLogError> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) {
            return Err(FailureLogError("the test has broken it".into()));
        }
        self.parked.lock().unwrap().extend(parked.iter().map(|parked| Parked {
            queue: parked.queue.to_owned(),
            id: parked.delivery.id,
            routing_key: parked.delivery.routing_key.clone(),
            body: parked.delivery.body.clone(),
            reason: parked.reason.to_owned(),
            by_broker: parked.by_broker,
        }));
        Ok(())
    }
}

/// A message that the transports do not look into; each has an id of its own.
pub(crate) fn message(payload: PayloadName) -> Message {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Message {
        id: Uuid::new_v8((u128::from(std::process::id()) << 64 | u128::from(number)).to_be_bytes()),
        payload,
        routing_key: routing_key(payload, "lucra", "lucra-main", &format!("match-{number}")),
        headers: vec![
            ("cloudEvents:subject".to_owned(), format!("match-{number}")),
            ("traceparent".to_owned(), format!("00-{number:032x}-{number:016x}-01")),
        ],
        body: Bytes::from(format!("body {number}")),
    }
}

pub(crate) fn messages(payload: PayloadName, count: usize) -> Vec<Message> {
    (0..count).map(|_| message(payload)).collect()
}

pub(crate) fn ids(messages: &[Message]) -> Vec<Uuid> {
    messages.iter().map(|message| message.id).collect()
}

pub(crate) fn delivered_ids(deliveries: &[Delivery]) -> Vec<Uuid> {
    deliveries.iter().map(|delivery| delivery.id.unwrap()).collect()
}

/// The ids in no order, once each.
pub(crate) fn set(ids: &[Uuid]) -> BTreeSet<Uuid> {
    ids.iter().copied().collect()
}

pub(crate) fn ack(_: &Delivery) -> Disposition {
    Disposition::Ack
}

/// What is drained from the queue of dead letters, when there are so many.
pub(crate) async fn parked_of(rig: &Rig, count: usize) -> Result<Vec<Parked>> {
    let (failures, shutdown) = (Failures::default(), CancellationToken::new());
    let drain = {
        let (transport, log, shutdown) =
            (rig.transport.clone(), Arc::new(failures.clone()), shutdown.clone());
        tokio::spawn(async move { transport.drain_dead_letters(log, Status::new(), shutdown).await })
    };
    until("the dead letters are parked", || failures.parked().len() >= count).await?;
    shutdown.cancel();
    drain.await?;
    Ok(failures.parked())
}

/// Shows that nothing is left for a queue: the next thing that a new worker is given is new.
pub(crate) async fn nothing_is_left(rig: &Rig, queue: Queue, payload: PayloadName) -> Result<()> {
    let last = message(payload);
    rig.publish([last.clone()]).await?;
    let mut worker = rig.worker(queue, ack);
    assert_eq!(delivered_ids(&worker.batch().await?.1), [last.id]);
    worker.end().await
}

/// Whether it is this message, with all that a handler is given of it.
pub(crate) fn is(delivery: &Delivery, message: &Message) -> bool {
    delivery.id == Some(message.id)
        && delivery.body == message.body
        && delivery.routing_key == message.routing_key
        && message.headers.iter().any(|(_, value)| delivery.traceparent.as_ref() == Some(value))
}
