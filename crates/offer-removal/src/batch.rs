use std::collections::BTreeMap;

use matchpurse_domain::event::{Event, OfferChanged, Payload, PlayerStanding};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::offers::{Offer, PlayerRecord, apply_offer, apply_standing};
use matchpurse_store::offers::{NewChange, OfferKey, PlayerKey, State};
use matchpurse_store::outbox::Notice;

use crate::notices;

/// A batch by what its events say, in the order of their arrival.
pub(crate) struct Batch<'e> {
    changes: Vec<(&'e Event, OfferKey, &'e OfferChanged)>,
    judgements: Vec<(&'e Event, PlayerKey, &'e PlayerStanding)>,
    offers: BTreeMap<OfferKey, EventId>,
    players: BTreeMap<PlayerKey, EventId>,
}

/// What a batch does.
#[derive(Default)]
pub(crate) struct Decided {
    pub(crate) offers: BTreeMap<OfferKey, (Offer, EventId)>,
    pub(crate) standings: BTreeMap<PlayerKey, (PlayerRecord, EventId)>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) changes: Vec<NewChange>,
}

impl<'e> Batch<'e> {
    pub(crate) fn read(events: &'e [Event]) -> Self {
        let (mut changes, mut judgements) = (Vec::new(), Vec::new());
        let (mut offers, mut players) = (BTreeMap::new(), BTreeMap::new());
        for event in events {
            match &event.payload {
                Payload::OfferChanged(change) => {
                    let key = (event.source.clone(), change.offer_id.clone());
                    offers.entry(key.clone()).or_insert(event.id);
                    changes.push((event, key, change));
                }
                Payload::PlayerStanding(judgement) => {
                    let key = (event.source.clone(), judgement.player_id.clone());
                    players.entry(key.clone()).or_insert(event.id);
                    judgements.push((event, key, judgement));
                }
                _ => {}
            }
        }
        Self { changes, judgements, offers, players }
    }

    /// The offers, each with the first event that speaks of it.
    pub(crate) const fn offers(&self) -> &BTreeMap<OfferKey, EventId> {
        &self.offers
    }

    /// The players, each with the first event that speaks of them.
    pub(crate) const fn players(&self) -> &BTreeMap<PlayerKey, EventId> {
        &self.players
    }

    /// Folds the events, offer by offer and player by player.
    pub(crate) fn decide(
        &self,
        offers: &BTreeMap<OfferKey, Option<Offer>>,
        players: &BTreeMap<PlayerKey, Option<PlayerRecord>>,
    ) -> Decided {
        let mut decided = Decided::default();
        for (event, key, change) in &self.changes {
            let loaded = offers.get(key).and_then(Option::as_ref);
            let before = decided.offers.get(key).map(|(offer, _)| offer).or(loaded);
            let (offer, told) = apply_offer(before, change);
            decided.notices.extend(told.and_then(|told| notices::of_offer(event, change, told)));
            decided.changes.extend(told.map(|told| NewChange {
                source: event.source.clone(),
                kind: notices::kind_of_offer(told),
                subject: change.offer_id.clone(),
                state: State::Offer(offer.state),
                changed_at: change.changed_at,
            }));
            if before != Some(&offer) {
                decided.offers.insert(key.clone(), (offer, event.id));
            }
        }
        for (event, key, judgement) in &self.judgements {
            let loaded = players.get(key).and_then(Option::as_ref);
            let before = decided.standings.get(key).map(|(record, _)| record).or(loaded);
            let (record, told) = apply_standing(before, judgement);
            decided.notices.extend(told.map(|told| notices::of_player(event, judgement, told)));
            decided.changes.extend(told.map(|told| NewChange {
                source: event.source.clone(),
                kind: notices::kind_of_player(told),
                subject: judgement.player_id.as_str().to_owned(),
                state: State::Player(record.standing),
                changed_at: judgement.changed_at,
            }));
            if before != Some(&record) {
                decided.standings.insert(key.clone(), (record, event.id));
            }
        }
        decided
    }
}
