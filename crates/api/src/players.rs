//! What players have.

use actix_web::{HttpResponse, web};
use matchpurse_store::balances;
use matchpurse_store::escrow::money_of;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::failure::Result;
use crate::moment::Moment;
use crate::request::{self, Query, unknown_player};
use crate::wire::{Amount, answer_one};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlayerQuery {
    at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Player {
    source: String,
    player_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Moment>,
    balances: Vec<Balance>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlayerBalance)]
pub(crate) struct Balance {
    /// The account of the ledger.
    account: String,
    /// What is on it.
    available: Amount,
    /// What is in escrow, in matches that have not ended; only as of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Amount>,
}

pub(crate) async fn balances(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    query: Query<PlayerQuery>,
) -> Result<HttpResponse> {
    let (source, player) = path.into_inner();
    let (source, player) = (request::source(&source)?, request::player(player)?);
    let at = request::moment(query.0.at.as_deref())?;
    let unknown = api.not_found(&source, unknown_player());
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            let money = money_of(&client, &source, &player).await?.ok_or(unknown)?;
            let mut balances = Vec::with_capacity(money.len());
            for own in money {
                let (available, held) = match at {
                    None => (own.available, Some(Amount::new(own.held, &own.currency))),
                    // The account is there, and an account is never taken away.
                    Some(Moment(at)) => {
                        (balances::at(&client, own.account, Some(at)).await?.unwrap_or_default(), None)
                    }
                };
                let available = Amount::new(available, &own.currency);
                balances.push(Balance { account: own.account.to_string(), available, held });
            }
            Ok(Player {
                source: source.as_str().to_owned(),
                player_id: player.as_str().to_owned(),
                at,
                balances,
            })
        })
        .await?;
    Ok(answer_one(&shown))
}
