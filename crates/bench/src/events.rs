//! Backlogs for the workers alone: events as an ingress would publish them, and what must come of them.

use std::ops::Range;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::v1;
use matchpurse_domain::event::{
    ConversionKind, Counters, Event, Group, KeyRole, MatchFormat, MatchKind, MatchSnapshot,
    MatchStatsSnapshot, MatchStatus, Method, OfferChange, OfferChanged, Participant, Payload, PlayerStats,
    Provenance, Reward, RewardKind, RewardPostback, Side, TeamScore, Vouched,
};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_domain::time::Timestamp;
use prost::Message as _;

use crate::broker::Parcel;
use crate::config::settings;

/// The stake of a player, what each of five winners gets, and the length of a body, in bytes.
const STAKE: i64 = 500;
const PRIZE: i64 = 900;
const BODY: usize = 1_500;
/// One in so many ends in a tie, one is called off, one delivery comes again.
const TIES: usize = 20;
const CANCELED: usize = 20;
const REPEATED: usize = 5;
/// Players there are.
const CROWD: usize = 5_000;
const ROUNDS: u32 = 25;
/// How far a delivery may come from its place.
const WINDOW: usize = 100;
/// Changes of one offer.
const CHANGES: usize = 10;

/// What waits in a worker's queue, and what must be there when it is through.
pub(crate) struct Backlog {
    pub(crate) queue: Queue,
    pub(crate) parcels: Vec<Parcel>,
    /// How many different events there are.
    pub(crate) distinct: i64,
    /// Queries with the number that each must give.
    pub(crate) checks: Vec<(&'static str, i64)>,
    /// The same for the tables of the worker that goes row by row, if it has any.
    pub(crate) rival_checks: Vec<(&'static str, i64)>,
}

/// Events in the making.
struct Maker {
    source: SourceName,
    provider: String,
    events: Vec<Event>,
}

impl Maker {
    fn new(source: &str) -> Result<Self> {
        let settings = settings()?;
        let found = settings.sources.iter().find(|(name, _)| name.as_str() == source);
        let (name, settings) = found.with_context(|| format!("no source {source}"))?;
        Ok(Self { source: name.clone(), provider: settings.provider().to_owned(), events: Vec::new() })
    }

    fn push(&mut self, subject: &str, payload: Payload) {
        let mut body = format!("{{\"subject\":\"{subject}\",\"number\":{},\"padding\":\"", self.events.len());
        // Not all alike: what compresses to nothing would be stored for nothing.
        while body.len() < BODY {
            body.push_str(&format!("{:x}-", body.len() * (self.events.len() + 7)));
        }
        body.push_str("\"}");
        let id = EventId::of_delivery(&self.source, "POST", body.as_bytes(), 0);
        self.events.push(Event {
            id,
            delivery_id: id,
            source: self.source.clone(),
            provider: self.provider.clone(),
            provider_type: "Bench".to_owned(),
            subject: subject.to_owned(),
            occurred_at: None,
            received_at: at(self.events.len()),
            provenance: Provenance {
                body_authenticated: true,
                amount_rounded: false,
                vouched: Some(Vouched { method: Method::Post, key: KeyRole::Webhook, which: None }),
            },
            raw: Bytes::from(body),
            payload,
        });
    }

    /// Every fifth one twice, and all a little out of order.
    fn backlog(self, queue: Queue) -> Backlog {
        let distinct = self.events.len();
        let parcel = |event: Event| Parcel {
            id: event.id.uuid(),
            body: v1::Event::from(event).encode_to_vec().into(),
        };
        let mut parcels: Vec<Parcel> = self.events.into_iter().map(parcel).collect();
        let again: Vec<Parcel> = parcels.iter().step_by(REPEATED).cloned().collect();
        for (place, parcel) in again.into_iter().enumerate().rev() {
            // From the end, so that the places before stay.
            parcels.insert((place * REPEATED + 2 * WINDOW).min(parcels.len()), parcel);
        }
        let mut dice = 1_u64;
        for place in 0..parcels.len() {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let by = usize::try_from(dice >> 33).unwrap_or(0) % WINDOW;
            let other = (place + by).min(parcels.len() - 1);
            parcels.swap(place, other);
        }
        Backlog {
            queue,
            parcels,
            distinct: i64::try_from(distinct).unwrap_or(i64::MAX),
            checks: Vec::new(),
            rival_checks: Vec::new(),
        }
    }
}

/// One event a millisecond, all of them lately: what came long ago would be past its deadline, and a match that waits for
/// its end in a long backlog would be refunded meanwhile.
fn at(number: usize) -> Timestamp {
    static BEGIN: LazyLock<i64> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        i64::try_from(now).unwrap_or(0).saturating_sub(3_600_000_000)
    });
    let millis = i64::try_from(number).unwrap_or(0);
    Timestamp::from_micros(BEGIN.saturating_add(millis.saturating_mul(1_000)))
}

fn player(game: usize, seat: usize) -> PlayerId {
    PlayerId::new(format!("player-{:05}", (game * 7 + seat * 501) % CROWD))
}

fn usd(amount: i64) -> Result<Money> {
    Ok(Money::new(amount, CurrencyCode::parse("USD")?))
}

fn snapshot(game: usize, status: MatchStatus) -> Result<MatchSnapshot> {
    let seat = |seat: usize| -> Result<Participant> {
        let won = status == MatchStatus::Closed && seat < 5;
        let reward = Reward {
            kind: RewardKind::Cash,
            amount: Some(usd(PRIZE)?),
            value: None,
            reference: None,
            metadata: None,
        };
        Ok(Participant { player_id: player(game, seat), reward: won.then_some(reward) })
    };
    let group = |id: &str, seats: Range<usize>| -> Result<Group> {
        let players = seats.map(seat).collect::<Result<_>>()?;
        Ok(Group { group_id: id.to_owned(), name: None, players })
    };
    Ok(MatchSnapshot {
        match_id: format!("match-{game}"),
        kind: MatchKind::Recreational,
        status,
        provider_status: status.as_str().to_owned(),
        format: Some(MatchFormat::GroupVsGroup),
        game_id: Some("game".to_owned()),
        created_by: Some(player(game, 0)),
        buy_in: Some(usd(STAKE)?),
        groups: vec![group("one", 0..5)?, group("two", 5..10)?],
        winner_group_ids: if status == MatchStatus::Closed { vec!["one".to_owned()] } else { Vec::new() },
    })
}

fn end_of(game: usize) -> MatchStatus {
    match game % TIES {
        0 => MatchStatus::ClosedTie,
        1 => MatchStatus::CanceledByOwner,
        _ => MatchStatus::Closed,
    }
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Matches of ten players: three deliveries each, of which 5 % end in a tie and 5 % are called off.
fn matches(games: Range<usize>) -> Result<Maker> {
    const { assert!(TIES == CANCELED) };
    let mut maker = Maker::new("games")?;
    // A hundred run at the same time.
    for block in games.clone().step_by(100) {
        for step in 0..3 {
            for game in block..(block + 100).min(games.end) {
                let status = [MatchStatus::Confirmed, MatchStatus::PendingOutcomes, end_of(game)];
                let status = status.get(step).copied().context("no such step")?;
                maker.push(&format!("match-{game}"), Payload::MatchSnapshot(snapshot(game, status)?));
            }
        }
    }
    Ok(maker)
}

/// How matches end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) all: i64,
    /// Five winners were paid.
    pub(crate) won: i64,
    /// All stakes went back.
    pub(crate) tied: i64,
}

/// How the matches of these numbers end.
pub(crate) fn escrow_ends(games: Range<usize>) -> Ends {
    let ended = |wanted| count(games.clone().filter(|game| end_of(*game) == wanted).count());
    Ends { all: count(games.len()), won: ended(MatchStatus::Closed), tied: ended(MatchStatus::ClosedTie) }
}

/// For match-escrow, the matches of these numbers; without checks.
pub(crate) fn escrow_of(games: Range<usize>) -> Result<Backlog> {
    Ok(matches(games)?.backlog(Queue::MatchEscrow))
}

/// For match-escrow.
pub(crate) fn escrow(games: usize) -> Result<Backlog> {
    let mut backlog = escrow_of(0..games)?;
    let Ends { all, won, tied } = escrow_ends(0..games);
    backlog.checks = vec![
        ("SELECT count(*) FROM match WHERE settlement IS NOT NULL", all),
        ("SELECT count(*) FROM match WHERE settlement = 'payout' AND paid = 4500 AND fee = 500", won),
        ("SELECT count(*) FROM match WHERE settlement = 'tie' AND refunded = 5000", tied),
        ("SELECT count(*) FROM transfer JOIN match USING (match_no) WHERE settlement = 'payout'", won * 16),
        ("SELECT count(*) FROM transfer JOIN match USING (match_no) WHERE settlement = 'tie'", tied * 20),
        ("SELECT count(*) FROM match WHERE pot NOT IN (0, 5000) OR pot <> paid + refunded + fee", 0),
        ("SELECT count(*) FROM account WHERE kind = 2 AND balance <> 0", 0),
        ("SELECT sum(balance)::bigint FROM account", 0),
        ("SELECT count(*) FROM anomaly", 0),
        ("SELECT count(*) FROM parked", 0),
    ];
    backlog.rival_checks = vec![
        ("SELECT count(*) FROM rival_match WHERE ended", all),
        ("SELECT count(*) FROM rival_transfer WHERE kind = 'payout'", won * 5),
        ("SELECT sum(balance)::bigint FROM rival_account", 0),
        ("SELECT count(*) FROM rival_account WHERE owner LIKE 'match-%' AND balance <> 0", 0),
    ];
    Ok(backlog)
}

/// For event-archive: the same deliveries, of which only the bodies matter.
pub(crate) fn archive(games: usize) -> Result<Backlog> {
    let mut backlog = matches(0..games)?.backlog(Queue::EventArchive);
    backlog.checks = vec![
        ("SELECT count(*) FROM archive", backlog.distinct),
        ("SELECT count(DISTINCT event_id) FROM archive", backlog.distinct),
        ("SELECT count(*) FROM parked", 0),
    ];
    Ok(backlog)
}

/// For player-stats: matches of ten players and 25 rounds, a snapshot a round.
pub(crate) fn stats(games: usize) -> Result<Backlog> {
    let mut maker = Maker::new("servers")?;
    for block in (0..games).step_by(20) {
        for round in 1..=ROUNDS {
            for game in block..(block + 20).min(games) {
                let id = format!("stats-{game}");
                maker.push(&id, Payload::MatchStatsSnapshot(round_of(&id, game, round)?));
            }
        }
    }
    let mut backlog = maker.backlog(Queue::PlayerStats);
    let kills = (0..games).map(|game| (0..10).map(|seat| i64::from(kills(game, seat, ROUNDS))).sum::<i64>());
    let kills = kills.sum();
    backlog.checks = vec![
        ("SELECT count(*) FROM stats_match WHERE counted", count(games)),
        ("SELECT sum(kills)::bigint FROM player_totals", kills),
        ("SELECT sum(kills)::bigint FROM player_match_stats", kills),
        ("SELECT count(*) FROM anomaly", 0),
        ("SELECT count(*) FROM parked", 0),
    ];
    backlog.rival_checks = vec![
        ("SELECT count(*) FROM rival_stats_match WHERE finished", count(games)),
        ("SELECT sum(kills)::bigint FROM rival_totals", kills),
    ];
    Ok(backlog)
}

fn kills(game: usize, seat: usize, round: u32) -> i32 {
    let pace = i32::try_from((game + seat) % 4).unwrap_or(0);
    i32::try_from(round).unwrap_or(0) * pace / 2
}

fn round_of(id: &str, game: usize, round: u32) -> Result<MatchStatsSnapshot> {
    let seat = |seat: usize| -> Result<PlayerStats> {
        let mut counters = [i32::try_from(round)?; 22];
        counters[0] = kills(game, seat, round);
        Ok(PlayerStats {
            player_id: player(game, seat),
            side: if seat < 5 { Side::Team1 } else { Side::Team2 },
            nickname: format!("nick {seat}"),
            connected: true,
            kicked: false,
            counters: Counters(counters),
        })
    };
    let team = |name: &str, score: u32| TeamScore { name: name.to_owned(), score: Some(score) };
    Ok(MatchStatsSnapshot {
        match_id: id.to_owned(),
        map: Some("map".to_owned()),
        team1: team("one", round.div_ceil(2)),
        team2: team("two", round / 2),
        rounds_played: round,
        finished: round == ROUNDS,
        cancel_reason: None,
        players: (0..10).map(seat).collect::<Result<_>>()?,
        history: Vec::new(),
    })
}

/// For reward-fulfillment: conversions that each earn a player something.
pub(crate) fn rewards(conversions: usize) -> Result<Backlog> {
    let mut maker = Maker::new("offerwall")?;
    for number in 0..conversions {
        let postback = RewardPostback {
            conversion_id: format!("conversion-{number}"),
            request_id: Some(format!("request-{number}")),
            player_id: player(number, 0),
            offer_id: Some(format!("{}", number % 300)),
            goal_id: None,
            goal_name: None,
            kind: ConversionKind::Reward,
            amount: Some(Money::new(100, CurrencyCode::parse("GEMS")?)),
            payout: None,
        };
        maker.push(&format!("conversion-{number}"), Payload::RewardPostback(postback));
    }
    let mut backlog = maker.backlog(Queue::RewardFulfillment);
    backlog.checks = vec![
        ("SELECT count(*) FROM reward_grant WHERE state = 'granted'", count(conversions)),
        ("SELECT sum(amount)::bigint FROM reward_grant", count(conversions) * 100),
        ("SELECT count(*) FROM outbox WHERE kind = 'reward.granted'", count(conversions)),
        ("SELECT count(*) FROM parked", 0),
    ];
    Ok(backlog)
}

/// For offer-removal: offers that come, change and go.
pub(crate) fn offers(changes: usize) -> Result<Backlog> {
    let mut maker = Maker::new("offerwall")?;
    let offers = changes.div_ceil(CHANGES);
    for number in 0..offers * CHANGES {
        let (offer, turn) = (number % offers, number / offers);
        let change = match turn {
            0 => OfferChange::Created,
            // The last one.
            9 if offer.is_multiple_of(2) => OfferChange::Removed,
            _ => OfferChange::Updated,
        };
        let changed = OfferChanged {
            offer_id: format!("{}", 100_000 + offer),
            change,
            changed_at: at(number),
            app_id: Some("app".to_owned()),
            campaign_id: None,
            data: format!("{{\"name\":\"Offer {offer}\",\"turn\":{turn}}}"),
        };
        maker.push(&format!("{}", 100_000 + offer), Payload::OfferChanged(changed));
    }
    let mut backlog = maker.backlog(Queue::OfferRemoval);
    backlog.checks = vec![
        ("SELECT count(*) FROM offer", count(offers)),
        ("SELECT count(*) FROM offer WHERE state = 'removed'", count(offers.div_ceil(2))),
        ("SELECT count(*) FROM parked", 0),
    ];
    Ok(backlog)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_backlog_has_every_event_and_a_fifth_of_them_twice() {
        for backlog in [escrow(40).unwrap(), stats(40).unwrap(), rewards(400).unwrap(), offers(400).unwrap()]
        {
            let mut ids: HashMap<_, u32> = HashMap::new();
            for parcel in &backlog.parcels {
                *ids.entry(parcel.id).or_default() += 1;
                matchpurse_contracts::wire::decode(&parcel.body).unwrap();
            }
            assert_eq!(count(ids.len()), backlog.distinct);
            let twice = ids.values().filter(|times| **times == 2).count();
            assert_eq!(count(twice), (backlog.distinct + 4) / 5);
        }
    }
}
