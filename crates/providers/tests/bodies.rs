//! Bodies that are verified and still nonsense: an adapter says so, and never panics, guesses or passes on
//! something that the database or the wire would refuse.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy lets tests do so, but takes the functions that they share for something else"
)]

mod sources;

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use matchpurse_contracts::v1;
use matchpurse_domain::event::{Event, Payload, Provenance, UnrecognizedKind};
use matchpurse_domain::ids::EventId;
use matchpurse_providers::{Delivery, NormalizeError, Normalized, Outcome, Verified};
use proptest::prelude::*;
use serde_json::{Value, json};

use sources::{Fixture, NOW, Source};

/// The longest error, subject or type that may come of a body, in characters.
const SHOWN_CHARS_MAX: usize = 200;

fn normalize(source: &Source, fixture: &Fixture, body: &Bytes) -> Result<Normalized, NormalizeError> {
    let verified = verified(source, fixture, body);
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

/// The body, vouched for. Where the signature does not cover the body, one signature serves for all, because
/// an RSA one takes longer than everything else here.
fn verified(source: &Source, fixture: &Fixture, body: &Bytes) -> Verified {
    static SIGNED: LazyLock<Mutex<HashMap<(&str, &str), Delivery>>> = LazyLock::new(Mutex::default);
    let keys = source.active_keys();
    let verify = |delivery: &Delivery| source.provider.verify(delivery, &source.settings, &keys, NOW);
    let mut signed = SIGNED.lock().unwrap();
    if let Some(known) = signed.get(&(source.provider.id(), fixture.role)) {
        let delivery = Delivery { method: fixture.method, body: body.clone(), ..known.clone() };
        return verify(&delivery).unwrap();
    }
    let delivery = source.signed(fixture.method, fixture.role, body);
    let verified = verify(&delivery).unwrap();
    if !verified.body_authenticated() {
        signed.insert((source.provider.id(), fixture.role), delivery);
    }
    verified
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
            provenance: Provenance {
                body_authenticated: true,
                amount_rounded: normalized.amount_rounded,
                vouched: None,
            },
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
