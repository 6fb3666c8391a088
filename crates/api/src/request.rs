//! The parts of a request beside its body: names in the path, the query, the idempotency key.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_store::links::Identity;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::cursor::List;
use crate::failure::{Failure, Result};
use crate::moment::Moment;
use crate::problems::Kind;

/// As many characters as the adapters take of a provider's id.
const ID_CHARS_MAX: usize = 200;

/// The longest idempotency key, in bytes.
const KEY_LENGTH_MAX: usize = 255;

/// Rows of a page that asks for no number, and the most that it can ask for.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// The query, with unknown and doubled names refused: a condition that is silently left out shows something else
/// than what was asked for.
pub(crate) struct Query<T>(pub(crate) T);

/// The `Idempotency-Key` of a write, if it has one.
pub(crate) struct IdempotencyKey(Option<String>);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Failure;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = web::Query::<T>::from_query(request.query_string());
        ready(read.map(|query| Self(query.into_inner())).map_err(|error| {
            let actix_web::error::QueryPayloadError::Deserialize(error) = error else {
                return Failure::invalid_query("query", "it cannot be read");
            };
            Failure::invalid_query("query", error.to_string())
        }))
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Failure;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all("idempotency-key");
        let key = match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => match visible(value.as_bytes()) {
                Some(key) => Ok(Self(Some(key))),
                None => {
                    Err(invalid_key(format!("it must be 1 to {KEY_LENGTH_MAX} visible ASCII characters")))
                }
            },
            (Some(_), Some(_)) => Err(invalid_key("it stands there more than once".to_owned())),
        };
        ready(key)
    }
}

impl IdempotencyKey {
    /// The key; a write without one could be done twice.
    pub(crate) fn required(self) -> Result<String> {
        self.0.ok_or_else(|| {
            Failure::new(
                Kind::IdempotencyKeyMissing,
                "a write needs the header Idempotency-Key: the same for a repeat, and for nothing else",
            )
        })
    }
}

fn visible(value: &[u8]) -> Option<String> {
    let good = (1..=KEY_LENGTH_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    good.then(|| String::from_utf8_lossy(value).into_owned())
}

fn invalid_key(detail: String) -> Failure {
    Failure::new(Kind::IdempotencyKeyInvalid, detail)
}

/// A source's name in the path.
pub(crate) fn source(text: &str) -> Result<SourceName> {
    SourceName::parse(text).map_err(|_| Failure::unknown_source(text))
}

/// A player's id in the path.
pub(crate) fn player(text: String) -> Result<PlayerId> {
    if is_id(&text) { Ok(PlayerId::new(text)) } else { Err(unknown_player()) }
}

/// A player's id at a source, in the path.
pub(crate) fn identity((source_name, player_id): (String, String)) -> Result<Identity> {
    Ok(Identity { source: source(&source_name)?, player_id: player(player_id)? })
}

/// A match's id in the path.
pub(crate) fn match_id(text: String) -> Result<String> {
    if is_id(&text) { Ok(text) } else { Err(unknown_match()) }
}

/// An offer's id in the path.
pub(crate) fn offer(text: String) -> Result<String> {
    if is_id(&text) { Ok(text) } else { Err(unknown_offer()) }
}

/// The id of a correction in the path.
pub(crate) fn correction(text: &str) -> Result<EventId> {
    Uuid::parse_str(text).map(EventId::from_uuid).map_err(|_| unknown_correction())
}

/// The number of an account in the path.
pub(crate) fn account(text: &str) -> Result<i64> {
    text.parse().map_err(|_| unknown_account())
}

pub(crate) fn unknown_player() -> Failure {
    Failure::new(Kind::UnknownPlayer, "the source has told of no player of this id")
}

pub(crate) fn unknown_match() -> Failure {
    Failure::new(Kind::UnknownMatch, "the source has told of no match of this id")
}

pub(crate) fn unknown_offer() -> Failure {
    Failure::new(Kind::UnknownOffer, "the source has told of no offer of this id")
}

pub(crate) fn unknown_correction() -> Failure {
    Failure::new(Kind::UnknownCorrection, "there is no correction of this id")
}

pub(crate) fn unknown_account() -> Failure {
    Failure::new(Kind::UnknownAccount, "the ledger has no account of this number")
}

/// What an id of a provider can be: nothing else ever comes in, and some of it the database could not even be asked for.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// `source`, of the query, as a condition: one that is not configured any more may have left something.
pub(crate) fn source_of_query(text: Option<&str>) -> Result<Option<SourceName>> {
    let read =
        |text| SourceName::parse(text).map_err(|error| Failure::invalid_query("source", error.to_string()));
    text.map(read).transpose()
}

/// Something that providers name, of the query. It is only unique within its source.
pub(crate) fn id_of_query(
    field: &str,
    text: Option<String>,
    source: Option<&SourceName>,
) -> Result<Option<String>> {
    if text.is_some() && source.is_none() {
        return Err(Failure::invalid_query(field, "say of which source, by `source`"));
    }
    text.map(|text| id_text(field, text)).transpose()
}

/// A text of the query that can stand in the database.
pub(crate) fn id_text(field: &str, text: String) -> Result<String> {
    if is_id(&text) { Ok(text) } else { Err(Failure::invalid_query(field, "there is none of this name")) }
}

/// `at`, of the query.
pub(crate) fn moment(text: Option<&str>) -> Result<Option<Moment>> {
    let read = |text| {
        Moment::parse(text).ok_or_else(|| {
            let detail = "expected a time like 2026-11-22T10:00:00.123456Z, where a plus is written %2B";
            Failure::invalid_query("at", detail)
        })
    };
    text.map(read).transpose()
}

/// `kind`, of the query.
pub(crate) fn kind(text: Option<&str>) -> Result<Option<MatchKind>> {
    let read = |text| {
        MatchKind::parse(text).ok_or_else(|| {
            Failure::invalid_query("kind", "expected recreational, free_to_play, tournament or platform")
        })
    };
    text.map(read).transpose()
}

/// `limit`, of the query.
pub(crate) fn limit(text: Option<&str>) -> Result<u32> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    text.parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| Failure::invalid_query("limit", format!("expected a number from 1 to {LIMIT_MAX}")))
}

/// `cursor`, of the query: what `read` makes of its place in the list.
pub(crate) fn cursor<T>(
    list: List,
    text: Option<&str>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    let place = list.place(text).and_then(|place| read(&place));
    place.map(Some).ok_or_else(|| {
        Failure::invalid_query("cursor", "expected what `next` of an earlier page of this list said")
    })
}
