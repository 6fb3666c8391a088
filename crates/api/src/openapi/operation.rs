//! One operation of the document, put together from few words: what every operation of its shape answers is added here,
//! so that the tables say only what is special.

use std::collections::BTreeMap;

use actix_web::http::Method;
use matchpurse_service_kit::problem::MEDIA_TYPE;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::parameters;
use super::schemas::{Schemas, reference};
use crate::auth;
use crate::problems::Kind;

/// A method of a path.
pub(crate) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    details: Option<&'static str>,
    parameters: Vec<Value>,
    body: Option<Value>,
    /// Status, media type, schema and description.
    answers: Vec<Answered>,
    kinds: Vec<Kind>,
    /// It shows one thing, which has an ETag.
    single: bool,
    /// Nobody need have a token.
    public: bool,
    pub(super) schemas: Schemas,
}

struct Answered {
    status: u16,
    media_type: &'static str,
    schema: Value,
    description: &'static str,
}

/// What a text of the query must be.
pub(super) enum Text<'a> {
    /// Any.
    Any,
    /// One of few words.
    Words(Vec<&'a str>),
    /// A point in time.
    Moment,
    /// A UUID.
    Uuid,
    /// True or false.
    Flag,
    /// A whole number from 1 to this, and what it is where it is not said.
    UpTo(u32, u32),
}

impl Operation {
    pub(super) fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        let (answers, schemas) = (Vec::new(), Schemas::default());
        let (body, details) = (None, None);
        Self {
            method,
            path,
            id,
            summary,
            details,
            parameters: parameters::of_path(path),
            body,
            answers,
            kinds: parameters::problems_of_path(path),
            single: false,
            public: false,
            schemas,
        }
    }

    pub(super) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Method::GET, path, id, summary)
    }

    pub(super) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Method::POST, path, id, summary)
    }

    pub(super) fn put(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Method::PUT, path, id, summary)
    }

    pub(super) fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Method::DELETE, path, id, summary)
    }

    /// More than the summary says.
    pub(super) fn details(mut self, text: &'static str) -> Self {
        self.details = Some(text);
        self
    }

    /// It refuses a query that it does not know, also where it knows none.
    pub(super) fn strict_query(mut self) -> Self {
        self.kinds.push(Kind::InvalidQuery);
        self
    }

    /// A part of the query, which may be left out.
    pub(super) fn query(mut self, name: &str, text: Text<'_>, description: &str) -> Self {
        self.parameters.push(parameters::of_query(name, text, description));
        self.strict_query()
    }

    /// `cursor` and `limit`.
    fn paged(self) -> Self {
        self.query("cursor", Text::Any, "`next` of the page before; none for the first page.").query(
            "limit",
            Text::UpTo(200, 50),
            "How many rows at most.",
        )
    }

    /// A body of JSON, with an example.
    pub(super) fn body<T: ToSchema>(mut self, example: Value) -> Self {
        let schema = self.schemas.add::<T>();
        self.body = Some(json!({
            "required": true,
            "content": { "application/json": { "schema": schema, "example": example } },
        }));
        self.kinds.extend([
            Kind::MalformedBody,
            Kind::BrokenBody,
            Kind::BodyTooSlow,
            Kind::BodyTooLarge,
            Kind::UnsupportedMediaType,
            Kind::InvalidBody,
        ]);
        self
    }

    /// The header that makes a repeat safe.
    pub(super) fn key(mut self, required: bool) -> Self {
        self.parameters.push(parameters::idempotency_key(required));
        self.kinds.extend([
            Kind::IdempotencyKeyMissing,
            Kind::IdempotencyKeyInvalid,
            Kind::IdempotencyKeyReused,
        ]);
        self
    }

    /// An answer of JSON.
    pub(super) fn answers<T: ToSchema>(mut self, status: u16, description: &'static str) -> Self {
        let schema = self.schemas.add::<T>();
        self.answers.push(Answered { status, media_type: "application/json", schema, description });
        self
    }

    /// An answer of one of two shapes.
    pub(super) fn answers_either<A: ToSchema, B: ToSchema>(
        mut self,
        status: u16,
        description: &'static str,
    ) -> Self {
        let schema = json!({ "anyOf": [self.schemas.add::<A>(), self.schemas.add::<B>()] });
        self.answers.push(Answered { status, media_type: "application/json", schema, description });
        self
    }

    /// An answer that is no JSON, or JSON of no shape of ours.
    pub(super) fn answers_other(
        mut self,
        media_type: &'static str,
        schema: Value,
        description: &'static str,
    ) -> Self {
        self.answers.push(Answered { status: 200, media_type, schema, description });
        self
    }

    /// One thing, as it is now. Nobody need read it again that has not changed.
    pub(super) fn shows<T: ToSchema>(mut self, description: &'static str) -> Self {
        self.single = true;
        self.parameters.push(parameters::if_none_match());
        self.answers::<T>(200, description)
    }

    /// A page of a list of these.
    pub(super) fn lists<T: ToSchema>(mut self, description: &'static str) -> Self {
        let schema = self.schemas.add_page_of::<T>();
        self.answers.push(Answered { status: 200, media_type: "application/json", schema, description });
        self.paged()
    }

    /// A page with more in it than its items.
    pub(super) fn lists_as<T: ToSchema>(self, description: &'static str) -> Self {
        self.answers::<T>(200, description).paged()
    }

    /// What it refuses, beside what every operation of its shape does.
    pub(super) fn refuses(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.kinds.extend(kinds);
        self
    }

    /// For whoever asks, without a token.
    pub(super) fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// As the document has it.
    pub(super) fn to_value(&self, tag: &str) -> Value {
        let mut value = json!({
            "operationId": self.id,
            "tags": [tag],
            "summary": self.summary,
            "responses": self.responses(),
        });
        let Value::Object(members) = &mut value else { return value };
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("security", self.security());
        if !self.parameters.is_empty() {
            add("parameters", self.parameters.clone().into());
        }
        if let Some(details) = self.details {
            add("description", details.into());
        }
        if let Some(body) = &self.body {
            add("requestBody", body.clone());
        }
        value
    }

    fn security(&self) -> Value {
        if self.public {
            return json!([]);
        }
        // The words for people and programs; the ones that let something in are those of `auth`.
        let scopes = auth::scopes(&self.method, self.path);
        scopes.iter().map(|scope| json!({ "bearer": [scope.as_str()] })).collect()
    }

    pub(super) fn kinds(&self) -> BTreeMap<u16, Vec<Kind>> {
        let everywhere =
            [Kind::Unauthorized, Kind::InsufficientScope, Kind::TooManyRequests, Kind::Unavailable];
        let needed = if self.public { &[][..] } else { &everywhere };
        let mut all: Vec<Kind> = self.kinds.iter().chain(needed).copied().collect();
        all.push(Kind::Internal);
        all.sort();
        all.dedup();
        let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
        all.into_iter().for_each(|kind| by_status.entry(kind.status()).or_default().push(kind));
        by_status
    }

    fn responses(&self) -> Value {
        let mut responses = Map::new();
        for Answered { status, media_type, schema, description } in &self.answers {
            let mut headers = json!({ "x-request-id": reference("headers", "RequestId") });
            if self.single
                && *status == 200
                && let Value::Object(headers) = &mut headers
            {
                headers.insert("etag".to_owned(), reference("headers", "ETag"));
            }
            let answer = json!({
                "description": description,
                "headers": headers,
                "content": { *media_type: { "schema": schema } },
            });
            responses.insert(status.to_string(), answer);
        }
        if self.single {
            responses.insert("304".to_owned(), reference("responses", "NotModified"));
        }
        for (status, kinds) in self.kinds() {
            // One that stands alone is written down once for all operations.
            let response = match kinds.as_slice() {
                [kind] => reference("responses", &format!("{kind:?}")),
                _ => problem_response(status, &kinds),
            };
            responses.insert(status.to_string(), response);
        }
        responses.into()
    }
}

/// The problems of one status. Their names are for programs, in an extension; what each means stands in the document's
/// description.
pub(super) fn problem_response(status: u16, kinds: &[Kind]) -> Value {
    let lines = kinds.iter().map(|kind| format!("`{}`: {}.", kind.name(), kind.title()));
    let mut headers = json!({ "x-request-id": reference("headers", "RequestId") });
    if let (429 | 503, Value::Object(headers)) = (status, &mut headers) {
        headers.insert("retry-after".to_owned(), reference("headers", "RetryAfter"));
    }
    json!({
        "description": lines.collect::<Vec<_>>().join(" "),
        "headers": headers,
        "content": { MEDIA_TYPE: { "schema": reference("schemas", "Problem") } },
        "x-problems": kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
    })
}
