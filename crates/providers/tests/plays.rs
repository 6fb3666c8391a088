//! What a provider plays is what its adapter understands: every delivery of every life verifies, becomes the
//! events that the script says, and is answered as it says.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod sources;

use std::collections::BTreeSet;

use matchpurse_domain::event::{Payload, UnrecognizedKind};
use matchpurse_providers::play::{Crowd, LifeKind, PlayRequest, Script, ScriptedDelivery};
use matchpurse_providers::{KeyRole, NormalizeError, Outcome};

use sources::{NOW, Source};

const SEEDS: std::ops::Range<u64> = 0..60;

fn play(source: &Source, life: &LifeKind, seed: u64) -> Script {
    let request = PlayRequest {
        life: life.name,
        seed,
        crowd: Crowd { seed: 1, size: 200 },
        settings: &source.settings,
        key: &source.keys["webhook"].active.sign,
        at: NOW,
    };
    source.provider.play(&request).unwrap_or_else(|| panic!("{} is listed but not played", life.name))
}

fn for_each_life(check: impl Fn(&Source, &LifeKind)) {
    for source in sources::all() {
        assert!(!source.provider.lives().is_empty(), "{} plays nothing", source.provider.id());
        for life in source.provider.lives() {
            check(&source, life);
        }
    }
}

const fn role_name(role: KeyRole) -> &'static str {
    match role {
        KeyRole::Webhook => "webhook",
        KeyRole::Postback => "postback",
        KeyRole::Api => "api",
    }
}

/// The payloads of a delivery; a body that cannot be read is one that is malformed.
fn payloads(source: &Source, delivery: &ScriptedDelivery) -> Vec<Payload> {
    let verified = source.verified(delivery.method, role_name(delivery.role), &delivery.body);
    match source.provider.normalize(&verified, &source.settings) {
        Ok(normalized) => normalized.events.into_iter().map(|event| event.payload).collect(),
        Err(error) => {
            let kind = NormalizeError::KIND;
            let unrecognized = matchpurse_domain::event::Unrecognized { kind, reason: error.to_string() };
            vec![Payload::Unrecognized(unrecognized)]
        }
    }
}

#[test]
fn every_delivery_becomes_what_the_script_says() {
    for_each_life(|source, life| {
        for seed in SEEDS {
            for delivery in play(source, life, seed).deliveries {
                let shown = String::from_utf8_lossy(&delivery.body);
                let name = format!("{}/{} seed {seed}: {shown}", source.provider.id(), life.name);
                let payloads = payloads(source, &delivery);
                assert_eq!(payloads.len(), usize::try_from(delivery.events).unwrap(), "{name}");
                let parked: Vec<UnrecognizedKind> = payloads
                    .iter()
                    .filter_map(|payload| match payload {
                        Payload::Unrecognized(unrecognized) => Some(unrecognized.kind),
                        _ => None,
                    })
                    .collect();
                assert_eq!(parked, delivery.parked.into_iter().collect::<Vec<_>>(), "{name}\n{payloads:?}");
                assert_eq!(delivery.parked.is_some(), life.odd, "{name}");
                assert!(delivery.body.len() <= source.provider.max_body_bytes(), "{name}");
                if delivery.parked == Some(UnrecognizedKind::Malformed) {
                    assert_eq!(delivery.status, 422);
                    continue;
                }
                let kept: Vec<&Payload> = payloads.iter().collect();
                let reply = source.provider.reply(Outcome::Kept { payloads: &kept });
                assert_eq!(reply.status, delivery.status, "{name}");
                let answer = String::from_utf8_lossy(&reply.body).into_owned();
                assert!(answer.contains(delivery.answer_holds), "{name}: {answer}");
            }
        }
    });
}

#[test]
fn one_seed_is_one_life_and_another_seed_another() {
    for_each_life(|source, life| {
        let scripts: Vec<Script> = SEEDS.map(|seed| play(source, life, seed)).collect();
        assert_eq!(scripts, SEEDS.map(|seed| play(source, life, seed)).collect::<Vec<_>>());
        let bodies: BTreeSet<_> = scripts.iter().map(|script| &script.deliveries[0].body).collect();
        assert_eq!(bodies.len(), scripts.len(), "{}/{}", source.provider.id(), life.name);
    });
}

#[test]
fn deliveries_stand_in_the_order_of_their_times() {
    for_each_life(|source, life| {
        for seed in SEEDS {
            let script = play(source, life, seed);
            assert!(script.deliveries.is_sorted_by_key(|delivery| delivery.after_ms));
            assert!(script.deliveries.iter().any(|delivery| delivery.role == life.role));
        }
    });
}

#[test]
fn a_life_that_is_not_listed_is_not_played() {
    for source in sources::all() {
        let none = LifeKind { name: "none such", weight: 1, odd: false, role: KeyRole::Webhook };
        let request = PlayRequest {
            life: none.name,
            seed: 0,
            crowd: Crowd { seed: 1, size: 1 },
            settings: &source.settings,
            key: b"k",
            at: NOW,
        };
        assert!(source.provider.play(&request).is_none());
    }
}
