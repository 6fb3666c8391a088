//! What becomes of an answer: events, or evidence.

use matchpurse_bus::PublishError;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{Fetched, Verified};
use matchpurse_reading::Arrival;
use matchpurse_store::inquiries::{self, Claimed, Evidence};
use metrics::counter;
use tokio::time::{Instant, timeout_at};

use crate::asker::Asker;
use crate::asking::Asking;
use crate::metric;

/// Events that are published at once.
const PUBLISHED_AT_ONCE: usize = 500;

impl Asking {
    /// Publishes what was found, in its order, and returns how many events that were. It is on durable storage then.
    pub(crate) async fn publish(
        &self,
        asker: &Asker,
        found: Vec<Fetched>,
        asked_at: Timestamp,
        deadline: Instant,
    ) -> Result<usize, PublishError> {
        let events = found.into_iter().flat_map(|fetched| events(asker, fetched, asked_at));
        let messages: Vec<Message> = events.map(|event| Message::new(event, None)).collect();
        let count = messages.len();
        for part in messages.chunks(PUBLISHED_AT_ONCE) {
            let published = timeout_at(deadline, self.publisher.publish(part.to_vec()));
            published.await.unwrap_or(Err(PublishError::TimedOut))?;
        }
        let counted = u64::try_from(count).unwrap_or(u64::MAX);
        counter!(metric::EVENTS, "source" => asker.source.to_string()).increment(counted);
        Ok(count)
    }

    /// Puts what was found beside the open anomalies about it.
    pub(crate) async fn attach(
        &self,
        asker: &Asker,
        claimed: &Claimed,
        found: &[Fetched],
        asked_at: Timestamp,
    ) -> matchpurse_store::Result<()> {
        let mut client = self.store.client().await?;
        for fetched in found {
            let answer = asker.adapter.redact(&fetched.body);
            inquiries::attach(&mut client, &claimed.question, &Evidence { asked_at, answer: &answer })
                .await?;
        }
        Ok(())
    }
}

/// The events of what was found: the same as if it had been delivered.
fn events(asker: &Asker, fetched: Fetched, asked_at: Timestamp) -> Vec<Event> {
    let verified = Verified::fetched(fetched);
    let arrival = Arrival::new(&asker.source, asker.adapter, &verified, asked_at);
    match asker.adapter.normalize(&verified, &asker.settings) {
        // Who asks us something waits for our answer, and an answer of an API does not.
        Ok(normalized) if normalized.question.is_some() => {
            tracing::error!(source = asker.source.as_str(), "an answer asks something, and is not taken");
            Vec::new()
        }
        Ok(normalized) => arrival.events(normalized),
        Err(error) => {
            tracing::warn!(
                source = asker.source.as_str(),
                event_id = %arrival.delivery_id(),
                error = &error as &dyn std::error::Error,
                "a provider has answered what cannot be read; parked"
            );
            vec![arrival.malformed(&error)]
        }
    }
}
