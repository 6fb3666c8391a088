//! One task that publishes on one channel.
//!
//! Only one task may publish on a channel: lapin numbers a message before it queues it for sending, so two tasks
//! at once could have their confirms exchanged. It is also the one that reads the confirms; see
//! [`super::confirms`]. Before they are published, events may gather; see [`super::gather`].

use std::sync::Arc;
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use matchpurse_contracts::wire::Message;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::confirms::Confirms;
use super::connection::Link;
use super::convert::Outgoing;
use super::gather::Gathering;
use super::ticket::Ticket;
use crate::{BusOptions, PublishError, State, metric};

/// How many batches are taken in before the confirms are looked at again.
const TAKE_MAX: usize = 64;

/// Something to be published.
#[derive(Debug)]
pub(super) enum Letter {
    /// To every queue that wants it; it may travel with others.
    Event(Message),
    /// To where it says, alone.
    Addressed(Box<Outgoing>),
}

/// Messages that are confirmed together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) letters: Vec<Letter>,
    pub(super) ticket: Arc<Ticket>,
}

pub(super) struct Lane {
    link: Link,
    batches: mpsc::UnboundedReceiver<Batch>,
    /// Taken in, and not published yet. It outlives a channel.
    gathering: Gathering,
    /// With so many unconfirmed messages events of every kind gather.
    in_flight_max: usize,
    open_timeout: Duration,
}

/// Why a channel is left.
enum Left {
    /// Nobody publishes any more.
    Ended,
    /// The connection is gone.
    Disconnected,
    /// The channel closed alone.
    Closed,
    /// A confirm did not come in time, so perhaps none will on this channel.
    Wedged,
}

impl Lane {
    /// Starts the task; it ends with the sender or with the link.
    pub(super) fn start(link: Link, options: &BusOptions) -> mpsc::UnboundedSender<Batch> {
        let (sender, batches) = mpsc::unbounded_channel();
        let gathering = Gathering::new(options.group_max_events, options.shards);
        let in_flight_max = options.group_above.max(1);
        let lane = Self { link, batches, gathering, in_flight_max, open_timeout: options.confirm_timeout };
        tokio::spawn(lane.run());
        sender
    }

    async fn run(mut self) {
        loop {
            let Some(connection) = self.wait_for_connection().await else { return };
            let left = match open(&connection, self.open_timeout).await {
                Ok(channel) => self.publish_on(&connection, channel).await,
                Err(problem) => {
                    // Of a broken connection its supervisor tells.
                    if connection.status().connected() {
                        tracing::warn!(problem, "no channel to publish on");
                    }
                    self.refuse_waiting();
                    // A connection that opens no channels is one that breaks, or one that has too many.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Left::Closed
                }
            };
            if matches!(left, Left::Ended) {
                return;
            }
        }
    }

    /// Waits for a connection, and turns away who comes meanwhile; None when there will be none.
    async fn wait_for_connection(&mut self) -> Option<Arc<Connection>> {
        let Self { link, batches, gathering, .. } = self;
        loop {
            if link.current().is_none() {
                gathering.give_up(|| PublishError::NotConnected);
            }
            tokio::select! {
                biased;
                connection = link.connection() => return connection,
                batch = batches.recv() => batch?.refuse(PublishError::NotConnected),
            }
        }
    }

    fn refuse_waiting(&mut self) {
        self.gathering.give_up(|| PublishError::NotConnected);
        for batch in std::iter::from_fn(|| self.batches.try_recv().ok()) {
            batch.refuse(PublishError::NotConnected);
        }
    }

    async fn publish_on(&mut self, connection: &Arc<Connection>, channel: Channel) -> Left {
        let mut confirms = Confirms::new(channel);
        let mut link = self.link.clone();
        let mut state = self.link.status().subscribe();
        let left = loop {
            self.take_in();
            if let Err(left) = self.send(&mut confirms) {
                break left;
            }
            let deadline = [confirms.deadline(), self.gathering.deadline()].into_iter().flatten().min();
            tokio::select! {
                open = confirms.settle(), if confirms.in_flight() > 0 => if !open {
                    break Left::Closed;
                },
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.gathering.add(batch),
                    None => break Left::Ended,
                },
                () = until(deadline), if deadline.is_some() => {
                    confirms.expire();
                    self.gathering.expire();
                    break Left::Wedged;
                }
                () = blocked(&mut state) => {
                    // The broker reads nothing until it unblocks us. What it has read it may still confirm, but
                    // nobody should wait for that.
                    confirms.give_up(|| PublishError::Blocked);
                    self.gathering.give_up(|| PublishError::Blocked);
                    self.refuse_while_blocked(&mut state).await;
                }
                () = link.replaced(connection) => break Left::Disconnected,
            }
        };
        match left {
            Left::Wedged => {
                tracing::warn!(
                    in_flight = confirms.in_flight(),
                    "a confirm did not come; the channel is replaced"
                );
                // Others on the channel may still be confirmed before their deadline.
                tokio::spawn(confirms.finish());
            }
            Left::Ended => confirms.finish().await,
            Left::Closed => confirms.give_up_broken(),
            Left::Disconnected => confirms.leave().await,
        }
        left
    }

    /// Takes in what waits already.
    fn take_in(&mut self) {
        for _ in 0..TAKE_MAX {
            let Ok(batch) = self.batches.try_recv() else { break };
            self.gathering.add(batch);
        }
    }

    /// Publishes what need not gather any longer.
    fn send(&mut self, confirms: &mut Confirms) -> Result<(), Left> {
        while !self.gathering.is_empty() {
            // Then it is the first on the next channel.
            if !confirms.is_open() {
                return Err(Left::Closed);
            }
            let room = confirms.in_flight() < self.in_flight_max;
            let Some(parcel) = self.gathering.next(|key| room && !confirms.waits_for(key)) else { break };
            metrics::histogram!(metric::MESSAGE_EVENTS).record(parcel.events as f64);
            confirms.publish(parcel);
        }
        Ok(())
    }

    async fn refuse_while_blocked(&mut self, state: &mut watch::Receiver<State>) {
        loop {
            tokio::select! {
                biased;
                _ = state.wait_for(|state| !state.blocked) => return,
                batch = self.batches.recv() => match batch {
                    Some(batch) => batch.refuse(PublishError::Blocked),
                    None => return,
                },
            }
        }
    }
}

async fn blocked(state: &mut watch::Receiver<State>) {
    // The status outlives its readers, so this cannot fail.
    let _ended = state.wait_for(|state| state.blocked).await.is_err();
}

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Letter {
    /// The length of its body.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Event(message) => message.body.len(),
            Self::Addressed(outgoing) => outgoing.body.len(),
        }
    }
}

impl Batch {
    fn refuse(self, error: PublishError) {
        self.ticket.give_up(error);
    }
}

async fn open(connection: &Connection, patience: Duration) -> Result<Channel, String> {
    let opening = async {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok::<_, lapin::Error>(channel)
    };
    match tokio::time::timeout(patience, opening).await {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the broker opened none within {patience:?}")),
    }
}
