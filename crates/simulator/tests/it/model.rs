//! A whole deployment in memory, made of the adapters and the pure rules: what comes in goes through
//! verification, normalization and the domain, and what came of it can be asked in the words of an audit.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use matchpurse_domain::escrow::{self, Account, Funds, MatchState, Trust};
use matchpurse_domain::event::{
    COUNTER_NAMES, Event, MatchKind, Outcome, Payload, Provenance, Standing, Unrecognized,
};
use matchpurse_domain::grants::{self, Claim, Contest, ContestKey};
use matchpurse_domain::ids::{EventId, PlayerId};
use matchpurse_domain::offers::{self, Offer, OfferState, PlayerRecord};
use matchpurse_domain::source::SourcePolicy;
use matchpurse_domain::stats::{self, MatchStats, Totals};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::play::{
    ConversionEffect, Effects, GrantEffect, GrantKey, KickKey, MatchAmounts, MatchEffect, OfferEffect,
    RecordEffect, SourceEffects, StandingEffect, StatsEffect,
};
use matchpurse_providers::{Delivery, NormalizeError, VerifyError};

use crate::sources::Source;

type MatchKey = (String, &'static str, String);

/// What a player who can pay any stake has.
const RICH: i64 = 1_000_000_000_000_000;

/// The state of everything.
#[derive(Default)]
pub(crate) struct World {
    /// True: an event that was seen is not applied again. False: every effect must hold by itself.
    inbox: bool,
    seen: HashSet<EventId>,
    events: BTreeMap<String, u64>,
    matches: BTreeMap<MatchKey, MatchState>,
    nets: BTreeMap<MatchKey, BTreeMap<String, i64>>,
    contests: BTreeMap<ContestKey, Contest>,
    stats: BTreeMap<(String, String), MatchStats>,
    totals: BTreeMap<(String, PlayerId), Totals>,
    /// The totals of each match that counts, which are its lines.
    lines: BTreeMap<(String, String), BTreeMap<PlayerId, Totals>>,
    offers: BTreeMap<(String, String), Offer>,
    standings: BTreeMap<(String, PlayerId), PlayerRecord>,
    kicks: BTreeSet<(String, KickKey)>,
    conversions: BTreeMap<(String, String), ConversionEffect>,
    anomalies: BTreeSet<(String, &'static str, String)>,
    parked: BTreeSet<(String, &'static str, EventId)>,
    refused: BTreeMap<String, u64>,
}

impl World {
    pub(crate) fn new(inbox: bool) -> Self {
        Self { inbox, ..Self::default() }
    }

    /// Every event that came, once.
    pub(crate) fn seen(&self) -> &HashSet<EventId> {
        &self.seen
    }

    /// Takes a delivery as the ingress and the workers would; the status of the answer, and its body.
    pub(crate) fn deliver(&mut self, source: &Source, delivery: &Delivery, now: Timestamp) -> (u16, Bytes) {
        let name = source.name().as_str().to_owned();
        let verified = match source.provider.verify(delivery, &source.settings, &source.keys, now) {
            Ok(verified) => verified,
            Err(error) => return self.refuse(name, error),
        };
        let normalized = source.provider.normalize(&verified, &source.settings);
        let malformed = normalized.is_err();
        let payloads: Vec<Payload> = match normalized {
            Ok(normalized) => normalized.events.into_iter().map(|event| event.payload).collect(),
            Err(error) => {
                let unrecognized = Unrecognized { kind: NormalizeError::KIND, reason: error.to_string() };
                vec![Payload::Unrecognized(unrecognized)]
            }
        };
        let kept: Vec<&Payload> = payloads.iter().collect();
        let reply = source.provider.reply(matchpurse_providers::Outcome::Kept { payloads: &kept });
        for (index, payload) in (0..).zip(&payloads) {
            let of =
                |index| EventId::of_delivery(source.name(), delivery.method.as_str(), &delivery.body, index);
            let event = Event {
                id: of(index),
                delivery_id: of(0),
                source: source.name().clone(),
                provider: source.provider.id().to_owned(),
                provider_type: String::new(),
                subject: String::new(),
                occurred_at: None,
                received_at: now,
                provenance: Provenance {
                    body_authenticated: verified.body_authenticated(),
                    amount_rounded: false,
                    vouched: None,
                },
                raw: Bytes::new(),
                payload: payload.clone(),
            };
            let new = self.seen.insert(event.id);
            *self.events.entry(name.clone()).or_default() += u64::from(new);
            if new || !self.inbox {
                self.apply(&event, &source.settings.policy);
            }
        }
        if malformed { (422, Bytes::new()) } else { (reply.status, reply.body) }
    }

    fn refuse(&mut self, name: String, _: VerifyError) -> (u16, Bytes) {
        *self.refused.entry(name).or_default() += 1;
        (401, Bytes::new())
    }

    fn apply(&mut self, event: &Event, policy: &SourcePolicy) {
        let name = event.source.as_str().to_owned();
        if let Some(claim) = Claim::of(event) {
            let contest = self.contests.entry(claim.contest.clone()).or_default();
            let outcome = grants::apply(contest, &claim);
            *contest = outcome.state;
            if let Some(anomaly) = outcome.anomaly {
                self.anomaly(&name, anomaly.kind.as_str(), format!("{:?}", claim.contest));
            }
            if let Some(wish) = outcome.wish {
                let effect = ConversionEffect {
                    player: wish.player_id.as_str().to_owned(),
                    amount: wish.amount.minor_units,
                    answer: wish.answer,
                };
                let first = self.conversions.insert((name.clone(), claim.contest.contest_id), effect);
                assert_eq!(first, None, "a wish is answered once");
            }
        }
        match &event.payload {
            Payload::MatchSnapshot(snapshot) => {
                let key = (name, snapshot.kind.as_str(), snapshot.match_id.clone());
                let trust = Trust { body_authenticated: event.provenance.body_authenticated };
                let state = self.matches.remove(&key);
                let seated = state.iter().flat_map(|state| state.seats.keys()).chain(snapshot.players());
                let mut funds = Funds(seated.map(|player| (player.clone(), RICH)).collect());
                let outcome = escrow::apply(state, snapshot, policy, &mut funds, trust, event.received_at);
                self.settle(key, outcome);
            }
            Payload::ContestOutcome(contest) => {
                let key = (name, MatchKind::FreeToPlay.as_str(), contest.contest_id.clone());
                let state = self.matches.remove(&key);
                self.settle(key, escrow::apply_contest(state, contest, policy));
            }
            Payload::MatchStatsSnapshot(snapshot) => {
                let key = (name.clone(), snapshot.match_id.clone());
                let outcome = stats::apply(self.stats.get(&key), snapshot, event.received_at);
                if let Some(anomaly) = &outcome.anomaly {
                    self.anomaly(&name, anomaly.kind.as_str(), snapshot.match_id.clone());
                }
                if outcome.is_final {
                    self.lines.insert(key.clone(), outcome.totals.clone());
                }
                for (player, totals) in outcome.totals {
                    self.totals.entry((name.clone(), player)).or_default().add(&totals);
                }
                self.stats.insert(key, outcome.state);
            }
            Payload::PlayerKicked(kick) => {
                let player = kick.player_id.as_str().to_owned();
                self.kicks.insert((name, KickKey { match_id: kick.match_id.clone(), player }));
            }
            Payload::OfferChanged(change) => {
                let key = (name, change.offer_id.clone());
                let offer = offers::apply_offer(self.offers.get(&key), change).0;
                self.offers.insert(key, offer);
            }
            Payload::PlayerStanding(standing) => {
                let key = (name, standing.player_id.clone());
                let record = offers::apply_standing(self.standings.get(&key), standing).0;
                self.standings.insert(key, record);
            }
            Payload::ProviderFailure(failure) if failure.will_retry == Some(false) => {
                self.anomaly(&name, "provider_failure", format!("{failure:?}"));
            }
            Payload::Unrecognized(unrecognized) => {
                self.parked.insert((name, unrecognized.kind.as_str(), event.id));
            }
            _ => {}
        }
    }

    fn anomaly(&mut self, source: &str, kind: &'static str, key: String) {
        self.anomalies.insert((source.to_owned(), kind, key));
    }

    fn settle(&mut self, key: MatchKey, outcome: escrow::Outcome) {
        let mut net = self.nets.remove(&key).unwrap_or_default();
        for transfer in &outcome.transfers {
            for (account, amount) in
                [(&transfer.debit, -transfer.amount), (&transfer.credit, transfer.amount)]
            {
                if let Account::Player(player) = account {
                    *net.entry(player.as_str().to_owned()).or_default() += amount;
                }
            }
        }
        for anomaly in &outcome.anomalies {
            self.anomaly(&key.0, anomaly.kind.as_str(), format!("{key:?} {}", anomaly.discriminator));
        }
        self.nets.insert(key.clone(), net);
        self.matches.insert(key, outcome.state);
    }

    /// What came of it all.
    pub(crate) fn effects(&self) -> Effects {
        let mut effects = Effects::new();
        for (key, state) in &self.matches {
            let effect = MatchEffect {
                kind: key.1.to_owned(),
                status: state.status.as_str().to_owned(),
                settlement: state.settlement.map(|settlement| settlement.as_str().to_owned()),
                net: self.nets[key].clone(),
                amounts: Some(MatchAmounts {
                    pot: state.pot,
                    paid: state.paid,
                    refunded: state.refunded,
                    fee: state.fee,
                }),
            };
            let of = source(&mut effects, &key.0);
            of.matches.insert(key.2.clone(), effect);
            for (player, seat) in &state.seats {
                let record = of.records.entry(player.as_str().to_owned()).or_default();
                count(record, seat.outcome);
            }
        }
        for (key, contest) in &self.contests {
            for (slot, grant) in &contest.grants {
                let key_of = GrantKey {
                    kind: key.kind.as_str().to_owned(),
                    contest: key.contest_id.clone(),
                    player: slot.player_id.as_str().to_owned(),
                    reference: slot.reward_ref.clone(),
                };
                let amount = grant.amount.as_ref().map(|amount| amount.minor_units);
                let effect = GrantEffect { state: grant.state.as_str().to_owned(), amount };
                source(&mut effects, key.source.as_str()).grants.insert(key_of, effect);
            }
        }
        self.players(&mut effects);
        for ((name, id), offer) in &self.offers {
            let changed_at_us = offer.state_at.map_or(0, |at| at.micros());
            let effect = OfferEffect { open: offer.state == OfferState::Active, changed_at_us };
            source(&mut effects, name).offers.insert(id.clone(), effect);
        }
        for ((name, id), conversion) in &self.conversions {
            source(&mut effects, name).conversions.insert(id.clone(), conversion.clone());
        }
        for (name, events) in &self.events {
            source(&mut effects, name).events = *events;
        }
        for (name, refused) in &self.refused {
            source(&mut effects, name).refused = Some(*refused);
        }
        for (name, kind, _) in &self.anomalies {
            *source(&mut effects, name).anomalies.entry((*kind).to_owned()).or_default() += 1;
        }
        for (name, kind, _) in &self.parked {
            *source(&mut effects, name).parked.entry((*kind).to_owned()).or_default() += 1;
        }
        effects
    }

    fn players(&self, effects: &mut Effects) {
        for (name, kick) in &self.kicks {
            source(effects, name).kicks.insert(kick.clone());
        }
        for ((name, player), totals) in &self.totals {
            source(effects, name).stats.insert(player.as_str().to_owned(), sums(totals));
        }
        for ((name, match_id), lines) in &self.lines {
            let lines = lines.iter().map(|(player, totals)| (player.as_str().to_owned(), sums(totals)));
            let all = source(effects, name).lines.get_or_insert_default();
            all.insert(match_id.clone(), lines.collect());
        }
        for ((name, player), record) in &self.standings {
            let banned = record.standing == Standing::Banned;
            let effect = StandingEffect { banned, changed_at_us: record.changed_at.micros() };
            source(effects, name).standings.insert(player.as_str().to_owned(), effect);
        }
    }
}

/// Totals in the words of an audit, in which a counter that is zero is missing.
fn sums(totals: &Totals) -> StatsEffect {
    let counters = COUNTER_NAMES.iter().zip(totals.counters).filter(|(_, sum)| *sum != 0);
    let number = |count: i64| u64::try_from(count).unwrap();
    StatsEffect {
        matches: number(totals.matches),
        wins: number(totals.wins),
        losses: number(totals.losses),
        draws: number(totals.draws),
        rounds: number(totals.rounds),
        counters: counters.map(|(name, sum)| ((*name).to_owned(), sum)).collect(),
    }
}

fn source<'e>(effects: &'e mut Effects, name: &str) -> &'e mut SourceEffects {
    effects.entry(name.to_owned()).or_default()
}

fn count(record: &mut RecordEffect, outcome: Option<Outcome>) {
    match outcome {
        Some(Outcome::Win) => record.wins += 1,
        Some(Outcome::Loss) => record.losses += 1,
        Some(Outcome::Tie) => record.ties += 1,
        None => {}
    }
}
