//! Deliveries to endpoints, as several pages show them.

use matchpurse_store::dispatch::{AttemptLine, AttemptOutcome, DeliveryLine, DeliveryState};

use super::components::duration;
use super::{Chip, Tone, When};

/// A notice on its way to one endpoint.
pub(super) struct Sending {
    pub(super) id: i64,
    pub(super) endpoint: String,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) source: String,
    pub(super) state: Chip,
    pub(super) created: When,
    pub(super) next: Option<When>,
    /// It may have arrived without an answer.
    pub(super) unknown: bool,
    pub(super) attempts: Vec<Attempt>,
    /// Whether somebody may have it sent again.
    pub(super) may_retry: bool,
}

pub(super) struct Attempt {
    pub(super) at: When,
    pub(super) took: String,
    pub(super) outcome: Chip,
    pub(super) detail: String,
}

impl Sending {
    pub(super) fn of(line: DeliveryLine, attempts: Vec<AttemptLine>) -> Self {
        Self {
            id: line.delivery_id,
            endpoint: line.endpoint,
            kind: line.kind,
            subject: line.subject,
            source: line.source,
            state: state(line.state),
            created: When::new(line.created_at),
            next: line.next_attempt_at.map(When::new),
            unknown: line.unknown && line.state != DeliveryState::Delivered,
            attempts: attempts.into_iter().map(Attempt::of).collect(),
            may_retry: matches!(line.state, DeliveryState::GivenUp | DeliveryState::Waiting),
        }
    }
}

impl Attempt {
    fn of(line: AttemptLine) -> Self {
        Self {
            at: When::new(line.at),
            took: line.took_ms.map(|ms| duration(i64::from(ms).saturating_mul(1000))).unwrap_or_default(),
            outcome: outcome(line.outcome, line.status),
            detail: line.detail,
        }
    }
}

/// Where a delivery is, in a word.
pub(super) fn state(state: DeliveryState) -> Chip {
    let tone = match state {
        DeliveryState::Delivered => Tone::Good,
        DeliveryState::Waiting | DeliveryState::Behind => Tone::Busy,
        DeliveryState::GivenUp => Tone::Bad,
        DeliveryState::Withdrawn => Tone::Quiet,
    };
    Chip::new(tone, state.as_str().replace('_', " "))
}

/// What became of an attempt, with the status of the answer.
pub(super) fn outcome(outcome: AttemptOutcome, status: Option<i32>) -> Chip {
    let tone = match outcome {
        AttemptOutcome::Delivered | AttemptOutcome::Confirmed => Tone::Good,
        AttemptOutcome::Throttled | AttemptOutcome::Unknown | AttemptOutcome::Abandoned => Tone::Warn,
        AttemptOutcome::Refused
        | AttemptOutcome::Gone
        | AttemptOutcome::NotSent
        | AttemptOutcome::KeyRefused => Tone::Bad,
    };
    let status = status.map(|status| format!(", status {status}")).unwrap_or_default();
    Chip::new(tone, format!("{}{status}", outcome.as_str().replace('_', " ")))
}
