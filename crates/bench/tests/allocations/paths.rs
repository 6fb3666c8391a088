//! The hot paths, each as it is called in a service.

use std::collections::BTreeMap;

use bytes::Bytes;
use matchpurse_contracts::wire::{self, Message};
use matchpurse_domain::escrow::{Funds, MatchState, Trust, apply};
use matchpurse_domain::event::{
    Event, Group, MatchFormat, MatchKind, MatchSnapshot, MatchStatus, Participant, Provenance, Reward,
    RewardKind,
};
use matchpurse_domain::ids::{EventId, PlayerId};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_domain::source::SourcePolicy;
use matchpurse_providers::Delivery;

use crate::guard::{Counted, count};
use crate::sources::{self, Fixture, NOW, Source};

/// Matches of a batch of match-escrow: with their three deliveries they are about as many events as a batch has.
const MATCHES: usize = 80;
const SEATS: usize = 10;
/// Events of a batch of event-archive.
const ARCHIVED: usize = 256;

/// Every path, by name.
pub(crate) fn count_all() -> BTreeMap<String, Counted> {
    let mut counted = BTreeMap::new();
    let mut events = Vec::new();
    for source in sources::all() {
        deliveries(&source, &mut counted, &mut events);
    }
    counted.insert("escrow: the money rules of a batch".to_owned(), escrow(&sources::all()[0]));
    counted.insert("archive: the chain of a batch".to_owned(), archive(&events));
    counted
}

/// The ingress's path from a request's bytes to a message, and a worker's from the message to the event: of every
/// delivery that is understood.
fn deliveries(source: &Source, counted: &mut BTreeMap<String, Counted>, events: &mut Vec<Event>) {
    let provider = source.provider.id();
    for fixture in source.fixtures() {
        let delivery = source.signed(fixture.method, fixture.role, &fixture.body);
        let Some(sealed) = sealed(source, &fixture, &delivery) else { continue };
        let name = &fixture.name;
        let taken = count(|| sealed_messages(source, &fixture, &delivery));
        counted.insert(format!("ingress: {provider}/{name}"), taken);
        let bodies: Vec<Bytes> = sealed.iter().map(|event| Message::new(event.clone(), None).body).collect();
        let decoded = count(|| bodies.iter().map(|body| wire::decode(body).unwrap()).collect::<Vec<Event>>());
        counted.insert(format!("decode: {provider}/{name}"), decoded);
        events.extend(sealed);
    }
}

fn sealed_messages(source: &Source, fixture: &Fixture, delivery: &Delivery) -> Vec<Message> {
    let events = sealed(source, fixture, delivery).unwrap();
    events.into_iter().map(|event| Message::new(event, Some("00-0-0-00"))).collect()
}

/// Verified, normalized and put into its envelope; none where the adapter cannot read it.
fn sealed(source: &Source, fixture: &Fixture, delivery: &Delivery) -> Option<Vec<Event>> {
    let keys = source.active_keys();
    let verified = source.provider.verify(delivery, &source.settings, &keys, NOW).unwrap();
    let normalized = source.provider.normalize(&verified, &source.settings).ok()?;
    let name = &source.settings.policy.source;
    let id = |index| EventId::of_delivery(name, fixture.method.as_str(), verified.body(), index);
    let delivery_id = id(0);
    let provenance = Provenance {
        body_authenticated: verified.body_authenticated(),
        amount_rounded: normalized.amount_rounded,
        vouched: Some(verified.vouched()),
    };
    let sealed = (0..).zip(normalized.events).map(|(index, event)| Event {
        id: if index == 0 { delivery_id } else { id(index) },
        delivery_id,
        source: name.clone(),
        provider: source.provider.id().to_owned(),
        provider_type: normalized.provider_type.clone(),
        subject: event.subject,
        occurred_at: event.occurred_at,
        received_at: NOW,
        provenance,
        raw: if index == 0 { source.provider.redact(verified.body()) } else { Bytes::new() },
        payload: event.payload,
    });
    Some(sealed.collect())
}

/// A batch of ten-player matches, from their first delivery to the money.
fn escrow(source: &Source) -> Counted {
    let policy = SourcePolicy {
        currency: matchpurse_domain::money::Currency::new("USD", None).unwrap(),
        fee_bps: 1_000,
        ..source.settings.policy.clone()
    };
    let batch: Vec<MatchSnapshot> =
        [MatchStatus::Confirmed, MatchStatus::PendingOutcomes, MatchStatus::Closed]
            .into_iter()
            .flat_map(|status| (0..MATCHES).map(move |game| snapshot(game, status)))
            .collect();
    count(|| {
        let mut states: BTreeMap<&str, MatchState> = BTreeMap::new();
        let mut transfers = Vec::new();
        for snapshot in &batch {
            let state = states.remove(snapshot.match_id.as_str());
            let trust = Trust { body_authenticated: true };
            let outcome = apply(state, snapshot, &policy, &mut Funds::default(), trust, NOW);
            transfers.extend(outcome.transfers);
            states.insert(&snapshot.match_id, outcome.state);
        }
        // Ten holds, five payouts and the fee of each.
        assert_eq!(transfers.len(), MATCHES * (SEATS + SEATS / 2 + 1));
        (states, transfers)
    })
}

fn snapshot(game: usize, status: MatchStatus) -> MatchSnapshot {
    let usd = |amount| Money::new(amount, CurrencyCode::parse("USD").unwrap());
    let seat = |seat: usize| Participant {
        player_id: PlayerId::new(format!("player-{game}-{seat}")),
        reward: (status == MatchStatus::Closed && seat < SEATS / 2).then(|| Reward {
            kind: RewardKind::Cash,
            amount: Some(usd(900)),
            value: None,
            reference: None,
            metadata: None,
        }),
    };
    let group = |id: &str, seats: std::ops::Range<usize>| Group {
        group_id: id.to_owned(),
        name: None,
        players: seats.map(seat).collect(),
    };
    MatchSnapshot {
        match_id: format!("match-{game}"),
        kind: MatchKind::Recreational,
        status,
        provider_status: status.as_str().to_owned(),
        format: Some(MatchFormat::GroupVsGroup),
        game_id: Some("game".to_owned()),
        created_by: None,
        buy_in: Some(usd(500)),
        groups: vec![group("one", 0..SEATS / 2), group("two", SEATS / 2..SEATS)],
        winner_group_ids: if status == MatchStatus::Closed { vec!["one".to_owned()] } else { Vec::new() },
    }
}

/// A batch's rows, each chained to the one before.
fn archive(events: &[Event]) -> Counted {
    let batch: Vec<Event> = events.iter().cycle().take(ARCHIVED).cloned().collect();
    count(|| matchpurse_store::archive::chain_end(&batch, NOW))
}
