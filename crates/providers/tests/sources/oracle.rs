//! What holds for everything that an adapter makes of a body, whatever the body is.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use matchpurse_contracts::v1;
use matchpurse_domain::event::{Event, Payload, Provenance};
use matchpurse_domain::ids::EventId;
use matchpurse_providers::{Delivery, NewEvent, NormalizeError, Normalized, Outcome, Verified};
use serde_json::Value;

use super::{Fixture, NOW, Source};

/// The longest error, subject or type that may come of a body, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Reads a body that is vouched for, and panics when what comes of it is nothing that an adapter may make.
pub(crate) fn normalize(
    source: &Source,
    fixture: &Fixture,
    body: &Bytes,
) -> Result<Normalized, NormalizeError> {
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
    for event in events(source, fixture, normalized) {
        assert!(is_short(&event.subject), "{}", event.subject);
        let sent = v1::Event::from(event.clone());
        assert!(!has_nul(&serde_json::to_value(&sent).unwrap()), "{sent:?}");
        assert_eq!(Event::try_from(sent).unwrap(), event);
    }
}

/// The events as an ingress would publish them.
pub(crate) fn events(source: &Source, fixture: &Fixture, normalized: &Normalized) -> Vec<Event> {
    let id = EventId::of_delivery(&source.settings.policy.source, fixture.method.as_str(), b"", 0);
    let event = |new: &NewEvent| Event {
        id,
        delivery_id: id,
        source: source.settings.policy.source.clone(),
        provider: source.provider.id().to_owned(),
        provider_type: normalized.provider_type.clone(),
        subject: new.subject.clone(),
        occurred_at: new.occurred_at,
        received_at: NOW,
        provenance: Provenance {
            body_authenticated: true,
            amount_rounded: normalized.amount_rounded,
            vouched: None,
        },
        raw: Bytes::new(),
        payload: new.payload.clone(),
    };
    normalized.events.iter().map(event).collect()
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
