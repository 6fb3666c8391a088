//! What people send by a form.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use super::visitor::Visitor;
use crate::api::Api;
use crate::body::{not_read, too_slow};
use crate::failure::{Failure, Result};
use crate::problems::Kind;

/// The fields of a form that changes something. It is taken only from who may operate and with the session's own
/// `csrf`: a handler that takes its form by this cannot forget either.
pub(crate) struct Act<T>(pub(crate) T);

/// The fields of a form that nobody need be logged in for.
pub(super) struct OpenForm<T>(pub(super) T);

#[derive(Deserialize)]
struct Csrf {
    csrf: Option<String>,
}

impl<T: DeserializeOwned> FromRequest for Act<T> {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let text = text(request, payload);
        Box::pin(async move {
            let text = text.await?;
            let visitor =
                visitor.ok_or_else(|| Failure::internal("a form stands outside of the door".to_owned()))?;
            let sent = read::<Csrf>(&text)?.csrf.unwrap_or_default();
            if !bool::from(sent.as_bytes().ct_eq(visitor.csrf.as_bytes())) {
                return Err(foreign());
            }
            read(&text).map(Self)
        })
    }
}

impl<T: DeserializeOwned> FromRequest for OpenForm<T> {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let text = text(request, payload);
        Box::pin(async move { read(&text.await?).map(Self) })
    }
}

fn foreign() -> Failure {
    Failure::foreign_form("the form is of another session; open the page again")
}

fn text(request: &HttpRequest, payload: &mut Payload) -> impl Future<Output = Result<String>> + use<> {
    let is_form = request
        .mime_type()
        .ok()
        .flatten()
        .is_some_and(|mime| mime.essence_str() == "application/x-www-form-urlencoded");
    let limit = request.app_data::<web::Data<Api>>().map(|api| api.body_time);
    let bytes = Bytes::from_request(request, payload);
    async move {
        if !is_form {
            return Err(Failure::new(Kind::UnsupportedMediaType, "the console takes forms"));
        }
        let limit = limit.ok_or_else(|| Failure::internal("the application has no state".to_owned()))?;
        let bytes = match timeout(limit, bytes).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(not_read(&error)),
            Err(_) => return Err(too_slow()),
        };
        String::from_utf8(bytes.to_vec()).map_err(|_| Failure::invalid_body("form", "it is no UTF-8"))
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    let read = web::Query::<T>::from_query(text);
    read.map(web::Query::into_inner).map_err(|error| Failure::invalid_body("form", error.to_string()))
}

/// An idempotency key that no other form has.
pub(crate) fn form_key() -> String {
    uuid::Builder::from_random_bytes(super::session::random().unwrap_or_default()).into_uuid().to_string()
}
