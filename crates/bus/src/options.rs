use std::path::PathBuf;
use std::time::Duration;

/// How the bus behaves. The defaults suit every service; tests shorten some times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusOptions {
    /// The service's name; operators see it at the broker's connections.
    pub service: String,
    /// The broker and we ask each other this often whether the other is there; twice this long without an
    /// answer ends the connection. Without it a dead TCP connection takes minutes to be noticed.
    pub heartbeat: Duration,
    /// How long connecting and the handshake may take, each.
    pub connection_timeout: Duration,
    /// The authorities whose certificates are believed for `amqps`, as a file of PEM; without one, the system's.
    pub tls_ca: Option<PathBuf>,
    /// The first wait before connecting again.
    pub reconnect_min: Duration,
    /// The longest wait before connecting again.
    pub reconnect_max: Duration,
    /// Whether exchanges, queues and bindings are declared; otherwise it is only looked whether they are there, for users
    /// who may not declare.
    pub declare: bool,
    /// How many queues each worker has that can be sharded; the same for all services of a deployment. At most
    /// [`matchpurse_contracts::topology::SLOTS`].
    pub shards: u16,
    /// Which of them this process takes from; empty: all. Who takes the first one also takes what has no shard.
    pub take_shards: Vec<u16>,
    /// How often exchanges, queues and bindings are declared again, in case somebody deleted one.
    pub topology_check: Duration,

    /// How long a publish waits for its confirm. A wedged queue never confirms, so there must be an end.
    pub confirm_timeout: Duration,
    /// How many channels publish. A channel is one process in the broker, so two keep two of its cores busy.
    pub publish_channels: usize,
    /// While one message of a kind is unconfirmed on a channel, further events of this kind gather, and leave as one message
    /// when it is confirmed. With so many messages of any kind unconfirmed all events gather.
    pub group_above: usize,
    /// The most events in a message; 1 for a message each. Every consumer has to understand groups before a publisher
    /// makes some.
    pub group_max_events: usize,
    /// How many messages may wait for their confirm before further ones are turned away.
    pub waiting_max: usize,
    /// How many bytes of bodies may wait for their confirm before further ones are turned away.
    pub waiting_bytes_max: usize,

    /// How many messages the broker hands out ahead of their acknowledgement, at most; each holds one event or a group of
    /// at most 64 KiB. At least twice [`BusOptions::batch_max`], so that the next batch is there when one is done.
    pub prefetch: u16,
    /// How many bytes of bodies these messages may have for each queue that is taken from, which bounds a worker's memory.
    /// The broker knows no such limit: fewer messages than [`BusOptions::prefetch`] are handed out until it is seen how
    /// large they are, and again when they grow. What it had handed out before that is seen comes on top, about a batch. A
    /// single larger one comes alone.
    pub held_bytes_max: usize,
    /// The most deliveries in a batch.
    pub batch_max: usize,
    /// The most bytes of bodies in a batch; a single larger event is a batch.
    pub batch_bytes_max: usize,
    /// How long a batch waits for more once it has one delivery.
    pub batch_wait: Duration,

    /// For how long a batch from the spool belongs to the worker that claimed it. Longer than a batch may take
    /// with all its retries in place, which is half a minute: a batch that two workers have is applied once, but
    /// the work is done twice. A process that starts does not wait for its predecessor's leases, see
    /// [`crate::EmbeddedTransport`].
    pub spool_lease: Duration,
    /// How often an idle worker looks into the spool when nobody wakes it.
    pub spool_poll: Duration,
    /// How often [`crate::watch_spool`] measures what waits.
    pub spool_watch: Duration,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self {
            service: "matchpurse".to_owned(),
            heartbeat: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(5),
            tls_ca: None,
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            declare: true,
            shards: 1,
            take_shards: Vec::new(),
            topology_check: Duration::from_secs(15),
            confirm_timeout: Duration::from_secs(3),
            publish_channels: 2,
            group_above: 16,
            group_max_events: 32,
            waiting_max: 8192,
            waiting_bytes_max: 32 * 1024 * 1024,
            prefetch: 1024,
            held_bytes_max: 32 * 1024 * 1024,
            batch_max: 256,
            batch_bytes_max: 4 * 1024 * 1024,
            batch_wait: Duration::from_millis(5),
            spool_lease: Duration::from_secs(60),
            spool_poll: Duration::from_millis(200),
            spool_watch: Duration::from_secs(5),
        }
    }
}

impl BusOptions {
    /// The defaults, for a service of this name.
    pub fn for_service(service: &str) -> Self {
        Self { service: service.to_owned(), ..Self::default() }
    }
}
