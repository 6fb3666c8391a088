//! Bodies that are verified and still nonsense: an adapter says so, and never panics, guesses or passes on
//! something that the database or the wire would refuse.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy lets tests do so, but takes the functions that they share for something else"
)]

mod sources;

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use matchpurse_domain::event::{Payload, UnrecognizedKind};
use matchpurse_providers::{NormalizeError, Normalized};
use proptest::prelude::*;
use serde_json::{Value, json};

use sources::oracle::normalize;
use sources::{Fixture, Source};

fn is_understood(found: &Result<Normalized, NormalizeError>) -> bool {
    found.as_ref().is_ok_and(|normalized| {
        normalized.events.iter().any(|event| !matches!(event.payload, Payload::Unrecognized(_)))
    })
}

static SOURCES: LazyLock<Vec<(Source, Vec<Fixture>)>> = LazyLock::new(|| {
    let with_fixtures = |source: Source| {
        let fixtures = source.fixtures();
        (source, fixtures)
    };
    sources::all().into_iter().map(with_fixtures).collect()
});

fn every_fixture() -> impl Iterator<Item = (&'static Source, &'static Fixture)> {
    SOURCES.iter().flat_map(|(source, fixtures)| fixtures.iter().map(move |fixture| (source, fixture)))
}

#[test]
fn nonsense_is_never_understood() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = format!("{}1{}", r#"{"event":"#.repeat(10_000), "}".repeat(10_000));
    let nonsense: [&[u8]; 17] = [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b"0",
        b"NaN",
        b"\"text\"",
        b"{}",
        b"\xff\xfe\x00",
        b"{\"event\":\"\xff\"}",
        br#"{"event":null,"type":null,"id":null}"#,
        br#"{"event":"NoSuchEvent","type":"no.such.event"}"#,
        br#"{"event":1e999,"type":99999999999999999999999999}"#,
        b"event=RecreationalGameCreated&id=1",
        deep.as_bytes(),
        deep_objects.as_bytes(),
    ];
    for (source, fixture) in every_fixture() {
        for body in nonsense {
            let found = normalize(source, fixture, &Bytes::copy_from_slice(body));
            assert!(!is_understood(&found), "{}: {:?}", source.provider.id(), String::from_utf8_lossy(body));
        }
    }
}

#[test]
fn a_good_body_with_a_flaw_around_it_is_malformed() {
    for (source, fixture) in every_fixture() {
        if !is_understood(&normalize(source, fixture, &fixture.body)) {
            continue;
        }
        for (before, after) in [("\u{feff}", ""), ("", "}"), ("", " x"), ("[", "]"), ("//\n", ""), ("", "\0")]
        {
            let body = [before.as_bytes(), &fixture.body, after.as_bytes()].concat().into();
            let found = normalize(source, fixture, &body);
            assert!(found.is_err(), "{} {} {before:?}{after:?}", source.provider.id(), fixture.name);
        }
        let cut = fixture.body.len() / 2;
        assert!(normalize(source, fixture, &fixture.body.slice(..cut)).is_err());
    }
}

#[test]
fn what_we_do_not_know_changes_nothing() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (source, fixture) in every_fixture() {
        let found = normalize(source, fixture, &fixture.body);
        if !is_understood(&found) {
            continue;
        }
        let text = std::str::from_utf8(&fixture.body).unwrap().trim_start();
        for value in ["1e999", "-0", "\"\\u0000\"", "null", r#"{"a":1,"a":2}"#, deep.as_str()] {
            let body = text.replacen('{', &format!(r#"{{"x-not-documented": {value}, "#), 1);
            let again = normalize(source, fixture, &body.into());
            match &again {
                // An adapter that hands everything on must be able to read everything.
                Err(error) => assert!(error.problem.contains("recursion limit"), "{error}"),
                Ok(_) => {
                    assert_eq!(kinds(&again), kinds(&found), "{} {}", source.provider.id(), fixture.name)
                }
            }
        }
    }
}

/// An event that we have not heard of may have anything in fields that we read of others.
#[test]
fn an_unknown_event_is_kept_whatever_else_it_says() {
    let values = [json!(null), json!(true), json!(7), json!(0.5), json!("text"), json!([7]), json!({"a": 7})];
    let mut tried = 0;
    for (source, fixtures) in &*SOURCES {
        let Some(event_field) = &source.event_field else { continue };
        let bodies =
            fixtures.iter().filter_map(|fixture| serde_json::from_slice::<Value>(&fixture.body).ok());
        let mut fields: Vec<String> = bodies
            .filter_map(|body| Some(body.as_object()?.keys().cloned().collect::<Vec<_>>()))
            .flatten()
            .collect();
        fields.retain(|field| field != event_field);
        fields.sort();
        fields.dedup();
        let fixture = fixtures.iter().find(|fixture| fixture.role == "webhook").unwrap();
        for value in &values {
            let alone = fields.iter().map(|field| json!({event_field: "no.such.event", field: value}));
            let mut together = json!({event_field: "no.such.event"});
            for field in &fields {
                together[field] = value.clone();
            }
            for body in alone.chain([together]) {
                let found = normalize(source, fixture, &body.to_string().into());
                let found = found.unwrap_or_else(|error| panic!("{} {body}: {error}", source.provider.id()));
                let [event] = found.events.as_slice() else { panic!("{body}: one event") };
                assert!(
                    matches!(&event.payload, Payload::Unrecognized(u) if u.kind == UnrecognizedKind::UnknownType),
                    "{} {body}: {event:?}",
                    source.provider.id()
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

fn kinds(found: &Result<Normalized, NormalizeError>) -> Vec<(&str, &'static str)> {
    let events = &found.as_ref().unwrap().events;
    events.iter().map(|event| (event.subject.as_str(), event.payload.name().as_str())).collect()
}

#[test]
fn a_redacted_body_means_the_same() {
    for (source, fixture) in every_fixture() {
        let redacted = source.provider.redact(&fixture.body);
        assert_eq!(source.provider.redact(&redacted), redacted);
        assert_eq!(normalize(source, fixture, &redacted), normalize(source, fixture, &fixture.body));
    }
}

#[test]
fn no_value_in_any_field_makes_an_adapter_panic_or_pass_on_what_nobody_can_store() {
    let long = format!("\"{}\"", "x".repeat(5_000));
    let values = [
        "null",
        "\"\"",
        "[]",
        "{}",
        "0",
        "-1",
        "1e999",
        "0.001",
        "28.499999999999996",
        "99999999999999999999999999999999",
        "9223372036854775808",
        "\"\\u0000\"",
        "\"a\\nb\"",
        "\"\\ud800\"",
        "\"\u{1f3c6}\u{202e}\"",
        "\"12,50\"",
        "\"NaN\"",
        "\"9999-12-31T23:59:59.999999999-23:59\"",
        long.as_str(),
    ];
    const MARK: &str = "the value goes here";
    let mut tried = HashSet::new();
    for (source, fixture) in every_fixture() {
        let Ok(body) = serde_json::from_slice::<Value>(&fixture.body) else { continue };
        let mut places = Vec::new();
        pointers(&body, String::new(), &mut places);
        let about = normalize(source, fixture, &fixture.body).map(|read| read.provider_type);
        for place in places {
            // The same field of the same kind of delivery is read the same way in the next fixture.
            if !tried.insert((
                source.provider.id(),
                fixture.method.as_str(),
                about.clone().ok(),
                place.clone(),
            )) {
                continue;
            }
            let mut marked = body.clone();
            *marked.pointer_mut(&place).unwrap() = json!(MARK);
            let marked = marked.to_string();
            for value in values {
                let body = marked.replace(&format!("\"{MARK}\""), value);
                drop(normalize(source, fixture, &body.into()));
            }
        }
    }
}

/// The JSON pointers to all values in the value, itself included. Of a list's elements, which are all read
/// alike, only the first and the last count.
fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => {
            let ends = [Some(0), values.len().checked_sub(1).filter(|last| *last > 0)];
            for index in ends.into_iter().flatten().filter(|index| *index < values.len()) {
                pointers(&values[index], format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => {}
    }
    found.push(at);
}

proptest! {
    #[test]
    fn no_bytes_make_an_adapter_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let body = Bytes::from(body);
        for (source, _) in &*SOURCES {
            for role in source.keys.keys() {
                let fixture = Fixture {
                    name: String::new(),
                    method: source.provider.methods()[0],
                    role,
                    body: body.clone(),
                };
                prop_assert!(!is_understood(&normalize(source, &fixture, &body)));
            }
        }
    }

    #[test]
    fn no_mutation_of_a_good_body_makes_an_adapter_panic(
        which in any::<proptest::sample::Index>(),
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), "[\\PC\"{}\\[\\],:0-9]{0,6}"), 1..4),
    ) {
        let all: Vec<_> = every_fixture().collect();
        let (source, fixture) = *which.get(&all);
        let mut body = fixture.body.to_vec();
        for (place, text) in cuts {
            let place = place.index(body.len() + 1);
            let end = (place + text.len() / 2).min(body.len());
            body.splice(place..end, text.bytes());
        }
        drop(normalize(source, fixture, &body.into()));
    }
}
