//! The OpenAPI document: what every path takes and answers, for people and for generators of clients.
//!
//! The shapes of bodies are derived from the types that are read and written; the problems that an operation answers
//! with, from its shape and from what its table adds. `tests/it` compares every answer of every test with it, the routes
//! with its paths, and the whole with the committed `openapi.json`.

mod attention;
mod boards;
mod escrow;
mod offers;
mod operation;
mod parameters;
mod players;
mod schemas;
mod studio;

use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use self::operation::{Operation, problem_response};
use self::schemas::Schemas;
pub(crate) use self::schemas::{CountersView, MatchEnd, StatisticsStand};
use crate::problems::Kind;

/// Where it is served.
pub(crate) const PATH: &str = "/v1/openapi.json";

/// What stands before the table of problems.
const DESCRIPTION: &str = "What studio engineers and operators read and do.\n\n\
    Money is an integer of minor units beside its currency. Times are RFC 3339 in UTC with microseconds. Lists come in \
    pages: `next` of one is the `cursor` of the following one, and what is added meanwhile neither repeats nor hides a \
    row. A write that may not happen twice has an `Idempotency-Key`. Where a text is one of few words, more words may \
    come: a client takes those that it does not know.\n\n\
    Whatever is not done is answered with a problem document (RFC 9457). A program decides by its `type`:\n\n\
    | `type` | status | | what to do |\n| --- | --- | --- | --- |\n";

/// The operations with the tags that they stand under.
fn operations() -> Vec<(&'static str, Vec<Operation>)> {
    vec![
        ("players", players::operations()),
        ("matches", escrow::matches()),
        ("ledger", escrow::ledger()),
        ("rewards", studio::rewards()),
        ("endpoints", studio::endpoints()),
        ("offers", offers::operations()),
        ("leaderboards", boards::operations()),
        ("attention", attention::operations()),
        ("document", vec![own()]),
    ]
}

/// The document about itself.
fn own() -> Operation {
    Operation::get(PATH, "getOpenApi", "This document").public().answers_other(
        "application/json",
        json!({ "type": "object" }),
        "OpenAPI 3.1.",
    )
}

/// Makes the document.
pub(crate) fn document() -> Value {
    let (mut paths, mut schemas, mut tags) = (Map::new(), Schemas::default(), Vec::new());
    let mut responses = responses();
    let problem = schemas.add::<ProblemView>();
    for (tag, operations) in operations() {
        tags.push(json!({ "name": tag }));
        for operation in operations {
            let path = paths.entry(operation.path).or_insert_with(|| Value::Object(Map::new()));
            let value = operation.to_value(tag);
            if let Value::Object(path) = path {
                path.insert(operation.method.as_str().to_ascii_lowercase(), value);
            }
            for (status, kinds) in operation.kinds() {
                if let [kind] = kinds.as_slice() {
                    responses.insert(format!("{kind:?}"), problem_response(status, &kinds));
                }
            }
            schemas.extend(operation.schemas);
        }
    }
    debug_assert!(problem.is_object());
    let rows = Kind::ALL.iter().map(|kind| {
        let (name, status, title, advice) = (kind.name(), kind.status(), kind.title(), kind.advice());
        format!("| `urn:matchpurse:problem:{name}` | {status} | {title} | {advice} |\n")
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Matchpurse",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION.to_owned() + &rows.collect::<String>(),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "Where this document came from." }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.plain(),
            "headers": headers(),
            "responses": responses,
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of the configuration, or a JWT of the configured issuer. Its scopes: `read` sees \
                                everything, `play` records which offers players have started and checks match tokens, \
                                `operate` moves money and corrects, and may do what `play` may.",
            } },
        },
    })
}

/// Those that are no problem and stand under many operations.
fn responses() -> Map<String, Value> {
    let not_modified = json!({
        "description": "Nothing has changed since the answer with this `ETag`.",
        "headers": {
            "x-request-id": schemas::reference("headers", "RequestId"),
            "etag": schemas::reference("headers", "ETag"),
        },
    });
    Map::from_iter([("NotModified".to_owned(), not_modified)])
}

fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    json!({
        "RequestId": header("The request's id: the client's, if it sent a sane one.", json!({ "type": "string" })),
        "ETag": header("Of what is shown; for `If-None-Match`.", json!({ "type": "string" })),
        "RetryAfter": header("Seconds until it is worth asking again.", json!({ "type": "integer" })),
    })
}

/// What is not done, and why (RFC 9457). Beside these members there may be others: what each problem has stands in the
/// table of the document's description.
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it stands for a type of another crate, in the document only")]
struct ProblemView {
    /// What kind of a problem it is, for a program to decide by.
    #[schema(
        pattern = "^urn:matchpurse:problem:[a-z-]+$",
        example = "urn:matchpurse:problem:unknown-player"
    )]
    r#type: String,
    /// What it is called, the same for every problem of this type.
    title: String,
    /// That of the answer.
    status: u16,
    /// What is the matter this time, for a person.
    detail: String,
}

/// The document as it is served and committed: its members in the order of their names, indented.
pub(crate) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        // A value always serializes.
        let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
        text.push('\n');
        text
    })
}

/// `GET /v1/openapi.json`
pub(crate) async fn serve() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(text())
}
