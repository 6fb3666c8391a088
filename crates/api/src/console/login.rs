//! In and out.

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HOST, HeaderMap, LOCATION, RETRY_AFTER, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use askama::Template;
use matchpurse_settings::ApiScope;
use matchpurse_store::now;
use serde::Deserialize;

use super::form::OpenForm;
use super::session::{ENDED, Session, TOKEN_LENGTH_MAX};
use super::visitor::Chrome;
use super::{HTML, door, link};
use crate::api::Api;
use crate::auth::Actor;
use crate::failure::{Failure, Result};
use crate::limits::Limiter;

#[derive(Deserialize)]
pub(super) struct LoginQuery {
    next: Option<String>,
    /// Set by the answer to a login that was good: whoever still has no session keeps no cookie.
    kept: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct LoginForm {
    token: String,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    chrome: Chrome,
    next: String,
    problem: Option<String>,
}

/// Failed logins by the address that they came from. A right token counts for nothing here: behind a proxy, which is
/// one address for everybody, somebody who guesses would lock everybody out otherwise.
pub(crate) struct Failures(Limiter);

impl Failures {
    pub(crate) fn new() -> Self {
        Self(Limiter::every(Duration::from_secs(6), 10))
    }

    fn note(&self, request: &HttpRequest) -> Result<(), Duration> {
        let address = request.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default();
        self.0.take(&Actor::new(&address), Instant::now())
    }
}

/// `GET /console/login`
pub(super) async fn show(
    api: web::Data<Api>,
    request: HttpRequest,
    query: web::Query<LoginQuery>,
) -> HttpResponse {
    let next = link::local(query.next.as_deref()).to_owned();
    let session = api.sealer.session(request.headers(), now());
    if session.is_some_and(|session| api.access.known(&session.token, Instant::now()).is_ok()) {
        return HttpResponse::SeeOther().insert_header((LOCATION, next)).finish();
    }
    let problem = query.kept.as_ref().map(|_| {
        "The token is good, but your browser has kept no cookie. Open the console by https, or on this machine by \
         http://localhost."
    });
    page(StatusCode::OK, &request, next, problem.map(str::to_owned))
}

/// `POST /console/login`
pub(super) async fn log_in(
    api: web::Data<Api>,
    request: HttpRequest,
    form: OpenForm<LoginForm>,
) -> Result<HttpResponse> {
    let LoginForm { token, next } = form.0;
    let (token, next) = (token.trim(), link::local(next.as_deref()).to_owned());
    let refused = match api.access.known(token.as_bytes(), Instant::now()) {
        Ok((actor, scopes)) if scopes.contains(&ApiScope::Read) => {
            if token.len() <= TOKEN_LENGTH_MAX {
                tracing::info!(actor = actor.as_str(), "logged in to the console");
                return begin(&api, &request, token, &next);
            }
            format!("The token has {} bytes; the console takes up to {TOKEN_LENGTH_MAX}.", token.len())
        }
        Ok(_) => "The token is good, but it does not have the scope `read`.".to_owned(),
        Err(failure) if failure.status_code() == StatusCode::UNAUTHORIZED => {
            match api.logins.note(&request) {
                Ok(()) => {
                    tracing::info!("a login to the console was refused");
                    format!("Not let in: {}.", failure.detail())
                }
                Err(wait) => {
                    let seconds = wait.as_secs().saturating_add(1);
                    let problem = format!("Too many failed logins. Wait {seconds} s.");
                    let mut page = page(StatusCode::TOO_MANY_REQUESTS, &request, next, Some(problem));
                    page.headers_mut().insert(RETRY_AFTER, seconds.into());
                    return Ok(page);
                }
            }
        }
        Err(failure) => return Err(failure),
    };
    Ok(page(StatusCode::FORBIDDEN, &request, next, Some(refused)))
}

fn begin(api: &Api, request: &HttpRequest, token: &str, next: &str) -> Result<HttpResponse> {
    let broken = |error: super::session::SealError| Failure::internal(error.to_string());
    let session = Session::begin(token.as_bytes(), now()).map_err(broken)?;
    let cookie = api.sealer.cookie(&session, !is_loopback(request.headers())).map_err(broken)?;
    // By way of the login's page, which sees whether the cookie was kept.
    let to = format!("{}?kept=&next={}", door::LOGIN, link::encoded(next));
    Ok(HttpResponse::SeeOther().insert_header((LOCATION, to)).insert_header((SET_COOKIE, cookie)).finish())
}

/// `POST /console/logout`
pub(super) async fn log_out() -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, door::LOGIN))
        .insert_header((SET_COOKIE, ENDED))
        .finish()
}

/// Whether the browser is on this machine: then there is no TLS, and no network to protect the cookie from.
fn is_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || name == "[::1]"
}

fn page(status: StatusCode, request: &HttpRequest, next: String, problem: Option<String>) -> HttpResponse {
    let page = LoginPage { chrome: Chrome::of_nobody(request.headers()), next, problem };
    match page.render() {
        Ok(body) => HttpResponse::build(status).insert_header((CONTENT_TYPE, HTML)).body(body),
        Err(error) => HttpResponse::from_error(Failure::internal(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_goes_without_tls_on_this_machine_only() {
        let loopback = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            is_loopback(&headers)
        };
        for here in ["localhost", "localhost:8090", "127.0.0.1:8090", "[::1]:8090", "[::1]", "a.localhost:1"]
        {
            assert!(loopback(here), "{here}");
        }
        for there in ["", "console.example", "localhost.example:80", "10.0.0.1:8090", "[fd00::1]:80"] {
            assert!(!loopback(there), "{there}");
        }
    }
}
