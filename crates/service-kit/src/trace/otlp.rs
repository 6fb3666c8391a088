//! OTLP in its JSON form: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>. Ids are hexadecimal,
//! 64-bit numbers are texts, enums are numbers.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::SpanContext;
use super::span::{Kind, Record, Value};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A request to export these spans, for the process of this name.
pub(super) fn request(instance: &str, spans: &[Record]) -> Bytes {
    let mut services: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
    for record in spans {
        services.entry(record.service).or_default().push(span(record));
    }
    let resource = |(service, spans): (&str, Vec<Json>)| {
        let attributes = [
            ("service.namespace", "matchpurse"),
            ("service.name", service),
            ("service.version", VERSION),
            ("service.instance.id", instance),
        ];
        let attributes =
            attributes.map(|(key, text)| json!({ "key": key, "value": { "stringValue": text } }));
        json!({
            "resource": { "attributes": attributes },
            "scopeSpans": [{ "scope": { "name": "matchpurse", "version": VERSION }, "spans": spans }],
        })
    };
    let resources: Vec<Json> = services.into_iter().map(resource).collect();
    json!({ "resourceSpans": resources }).to_string().into()
}

/// How many of the spans the collector says it has left out, in an answer of success.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let answer: Json = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = answer.pointer("/partialSuccess/rejectedSpans");
    rejected.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok())).unwrap_or(0)
}

fn span(record: &Record) -> Json {
    let since = record.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let attributes: Vec<Json> =
        record.attributes.iter().map(|(key, value)| json!({ "key": key, "value": any(value) })).collect();
    let links: Vec<Json> = record.links.iter().map(|link| ids(*link).into()).collect();
    let mut span = ids(record.context);
    if let Some(parent) = record.parent {
        span.insert("parentSpanId".to_owned(), format!("{parent:016x}").into());
    }
    span.insert("name".to_owned(), record.name.into());
    span.insert("kind".to_owned(), kind(record.kind).into());
    span.insert("startTimeUnixNano".to_owned(), since.as_nanos().to_string().into());
    span.insert("endTimeUnixNano".to_owned(), (since + record.took).as_nanos().to_string().into());
    span.insert("attributes".to_owned(), attributes.into());
    span.insert("links".to_owned(), links.into());
    if let Some(error) = &record.error {
        span.insert("status".to_owned(), json!({ "code": 2, "message": error }));
    }
    span.into()
}

/// The ids of a span or a link, which is sent because it is sampled.
fn ids(context: SpanContext) -> serde_json::Map<String, Json> {
    let mut ids = serde_json::Map::new();
    ids.insert("traceId".to_owned(), format!("{:032x}", context.trace).into());
    ids.insert("spanId".to_owned(), format!("{:016x}", context.span).into());
    ids.insert("flags".to_owned(), u8::from(context.sampled).into());
    ids
}

fn any(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Flag(flag) => json!({ "boolValue": flag }),
    }
}

const fn kind(kind: Kind) -> u8 {
    match kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
        Kind::Producer => 4,
        Kind::Consumer => 5,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_span_is_written_as_the_specification_has_it() {
        let context = SpanContext { trace: 0xabc, span: 0x12, sampled: true };
        let record = Record {
            service: "ingress",
            name: "delivery",
            kind: Kind::Server,
            context,
            parent: Some(0x34),
            links: vec![SpanContext { span: 0x56, ..context }],
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(2),
            took: Duration::from_nanos(5),
            attributes: vec![("a", "text".into()), ("b", 7_usize.into()), ("c", true.into())],
            error: Some("timed_out".into()),
        };
        let request: Json = serde_json::from_slice(&request("i", &[record])).unwrap();
        insta::assert_json_snapshot!(request["resourceSpans"][0]["scopeSpans"][0]["spans"][0], @r#"
        {
          "attributes": [
            {
              "key": "a",
              "value": {
                "stringValue": "text"
              }
            },
            {
              "key": "b",
              "value": {
                "intValue": "7"
              }
            },
            {
              "key": "c",
              "value": {
                "boolValue": true
              }
            }
          ],
          "endTimeUnixNano": "2000000005",
          "flags": 1,
          "kind": 2,
          "links": [
            {
              "flags": 1,
              "spanId": "0000000000000056",
              "traceId": "00000000000000000000000000000abc"
            }
          ],
          "name": "delivery",
          "parentSpanId": "0000000000000034",
          "spanId": "0000000000000012",
          "startTimeUnixNano": "2000000000",
          "status": {
            "code": 2,
            "message": "timed_out"
          },
          "traceId": "00000000000000000000000000000abc"
        }
        "#);
    }

    #[test]
    fn what_the_collector_has_left_out_is_read_in_both_spellings() {
        for (answer, count) in [
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":2}}"#, 2),
            (r#"{"partialSuccess":{}}"#, 0),
            ("{}", 0),
            ("", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), count, "{answer}");
        }
    }
}
