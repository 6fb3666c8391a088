//! Answers that decide about money: the first one is kept before anything else is done with the delivery, and is given
//! again whenever the same is asked, whatever the configuration says by then.

use std::time::Duration;

use matchpurse_domain::event::Payload;
use matchpurse_domain::ids::SourceName;
use matchpurse_providers::{Normalized, Question, Reply};
use matchpurse_settings::Settings;
use matchpurse_store::conversions::{Answer, answer};
use matchpurse_store::{Error, Store};
use matchpurse_wiring::store_options;
use tokio::runtime::Handle;

/// The name by which the database knows this service.
const SERVICE: &str = "matchpurse-ingress";

/// What an answer may take beyond the limits of the database, which end it first when they work.
const SLACK_MS: u64 = 1000;

/// Where answers are kept. It connects when the first one is asked for.
pub(crate) struct Answers {
    store: Store,
    /// Where connections live. Not on the server's threads, as with publishing.
    runtime: Handle,
    limit: Duration,
}

/// Why no answer can be given; the sender must ask again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The database does not know, or does not say.
    #[error("the answer cannot be kept")]
    Database(#[source] Error),
    /// The database did not answer in time.
    #[error("the answer was not kept in time")]
    TimedOut,
    /// A defect of ours.
    #[error("keeping the answer failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Answers {
    /// # Errors
    /// When the database's settings will not do.
    pub(crate) fn new(settings: &Settings, runtime: Handle) -> Result<Self, Error> {
        let database = &settings.database;
        // A connection, then one statement or two; a connection that has gone silent must be found to be so.
        let statements_ms = database.answer_timeout_ms().saturating_mul(2);
        let limit_ms = database.pool_wait_ms.saturating_add(database.connect_timeout_ms);
        let limit_ms = limit_ms.saturating_add(statements_ms).saturating_add(SLACK_MS);
        let store = Store::new(&store_options(settings, SERVICE))?;
        Ok(Self { store, runtime, limit: Duration::from_millis(limit_ms) })
    }

    /// The answer to what a verified delivery asks, `reply` if it is the first; it also stands in the events then. A
    /// delivery that asks nothing keeps its reply, and no database hears of it.
    pub(crate) async fn settle(
        &self,
        source: &SourceName,
        normalized: &mut Normalized,
        reply: Reply,
    ) -> Result<Reply, NoAnswer> {
        let Some(question) = normalized.question.clone() else { return Ok(reply) };
        let kept = self.keep(source, &question, &reply).await?;
        for event in &mut normalized.events {
            if let Payload::CreditConversion(wish) = &mut event.payload {
                wish.answer.clone_from(&kept.word);
            }
        }
        Ok(Reply { body: kept.body.into(), ..reply })
    }

    /// In a task of its own: a sender who hangs up does not leave a connection half used.
    async fn keep(
        &self,
        source: &SourceName,
        question: &Question,
        reply: &Reply,
    ) -> Result<Answer, NoAnswer> {
        let (store, source, id) = (self.store.clone(), source.clone(), question.id.clone());
        let now = Answer { word: question.answer.clone(), body: reply.body.to_vec() };
        let limit = self.limit;
        let keeping = self.runtime.spawn(async move {
            let keep = async { answer(&store.client().await?, &source, &id, now).await };
            match tokio::time::timeout(limit, keep).await {
                Ok(kept) => kept.map_err(NoAnswer::Database),
                Err(_) => Err(NoAnswer::TimedOut),
            }
        });
        keeping.await.unwrap_or_else(|error| Err(NoAnswer::Broken(Box::new(error))))
    }
}
