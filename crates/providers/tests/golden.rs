//! Every fixture of every provider, signed, verified and normalized, against what stands in `golden/`.
//!
//! `UPDATE_GOLDEN=1` writes what came out; read the diff before committing it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy lets tests do so, but takes the functions that they share for something else"
)]

mod sources;

use std::fs;

use bytes::Bytes;
use matchpurse_contracts::v1;
use matchpurse_domain::event::{Event, Payload, Provenance};
use matchpurse_domain::ids::EventId;
use matchpurse_providers::{NewEvent, Normalized, Outcome, Verified};
use serde_json::{Value, json};

use sources::{Fixture, NOW, Source};

#[test]
fn every_delivery_means_what_its_golden_file_says() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for source in sources::all() {
        let folder = source.golden_folder();
        let fixtures = source.fixtures();
        for fixture in &fixtures {
            let path = folder.join(format!("{}.json", fixture.name));
            let found = format!("{:#}\n", view(&source, fixture));
            if update {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &found).unwrap();
            } else if !path.exists() {
                wrong.push(format!("{} is missing; it would be:\n{found}", path.display()));
            } else if sources::read(&path) != found.as_bytes() {
                wrong.push(format!("{} differs; now it is:\n{found}", path.display()));
            }
        }
        for name in sources::names(&folder) {
            if !fixtures.iter().any(|fixture| fixture.name == name) {
                wrong.push(format!("{}/{name}.json has no fixture", folder.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn view(source: &Source, fixture: &Fixture) -> Value {
    let verified = source.verified(fixture.method, fixture.role, &fixture.body);
    let mut view = match source.provider.normalize(&verified, &source.settings) {
        Ok(normalized) => view_of_normalized(source, fixture, &verified, normalized),
        Err(error) => json!({ "error": { "field": error.field, "problem": error.problem } }),
    };
    let redacted = source.provider.redact(&fixture.body);
    if redacted != fixture.body {
        view["redacted"] = serde_json::from_slice(&redacted).unwrap();
    }
    view
}

fn view_of_normalized(
    source: &Source,
    fixture: &Fixture,
    verified: &Verified,
    normalized: Normalized,
) -> Value {
    let payloads: Vec<&Payload> = normalized.events.iter().map(|event| &event.payload).collect();
    let reply = source.provider.reply(Outcome::Kept { payloads: &payloads });
    let reply = json!({
        "status": reply.status,
        "content_type": reply.content_type,
        "body": std::str::from_utf8(&reply.body).unwrap(),
    });
    let provenance = Provenance {
        body_authenticated: verified.body_authenticated(),
        amount_rounded: normalized.amount_rounded,
        vouched: None,
    };
    let id = |index: usize| {
        let index = u32::try_from(index).unwrap();
        EventId::of_delivery(&source.settings.policy.source, fixture.method.as_str(), &fixture.body, index)
    };
    let envelope = |(index, event): (usize, NewEvent)| Event {
        id: id(index),
        delivery_id: id(0),
        source: source.settings.policy.source.clone(),
        provider: source.provider.id().to_owned(),
        provider_type: normalized.provider_type.clone(),
        subject: event.subject,
        occurred_at: event.occurred_at,
        received_at: NOW,
        provenance,
        // The body stands in the fixture.
        raw: Bytes::new(),
        payload: event.payload,
    };
    let question = normalized.question.map(|asked| json!({ "id": asked.id, "answer": asked.answer }));
    let events: Vec<Value> = normalized.events.into_iter().enumerate().map(envelope).map(as_sent).collect();
    let mut view = json!({
        "provider_type": normalized.provider_type,
        "amount_rounded": normalized.amount_rounded,
        "reply": reply,
        "events": events,
    });
    if let Some(question) = question {
        view["question"] = question;
    }
    view
}

/// The event's JSON view, once it is sure that the wire loses nothing of it.
fn as_sent(event: Event) -> Value {
    let sent = v1::Event::from(event.clone());
    assert_eq!(Event::try_from(sent.clone()).unwrap(), event);
    serde_json::to_value(sent).unwrap()
}
