//! The way out: the broker, the spool that catches events while the broker is away, and the relay between
//! the two.

use std::sync::Arc;

use matchpurse_bus::{
    FallbackPublisher, Publisher, RabbitError, RabbitPublisher, Spool, SpoolPublisher, Status,
    relay_to_broker,
};
use matchpurse_settings::Settings;
use matchpurse_store::Store;
use matchpurse_wiring::{bus_options, store_options};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The name by which broker and database know this service.
const SERVICE: &str = "matchpurse-ingress";

/// The publisher that the settings ask for, with what runs beside it.
pub struct Egress {
    publisher: Arc<dyn Publisher>,
    broker: Arc<RabbitPublisher>,
    relay: Option<(JoinHandle<()>, CancellationToken)>,
}

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
            return Ok(Self { publisher: Arc::clone(&broker) as _, broker, relay: None });
        };
        let stop = CancellationToken::new();
        let relay = relay_to_broker(
            Arc::clone(&spool),
            Arc::clone(&broker) as _,
            options,
            Status::new(),
            stop.clone(),
        );
        let publisher = FallbackPublisher::new(Arc::clone(&broker) as _, SpoolPublisher::to_broker(spool));
        Ok(Self { publisher: Arc::new(publisher), broker, relay: Some((tokio::spawn(relay), stop)) })
    }

    /// The publisher for the ingress.
    pub fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::clone(&self.publisher)
    }

    /// Ends the relay and closes the connection; when nobody publishes any more.
    pub async fn stop(self) {
        if let Some((relay, stop)) = self.relay {
            stop.cancel();
            if let Err(error) = relay.await {
                tracing::error!(error = &error as &dyn std::error::Error, "the spool's relay has failed");
            }
        }
        self.broker.close().await;
    }
}

fn spool(settings: &Settings) -> Result<Arc<dyn Spool>, EgressError> {
    let store = Store::new(&store_options(settings, SERVICE)).map_err(EgressError::Database)?;
    Ok(Arc::new(store.spool(settings.ingress.spool_events_max)))
}
