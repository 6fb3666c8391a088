use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::AsyncMessage;

use crate::{Error, Result, StoreOptions};

/// A connection of its own, on which PostgreSQL tells that there is something new. It ends with this value.
///
/// A connection that has gone silent looks like one with nothing to tell. So it is asked for a sign of life each time
/// that an answer may take at most, and ends where none comes.
pub struct Listener {
    told: mpsc::Receiver<()>,
    connection: JoinHandle<()>,
    living: JoinHandle<()>,
}

impl Listener {
    /// Begins to listen to a channel of ours. What was told before is not told again, so whoever listens looks once
    /// by himself.
    pub(crate) async fn to(options: &StoreOptions, channel: &'static str) -> Result<Self> {
        let limit = options.statement_timeout + options.answer_grace;
        let (config, tls) = options.connection()?;
        let (client, mut connection) = config.connect(tls).await.map_err(Error::Connection)?;
        // One place is enough: who has not looked yet will see whatever else is told meanwhile.
        let (tell, told) = mpsc::channel(1);
        let connection = tokio::spawn(async move {
            let mut messages = poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    // Full means that the listener knows already; closed, that there is none.
                    tell.try_send(()).ok();
                }
            }
        });
        let ends = connection.abort_handle();
        let listen = format!("LISTEN {channel}");
        let listening = timeout(limit, client.batch_execute(&listen)).await;
        let listening = listening.map_err(|_| Error::Silent(limit)).and_then(|listening| Ok(listening?));
        if let Err(error) = listening {
            ends.abort();
            return Err(error);
        }
        let living = tokio::spawn(async move {
            loop {
                sleep(limit).await;
                // Who listens already listens; it is the answer that matters.
                if !matches!(timeout(limit, client.batch_execute(&listen)).await, Ok(Ok(()))) {
                    break ends.abort();
                }
            }
        });
        Ok(Self { told, connection, living })
    }

    /// Waits until something is told. False when the connection has ended, and nothing ever will be.
    pub async fn told(&mut self) -> bool {
        self.told.recv().await.is_some()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connection.abort();
        self.living.abort();
    }
}
