//! The way out: the broker, the spool that catches events while the broker is away, and the relay between
//! the two.

use std::sync::Arc;
use std::time::Duration;

use matchpurse_bus::{
    Destination, FallbackPublisher, Publisher, RabbitError, RabbitPublisher, Spool, SpoolPublisher, Status,
    relay_to_broker, watch_spool,
};
use matchpurse_settings::Settings;
use matchpurse_store::Store;
use matchpurse_wiring::{bus_options, store_options};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// The name by which broker and database know this service.
const SERVICE: &str = "matchpurse-ingress";

/// The publisher that the settings ask for, with what runs beside it.
pub struct Egress {
    publisher: Arc<dyn Publisher>,
    broker: Arc<RabbitPublisher>,
    spooling: Option<Spooling>,
}

/// What runs beside a publisher with a spool.
struct Spooling {
    relay: JoinHandle<()>,
    relay_status: Status,
    watch: JoinHandle<()>,
    stop: CancellationToken,
}

/// How long the relay may take to finish the batch in hand, and the connection to close. What it has published
/// without the spool having learnt of it arrives a second time, under the same id.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Why events could not leave.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Without a broker the workers must run in the same process, and this one has none.
    #[error(
        "`broker.url` is not set, and without a broker ingress and workers must run in one process: \
         set it, or start `matchpurse dev`"
    )]
    NoBroker,
    /// The broker's URL will not do.
    #[error("`broker.url` cannot be used")]
    Broker(#[source] RabbitError),
    /// The database's settings will not do.
    #[error("the spool's database cannot be used")]
    Database(#[source] matchpurse_store::Error),
}

impl Egress {
    /// Starts to connect, on the current runtime, and returns at once: while broker or database are away
    /// deliveries are answered 503.
    ///
    /// # Errors
    /// [`EgressError`], for settings that could never work.
    pub async fn start(settings: &Settings) -> Result<Self, EgressError> {
        let url = settings.broker.url.as_ref().ok_or(EgressError::NoBroker)?;
        let options = bus_options(settings, SERVICE);
        let spool = if settings.ingress.spool { Some(spool(settings)?) } else { None };
        let broker = RabbitPublisher::start(url.expose(), &options).map_err(EgressError::Broker)?;
        let Some(spool) = spool else {
            return Ok(Self { publisher: Arc::clone(&broker) as _, broker, spooling: None });
        };
        let stop = CancellationToken::new();
        let (relay_status, to_spool) = (Status::new(), SpoolPublisher::to_broker(Arc::clone(&spool)));
        let watch = tokio::spawn(watch_spool(
            Arc::clone(&spool),
            vec![Destination::Broker],
            options.spool_watch,
            to_spool.status().clone(),
            stop.clone(),
        ));
        let relay = tokio::spawn(relay_to_broker(
            spool,
            Arc::clone(&broker) as _,
            options,
            relay_status.clone(),
            stop.clone(),
        ));
        let publisher = Arc::new(FallbackPublisher::new(Arc::clone(&broker) as _, to_spool));
        Ok(Self { publisher, broker, spooling: Some(Spooling { relay, relay_status, watch, stop }) })
    }

    /// How the relay from the spool to the broker fares, when there is a spool.
    pub fn relay_status(&self) -> Option<Status> {
        self.spooling.as_ref().map(|spooling| spooling.relay_status.clone())
    }

    /// The publisher for the ingress.
    pub fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::clone(&self.publisher)
    }

    /// Ends the relay and closes the connection, within seconds; when nobody publishes any more.
    pub async fn stop(self) {
        let deadline = Instant::now() + STOP_TIME;
        if let Some(Spooling { relay, watch, stop, .. }) = self.spooling {
            stop.cancel();
            for mut task in [relay, watch] {
                match timeout_at(deadline, &mut task).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a task of the spool has failed"
                        );
                    }
                    Err(_) => {
                        tracing::warn!("the spool's relay was still busy and is cut off");
                        task.abort();
                    }
                }
            }
        }
        if timeout_at(deadline, self.broker.close()).await.is_err() {
            tracing::debug!("the connection to the broker was not closed in time");
        }
    }
}

fn spool(settings: &Settings) -> Result<Arc<dyn Spool>, EgressError> {
    let store = Store::new(&store_options(settings, SERVICE)).map_err(EgressError::Database)?;
    Ok(Arc::new(store.spool(settings.ingress.spool_events_max)))
}
