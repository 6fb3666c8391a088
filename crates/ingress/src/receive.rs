//! One delivery, from the request to the answer.
//!
//! In this order: source known, method allowed, a place among those in work, body within its limit and memory,
//! signature over the raw bytes, normalize, keep the answer where it is about money, confirmed publish, answer. Before the signature holds nothing
//! is parsed and neither database nor broker hears of it. Every step has a time limit, so no request hangs:
//! the body's, the fetch of a public key, the answer's, the publisher's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use matchpurse_bus::{PublishError, Publisher};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::Payload;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{Delivery, Headers, Method, Outcome, Reply, Verified, VerifyError};
use matchpurse_service_kit::network::Network;
use matchpurse_service_kit::trace::{Span, Tracer};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answers::Answers;
use crate::caller::Caller;
use crate::envelope::Envelope;
use crate::log_gate::LogGate;
use crate::memory::{BodyMemory, Taken};
use crate::metrics::Meter;
use crate::refusal::Refusal;
use crate::rejected::{Rejected, RejectedLog};
use crate::sources::{Source, Sources};
use crate::strangers::Strangers;
use crate::{body, metrics, problem, spans, traceparent};

/// What every request needs; one for the process.
pub(crate) struct Ingress {
    pub(crate) sources: Sources,
    pub(crate) answers: Answers,
    pub(crate) publisher: Arc<dyn Publisher>,
    /// Where publishing runs. Not on the server's threads: each has a runtime of its own, and a connection
    /// that the publisher opens there would stand still while that thread is busy.
    pub(crate) runtime: Handle,
    pub(crate) places: Arc<Semaphore>,
    /// Those of them that strangers may take together.
    pub(crate) stranger_places: Arc<Semaphore>,
    pub(crate) body_memory: BodyMemory,
    pub(crate) strangers: Strangers,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) rejected: Arc<RejectedLog>,
    pub(crate) limits: Limits,
    pub(crate) meter: Meter,
    pub(crate) tracer: Tracer,
    pub(crate) not_believed_log: LogGate,
    pub(crate) turned_away_log: LogGate,
}

/// What bounds one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For the body to arrive.
    pub(crate) body_time: Duration,
    /// For the publisher to answer, whatever it has tried meanwhile.
    pub(crate) publish_time: Duration,
    /// What a sender is told to wait, in seconds, when its delivery could not be kept.
    pub(crate) retry_after_s: u32,
}

/// A place among the deliveries in work, with the memory of its body.
struct Place {
    meter: Meter,
    memory: Taken,
    _permit: OwnedSemaphorePermit,
    _stranger: Option<OwnedSemaphorePermit>,
}

/// `/hooks/{source}`, with any method.
pub(crate) async fn deliver(
    request: HttpRequest,
    name: web::Path<String>,
    payload: web::Payload,
    ingress: web::Data<Ingress>,
) -> HttpResponse {
    let began = Instant::now();
    let caller = ingress.caller(&request, began);
    let Some(source) = ingress.sources.get(&name) else {
        return ingress.lost(caller, Refusal::UnknownSource, began);
    };
    let mut span = Span::none();
    let outcome = match ingress.shuts_out(caller, Some(&source.name), began) {
        Some(refusal) => Err(refusal),
        None => receive(&ingress, &source, caller, &request, payload, (began, &mut span)).await,
    };
    let caller = ingress.learn(caller, Some(&source.name), outcome.as_ref().err(), Instant::now());
    match outcome {
        Ok(reply) => {
            source.meter.kept(began.elapsed());
            spans::answered(span, None, reply.status);
            respond(reply)
        }
        Err(refusal) => {
            source.meter.refused(&refusal, began.elapsed());
            ingress.note(&source, caller, &refusal);
            let answer = problem::answer(&refusal, Some(&source), ingress.limits.retry_after_s);
            spans::answered(span, Some(&refusal), answer.status().as_u16());
            caller.hang_up_on_a_stranger(answer)
        }
    }
}

/// Every other path.
pub(crate) async fn astray(request: HttpRequest, ingress: web::Data<Ingress>) -> HttpResponse {
    let now = Instant::now();
    ingress.lost(ingress.caller(&request, now), Refusal::UnknownPath, now)
}

async fn receive(
    ingress: &Ingress,
    source: &Source,
    caller: Caller,
    request: &HttpRequest,
    payload: web::Payload,
    (began, span): (Instant, &mut Span),
) -> Result<Reply, Refusal> {
    let method = allowed_method(source, request)?;
    let mut place = ingress.place(caller)?;
    let (limit, time_limit) = (source.max_body, ingress.limits.body_time);
    let body = body::read(request.headers(), payload, limit, time_limit, &mut place.memory).await?;
    let received_at = now();
    let delivery = Delivery { method, headers: headers(request), body };
    let verified = verify(source, &delivery, received_at).await?;

    let mut envelope = Envelope::new(source, &verified, received_at, sent_traceparent(request));
    *span = spans::delivery(&ingress.tracer, &mut envelope, delivery.body.len(), began);
    match source.adapter.normalize(&verified, &source.settings) {
        Ok(mut normalized) => {
            let payloads: Vec<&Payload> = normalized.events.iter().map(|event| &event.payload).collect();
            let reply = source.adapter.reply(Outcome::Kept { payloads: &payloads });
            let answers = &ingress.answers;
            let reply =
                answers.settle(&source.name, &mut normalized, reply).await.map_err(Refusal::NoAnswer)?;
            if span.is_recording() {
                span.set("matchpurse.type", normalized.provider_type.clone());
            }
            let publishing = spans::publish(&ingress.tracer, span, &mut envelope);
            ingress.publish(envelope.seal(normalized), place, publishing).await?;
            tracing::debug!(source = source.name.as_str(), event_id = %envelope.delivery_id, "kept");
            Ok(reply)
        }
        Err(error) => {
            let publishing = spans::publish(&ingress.tracer, span, &mut envelope);
            ingress.publish(envelope.seal_malformed(&error), place, publishing).await?;
            tracing::warn!(
                source = source.name.as_str(),
                event_id = %envelope.delivery_id,
                error = &error as &dyn std::error::Error,
                "verified, but it cannot be read; parked"
            );
            Err(Refusal::Malformed(error))
        }
    }
}

fn allowed_method(source: &Source, request: &HttpRequest) -> Result<Method, Refusal> {
    let methods = source.adapter.methods();
    Method::parse(request.method().as_str()).filter(|method| methods.contains(method)).ok_or_else(|| {
        let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
        Refusal::MethodNotAllowed { allow: names.join(", ") }
    })
}

/// The headers, values as bytes: nobody promised that they are UTF-8.
fn headers(request: &HttpRequest) -> Headers {
    request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// The sender's trace context, when it stands there once and is valid.
fn sent_traceparent(request: &HttpRequest) -> Option<String> {
    let mut values = request.headers().get_all("traceparent");
    let value = values.next()?;
    if values.next().is_some() { None } else { traceparent::read(value.as_bytes()) }
}

/// Verifies with the keys that are known, and when they do not fit, with those that the provider may have
/// changed to.
async fn verify(source: &Source, delivery: &Delivery, now: Timestamp) -> Result<Verified, Refusal> {
    let known = source.keyring.known();
    let mut outcome = source.adapter.verify(delivery, &source.settings, &known.keys, now);
    if let Err(VerifyError::SignatureMismatch | VerifyError::NoKey) = outcome
        && let Some(newer) = source.keyring.newer_than(&known).await
    {
        outcome = source.adapter.verify(delivery, &source.settings, &newer.keys, now);
    }
    outcome.map_err(|error| match error {
        VerifyError::NoKey => Refusal::NoKey,
        other => Refusal::NotBelieved(other),
    })
}

impl Ingress {
    /// A place among the deliveries in work, if there is one now: nobody waits in line, because who sends
    /// can wait better than who receives.
    fn place(&self, caller: Caller) -> Result<Place, Refusal> {
        let stranger = if caller.known {
            None
        } else {
            let permit = Arc::clone(&self.stranger_places).try_acquire_owned();
            Some(permit.map_err(|_| Refusal::TooMany)?)
        };
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal::TooMany)?;
        self.meter.in_flight.increment(1.0);
        Ok(Place {
            meter: self.meter.clone(),
            memory: self.body_memory.none_taken(caller.known),
            _permit: permit,
            _stranger: stranger,
        })
    }

    /// The answer to what came to no source.
    fn lost(&self, caller: Caller, refusal: Refusal, now: Instant) -> HttpResponse {
        let refusal = self.shuts_out(caller, None, now).unwrap_or(refusal);
        metrics::astray(&refusal);
        self.learn(caller, None, Some(&refusal), now);
        caller.hang_up_on_a_stranger(problem::answer(&refusal, None, self.limits.retry_after_s))
    }

    /// Publishes, in a task of its own: a sender who hangs up does not take back what it has sent, and its
    /// place is taken until the publisher has answered.
    async fn publish(&self, messages: Vec<Message>, place: Place, span: Span) -> Result<(), Refusal> {
        let (publisher, limit) = (Arc::clone(&self.publisher), self.limits.publish_time);
        let publishing = self.runtime.spawn(async move {
            let (began, count) = (Instant::now(), messages.len());
            let outcome = tokio::time::timeout(limit, publisher.publish(messages)).await;
            place.meter.publish_seconds.record(began.elapsed());
            let outcome = outcome.unwrap_or(Err(PublishError::TimedOut));
            spans::published(span, count, &outcome);
            outcome
        });
        match publishing.await {
            Ok(outcome) => outcome.map_err(Refusal::Unavailable),
            Err(error) => Err(Refusal::Unavailable(PublishError::Broken(Box::new(error)))),
        }
    }

    /// One line a failure where somebody may have to act; a flood of the same is one line a second.
    fn note(&self, source: &Source, caller: Caller, refusal: &Refusal) {
        let name = source.name.as_str();
        let error = refusal as &dyn std::error::Error;
        match refusal {
            Refusal::NotBelieved(reason) => {
                let remote = caller.address;
                let rejected = Rejected { at: now(), source: source.name.clone(), reason: *reason, remote };
                self.rejected.add(rejected);
                if let Some(held_back) = self.not_believed_log.pass() {
                    tracing::warn!(
                        source = name,
                        reason = reason.as_str(),
                        remote = remote.map(tracing::field::display),
                        held_back,
                        "not believed"
                    );
                }
            }
            Refusal::Unavailable(_)
            | Refusal::NoAnswer(_)
            | Refusal::NoKey
            | Refusal::TooMany
            | Refusal::NoMemory => {
                if let Some(held_back) = self.turned_away_log.pass() {
                    tracing::error!(source = name, error, held_back, "delivery turned away");
                }
            }
            // It was logged with its event's id.
            Refusal::Malformed(_) => {}
            _ => tracing::debug!(source = name, error, "delivery refused"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.meter.in_flight.decrement(1.0);
    }
}

fn respond(reply: Reply) -> HttpResponse {
    // An adapter's status is a constant of its code; were it none, the event is still kept.
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK));
    if let Some(content_type) = reply.content_type {
        response.insert_header((CONTENT_TYPE, content_type));
    }
    response.body(reply.body)
}

/// The time of the wall clock; before 1970 or after the year 294,000 it saturates.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
