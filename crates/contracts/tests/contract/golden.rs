use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use matchpurse_contracts::v1;
use matchpurse_contracts::wire::{Message, decode};
use matchpurse_domain::event::{Event, Payload, PayloadName, Vouched, WhichKey};

use crate::samples;

fn file(event: &Event) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    folder.join(event.payload.name().as_str()).with_extension("json")
}

/// `UPDATE_GOLDEN=1` writes the files anew; the change is then seen in review.
#[test]
fn every_message_has_the_json_of_its_golden_file() {
    for event in samples::all() {
        let json = serde_json::to_string_pretty(&samples::wire(&event)).unwrap() + "\n";
        let path = file(&event);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &json).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(json, golden, "{}", path.display());
        let back: v1::Event = serde_json::from_str(&golden).unwrap();
        assert_eq!(back, samples::wire(&event));
    }
}

#[test]
fn every_payload_has_a_sample_and_nothing_is_lost_on_the_wire() {
    let mut seen = BTreeSet::new();
    for event in samples::all() {
        seen.insert(event.payload.name());
        let message = Message::new(event.clone(), None);
        assert_eq!(decode(&message.body).unwrap(), event);
    }
    assert_eq!(seen, PayloadName::ALL.into_iter().collect());
}

#[test]
fn an_event_without_optional_parts_survives_too() {
    let mut event = samples::all().remove(0);
    event.occurred_at = None;
    event.provider_type = String::new();
    let Payload::MatchSnapshot(snapshot) = &mut event.payload else { panic!("the first sample is a match") };
    snapshot.format = None;
    snapshot.game_id = None;
    snapshot.buy_in = None;
    snapshot.groups.clear();
    snapshot.winner_group_ids.clear();
    assert_eq!(decode(&Message::new(event.clone(), None).body).unwrap(), event);
}

/// Which key it was decides nothing: where it is not said, or not to be understood, the rest is read all the same.
#[test]
fn an_event_of_before_it_was_noted_which_key_it_was_is_read() {
    let read = |change: &dyn Fn(&mut v1::Provenance)| {
        let mut wire = samples::wire(&samples::all()[0]);
        change(wire.provenance.as_mut().unwrap());
        Event::try_from(wire).unwrap().provenance.vouched.unwrap()
    };
    let noted = read(&|_| {});
    for which in [
        read(&|provenance| (provenance.key_place, provenance.keys_active) = (0, 0)),
        read(&|provenance| provenance.key_place = 4),
        read(&|provenance| provenance.key_place = 65_537),
    ] {
        assert_eq!(which, Vouched { which: None, ..noted });
    }
    let of_a_secret = read(&|provenance| provenance.key_fingerprint.clear()).which.unwrap();
    assert_eq!(of_a_secret, WhichKey { fingerprint: None, ..noted.which.unwrap() });
}

#[test]
fn what_this_version_cannot_take_is_named() {
    let wire = samples::wire(&samples::all()[0]);
    let error = |change: &dyn Fn(&mut v1::Event)| {
        let mut wire = wire.clone();
        change(&mut wire);
        Event::try_from(wire).unwrap_err().field
    };
    assert_eq!(error(&|event| event.payload = None), "payload");
    assert_eq!(error(&|event| event.id = "7".to_owned()), "id");
    assert_eq!(error(&|event| event.source = "A B".to_owned()), "source");
    let of_match = |change: &dyn Fn(&mut v1::MatchSnapshot)| {
        error(&|event| {
            if let Some(v1::event::Payload::MatchSnapshot(m)) = &mut event.payload {
                change(m);
            }
        })
    };
    assert_eq!(of_match(&|m| m.status = 99), "match_snapshot.status");
    assert_eq!(of_match(&|m| m.kind = 0), "match_snapshot.kind");
    assert_eq!(of_match(&|m| m.match_id.clear()), "match_snapshot.match_id");
}

#[test]
fn a_message_can_be_read_by_who_knows_only_amqp() {
    let message = Message::new(samples::all().remove(0), Some("00-1-2-01"));
    assert_eq!(message.routing_key, "match_snapshot.someone.games-eu.22");
    let mut headers: Vec<String> =
        message.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            format!("cloudEvents:id: {}", message.id),
            "cloudEvents:source: /sources/games-eu".to_owned(),
            "cloudEvents:specversion: 1.0".to_owned(),
            "cloudEvents:subject: subject-1".to_owned(),
            "cloudEvents:type: matchpurse.events.v1.match_snapshot".to_owned(),
            "traceparent: 00-1-2-01".to_owned(),
        ]
    );
}
