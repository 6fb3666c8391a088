use matchpurse_store::dispatch::{self, AttemptLine, DeliveryLine};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::moment::Moment;

/// A delivery as a list has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryView {
    id: String,
    endpoint: String,
    /// What it is sent under, on every attempt.
    webhook_id: String,
    kind: String,
    source: String,
    subject: String,
    /// `waiting`, `behind`, `delivered`, `given_up` or `withdrawn`.
    state: &'static str,
    /// How many attempts of its schedule it has had.
    scheduled_attempts: i32,
    /// When it is tried next, where it waits; while it is being sent, when that would be given up as lost.
    next_attempt_at: Option<Moment>,
    /// An attempt had no answer.
    may_have_arrived: bool,
    created_at: Moment,
    finished_at: Option<Moment>,
    /// Why it ended without having been tried to its end: `endpoint_removed` or `handed_on`; only there.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'static str>,
    /// The last attempt that has ended.
    last_attempt: Option<AttemptView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub(crate) struct AttemptView {
    at: Moment,
    /// None where the sender died.
    took_ms: Option<i32>,
    /// `delivered`, `confirmed`, `refused`, `gone`, `throttled`, `not_sent`, `unknown` or `abandoned`.
    outcome: &'static str,
    /// Of the answer.
    status: Option<i32>,
    /// In words, or the beginning of the answer.
    detail: String,
}

/// What was done to an endpoint or a delivery.
#[derive(Serialize, ToSchema)]
#[schema(as = DispatchOperation)]
pub(crate) struct OperationView {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_id: Option<String>,
    actor: String,
    reason: String,
    /// What exactly.
    detail: Value,
    at: Moment,
}

/// A delivery with all that is known of it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryDetail)]
pub(crate) struct WholeView {
    #[serde(flatten)]
    pub(crate) delivery: DeliveryView,
    /// The first one first.
    pub(crate) attempts: Vec<AttemptView>,
    /// The newest first.
    pub(crate) operations: Vec<OperationView>,
    /// What is sent, to the byte.
    pub(crate) body: Option<String>,
}

impl DeliveryView {
    pub(crate) fn of(line: DeliveryLine) -> Self {
        Self {
            id: line.delivery_id.to_string(),
            endpoint: line.endpoint,
            webhook_id: line.webhook_id.to_string(),
            kind: line.kind,
            source: line.source,
            subject: line.subject,
            state: line.state.as_str(),
            scheduled_attempts: line.attempts,
            next_attempt_at: line.next_attempt_at.map(Moment),
            may_have_arrived: line.unknown,
            created_at: line.created_at.into(),
            finished_at: line.finished_at.map(Moment),
            because: line.because.map(dispatch::Because::as_str),
            last_attempt: line.last.map(AttemptView::of),
        }
    }
}

impl AttemptView {
    pub(crate) fn of(line: AttemptLine) -> Self {
        let AttemptLine { at, took_ms, outcome, status, detail } = line;
        Self { at: at.into(), took_ms, outcome: outcome.as_str(), status, detail }
    }
}

impl OperationView {
    pub(crate) fn of(line: dispatch::OperationLine) -> Self {
        let dispatch::OperationLine { kind, delivery_id, actor, reason, detail, at } = line;
        Self { kind, delivery_id: delivery_id.map(|id| id.to_string()), actor, reason, detail, at: at.into() }
    }
}
