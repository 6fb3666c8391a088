//! Erasures: a player's personal data, taken out of everything on request.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_operations::erasures::{Author, begin, finish_all};
use matchpurse_store::erasure::{Begun, Erasure, Open, find};
use matchpurse_store::links::Identity;
use matchpurse_store::{Store, chain};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::moment::Moment;
use crate::problems::Kind;
use crate::request::{self, IdempotencyKey, Query};
use crate::wire::{answer, answer_at, answer_one};

/// How often it is looked whether an erasure waits to be gone on with: one that was begun here, or that somebody who was
/// killed has left.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewErasure)]
pub(crate) struct ErasureBody {
    /// Why. Who the player is need not stand here; where it does, the pseudonym is put in its place.
    reason: String,
    /// Only says what is open, and what would be changed at once.
    #[serde(default)]
    dry_run: bool,
}

/// An erasure. It says nothing of whom it was about, but the name that everything has now.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct ErasureView {
    id: String,
    source: String,
    /// As long as the id was, drawn at random.
    pseudonym: String,
    /// `running`, `finished`, or `dry_run` of what is not done.
    state: &'static str,
    actor: String,
    reason: String,
    /// Rows that named the player, by table; none of a player of whom nothing is stored.
    changed: BTreeMap<String, i64>,
    /// Bodies of deliveries that were taken out of the archive.
    bodies: i64,
    /// Days of the source's archive that had left it before: their files and tables are out of reach.
    days_left: Vec<String>,
    /// True when the source told of the id again before the end, as of somebody new.
    came_back: bool,
    began_at: Moment,
    finished_at: Option<Moment>,
}

fn view(erasure: Erasure, dry_run: bool) -> ErasureView {
    let state = match erasure.finished {
        _ if dry_run => "dry_run",
        true => "finished",
        false => "running",
    };
    ErasureView {
        id: erasure.id.to_string(),
        source: erasure.source,
        pseudonym: erasure.pseudonym,
        state,
        actor: erasure.actor,
        reason: erasure.reason,
        changed: erasure.changed,
        bodies: erasure.bodies,
        days_left: erasure.days_left,
        came_back: erasure.came_back,
        began_at: erasure.began_at.into(),
        finished_at: erasure.finished_at.map(Into::into),
    }
}

/// What is in the way.
fn open(open: &[Open]) -> Failure {
    let one = |open: &Open| {
        let amount = open.amount.zip(open.currency.as_deref());
        json!({
            "what": open.what,
            "about": open.about,
            "amount": amount.map(|(minor, currency)| json!({ "minor_units": minor, "currency": currency })),
        })
    };
    let words: Vec<String> = open.iter().map(|open| format!("{} {}", open.what, open.about)).collect();
    let detail = format!("nothing was changed; of the player there is {}", words.join(", "));
    Failure::new(Kind::ErasureOpen, detail).with("open", open.iter().map(one).collect::<Value>())
}

/// Asks for an erasure. Returns it with 202 when it has begun now, and with 200 when it is known or a dry run.
pub(crate) async fn ask(
    api: &Api,
    identity: Identity,
    author: Author,
    dry_run: bool,
) -> Result<(StatusCode, Erasure)> {
    let store = api.store.clone();
    api.run(async move {
        match begin(&store, &identity, &author, dry_run).await? {
            Begun::Open(found) => Err(open(&found)),
            Begun::Known(erasure) => Ok((StatusCode::OK, erasure)),
            Begun::Begun(erasure) if dry_run => Ok((StatusCode::OK, erasure)),
            Begun::Begun(erasure) => {
                let (id, actor, source) = (erasure.id, author.actor.as_str(), erasure.source.as_str());
                tracing::info!(erasure = %id, actor, source, "a player is being erased");
                Ok((StatusCode::ACCEPTED, erasure))
            }
        }
    })
    .await
}

/// `POST /players/{source}/{player}/erasure`
pub(crate) async fn erase(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String)>,
    key: IdempotencyKey,
    body: Body<ErasureBody>,
) -> Result<HttpResponse> {
    let identity = request::identity(path.into_inner())?;
    api.policy(&identity.source)?;
    let ErasureBody { reason: why, dry_run } = body.0;
    let author =
        Author { actor: actor.as_str().to_owned(), reason: reason(&why)?, idempotency_key: key.required()? };
    let (status, erasure) = ask(&api, identity, author, dry_run).await?;
    let shown = view(erasure, dry_run);
    if status == StatusCode::ACCEPTED {
        return Ok(answer_at(status, &format!("/v1/erasures/{}", shown.id), &shown));
    }
    Ok(answer(status, &shown))
}

/// `GET /erasures/{id}`
pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let unknown = || Failure::new(Kind::UnknownErasure, "there is no erasure of this id");
    let id = Uuid::parse_str(&path.into_inner()).map_err(|_| unknown())?;
    let store = api.store.clone();
    let found = api.run(async move { Ok(find(&store.client().await?, id).await?) }).await?;
    let erasure = found.ok_or_else(unknown)?;
    Ok(answer_one(&view(erasure, false)))
}

/// Goes on with erasures until the process ends.
pub(crate) async fn follow(store: Store) {
    loop {
        match finish_all(&store).await {
            Ok(0) => {}
            Ok(finished) => tracing::info!(finished, "players were erased"),
            Err(error) => tracing::warn!(reason = chain(&error), "an erasure waits; it is gone on with"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
