//! Who asks, and whether the token allows it.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, ResponseError as _, web};
use matchpurse_settings::{ApiScope, ApiToken};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::api::Api;
use crate::failure::{Failure, Result};

/// The configured tokens.
pub(crate) struct Tokens(Vec<Token>);

struct Token {
    actor: Actor,
    /// SHA-256 of the secret: what is compared has one length, whatever was sent.
    digest: [u8; 32],
    scopes: Vec<ApiScope>,
}

/// Who asks: the token's name. It stands in every record of what was done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Actor(Arc<str>);

impl Actor {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tokens {
    pub(crate) fn new(tokens: &BTreeMap<String, ApiToken>) -> Self {
        let token = |(name, token): (&String, &ApiToken)| Token {
            actor: Actor(name.as_str().into()),
            digest: Sha256::digest(token.secret.expose().as_bytes()).into(),
            scopes: token.scopes.clone(),
        };
        Self(tokens.iter().map(token).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who may do what `scope` says by this request's token.
    fn actor(&self, request: &ServiceRequest, scope: ApiScope) -> Result<Actor> {
        let mut values = request.headers().get_all(AUTHORIZATION);
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Failure::unauthorized(false));
        };
        let secret = bearer(value.as_bytes()).ok_or_else(|| Failure::unauthorized(false))?;
        let token = self.find(secret).ok_or_else(|| Failure::unauthorized(true))?;
        // Who may move money may record a start too.
        let also = (scope == ApiScope::Play).then_some(ApiScope::Operate);
        if !token.scopes.contains(&scope) && !also.is_some_and(|also| token.scopes.contains(&also)) {
            return Err(Failure::insufficient_scope(scope));
        }
        Ok(token.actor.clone())
    }

    /// Compares with every token, each in constant time, so that the time tells nothing about any.
    fn find(&self, secret: &[u8]) -> Option<&Token> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        self.0.iter().fold(
            None,
            |found, token| {
                if bool::from(token.digest.ct_eq(&digest)) { Some(token) } else { found }
            },
        )
    }
}

/// What stands behind the scheme, whose case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && !secret.is_empty()).then_some(secret)
}

/// A question whose words stand in a body, because they are too long for a path.
const ASKED_BY_POST: &str = "/v1/offers/{source}/eligible";
/// What a game's own servers write. A token of theirs is in more hands than an operator's, and must not move money.
const WRITTEN_BY_GAMES: &str = "/v1/offers/{source}/{offer}/starts/{player}";

/// The scope that a request needs: `read` to look, `play` to record what a player does, `operate` for everything else.
fn scope(method: &Method, pattern: Option<&str>) -> ApiScope {
    match (method, pattern) {
        (&Method::GET | &Method::HEAD, _) | (&Method::POST, Some(ASKED_BY_POST)) => ApiScope::Read,
        (&Method::PUT, Some(WRITTEN_BY_GAMES)) => ApiScope::Play,
        _ => ApiScope::Operate,
    }
}

/// Whether a request changes nothing. It need not stand in the log, and there may be thousands of them in a second.
pub(crate) fn only_looks(method: &Method, pattern: &str) -> bool {
    scope(method, Some(pattern)) == ApiScope::Read
}

/// Lets through who has a token with the scope that the request needs. Before that holds no body is read.
pub(crate) async fn authenticate(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let scope = scope(request.method(), request.match_pattern().as_deref());
    let actor = match request.app_data::<web::Data<Api>>() {
        Some(api) => api.tokens.actor(&request, scope),
        None => Err(Failure::internal("the application has no state".to_owned())),
    };
    match actor {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.call(request).await
        }
        Err(failure) => Ok(request.into_response(failure.error_response())),
    }
}

impl FromRequest for Actor {
    type Error = Failure;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let actor = request.extensions().get::<Self>().cloned();
        ready(
            actor.ok_or_else(|| {
                Failure::internal("a handler stands outside of the authentication".to_owned())
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case_and_something_stands_behind_it() {
        for good in ["Bearer secret", "bearer secret", "BEARER secret"] {
            assert_eq!(bearer(good.as_bytes()), Some(&b"secret"[..]));
        }
        for bad in ["", "Bearer", "Bearer ", "Basic secret", "Bearersecret", "secret"] {
            assert_eq!(bearer(bad.as_bytes()), None, "{bad}");
        }
    }
}
