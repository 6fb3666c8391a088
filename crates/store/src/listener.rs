use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, NoTls};

use crate::{Error, Result, StoreOptions};

/// A connection of its own, on which PostgreSQL tells that there is something new. It ends with this value.
pub struct Listener {
    told: mpsc::Receiver<()>,
    connection: JoinHandle<()>,
    // Dropped, it would end the connection; nothing more is asked on it.
    client: tokio_postgres::Client,
}

impl Listener {
    /// Begins to listen to a channel of ours. What was told before is not told again, so whoever listens looks once
    /// by himself.
    pub(crate) async fn to(options: &StoreOptions, channel: &'static str) -> Result<Self> {
        let (client, mut connection) =
            options.connection()?.connect(NoTls).await.map_err(Error::Connection)?;
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
        let listener = Self { told, connection, client };
        listener.client.batch_execute(&format!("LISTEN {channel}")).await?;
        Ok(listener)
    }

    /// Waits until something is told. False when the connection has ended, and nothing ever will be.
    pub async fn told(&mut self) -> bool {
        self.told.recv().await.is_some()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
