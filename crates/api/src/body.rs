//! A request's body: JSON of a known shape, within a size and a time.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::{self, Bytes, PayloadConfig};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::timeout;

use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::problems::Kind;

/// The largest body that is taken, in bytes.
const LENGTH_MAX: usize = 64 * 1024;

/// The most characters of a reason.
const REASON_CHARS_MAX: usize = 1000;

/// A body, read.
pub(crate) struct Body<T>(pub(crate) T);

/// How the application reads bodies.
pub(crate) fn limits() -> PayloadConfig {
    PayloadConfig::new(LENGTH_MAX)
}

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = request.mime_type().ok().flatten().is_some_and(|mime| mime.essence_str() == JSON);
        let limit = request.app_data::<web::Data<Api>>().map(|api| api.body_time);
        let bytes = Bytes::from_request(request, payload);
        Box::pin(async move {
            if !is_json {
                return Err(Failure::new(
                    Kind::UnsupportedMediaType,
                    "Content-Type must be application/json",
                ));
            }
            let limit = limit.ok_or_else(|| Failure::internal("the application has no state".to_owned()))?;
            let bytes = match timeout(limit, bytes).await {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => return Err(not_read(&error)),
                Err(_) => return Err(too_slow()),
            };
            parse(&bytes).map(Self)
        })
    }
}

const JSON: &str = "application/json";

pub(crate) fn not_read(error: &actix_web::Error) -> Failure {
    if matches!(error.as_error(), Some(PayloadError::Overflow)) {
        let detail = format!("bodies of up to {LENGTH_MAX} bytes are taken");
        return Failure::new(Kind::BodyTooLarge, detail);
    }
    let detail = "the connection or the encoding broke off";
    Failure::new(Kind::BrokenBody, detail)
}

pub(crate) fn too_slow() -> Failure {
    let detail = "the body did not arrive in time; send it again";
    Failure::new(Kind::BodyTooSlow, detail)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        (field, error.into_inner())
    });
    let read =
        read.and_then(|value| deserializer.end().map(|()| value).map_err(|error| (String::new(), error)));
    read.map_err(|(field, error)| match error.classify() {
        Category::Data => {
            let field = if field == "." { "body" } else { &field };
            Failure::invalid_body(field, error.to_string())
        }
        Category::Syntax | Category::Eof | Category::Io => {
            Failure::new(Kind::MalformedBody, error.to_string())
        }
    })
}

/// A reason, which every write needs: whoever audits the ledger reads it.
pub(crate) fn reason(text: &str) -> Result<String> {
    let text = text.trim();
    let unfit = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.is_empty() {
        return Err(Failure::invalid_body("reason", "say why, for whoever audits the ledger"));
    }
    if text.chars().count() > REASON_CHARS_MAX || text.chars().any(unfit) {
        let detail = format!("at most {REASON_CHARS_MAX} characters, and no control characters");
        return Err(Failure::invalid_body("reason", detail));
    }
    Ok(text.to_owned())
}
