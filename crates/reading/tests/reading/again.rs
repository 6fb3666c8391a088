use bytes::Bytes;
use matchpurse_contracts::wire::{Message, decode};
use matchpurse_domain::event::{Event, Kept, Payload, Provenance, Unrecognized, UnrecognizedKind};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::money::format_major;
use matchpurse_providers::{NormalizeError, Normalized, OptionValue, Verified};
use matchpurse_reading::{Readings, Unreadable};
use matchpurse_settings::Settings;
use serde_json::json;

use crate::sources::{self, Fixture, NOW, Source};

/// A configuration with the one source, under another provider's name if one is given.
fn configured(source: &Source, provider: &str) -> Readings {
    let policy = &source.settings.policy;
    let mut text = format!(
        "[database]\nurl = \"postgres://db/app\"\n[sources.{}]\nprovider = {}\ncurrency = {}\ncustody = \"provider\"\n",
        policy.source,
        json!(provider),
        json!(policy.currency.code.as_str()),
    );
    text.push_str(&format!("currency_exponent = {}\n", policy.currency.exponent));
    if let Some(stake) = policy.stake {
        text.push_str(&format!("stake = {}\n", json!(format_major(stake, policy.currency.exponent))));
    }
    for (role, keys) in &source.keys {
        let key = if *role == "webhook" { "secrets".to_owned() } else { format!("keys.{role}") };
        let verify = str::from_utf8(&keys.active.verify).unwrap();
        text.push_str(&format!("{key} = [{}]\n", json!(verify)));
    }
    for (name, value) in &source.settings.options {
        let value = match value {
            OptionValue::Text(text) => json!(text),
            OptionValue::Flag(flag) => json!(flag),
            OptionValue::Number(number) => json!(number),
            OptionValue::Texts(texts) => json!(texts),
        };
        text.push_str(&format!("options.{name} = {value}\n"));
    }
    Readings::new(&Settings::parse_str(&text).unwrap())
}

/// The delivery as the archive has it, from a time when nobody could read it: without the secrets of its body.
fn kept(source: &Source, fixture: &Fixture, verified: &Verified) -> Kept {
    let name = source.settings.policy.source.clone();
    let id = EventId::of_delivery(&name, fixture.method.as_str(), &fixture.body, 0);
    let reason = "an earlier version did not know it".to_owned();
    let event = Event {
        id,
        delivery_id: id,
        source: name,
        provider: source.provider.id().to_owned(),
        provider_type: String::new(),
        subject: String::new(),
        occurred_at: None,
        received_at: NOW,
        provenance: Provenance {
            body_authenticated: verified.body_authenticated(),
            amount_rounded: false,
            vouched: Some(verified.vouched()),
        },
        raw: Bytes::new(),
        payload: Payload::Unrecognized(Unrecognized { kind: UnrecognizedKind::UnknownType, reason }),
    };
    // By way of the archive's bytes: what was vouched for must be in them.
    let archived = decode(&Message::new(event, None).body).unwrap();
    let raw = source.provider.redact(&fixture.body);
    Kept::read_back(Event { raw, ..archived }).unwrap()
}

/// What must come of a delivery that is understood today: the same as if it came now.
fn check(read: &[Event], normalized: &Normalized, kept: &Kept, name: &str) {
    let then = kept.event();
    let understood = (0..).zip(&normalized.events);
    let understood: Vec<_> =
        understood.filter(|(_, new)| !matches!(new.payload, Payload::Unrecognized(_))).collect();
    assert_eq!(read.len(), understood.len(), "{name}");
    for (event, (index, new)) in read.iter().zip(understood) {
        assert_eq!(
            (&event.payload, &event.subject, event.occurred_at),
            (&new.payload, &new.subject, new.occurred_at),
            "{name}"
        );
        assert_eq!(event.id, EventId::of_reading(then.delivery_id, index), "{name}");
        assert_ne!(event.id, then.id, "what is archived stays what it was");
        assert_eq!((event.delivery_id, &event.source), (then.delivery_id, &then.source), "{name}");
        assert_eq!(
            (&event.provider, &event.provider_type),
            (&then.provider, &normalized.provider_type),
            "{name}"
        );
        assert_eq!(event.received_at, then.received_at, "{name}");
        let provenance = Provenance { amount_rounded: normalized.amount_rounded, ..then.provenance };
        assert_eq!(event.provenance, provenance, "{name}");
        assert!(event.raw.is_empty(), "the delivery's first event has it");
    }
}

/// Every fixture of every provider, as it was signed, vouched for, archived, and read once more.
#[test]
fn what_is_archived_is_read_as_it_would_be_read_when_it_comes() {
    let all = sources::all();
    assert_eq!(all.len(), 4, "a provider more: is it among these tests?");
    for source in &all {
        let provider = source.provider.id();
        let readings = configured(source, provider);
        let (mut understood, mut not_yet) = (0, 0);
        for fixture in source.fixtures() {
            let name = format!("{provider}/{}", fixture.name);
            let verified = source.verified(fixture.method, fixture.role, &fixture.body);
            let kept = kept(source, &fixture, &verified);
            let read = readings.read_again(&kept);
            match source.provider.normalize(&verified, &source.settings) {
                Err(error) => assert_eq!(read, Err(Unreadable::Still(error.to_string())), "{name}"),
                Ok(now) if now.question.is_some() => assert_eq!(read, Err(Unreadable::Answered), "{name}"),
                Ok(now) if now.events.iter().all(|new| matches!(new.payload, Payload::Unrecognized(_))) => {
                    assert!(matches!(read, Err(Unreadable::Still(_))), "{name}: {read:?}");
                    not_yet += 1;
                }
                Ok(now) => {
                    check(&read.unwrap(), &now, &kept, &name);
                    understood += 1;
                }
            }
        }
        assert!(understood > 3 && not_yet > 0, "{provider}: {understood}, {not_yet}");
    }
}

/// The answer that a sender got about money stands, whatever would come of it today.
#[test]
fn what_was_answered_about_money_is_not_read_again() {
    let mut answered = 0;
    for source in sources::all() {
        let readings = configured(&source, source.provider.id());
        for fixture in source.fixtures() {
            let verified = source.verified(fixture.method, fixture.role, &fixture.body);
            let normalized = source.provider.normalize(&verified, &source.settings);
            if normalized.is_ok_and(|normalized| normalized.question.is_some()) {
                let read = readings.read_again(&kept(&source, &fixture, &verified));
                assert_eq!(read, Err(Unreadable::Answered));
                answered += 1;
            }
        }
    }
    assert!(answered > 1);
}

#[test]
fn a_delivery_of_another_provider_or_source_is_not_read() {
    let all = sources::all();
    let source = &all[0];
    let fixture = &source.fixtures()[0];
    let verified = source.verified(fixture.method, fixture.role, &fixture.body);
    let kept = kept(source, fixture, &verified);
    let name = source.settings.policy.source.clone();
    assert_eq!(Readings::default().read_again(&kept), Err(Unreadable::UnknownSource(name)));
    let other = &all[1];
    let read = configured(other, other.provider.id()).read_again(&kept);
    let (then, now) = (source.provider.id().to_owned(), other.provider.id().to_owned());
    assert_eq!(read, Err(Unreadable::OtherProvider { then, now }));
}

/// A body of which nothing is left but bytes.
#[test]
fn a_body_that_is_none_cannot_be_read_today_either() {
    for source in sources::all() {
        let readings = configured(&source, source.provider.id());
        for (role, keys) in &source.keys {
            let fixture = Fixture {
                name: "no body".to_owned(),
                method: source.provider.methods()[0],
                role,
                body: Bytes::from_static(b"\xff\x00{"),
            };
            let verified = source.verified(fixture.method, role, &fixture.body);
            assert_eq!(verified.role(), keys.role);
            let read = readings.read_again(&kept(&source, &fixture, &verified));
            let now: Result<Normalized, NormalizeError> =
                source.provider.normalize(&verified, &source.settings);
            // What is kept is without secrets and may be other bytes, so the reason may be another one.
            let same =
                matches!((&read, &now), (Err(Unreadable::Still(_)), _) | (Err(Unreadable::Answered), Ok(_)));
            assert!(same, "{}: {read:?}, {now:?}", source.provider.id());
        }
    }
}
