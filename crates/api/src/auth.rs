//! Who asks, and whether the token allows it.

mod jwt;
mod keys;
mod tokens;

use std::future::{Ready, ready};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, ResponseError as _, web};
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::{ApiScope, ApiSettings};
use matchpurse_store::now;

use self::jwt::{Jwt, Refusal};
pub use self::keys::KeysError;
use self::tokens::Tokens;
use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::limits::Limiter;
use crate::problems::Kind;

/// Everybody who may ask.
pub(crate) struct Access {
    configured: RwLock<Arc<Configured>>,
    jwt: Option<Jwt>,
}

/// The tokens of the configuration, and how much everybody may ask.
struct Configured {
    tokens: Tokens,
    limiter: Limiter,
}

impl Configured {
    fn new(settings: &ApiSettings) -> Arc<Self> {
        Arc::new(Self { tokens: Tokens::new(&settings.tokens), limiter: Limiter::new(settings) })
    }
}

/// Who shows a token, and what it allows.
struct Bearer {
    actor: Actor,
    /// Whose requests are counted together: a person's tokens have each their own limit.
    bucket: Actor,
    scopes: Vec<ApiScope>,
    /// From when on it is not good any more, in Unix seconds; none for one that is good as long as it is configured.
    ends: Option<i64>,
}

/// Until when the token of a request is good; none for ever. What goes on for longer than a request ends with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GoodUntil(pub(crate) Option<tokio::time::Instant>);

/// Longer than any stream lives, and short enough to be counted with: a year.
const GOOD_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl GoodUntil {
    fn new(ends_s: Option<i64>) -> Self {
        ends_s.map_or(Self(None), |ends_s| Self::at(ends_s.saturating_mul(1_000_000)))
    }

    fn at(ends_us: i64) -> Self {
        let left_us = ends_us.saturating_sub(now().micros());
        let left = Duration::from_micros(u64::try_from(left_us).unwrap_or(0)).min(GOOD_MAX);
        Self(Some(tokio::time::Instant::now() + left))
    }

    /// And not for longer than this.
    pub(crate) fn and_until(self, end: Timestamp) -> Self {
        let other = Self::at(end.micros());
        Self(self.0.into_iter().chain(other.0).min())
    }

    /// That of the request's token.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().copied().unwrap_or_default()
    }
}

/// Who asks: a token's person or else its name, or the subject of a JWT. It stands in every record of what was done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Actor(Arc<str>);

impl Actor {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Access {
    /// # Errors
    /// When the keys of JWTs cannot be read.
    pub(crate) fn new(settings: &ApiSettings) -> Result<Self, KeysError> {
        Ok(Self {
            configured: RwLock::new(Configured::new(settings)),
            jwt: settings.jwt.as_ref().map(Jwt::new).transpose()?,
        })
    }

    /// Takes over the tokens and the limits of a changed configuration. A token that is not in it any more is refused
    /// from now on, in the sessions of the console too; all are counted anew.
    pub(crate) fn take_over(&self, settings: &ApiSettings) {
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = Configured::new(settings);
    }

    fn configured(&self) -> Arc<Configured> {
        // A panic elsewhere leaves a whole state behind: it is replaced by one assignment.
        Arc::clone(&self.configured.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nobody at all is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.configured().tokens.is_empty() && self.jwt.is_none()
    }

    /// Keeps the keys of JWTs up to date, for ever.
    pub(crate) async fn follow_keys(&self) {
        if let Some(jwt) = &self.jwt {
            jwt.ring.follow().await;
        }
    }

    /// Who may make this request by its token. A request that is refused for its scope counts too.
    fn actor(&self, request: &ServiceRequest) -> Result<(Actor, GoodUntil)> {
        let mut values = request.headers().get_all(AUTHORIZATION);
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Failure::unauthorized(None));
        };
        let secret = bearer(value.as_bytes()).ok_or_else(|| Failure::unauthorized(None))?;
        let (actor, has, until) = self.known_until(secret, Instant::now())?;
        let needed = scopes(request.method(), &request.match_pattern().unwrap_or_default());
        if needed.iter().any(|scope| has.contains(scope)) {
            return Ok((actor, until));
        }
        // The first is the least.
        Err(Failure::insufficient_scope(needed.first().copied().unwrap_or(ApiScope::Operate)))
    }

    /// Who shows this token, and what it allows. It is one of the token's requests.
    pub(crate) fn known(&self, secret: &[u8], now: Instant) -> Result<(Actor, Vec<ApiScope>)> {
        self.known_until(secret, now).map(|(actor, scopes, _)| (actor, scopes))
    }

    /// As [`Access::known`], and until when.
    pub(crate) fn known_until(
        &self,
        secret: &[u8],
        now: Instant,
    ) -> Result<(Actor, Vec<ApiScope>, GoodUntil)> {
        let configured = self.configured();
        let Bearer { actor, bucket, scopes, ends } = self.bearer(&configured.tokens, secret)?;
        configured.limiter.take(&bucket, now).map_err(|wait| {
            let detail = format!("this token has made too many requests; wait {} ms", wait.as_millis());
            // Whole seconds are all that the header has; rounded up, so that it is no invitation to be refused again.
            let wait_s = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            Failure::too_many_requests(Kind::TooManyRequests, detail, wait_s)
        })?;
        Ok((actor, scopes, GoodUntil::new(ends)))
    }

    fn bearer(&self, tokens: &Tokens, secret: &[u8]) -> Result<Bearer> {
        if let Some(known) = tokens.find(secret) {
            return Ok(known);
        }
        let Some(jwt) = self.jwt.as_ref().filter(|_| secret.contains(&b'.')) else {
            return Err(Failure::unauthorized(Some("no token has this secret")));
        };
        let known = jwt.bearer(secret, now().seconds()).and_then(|known| {
            if tokens.names(&known.actor) { Err(Refusal::SubjectTaken) } else { Ok(known) }
        });
        known.map_err(|refusal| {
            tracing::debug!(reason = %refusal, "a JWT was refused");
            Failure::unauthorized(Some(&refusal.to_string()))
        })
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
/// What they ask when a player begins. It costs a call of the provider's limit, so who only looks may not.
const CHECKED_BY_GAMES: &str = "/v1/match-tokens/check";

/// The scopes of which a request needs one: `read` to look, `play` to record what a player does, `operate` for
/// everything else. The first is the least.
pub(crate) fn scopes(method: &Method, pattern: &str) -> &'static [ApiScope] {
    match (method, pattern) {
        (&Method::GET | &Method::HEAD, _) | (&Method::POST, ASKED_BY_POST) => &[ApiScope::Read],
        // Who may move money may do so too.
        (&Method::PUT, WRITTEN_BY_GAMES) | (&Method::POST, CHECKED_BY_GAMES) => {
            &[ApiScope::Play, ApiScope::Operate]
        }
        _ => &[ApiScope::Operate],
    }
}

/// Whether a request changes nothing. It need not stand in the log, and there may be thousands of them in a second.
pub(crate) fn only_looks(method: &Method, pattern: &str) -> bool {
    scopes(method, pattern) == [ApiScope::Read]
}

/// Lets through who has a token with the scope that the request needs. Before that holds no body is read.
pub(crate) async fn authenticate(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let actor = match request.app_data::<web::Data<Api>>() {
        Some(api) => api.access.actor(&request),
        None => Err(Failure::internal("the application has no state".to_owned())),
    };
    match actor {
        Ok((actor, until)) => {
            request.extensions_mut().insert(actor);
            request.extensions_mut().insert(until);
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
