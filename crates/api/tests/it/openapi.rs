//! The OpenAPI document: what is served is what is committed, and it says what is there.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::conformance::{DOCUMENT, TEXT, file, response};
use crate::harness::{ANN, Api, request};
use crate::http::Request;

#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served() -> Result<()> {
    let api = Api::start().await?;
    // Whoever makes a client of it needs no token.
    let answer = Request::new("GET", "/v1/openapi.json", b"").send(&api.address.to_string()).await?;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file("openapi.json"), &answer.body)?;
    } else if answer.body != *TEXT {
        let differs = answer.body.lines().zip(TEXT.lines()).find(|(served, kept)| served != kept);
        panic!("docs/openapi.json is another one, from {differs:?} on; UPDATE_GOLDEN=1 writes it anew");
    }
    api.stop().await
}

/// `(method, template, operation)` of everything.
fn operations() -> Vec<(String, String, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let of = |(template, item): (&String, &'static Value)| {
        let item = item.as_object().unwrap();
        item.iter()
            .map(|(method, operation)| (method.to_uppercase(), template.clone(), operation))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// With the examples in the places of the names.
fn example(template: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    parameters.iter().filter(|parameter| parameter["in"] == "path").fold(
        template.to_owned(),
        |path, parameter| {
            let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
            path.replace(&name, parameter["example"].as_str().unwrap())
        },
    )
}

#[test]
fn every_operation_has_a_name_of_its_own_that_generators_can_use() {
    let mut seen = BTreeSet::new();
    for (method, template, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(
            id.bytes().all(|byte| byte.is_ascii_alphanumeric()) && id.starts_with(char::is_lowercase),
            "{id}"
        );
        assert!(seen.insert(id), "{id} twice");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {template}");
        assert!(operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')));
    }
}

/// What a query may have is asked of the server itself: it names all that it knows when it is given something else.
#[tokio::test]
async fn the_queries_of_the_document_are_those_that_are_read() -> Result<()> {
    let api = Api::start().await?;
    let mut asked = 0;
    for (method, template, operation) in operations() {
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = |parameter: &&Value| parameter["in"] == "query";
        let documented: BTreeSet<&str> =
            parameters.iter().filter(named).map(|parameter| parameter["name"].as_str().unwrap()).collect();
        let strict = response(operation, "400")["x-problems"].as_array();
        if !strict.is_some_and(|problems| problems.iter().any(|name| name == "invalid-query")) {
            assert!(documented.is_empty(), "{method} {template} documents a query that it does not read");
            continue;
        }
        let path = format!("{}?zzz=1", example(&template, operation));
        let body = operation.pointer("/requestBody/content/application~1json/example");
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = request(ANN, &method, &path, &body);
        request.headers.push(("idempotency-key".to_owned(), b"k".to_vec()));
        let answer = api.send(&request).await?;
        assert_eq!(answer.status, 400, "{method} {path}: {answer:?}");
        let problem: Value = serde_json::from_str(&answer.body)?;
        let detail = problem["detail"].as_str().context("no detail")?;
        // "unknown field `zzz`, expected one of `a`, `b`"
        let known: BTreeSet<&str> = detail.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, documented, "{method} {template}: {detail}");
        asked += 1;
    }
    assert!(asked > 30, "{asked}");
    api.stop().await
}

#[tokio::test]
async fn every_list_has_pages_and_knows_its_own_cursors_only() -> Result<()> {
    let api = Api::start().await?;
    let mut lists = 0;
    for (method, template, operation) in operations() {
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !parameters.iter().any(|parameter| parameter["name"] == "cursor") {
            // What has many of something in it has pages, or a bound that its summary can name.
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
            let page = schema.as_str().is_some_and(|at| at.ends_with("Page"));
            assert!(!page, "{method} {template} shows pages and takes no cursor");
            continue;
        }
        lists += 1;
        let path = example(&template, operation);
        let encoded = |text: &str| {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
        };
        for garbage in [
            "%00",
            "x",
            "AAAA",
            &encoded("another-list:1"),
            &encoded("rewards:-9223372036854775808.8c5e1f2a-7d3b-8e4f-9a6b-0c1d2e3f4a5b"),
            &encoded("events:-9223372036854775808.8c5e1f2a-7d3b-8e4f-9a6b-0c1d2e3f4a5b"),
            &encoded("exclusions:-9223372036854775808.8c5e1f2a-7d3b-8e4f-9a6b-0c1d2e3f4a5b"),
            &encoded("offers:a\u{0}b"),
            &encoded("matches:-9223372036854775808.1"),
            &encoded("timeline:1.0.0.-1"),
            &encoded("timeline:1.0.0.1.1"),
            "",
        ] {
            let answer = api.send(&request(ANN, "GET", &format!("{path}?cursor={garbage}"), "")).await?;
            // Whose list it is comes first.
            if answer.status != 404 {
                assert_eq!(answer.status, 400, "{path}?cursor={garbage}: {answer:?}");
                let problem: Value = serde_json::from_str(&answer.body)?;
                assert_eq!(problem["field"], "cursor", "{path}: {answer:?}");
            }
        }
    }
    assert_eq!(lists, 15, "lists with pages");
    api.stop().await
}
