//! What several resources write alike.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use matchpurse_domain::money::CurrencyCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::conditional::Single;
use crate::cursor::List;

/// An amount: never without its currency, and never a fraction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an amount: minor_units and currency")]
pub(crate) struct Amount {
    /// In minor units of the currency.
    pub(crate) minor_units: i64,
    /// Its code.
    pub(crate) currency: String,
}

impl Amount {
    pub(crate) fn new(minor_units: i64, currency: &str) -> Self {
        Self { minor_units, currency: currency.to_owned() }
    }

    pub(crate) fn of(minor_units: i64, currency: &CurrencyCode) -> Self {
        Self::new(minor_units, currency.as_str())
    }

    /// As a member of a problem document.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        serde_json::json!({ "minor_units": self.minor_units, "currency": self.currency })
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// The cursor of the page that follows; none at the end.
    pub(crate) next: Option<String>,
}

/// How many rows to ask for, of which `limit` are shown: one more tells whether a page follows.
pub(crate) const fn one_more(limit: u32) -> u32 {
    limit.saturating_add(1)
}

/// What is shown of the rows that [`one_more`] gave, and the cursor of the page that follows them.
pub(crate) fn cut<T>(
    list: List,
    mut found: Vec<T>,
    limit: u32,
    place: impl FnOnce(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > shown;
    found.truncate(shown);
    let next = found.last().filter(|_| more).map(|last| list.cursor(&place(last)));
    (found, next)
}

/// A JSON answer. What it shows may change at any moment, so nobody keeps it.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(body)
}

/// A JSON answer that shows one thing as it is now; it gets a tag, by which a client learns that nothing has changed.
pub(crate) fn answer_one(body: &impl Serialize) -> HttpResponse {
    let mut answer = HttpResponse::Ok().json(body);
    answer.extensions_mut().insert(Single);
    answer
}

/// A JSON answer that tells where the thing can be read from now on.
pub(crate) fn answer_at(status: StatusCode, location: &str, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, location))
        .json(body)
}
