//! What stands before every page: who is logged in, whether the request comes from our own pages, what the browser may
//! do with the answer, and what a failure looks like.

use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN, SET_COOKIE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError as _, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use matchpurse_settings::ApiScope;
use matchpurse_store::now;

use super::problem;
use super::session::{Session, cookie};
use super::visitor::{Chrome, Theme, Visitor};
use crate::api::Api;
use crate::auth::GoodUntil;
use crate::failure::{Cause, Failure, Result};

/// Everything comes from here, nothing is written into the page, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const FLASH: &str = "flash";
pub(super) const LOGIN: &str = "/console/login";
const ASSETS: &str = "/console/assets/";

/// Lets through who is logged in with the scope that the request needs, and finishes every answer of the console.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let of_nobody = Chrome::of_nobody(request.headers());
    let mut answer = match enter(&request) {
        Ok(Entry::Open) => next.call(request).await?,
        Ok(Entry::In(visitor, until)) => {
            request.extensions_mut().insert(visitor.actor.clone());
            // What the page holds open ends with the token that the session stands for.
            request.extensions_mut().insert(until);
            request.extensions_mut().insert(visitor);
            next.call(request).await?
        }
        Ok(Entry::LoginFirst(response)) => request.into_response(response),
        Err(failure) => request.into_response(HttpResponse::from_error(failure)),
    };
    let failed = answer.response().error().and_then(|error| error.as_error::<Failure>());
    if let Some(failure) = failed {
        let visitor = answer.request().extensions().get::<Visitor>().cloned();
        let page = problem::page(failure, visitor.map_or(of_nobody, |visitor| visitor.astray()));
        let cause = answer.response().extensions().get::<Cause>().map(|cause| Cause(cause.0.clone()));
        let headers = kept_headers(answer.headers());
        answer = ServiceResponse::new(answer.request().clone(), page);
        for (name, value) in headers {
            answer.headers_mut().insert(name, value);
        }
        if let Some(cause) = cause {
            answer.response_mut().extensions_mut().insert(cause);
        }
    }
    let shows_flash = answer.status() == StatusCode::OK
        && answer.request().extensions().get::<Visitor>().is_some_and(|visitor| visitor.flash.is_some());
    let headers = answer.headers_mut();
    if shows_flash {
        headers.append(
            SET_COOKIE,
            HeaderValue::from_static("flash=; Path=/console; Max-Age=0; SameSite=Strict"),
        );
    }
    harden(headers);
    Ok(answer)
}

enum Entry {
    /// Everybody may.
    Open,
    In(Visitor, GoodUntil),
    LoginFirst(HttpResponse),
}

fn enter(request: &ServiceRequest) -> Result<Entry> {
    let api = request.app_data::<web::Data<Api>>();
    let api = api.ok_or_else(|| Failure::internal("the application has no state".to_owned()))?;
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    if !looks {
        from_our_page(request.headers())?;
    }
    if request.path() == LOGIN || request.path().starts_with(ASSETS) {
        return Ok(Entry::Open);
    }
    let Some(session) = api.sealer.session(request.headers(), now()) else {
        return Ok(Entry::LoginFirst(to_login(request)));
    };
    let scope = if looks { ApiScope::Read } else { ApiScope::Operate };
    let leaves = request.path() == super::LOGOUT;
    match visitor(api, request.headers(), &session) {
        // Whose token is not good any more can still throw the session away.
        _ if leaves => Ok(Entry::Open),
        Ok((_, scopes, _)) if !scopes.contains(&scope) => Err(Failure::insufficient_scope(scope)),
        Ok((visitor, _, until)) => Ok(Entry::In(visitor, until)),
        Err(failure) if failure.status_code() == StatusCode::UNAUTHORIZED => {
            Ok(Entry::LoginFirst(to_login(request)))
        }
        Err(failure) => Err(failure),
    }
}

fn visitor(api: &Api, headers: &HeaderMap, session: &Session) -> Result<(Visitor, Vec<ApiScope>, GoodUntil)> {
    let (actor, scopes, until) = api.access.known_until(&session.token, Instant::now())?;
    let flash = cookie(headers, FLASH).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let visitor = Visitor {
        actor,
        operates: scopes.contains(&ApiScope::Operate),
        csrf: session.csrf.clone(),
        theme: Theme::of(headers),
        flash: flash.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.is_empty()),
    };
    Ok((visitor, scopes, until.and_until(session.ends)))
}

/// A page of another origin can neither write nor leave these headers out: browsers add them by themselves. Those that
/// stand behind a proxy, which may change `Host`, say it by the first one.
fn from_our_page(headers: &HeaderMap) -> Result<()> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let ours = match text(HeaderName::from_static("sec-fetch-site")) {
        Some(site) => site == "same-origin",
        None => text(ORIGIN)
            .and_then(|origin| origin.split_once("://"))
            .zip(text(HOST))
            .is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host)),
    };
    if ours {
        Ok(())
    } else {
        Err(Failure::foreign_form("the request does not come from a page of this console"))
    }
}

/// To the login and back again. What changes something is not done by that.
fn to_login(request: &ServiceRequest) -> HttpResponse {
    let back = request.uri().path_and_query().map_or("/console", |path| path.as_str());
    let back: String = if *request.method() == Method::GET && !asks_for_a_part(request.headers()) {
        back.to_owned()
    } else {
        "/console".to_owned()
    };
    let to = format!("{LOGIN}?next={}", super::link::encoded(&back));
    if asks_for_a_part(request.headers()) {
        return HttpResponse::Unauthorized().insert_header(("hx-redirect", to)).finish();
    }
    HttpResponse::SeeOther().insert_header((LOCATION, to)).finish()
}

/// Whether htmx asks, which puts the answer into a page.
pub(super) fn asks_for_a_part(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request")
}

/// After something was done: to the page that shows it, with a sentence about it.
pub(crate) fn done(to: &str, sentence: &str) -> HttpResponse {
    let flash = URL_SAFE_NO_PAD.encode(sentence);
    HttpResponse::SeeOther()
        .insert_header((LOCATION, to))
        .insert_header((
            SET_COOKIE,
            format!("{FLASH}={flash}; Path=/console; Max-Age=60; HttpOnly; SameSite=Strict"),
        ))
        .finish()
}

fn kept_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let kept = ["retry-after", "allow"];
    let kept =
        kept.iter().filter_map(|name| Some((HeaderName::from_static(name), headers.get(*name)?.clone())));
    kept.collect()
}

fn harden(headers: &mut HeaderMap) {
    let texts = [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        // With `no-referrer` browsers would say `Origin: null` of our own forms.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, text) in texts {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(text));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_change_anything() {
        let ours = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            from_our_page(&headers).is_ok()
        };
        assert!(ours(&[("sec-fetch-site", "same-origin")]));
        assert!(ours(&[("origin", "https://console.example"), ("host", "console.example")]));
        assert!(ours(&[("origin", "http://127.0.0.1:8090"), ("host", "127.0.0.1:8090")]));
        for site in ["same-site", "cross-site", "none"] {
            assert!(!ours(&[("sec-fetch-site", site), ("origin", "http://a"), ("host", "a")]), "{site}");
        }
        for origin in ["https://evil.example", "null", "http://127.0.0.1:8091", "https://x.console.example"] {
            assert!(!ours(&[("origin", origin), ("host", "console.example")]), "{origin}");
        }
        assert!(!ours(&[]) && !ours(&[("host", "console.example")]));
    }
}
