use matchpurse_domain::grants::{Cap, Limits};
use matchpurse_domain::money::CurrencyCode;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::dispatch::{AttemptLine, AttemptOutcome, DeliveryLine};
use matchpurse_store::grants::{GrantLine, OperationLine, WindowLine};
use matchpurse_store::redemptions::CallLine;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Told;
use crate::deliveries::view::{AttemptView, DeliveryView};
use crate::failure::{Failure, Result};
use crate::moment::Moment;
use crate::wire::Amount;

/// How long the windows of limits are, in seconds.
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

/// A reward as a list has it. Its members have the names that they have in notices.
#[derive(Serialize, ToSchema)]
#[schema(as = Reward)]
pub(crate) struct RewardView {
    grant_id: String,
    /// `reserved`, `granted`, `needs_review`, …
    state: &'static str,
    /// Why it is in review, and what there is to say about that.
    reason: Option<&'static str>,
    detail: Option<String>,
    /// `cash`, `studio`, `points` or `credit`.
    kind: &'static str,
    source: String,
    contest: ContestView,
    player_id: String,
    /// What tells it from others of the player and contest.
    reward_ref: String,
    amount: Option<Amount>,
    /// The value as the provider wrote it, where it is no money.
    value: Option<String>,
    created_at: Moment,
    updated_at: Moment,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RewardContest)]
pub(crate) struct ContestView {
    kind: &'static str,
    id: String,
}

/// A reward with all that is known of it.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardDetail)]
pub(crate) struct WholeView {
    #[serde(flatten)]
    pub(crate) reward: RewardView,
    /// What came along, to the digit.
    #[schema(value_type = serde_json::Value)]
    pub(crate) payload: Option<Box<RawValue>>,
    /// The event or operation that changed it last.
    pub(crate) cause: String,
    /// In which windows of limits it was counted.
    pub(crate) windows: Vec<WindowView>,
    /// What people did to it, in order.
    pub(crate) operations: Vec<OperationView>,
    /// What the studio is told of it, in order.
    pub(crate) notices: Vec<NoticeView>,
    /// Whether the provider knows that the player has got it; none where the provider is told nothing, or nothing yet.
    pub(crate) provider_call: Option<CallView>,
}

/// What the provider is told of all that a player won in a contest.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardCall)]
pub(crate) struct CallView {
    /// `held`, `waiting`, `told`, `refused`, `given_up` or `withdrawn`.
    state: &'static str,
    /// When the last of the rewards was given.
    redeemed_at: Moment,
    /// How many attempts of its schedule it has had.
    scheduled_attempts: i32,
    /// When it is made next, where it waits; while it is being made, when that would be given up as lost.
    next_attempt_at: Option<Moment>,
    /// The last attempt that has ended.
    last_attempt: Option<CalledView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RewardCallAttempt)]
pub(crate) struct CalledView {
    at: Moment,
    /// `delivered`, `refused`, `key_refused`, `throttled`, `not_sent`, `unknown` or `abandoned`.
    outcome: &'static str,
    /// Of the answer.
    status: Option<i32>,
    /// In words, or the beginning of the answer.
    detail: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RewardWindow)]
pub(crate) struct WindowView {
    /// `player_day` or `source_hour`.
    of: &'static str,
    starts_at: Moment,
    ends_at: Moment,
    /// How much was given in it so far.
    given: GivenView,
    /// How much may be, by the configuration as it is now; none where it has no limit any more.
    limit: Option<GivenView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RewardGiven)]
pub(crate) struct GivenView {
    grants: Option<i64>,
    amount: Option<Amount>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RewardOperation)]
pub(crate) struct OperationView {
    id: String,
    kind: String,
    actor: String,
    reason: String,
    at: Moment,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RewardNotice)]
pub(crate) struct NoticeView {
    webhook_id: String,
    kind: String,
    occurred_at: Moment,
    written_at: Moment,
    /// When the endpoints that wanted it each got a delivery; none while the dispatcher has not come to it.
    handed_out_at: Option<Moment>,
    /// One an endpoint; empty where nobody wanted it.
    deliveries: Vec<ToldView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RewardDelivery)]
pub(crate) struct ToldView {
    #[serde(flatten)]
    delivery: DeliveryView,
    attempts: Vec<AttemptView>,
}

impl RewardView {
    pub(crate) fn of(line: GrantLine) -> Self {
        let GrantLine { id, contest, slot, grant, created_at, updated_at, .. } = line;
        Self {
            grant_id: id.to_string(),
            state: grant.state.as_str(),
            reason: grant.reason.map(|reason| reason.as_str()),
            detail: grant.detail,
            kind: grant.kind.as_str(),
            source: contest.source.as_str().to_owned(),
            contest: ContestView { kind: contest.kind.as_str(), id: contest.contest_id },
            player_id: slot.player_id.as_str().to_owned(),
            reward_ref: slot.reward_ref,
            amount: grant.amount.map(|money| Amount::of(money.minor_units, &money.currency)),
            value: grant.value,
            created_at: created_at.into(),
            updated_at: updated_at.into(),
        }
    }

    pub(crate) fn grant_id(&self) -> &str {
        &self.grant_id
    }
}

impl WindowView {
    pub(crate) fn of(window: WindowLine, limits: Option<&Limits>, currency: Option<&CurrencyCode>) -> Self {
        let WindowLine { of_player, starts_at, counted } = window;
        let amount = |minor_units| currency.map(|currency| Amount::of(minor_units, currency));
        let cap = limits.map(|limits| if of_player { limits.player_day } else { limits.source_hour });
        let limit = |cap: Cap| GivenView { grants: cap.count, amount: cap.amount.and_then(amount) };
        Self {
            of: if of_player { "player_day" } else { "source_hour" },
            starts_at: starts_at.into(),
            ends_at: starts_at.plus_seconds(if of_player { DAY_S } else { HOUR_S }).into(),
            given: GivenView { grants: Some(counted.count), amount: amount(counted.amount) },
            limit: cap.filter(|cap| cap.is_some()).map(limit),
        }
    }
}

impl OperationView {
    pub(crate) fn of(line: OperationLine) -> Self {
        let OperationLine { id, kind, actor, reason, at } = line;
        Self { id: id.to_string(), kind, actor, reason, at: at.into() }
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }
}

impl CallView {
    pub(crate) fn of(line: CallLine) -> Self {
        let CallLine {
            state, redeemed_at, attempts, next_attempt_at, last, last_status, last_detail, ..
        } = line;
        let called = |(outcome, at): (AttemptOutcome, Timestamp)| CalledView {
            at: at.into(),
            outcome: outcome.as_str(),
            status: last_status,
            detail: last_detail,
        };
        Self {
            state: state.as_str(),
            redeemed_at: redeemed_at.into(),
            scheduled_attempts: attempts,
            next_attempt_at: next_attempt_at.map(Moment),
            last_attempt: last.map(called),
        }
    }
}

impl NoticeView {
    pub(crate) fn of(Told { notice, deliveries }: Told) -> Self {
        let told = |(delivery, attempts): (DeliveryLine, Vec<AttemptLine>)| ToldView {
            delivery: DeliveryView::of(delivery),
            attempts: attempts.into_iter().map(AttemptView::of).collect(),
        };
        Self {
            webhook_id: notice.webhook_id.to_string(),
            kind: notice.kind,
            occurred_at: notice.occurred_at.into(),
            written_at: notice.created_at.into(),
            handed_out_at: notice.handed_out_at.map(Moment),
            deliveries: deliveries.into_iter().map(told).collect(),
        }
    }
}

/// A JSON text of the database, as it is.
pub(crate) fn json(text: Option<String>) -> Result<Option<Box<RawValue>>> {
    let read = |text| {
        RawValue::from_string(text).map_err(|error| Failure::internal(format!("a stored payload: {error}")))
    };
    text.map(read).transpose()
}
