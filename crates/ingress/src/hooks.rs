//! What `/hooks/{source}` does, without a server around it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use matchpurse_bus::Publisher;
use matchpurse_service_kit::http_client::HttpClient;
use matchpurse_service_kit::trace;
use matchpurse_settings::Settings;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::BuildError;
use crate::answers::Answers;
use crate::keyring::{FETCH_PAUSE, client_options};
use crate::log_gate::LogGate;
use crate::memory::BodyMemory;
use crate::metrics::Meter;
use crate::receive::{self, Ingress, Limits};
use crate::rejected::RejectedLog;
use crate::sources::Sources;
use crate::strangers::Strangers;

/// What a publish may take beyond the limits of broker and database, which end it first when they work.
const PUBLISH_SLACK_MS: u64 = 1000;

/// This part of the places, and of the memory for bodies, is kept from strangers: a quarter.
const KNOWN_SHARE: u32 = 4;
const KNOWN_SHARE_BYTES: u64 = 4;

/// Deliveries, from the request to the answer, for whoever serves them: [`crate::Application`] on ports, a test in
/// memory. Clones are the same ingress.
#[derive(Clone)]
pub struct Hooks(pub(crate) web::Data<Ingress>);

impl Hooks {
    /// Checks the sources. Events are published on the runtime that this is called on.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn new(settings: &Settings, publisher: Arc<dyn Publisher>) -> Result<Self, BuildError> {
        let client = HttpClient::new(&client_options()).map_err(BuildError::HttpClient)?;
        let sources = Sources::new(settings, &client, FETCH_PAUSE)?;
        let (own, memory) = (&settings.ingress, settings.ingress.body_memory_max_bytes);
        let largest = u64::try_from(sources.largest_body()).unwrap_or(u64::MAX);
        let places = |count| Arc::new(Semaphore::new(self::count(count).min(Semaphore::MAX_PERMITS)));
        Ok(Self(web::Data::new(Ingress {
            sources,
            answers: Answers::new(settings, Handle::current()).map_err(BuildError::Database)?,
            publisher,
            runtime: Handle::current(),
            places: places(own.max_in_flight),
            stranger_places: places(own.max_in_flight.saturating_sub(own.max_in_flight / KNOWN_SHARE)),
            body_memory: BodyMemory::new(
                memory,
                memory.saturating_sub(memory / KNOWN_SHARE_BYTES).max(largest),
            ),
            strangers: Strangers::new(own),
            trusted_proxies: own.trusted_proxies.clone(),
            rejected: Arc::new(RejectedLog::new(count(own.rejected_log_max))),
            limits: limits(settings),
            meter: Meter::new(),
            tracer: trace::tracer("ingress"),
            not_believed_log: LogGate::new(),
            turned_away_log: LogGate::new(),
        })))
    }

    /// Adds `/hooks/{source}`, and the answer to every other path.
    pub fn configure(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(self.0.clone())
            .route("/hooks/{source}", web::route().to(receive::deliver))
            .default_service(web::route().to(receive::astray));
    }
}

fn limits(settings: &Settings) -> Limits {
    let (own, broker, database) = (&settings.ingress, &settings.broker, &settings.database);
    // Broker first, then the spool: the sum of what they allow themselves. With less, nobody would wait until a
    // connection is found to have gone silent, and it would be taken again and again.
    let spool_ms = database.pool_wait_ms.saturating_add(database.answer_timeout_ms());
    let publish_ms = broker.confirm_timeout_ms.saturating_add(spool_ms).saturating_add(PUBLISH_SLACK_MS);
    Limits {
        body_time: Duration::from_millis(own.request_timeout_ms),
        publish_time: Duration::from_millis(publish_ms),
        retry_after_s: own.retry_after_s,
    }
}

/// A limit of the settings; saturates where a machine cannot count so far.
fn count(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
