//! One connection to the broker, kept for ever: connect, declare, watch, and after any failure again.
//!
//! lapin's own recovery is off: it gives up after some attempts and does not recover a channel that closed
//! alone. Here a connection is never repaired; it is replaced.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::address::Address;
use super::error::{RabbitError, TopologyError};
use super::topology;
use crate::backoff::Backoff;
use crate::processing::chain;
use crate::{BusOptions, Status, metric};

/// How often a connection is asked whether it still is one. Nearly all ends are told by an event at once; a
/// close that the broker asks for is not.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The least time between two declarations, however often they are asked for.
const DECLARE_PAUSE: Duration = Duration::from_secs(1);

/// How long closing may take at shutdown before the socket is just dropped.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// How long the users of a connection that still lives may take to close their channels before it is closed.
pub(super) const RELEASE_PATIENCE: Duration = Duration::from_millis(500);

/// How often it is looked whether they have.
const RELEASE_LOOK: Duration = Duration::from_millis(5);

/// lapin keeps buffers of 32 frames for each direction; the broker's usual 128 KiB would make that 8 MiB a
/// connection. Bodies longer than a frame are sent in several.
pub(super) const FRAME_MAX: u32 = 32 * 1024;

/// A connection, or what is to become one; clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    current: watch::Receiver<Option<Arc<Connection>>>,
    status: Status,
    suspicion: Arc<Notify>,
}

impl Link {
    /// Starts the supervisor, which ends with its guard. `role` is what operators read beside the connection.
    pub(crate) fn start(
        address: Address,
        role: &str,
        options: &BusOptions,
        status: Status,
    ) -> (Self, LinkGuard) {
        let (publish, current) = watch::channel(None);
        let (shutdown, suspicion) = (CancellationToken::new(), Arc::new(Notify::new()));
        let supervisor = Supervisor {
            address,
            name: format!("{} {role}", options.service),
            options: options.clone(),
            status: status.clone(),
            publish,
            shutdown: shutdown.clone(),
            suspicion: suspicion.clone(),
        };
        let guard =
            LinkGuard { supervisor: tokio::spawn(supervisor.run()), shutdown_on_drop: shutdown.drop_guard() };
        (Self { current, status, suspicion }, guard)
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// Has the topology declared again soon: a message came back, or a channel died.
    pub(crate) fn suspect_topology(&self) {
        self.suspicion.notify_one();
    }

    /// The connection of this moment.
    pub(crate) fn current(&self) -> Option<Arc<Connection>> {
        self.current.borrow().clone()
    }

    /// Waits for a connection; None when the supervisor has ended.
    pub(crate) async fn connection(&mut self) -> Option<Arc<Connection>> {
        let found = self.current.wait_for(Option::is_some).await.ok()?;
        found.clone()
    }

    /// Waits until this connection is no longer the one.
    pub(crate) async fn replaced(&mut self, connection: &Arc<Connection>) {
        let other =
            |now: &Option<Arc<Connection>>| !now.as_ref().is_some_and(|now| Arc::ptr_eq(now, connection));
        // An error means that the supervisor has ended, and its connection with it.
        let _ended = self.current.wait_for(other).await.is_err();
    }
}

/// Keeps a link's supervisor; dropping it closes the connection in the background.
#[derive(Debug)]
pub(crate) struct LinkGuard {
    supervisor: JoinHandle<()>,
    shutdown_on_drop: DropGuard,
}

impl LinkGuard {
    /// Closes the connection and waits until it is closed.
    pub(crate) async fn close(self) {
        drop(self.shutdown_on_drop);
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "a connection's supervisor failed");
        }
    }
}

/// Connects once and declares the topology: for commands that prepare or examine a broker.
///
/// # Errors
/// [`RabbitError`].
pub async fn declare_topology(url: &str, options: &BusOptions) -> Result<(), RabbitError> {
    let address = Address::new(url, options)?;
    let connection = connect(&address, &options.service, options.connection_timeout).await?;
    let declared = topology::declare(&connection, options.shards).await;
    close(&connection).await;
    Ok(declared?)
}

struct Supervisor {
    address: Address,
    name: String,
    options: BusOptions,
    status: Status,
    publish: watch::Sender<Option<Arc<Connection>>>,
    shutdown: CancellationToken,
    suspicion: Arc<Notify>,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = Backoff::new(self.options.reconnect_min, self.options.reconnect_max);
        let mut silent = false;
        while !self.shutdown.is_cancelled() {
            let problem = match self.open(silent).await {
                Some(Ok(connection)) => {
                    silent = false;
                    let begun = Instant::now();
                    let problem = self.keep(connection).await;
                    // A connection that broke at once is no reason to hurry.
                    if begun.elapsed() > self.options.reconnect_max {
                        backoff.reset();
                    }
                    problem
                }
                Some(Err(error)) => {
                    silent = matches!(error, RabbitError::Handshake(_));
                    chain(&error)
                }
                None => break,
            };
            self.status.set_disconnected(problem.clone());
            if self.shutdown.is_cancelled() {
                break;
            }
            show(metric::CONNECTED, &self.name, false);
            // It is known only of a connection.
            show(metric::BLOCKED, &self.name, false);
            let wait = backoff.next();
            tracing::warn!(connection = %self.name, problem, ?wait, "the broker is not connected");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        self.status.set_disconnected("shut down".to_owned());
    }

    /// Connects and declares; None at shutdown.
    async fn open(&self, silent: bool) -> Option<Result<Connection, RabbitError>> {
        let opening = async {
            if silent {
                probe(&self.address, self.options.connection_timeout).await?;
            }
            let connection = connect(&self.address, &self.name, self.options.connection_timeout).await?;
            match topology::ensure(&connection, &self.options).await {
                Ok(()) => Ok(connection),
                Err(error) => {
                    close(&connection).await;
                    Err(RabbitError::Topology(error))
                }
            }
        };
        tokio::select! {
            opened = opening => Some(opened),
            () = self.shutdown.cancelled() => None,
        }
    }

    /// Hands the connection out for as long as it lives; returns why it does no longer.
    async fn keep(&self, connection: Connection) -> String {
        let connection = Arc::new(connection);
        let _events = self.follow_events(&connection);
        metrics::counter!(metric::CONNECTIONS, "service" => self.options.service.clone()).increment(1);
        tracing::info!(connection = %self.name, "the broker is connected");
        // Whoever sees the status finds the connection.
        self.publish.send_replace(Some(connection.clone()));
        self.status.set_connected();
        show(metric::CONNECTED, &self.name, true);
        let problem = tokio::select! {
            problem = self.watch(&connection) => problem,
            () = self.shutdown.cancelled() => "shut down".to_owned(),
        };
        self.publish.send_replace(None);
        // Channels first: lapin takes it for an error when a channel closes while its connection does.
        let released = async {
            while connection.status().connected() && Arc::strong_count(&connection) > 1 {
                tokio::time::sleep(RELEASE_LOOK).await;
            }
        };
        let _in_time = tokio::time::timeout(RELEASE_PATIENCE, released).await.is_ok();
        close(&connection).await;
        problem
    }

    async fn watch(&self, connection: &Connection) -> String {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut declared = Instant::now();
        let mut suspected = false;
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = self.suspicion.notified() => {
                    suspected = true;
                    continue;
                }
            }
            if !connection.status().connected() {
                return "the connection broke".to_owned();
            }
            // A blocked connection sends nothing, declarations neither.
            let due = if suspected { DECLARE_PAUSE } else { self.options.topology_check };
            if declared.elapsed() >= due && !connection.status().blocked() {
                if let Err(error) = self.declare_again(connection).await {
                    return chain(&error);
                }
                (declared, suspected) = (Instant::now(), false);
            }
        }
    }

    /// Declares again, unless the broker blocks meanwhile.
    async fn declare_again(&self, connection: &Connection) -> Result<(), TopologyError> {
        let mut state = self.status.subscribe();
        tokio::select! {
            declared = topology::ensure(connection, &self.options) => declared,
            _ = state.wait_for(|state| state.blocked) => Ok(()),
        }
    }

    fn follow_events(&self, connection: &Connection) -> AbortOnDropHandle<()> {
        let mut events = Box::pin(connection.events_listener());
        let (status, name) = (self.status.clone(), self.name.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::ConnectionBlocked(reason) => {
                        tracing::warn!(connection = %name, reason, "the broker has blocked publishers");
                        status.set_blocked(Some(format!("the broker has blocked publishers: {reason}")));
                        show(metric::BLOCKED, &name, true);
                    }
                    Event::ConnectionUnblocked => {
                        tracing::info!(connection = %name, "the broker takes messages again");
                        status.set_blocked(None);
                        show(metric::BLOCKED, &name, false);
                    }
                    _ => {}
                }
            }
        }))
    }
}

/// A gauge of a connection that says yes or no.
fn show(gauge: &'static str, connection: &str, yes: bool) {
    metrics::gauge!(gauge, "connection" => connection.to_owned()).set(f64::from(u8::from(yes)));
}

pub(super) async fn connect(
    address: &Address,
    name: &str,
    patience: Duration,
) -> Result<Connection, RabbitError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    // lapin limits the TCP connection, but not the handshake.
    let connecting = tokio::time::timeout(patience * 2, address.open(properties));
    match connecting.await {
        Ok(connected) => connected.map_err(|error| RabbitError::Connect(error.into())),
        Err(_) => Err(RabbitError::Handshake(patience * 2)),
    }
}

/// Asks whether anybody speaks AMQP, without lapin: a handshake that is given up keeps a thread and a socket of
/// lapin's for as long as the other side is silent, so one is risked only when the other side has spoken.
async fn probe(address: &Address, patience: Duration) -> Result<(), RabbitError> {
    if address.begins_by_itself() {
        return Ok(());
    }
    let authority = &address.uri.authority;
    let speaks = async {
        let mut stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    match tokio::time::timeout(patience, speaks).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(RabbitError::Connect(error.into())),
        Err(_) => Err(RabbitError::Handshake(patience)),
    }
}

pub(super) async fn close(connection: &Connection) {
    let closing = tokio::time::timeout(CLOSE_PATIENCE, connection.close(200, "closed".into()));
    if !matches!(closing.await, Ok(Ok(()))) {
        tracing::debug!("the connection was gone before it was closed");
    }
}
