//! Which ids are one player's.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_operations::links::{Author, Error, IDENTITIES_MAX, replace, unlink};
use matchpurse_store::chain;
use matchpurse_store::links::{Identity, person_of};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::failure::{Failure, Result};
use crate::matches::NoQuery;
use crate::problems::Kind;
use crate::request::{self, Query, is_id};
use crate::wire::{answer, answer_one};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLinks)]
pub(crate) struct LinksBody {
    /// The other identities of the person, all of them; none leaves the player alone.
    links: Vec<IdentityBody>,
    /// Need not be given.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewIdentity)]
pub(crate) struct IdentityBody {
    source: String,
    player_id: String,
}

/// A player's id at one source.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Identity)]
pub(crate) struct IdentityView {
    pub(crate) source: String,
    pub(crate) player_id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlayerLinks)]
pub(crate) struct LinksView {
    source: String,
    player_id: String,
    /// The other identities of the person, in the order of sources and ids.
    links: Vec<IdentityView>,
}

impl From<&Identity> for IdentityView {
    fn from(identity: &Identity) -> Self {
        Self {
            source: identity.source.as_str().to_owned(),
            player_id: identity.player_id.as_str().to_owned(),
        }
    }
}

fn view(identity: &Identity, person: &BTreeSet<Identity>) -> LinksView {
    let IdentityView { source, player_id } = identity.into();
    LinksView {
        source,
        player_id,
        links: person.iter().filter(|one| *one != identity).map(Into::into).collect(),
    }
}

/// The identities of a body. An id that no event has named yet is fine: people link their accounts before they play.
fn read(api: &Api, links: Vec<IdentityBody>) -> Result<BTreeSet<Identity>> {
    let mut identities = BTreeSet::new();
    for (at, IdentityBody { source, player_id }) in links.into_iter().enumerate() {
        let of = |member: &str| format!("links[{at}].{member}");
        let known = request::source(&source).and_then(|name| api.policy(&name).map(|_| name));
        let source = known
            .map_err(|_| Failure::invalid_body(&of("source"), "no source of this name is configured"))?;
        if !is_id(&player_id) {
            return Err(Failure::invalid_body(&of("player_id"), "this is no id that a provider gives"));
        }
        identities.insert(Identity { source, player_id: player_id.as_str().into() });
    }
    Ok(identities)
}

fn failed(error: Error) -> Failure {
    match &error {
        Error::OtherPersons(identities) => {
            let listed = |identity: &Identity| {
                let IdentityView { source, player_id } = identity.into();
                json!({ "source": source, "player_id": player_id })
            };
            Failure::new(Kind::IdentityOfAnotherPerson, "unlink it there first; nothing was changed")
                .with("identities", identities.iter().map(listed).collect::<Value>())
        }
        Error::TooMany => Failure::invalid_body(
            "links",
            format!("one person has at most {IDENTITIES_MAX} identities, this one included"),
        ),
        Error::Store(store) if store.is_transient() => Failure::unavailable(chain(&error)),
        Error::Store(_) => Failure::internal(chain(&error)),
    }
}

/// `GET /players/{source}/{player}/links`
pub(crate) async fn list(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let identity = request::identity(path.into_inner())?;
    api.policy(&identity.source)?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let person = person_of(&store.client().await?, &identity).await?;
            Ok(view(&identity, &person))
        })
        .await?;
    Ok(answer_one(&shown))
}

/// `PUT /players/{source}/{player}/links`
pub(crate) async fn put(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String)>,
    body: Body<LinksBody>,
) -> Result<HttpResponse> {
    let identity = request::identity(path.into_inner())?;
    api.policy(&identity.source)?;
    let LinksBody { links, reason: why } = body.0;
    let others = read(&api, links)?;
    let author = author(&actor, why.as_deref())?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let person = replace(&store, &identity, others, &author).await.map_err(failed)?;
            Ok(view(&identity, &person))
        })
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

/// `DELETE /players/{source}/{player}/links/{other_source}/{other_player}`
pub(crate) async fn remove(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String, String, String)>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let (source, player, other_source, other_player) = path.into_inner();
    let identity = request::identity((source, player))?;
    let other = request::identity((other_source, other_player))?;
    api.policy(&identity.source)?;
    let author = author(&actor, None)?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let person = unlink(&store, &identity, &other, &author).await.map_err(failed)?;
            Ok(view(&identity, &person))
        })
        .await?;
    Ok(answer(StatusCode::OK, &shown))
}

fn author(actor: &Actor, why: Option<&str>) -> Result<Author> {
    let reason = why.map(reason).transpose()?.unwrap_or_default();
    Ok(Author { actor: actor.as_str().to_owned(), reason })
}
