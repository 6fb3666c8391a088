//! Deposits and withdrawals.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_operations::funds::{Direction, Movement, move_funds};
use matchpurse_store::operations::{Operation, find};
use matchpurse_store::{Store, balances, now};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::failure::{Failure, Result};
use crate::moment::Moment;
use crate::operation_failure::of_movement;
use crate::request::{self, IdempotencyKey};
use crate::wire::{Amount, answer};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMovement)]
pub(crate) struct MovementBody {
    amount: Amount,
    reason: String,
}

/// What was done, and what the player has now.
#[derive(Serialize, ToSchema)]
#[schema(as = MovementDone)]
pub(crate) struct Moved {
    operation: OperationView,
    balance: Amount,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Movement)]
pub(crate) struct OperationView {
    id: String,
    kind: &'static str,
    source: String,
    player_id: String,
    amount: Amount,
    actor: String,
    reason: String,
    at: Moment,
}

pub(crate) async fn deposit(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String)>,
    key: IdempotencyKey,
    body: Body<MovementBody>,
) -> Result<HttpResponse> {
    movement(&api, Direction::Deposit, actor, path.into_inner(), key, body.0).await
}

pub(crate) async fn withdraw(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String)>,
    key: IdempotencyKey,
    body: Body<MovementBody>,
) -> Result<HttpResponse> {
    movement(&api, Direction::Withdrawal, actor, path.into_inner(), key, body.0).await
}

async fn movement(
    api: &Api,
    direction: Direction,
    actor: Actor,
    (source, player): (String, String),
    key: IdempotencyKey,
    body: MovementBody,
) -> Result<HttpResponse> {
    let policy = api.policy(&request::source(&source)?)?.clone();
    let currency = policy.currency.code.clone();
    let wrong = |_| of_movement(matchpurse_operations::Error::Currency(currency.clone()), &currency);
    let movement = Movement {
        direction,
        player: request::player(player)?,
        amount: Money::new(
            body.amount.minor_units,
            CurrencyCode::parse(&body.amount.currency).map_err(wrong)?,
        ),
        actor: actor.as_str().to_owned(),
        reason: reason(&body.reason)?,
        idempotency_key: key.required()?,
    };
    let store = api.store.clone();
    let (repeated, moved) = api
        .run(async move {
            let done = move_funds(&store, &policy, &movement, now()).await;
            let done = done.map_err(|error| of_movement(error, &policy.currency.code))?;
            let moved = shown(&store, done.operation, &movement).await?;
            if !done.repeated {
                let (operation, actor) = (moved.operation.id.as_str(), movement.actor.as_str());
                let (kind, source) = (moved.operation.kind, policy.source.as_str());
                tracing::info!(operation, actor, kind, source, "money moved");
            }
            Ok((done.repeated, moved))
        })
        .await?;
    Ok(answer(if repeated { StatusCode::OK } else { StatusCode::CREATED }, &moved))
}

/// The operation as it is recorded: a repeat shows who did it first, and why.
async fn shown(store: &Store, id: matchpurse_domain::ids::EventId, movement: &Movement) -> Result<Moved> {
    let client = store.client().await?;
    let lost = || Failure::internal(format!("operation {id} was done and is not there"));
    let (Operation { kind, source, subject, actor, reason, amount, .. }, at) =
        find(&client, id).await?.ok_or_else(lost)?;
    let amount = amount.ok_or_else(lost)?;
    let accounts = balances::accounts_of_player(&client, &source, &movement.player).await?;
    let currency = amount.currency.as_str();
    let account = accounts.into_iter().find(|account| account.currency == currency).ok_or_else(lost)?;
    Ok(Moved {
        balance: Amount::new(account.balance, currency),
        operation: OperationView {
            id: id.to_string(),
            kind: kind.as_str(),
            source: source.as_str().to_owned(),
            player_id: subject,
            amount: Amount::new(amount.minor_units, currency),
            actor,
            reason,
            at: at.into(),
        },
    })
}
