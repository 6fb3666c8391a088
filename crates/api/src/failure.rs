use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, ResponseError};
use matchpurse_service_kit::problem::{MEDIA_TYPE, Problem};
use matchpurse_settings::ApiScope;
use serde_json::Value;

use crate::problems::Kind;

/// What a handler returns.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What 503 advises: a database that changes places takes seconds.
pub(crate) const RETRY_AFTER_S: u64 = 5;

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: Box<Problem>,
    header: Option<(HeaderName, HeaderValue)>,
    /// What went wrong here, for our log only.
    cause: Option<String>,
}

/// The cause of a failure, in the answer's extensions; the request's line in the log has it.
pub(crate) struct Cause(pub(crate) String);

impl Failure {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let problem = Box::new(Problem::new(kind.status(), kind.name(), kind.title(), detail));
        Self { problem, header: None, cause: None }
    }

    /// With another member in the document.
    pub(crate) fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.problem.more.push((member, value.into()));
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        // Our own texts are visible ASCII; another one would only be left out.
        self.header = HeaderValue::from_str(value).ok().map(|value| (name, value));
        self
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(Kind::NotFound, "the API's paths begin with /v1")
    }

    /// No page of the console.
    pub(crate) fn no_such_page() -> Self {
        Self::of_page(404, "not-found", "There is no such page", "the console has nothing at this address")
    }

    /// A form that another site, or another session, has made.
    pub(crate) fn foreign_form(detail: &str) -> Self {
        Self::of_page(403, "foreign-form", "The form was not taken", detail)
    }

    /// What only the console answers: no client of the API ever sees it.
    fn of_page(status: u16, name: &'static str, title: &'static str, detail: &str) -> Self {
        Self { problem: Box::new(Problem::new(status, name, title, detail)), header: None, cause: None }
    }

    /// The last part of its `type`.
    pub(crate) fn name(&self) -> &'static str {
        self.problem.name
    }

    /// What the problem is called.
    pub(crate) fn title(&self) -> &'static str {
        self.problem.title
    }

    /// What is the matter this time.
    pub(crate) fn detail(&self) -> &str {
        &self.problem.detail
    }

    pub(crate) fn unknown_source(name: &str) -> Self {
        Self::new(Kind::UnknownSource, "no source of this name is configured").with("source", name)
    }

    pub(crate) fn method_not_allowed(allow: &str) -> Self {
        Self::new(Kind::MethodNotAllowed, format!("this resource takes {allow}")).header(ALLOW, allow)
    }

    /// Nobody is known by the token, for this reason; or there is none.
    pub(crate) fn unauthorized(refused: Option<&str>) -> Self {
        let (detail, challenge) = match refused {
            Some(reason) => (reason, r#"Bearer realm="matchpurse", error="invalid_token""#),
            None => {
                let detail = "one header must say who asks: `Authorization: Bearer TOKEN`";
                (detail, r#"Bearer realm="matchpurse""#)
            }
        };
        Self::new(Kind::Unauthorized, detail).header(WWW_AUTHENTICATE, challenge)
    }

    pub(crate) fn insufficient_scope(scope: ApiScope) -> Self {
        let scope = scope.as_str();
        let challenge = format!(r#"Bearer realm="matchpurse", error="insufficient_scope", scope="{scope}""#);
        Self::new(Kind::InsufficientScope, format!("this needs a token with the scope `{scope}`"))
            .with("scope", scope)
            .header(WWW_AUTHENTICATE, &challenge)
    }

    /// A part of the request's path or query, by its name.
    pub(crate) fn invalid_query(field: &str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidQuery, detail).with("field", field)
    }

    /// A part of the body, by its path from the root.
    pub(crate) fn invalid_body(field: &str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidBody, detail).with("field", field)
    }

    /// The client has as much as it may have.
    pub(crate) fn too_many_requests(kind: Kind, detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(kind, detail).header(RETRY_AFTER, &retry_after_s.to_string())
    }

    /// A provider that was asked for this request gave nothing, for this reason.
    pub(crate) fn of_provider(kind: Kind, detail: &str, cause: String) -> Self {
        Self { cause: Some(cause), ..Self::new(kind, detail) }
    }

    /// It may be worth asking again after so many seconds.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, &seconds.to_string())
    }

    /// The database is away or busy; whether a write was done is not known.
    pub(crate) fn unavailable(cause: String) -> Self {
        let detail = "the database is away or busy; ask again, a write with the same Idempotency-Key";
        let failure = Self::new(Kind::Unavailable, detail).header(RETRY_AFTER, &RETRY_AFTER_S.to_string());
        Self { cause: Some(cause), ..failure }
    }

    /// A defect of ours.
    pub(crate) fn internal(cause: String) -> Self {
        let detail = "this is a defect of the service; its log has the cause under the answer's X-Request-Id";
        let failure = Self::new(Kind::Internal, detail);
        Self { cause: Some(cause), ..failure }
    }
}

impl From<matchpurse_store::Error> for Failure {
    fn from(error: matchpurse_store::Error) -> Self {
        let cause = matchpurse_store::chain(&error);
        if error.is_transient() { Self::unavailable(cause) } else { Self::internal(cause) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem.name, self.problem.detail)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        // Every status was made from one.
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((CONTENT_TYPE, MEDIA_TYPE)).insert_header((CACHE_CONTROL, "no-store"));
        if let Some((name, value)) = &self.header {
            answer.insert_header((name.clone(), value.clone()));
        }
        let mut answer = answer.body(self.problem.to_json());
        if let Some(cause) = &self.cause {
            answer.extensions_mut().insert(Cause(cause.clone()));
        }
        answer
    }
}
