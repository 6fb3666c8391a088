//! The first page: how it is going.

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_store::survey;

use super::{Chip, Chrome, Money, Section, Tone, Visitor, html};
use crate::api::Api;
use crate::failure::Result;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    chrome: Chrome,
    balanced: Chip,
    escrow: Vec<Money>,
}

pub(super) async fn show(api: web::Data<Api>, visitor: Visitor) -> Result<HttpResponse> {
    let store = api.store.clone();
    let (trial, (_, held)) = api
        .run(async move {
            let client = store.client().await?;
            Ok((survey::trial_balance(&client).await?, survey::ledger(&client).await?))
        })
        .await?;
    let balanced = if trial.iter().all(|(_, sum)| *sum == 0) {
        Chip::new(Tone::Good, "balanced")
    } else {
        Chip::new(Tone::Bad, "does not add up")
    };
    html(&OverviewPage {
        chrome: visitor.chrome(Section::Overview),
        balanced,
        escrow: held.iter().map(|(currency, sum)| Money::new(&api, *sum, currency)).collect(),
    })
}
