//! Bodies that are verified and still nonsense: an adapter says so, and never panics, guesses or passes on
//! something that the database or the wire would refuse.

mod sources;

use std::sync::LazyLock;

use bytes::Bytes;
use matchpurse_contracts::v1;
use matchpurse_domain::event::{Event, Payload, Provenance};
use matchpurse_domain::ids::EventId;
use matchpurse_providers::{NormalizeError, Normalized, Outcome};
use proptest::prelude::*;
use serde_json::{Value, json};

use sources::{Fixture, NOW, Source};

/// The longest error, subject or type that may come of a body, in characters.
const SHOWN_CHARS_MAX: usize = 200;

fn normalize(source: &Source, fixture: &Fixture, body: &Bytes) -> Result<Normalized, NormalizeError> {
    let verified = source.verified(fixture.method, fixture.role, body);
    drop(source.provider.redact(body));
    let found = source.provider.normalize(&verified, &source.settings);
    match &found {
        Ok(normalized) => check(source, fixture, normalized),
        Err(error) => {
            assert!(!error.field.is_empty() && !error.problem.is_empty());
            assert!(is_short(&error.field) && is_short(&error.problem), "{error}");
        }
    }
    found
}

/// What holds for everything that an adapter makes.
fn check(source: &Source, fixture: &Fixture, normalized: &Normalized) {
    assert!(!normalized.events.is_empty());
    assert!(is_short(&normalized.provider_type), "{}", normalized.provider_type);
    let payloads: Vec<&Payload> = normalized.events.iter().map(|event| &event.payload).collect();
    assert_eq!(source.provider.reply(Outcome::Kept { payloads: &payloads }).status, 200);
    for event in &normalized.events {
        assert!(is_short(&event.subject), "{}", event.subject);
        let id = EventId::of_delivery(&source.settings.policy.source, fixture.method.as_str(), b"", 0);
        let event = Event {
            id,
            delivery_id: id,
            source: source.settings.policy.source.clone(),
            provider: source.provider.id().to_owned(),
            provider_type: normalized.provider_type.clone(),
            subject: event.subject.clone(),
            occurred_at: event.occurred_at,
            received_at: NOW,
            provenance: Provenance { body_authenticated: true, amount_rounded: normalized.amount_rounded },
            raw: Bytes::new(),
            payload: event.payload.clone(),
        };
        let sent = v1::Event::from(event.clone());
        assert!(!has_nul(&serde_json::to_value(&sent).unwrap()), "{sent:?}");
        assert_eq!(Event::try_from(sent).unwrap(), event);
    }
}

fn is_short(text: &str) -> bool {
    text.chars().count() <= SHOWN_CHARS_MAX && !text.chars().any(char::is_control)
}

/// True when there is a U+0000 in a text, or in a text of the JSON in a text: PostgreSQL could hold neither.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            text.contains('\0') || serde_json::from_str::<Value>(text).is_ok_and(|inside| has_nul(&inside))
        }
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

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
        "[null]",
        "true",
        "0",
        "-1",
        "1e999",
        "1E-400",
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
    for (source, fixture) in every_fixture() {
        let Ok(body) = serde_json::from_slice::<Value>(&fixture.body) else { continue };
        for place in 0..count(&body) {
            let mut marked = body.clone();
            replace(&mut marked, &mut place.clone(), &json!(MARK));
            let marked = marked.to_string();
            for value in values {
                let body = marked.replace(&format!("\"{MARK}\""), value);
                drop(normalize(source, fixture, &body.into()));
            }
        }
    }
}

/// How many values there are in the value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Puts `new` at the `place`-th value; counts down on the way, and is done below zero.
fn replace(value: &mut Value, place: &mut usize, new: &Value) -> bool {
    if *place == 0 {
        *value = new.clone();
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(values) => values.iter_mut().any(|value| replace(value, place, new)),
        Value::Object(fields) => fields.values_mut().any(|value| replace(value, place, new)),
        _ => false,
    }
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
