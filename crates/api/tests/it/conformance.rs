//! Every answer that any of these tests gets is compared with the committed OpenAPI document: the status, the media type,
//! the problem's type and the shape of the body must be written down for that operation.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::http::{Answer, Request};

/// A file of the documentation.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// The committed document.
pub(crate) static TEXT: LazyLock<String> =
    LazyLock::new(|| std::fs::read_to_string(file("openapi.json")).unwrap());

pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&TEXT).unwrap());

/// The operation of a method and path, with the template that it matches.
pub(crate) fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<(&'a str, &'a Value)> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let names: Vec<&str> = template.split('/').collect();
        names.len() == parts.len()
            && names
                .iter()
                .zip(&parts)
                .all(|(name, part)| name == part || (name.starts_with('{') && !part.is_empty()))
    };
    let paths = document["paths"].as_object()?;
    // A path without parameters is more than one with.
    let found = paths
        .iter()
        .filter(|(template, _)| fits(template))
        .min_by_key(|(template, _)| template.matches('{').count());
    let (template, item) = found?;
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    Some((template, item.get(&method)?))
}

/// What stands under a status, or behind the reference there.
pub(crate) fn response<'a>(operation: &'a Value, status: &str) -> &'a Value {
    let response = &operation["responses"][status];
    let behind = response["$ref"].as_str().and_then(|at| DOCUMENT.pointer(at.trim_start_matches('#')));
    behind.unwrap_or(response)
}

/// Says what of an answer is not in the document.
pub(crate) fn check(request: &Request, answer: &Answer) -> Result<()> {
    let Some((template, operation)) = operation(&DOCUMENT, &request.method, &request.path) else {
        return Ok(());
    };
    check_with(operation, request, answer)
        .with_context(|| format!("{} {template}: {answer:?} is not as the document says", request.method))
}

fn check_with(operation: &Value, request: &Request, answer: &Answer) -> Result<()> {
    let response = response(operation, &answer.status.to_string());
    ensure!(response.is_object(), "the status is not documented");
    let Some(content) = response["content"].as_object() else {
        ensure!(answer.body.is_empty(), "a body that is not documented");
        return Ok(());
    };
    let media_type = answer.header("content-type").context("no content type")?;
    let schema = content.get(media_type).with_context(|| format!("{media_type} is not documented"))?;
    if request.method == "HEAD" || media_type == "text/event-stream" {
        return Ok(());
    }
    let body: Value = serde_json::from_str(&answer.body)?;
    if let Some(problems) = response["x-problems"].as_array() {
        let named = body["type"].as_str().and_then(|text| text.strip_prefix("urn:matchpurse:problem:"));
        let named = named.context("a problem without a type of ours")?;
        ensure!(problems.iter().any(|name| name == named), "the problem `{named}` is not documented");
    }
    let whole = json!({ "allOf": [schema["schema"]], "components": DOCUMENT["components"] });
    let validator = jsonschema::validator_for(&whole)?;
    let wrong: Vec<String> =
        validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    ensure!(wrong.is_empty(), "the body: {wrong:?}");
    // A member that is not written down would be lost on a client that was made of the document.
    let unknown = unwritten(&schema["schema"], &body, "");
    ensure!(unknown.is_empty(), "members that are not documented: {unknown:?}");
    Ok(())
}

/// The members of a value that its schema does not name.
fn unwritten(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        if reference.ends_with("/Problem") {
            return Vec::new();
        }
        return DOCUMENT.pointer(reference.trim_start_matches('#')).map_or_else(
            || vec![format!("{at}: {reference} is nothing")],
            |schema| unwritten(schema, value, at),
        );
    }
    for either in ["oneOf", "anyOf"] {
        if let Some(ways) = schema[either].as_array() {
            let fits = ways.iter().map(|way| unwritten(way, value, at)).min_by_key(Vec::len);
            return fits.unwrap_or_default();
        }
    }
    match value {
        Value::Array(items) => items.iter().flat_map(|item| unwritten(&schema["items"], item, at)).collect(),
        Value::Object(members) => {
            let Some(known) = schema["properties"].as_object() else { return Vec::new() };
            let of = |(name, value): (&String, &Value)| match known.get(name) {
                Some(schema) => unwritten(schema, value, &format!("{at}.{name}")),
                None => vec![format!("{at}.{name}")],
            };
            members.iter().flat_map(of).collect()
        }
        // What is something is not documented as nothing.
        _ if schema["type"] == "null" && !value.is_null() => vec![at.to_owned()],
        _ => Vec::new(),
    }
}
