use std::time::Duration;

use matchpurse_domain::time::Timestamp;
use matchpurse_store::chain;
use matchpurse_store::dispatch::{self, Attempt, Claimed, Ended, Next};
use metrics::{counter, histogram};
use tokio::time::{Instant, sleep};

use crate::dispatcher::Shared;
use crate::policy::{self, Answer, Decision};
use crate::send::Target;
use crate::{breaker, metric, spans};

/// Between attempts to write down what came of a send, while the database is away.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A delivery with where it goes, and until when it is ours.
pub(crate) struct Sending {
    pub(crate) claimed: Claimed,
    /// The endpoint's name.
    pub(crate) endpoint: String,
    pub(crate) target: Target,
    pub(crate) lease_ends: Instant,
}

impl Shared {
    /// One attempt, from its beginning until it is written down.
    pub(crate) async fn attempt(&self, sending: Sending) {
        let Sending { claimed, endpoint, target, lease_ends } = sending;
        let name = endpoint.as_str();
        let limit = Duration::from_millis(self.settings.request_timeout_ms);
        // A process that was stopped for a while must not send what may be another's by now.
        if Instant::now() + limit * 2 > lease_ends {
            tracing::warn!(endpoint = name, webhook_id = %claimed.webhook_id, "too late to send; its lease ends");
            return;
        }
        let (at, began) = ((self.clock)(), Instant::now());
        let (span, traceparent) = spans::notice(&self.tracer, name, &claimed);
        let answer = self
            .sender
            .send(&target, claimed.webhook_id, &claimed.body, claimed.unknown, at, traceparent.as_deref())
            .await;
        let now = (self.clock)();
        let decision = policy::decide(claimed.webhook_id, claimed.attempts, &answer, now);
        let took_ms = i32::try_from(began.elapsed().as_millis()).unwrap_or(i32::MAX);
        let (status, detail) = match answer {
            Answer::Status { status, detail, .. } => (Some(status), detail),
            Answer::NotSent { reason } | Answer::Unknown { reason } => (None, reason),
            Answer::Confirmed => (None, String::new()),
        };
        spans::sent(span, decision.outcome, status);
        let attempt = Attempt { at, took_ms, outcome: decision.outcome, status, detail };
        histogram!(metric::ATTEMPT_SECONDS, "endpoint" => name.to_owned())
            .record(began.elapsed().as_secs_f64());
        counter!(metric::ATTEMPTS, "endpoint" => name.to_owned(), "outcome" => decision.outcome.as_str())
            .increment(1);
        let ended = Ended { claimed: &claimed, attempt, next: decision.next };
        match self.write(&ended, &decision, now, lease_ends).await {
            Ok(finished) => tell(name, &ended, &finished, now),
            // It is due again when the lease ends, under the same id.
            Err(error) => tracing::error!(
                endpoint = name,
                webhook_id = %claimed.webhook_id,
                outcome = decision.outcome.as_str(),
                reason = chain(&error),
                "what came of a send could not be written down; it is sent again"
            ),
        }
    }

    /// Writes what came of a send, again and again while the database is away and the lease holds.
    async fn write(
        &self,
        ended: &Ended<'_>,
        decision: &Decision,
        now: Timestamp,
        lease_ends: Instant,
    ) -> matchpurse_store::Result<dispatch::Finished> {
        let probe = ended.claimed.probe;
        let fares = |health| breaker::after(health, decision.signal, probe, now, &self.breaker);
        loop {
            let written = async {
                let mut client = self.store.client().await?;
                dispatch::finish(&mut client, ended, &self.audience, fares, now).await
            };
            match written.await {
                Err(error) if error.is_transient() && Instant::now() + WRITE_AGAIN_AFTER < lease_ends => {
                    sleep(WRITE_AGAIN_AFTER).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// Tells operators what they may have to know. No URL, no body: whose it is and which it was.
fn tell(endpoint: &str, ended: &Ended<'_>, finished: &dispatch::Finished, now: Timestamp) {
    let Ended { claimed, attempt, next } = ended;
    let (webhook_id, outcome) = (claimed.webhook_id, attempt.outcome.as_str());
    match next {
        Next::Delivered => {
            let age_us = now.micros().saturating_sub(claimed.written_at.micros()).max(0);
            let age = Duration::from_micros(u64::try_from(age_us).unwrap_or(0));
            histogram!(metric::DELIVERY_SECONDS, "endpoint" => endpoint.to_owned()).record(age.as_secs_f64());
            tracing::debug!(endpoint, %webhook_id, kind = claimed.kind, outcome, "delivered");
        }
        Next::GivenUp if finished.counted => {
            counter!(metric::GIVEN_UP, "endpoint" => endpoint.to_owned()).increment(1);
            tracing::error!(
                endpoint, %webhook_id, kind = claimed.kind, subject = claimed.subject, outcome,
                status = attempt.status, "given up after the last attempt; it waits for an operator"
            );
        }
        Next::Again { .. } | Next::GivenUp => {
            tracing::info!(endpoint, %webhook_id, kind = claimed.kind, outcome, status = attempt.status, "not delivered");
        }
    }
    if attempt.outcome == dispatch::AttemptOutcome::Gone {
        tracing::error!(endpoint, "it answered 410 and gets nothing more until an operator enables it");
    }
    let (before, after) = finished.health;
    if before.openings == 0 && after.openings > 0 {
        tracing::warn!(endpoint, failures = after.failures, "its circuit breaker opens");
    }
    if before.openings > 0 && after.openings == 0 {
        tracing::info!(endpoint, "it is back; its circuit breaker closes");
    }
}
