//! One event for each payload, with every field set.

use std::num::NonZeroU16;

use matchpurse_contracts::v1;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::money::{Currency, Money};
use matchpurse_domain::time::Timestamp;

fn usd(minor_units: i64) -> Money {
    Money::new(minor_units, Currency::new("USD", None).unwrap().code)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) fn event(payload: Payload) -> Event {
    let source = SourceName::parse("games-eu").unwrap();
    let id = EventId::of_delivery(&source, "POST", b"{\"n\":1}", 0);
    let fingerprint = Some(KeyFingerprint([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]));
    let which = Some(WhichKey { place: NonZeroU16::new(2).unwrap(), of: 3, fingerprint });
    let vouched = Some(Vouched { method: Method::Put, key: KeyRole::Postback, which });
    Event {
        id,
        delivery_id: id,
        source,
        provider: "someone".to_owned(),
        provider_type: "SomethingHappened".to_owned(),
        subject: "subject-1".to_owned(),
        occurred_at: Some(Timestamp::from_micros(1_720_727_170_344_522)),
        received_at: Timestamp::from_micros(1_720_727_171_000_001),
        provenance: Provenance { body_authenticated: true, amount_rounded: true, vouched },
        raw: (&b"{\"n\":1}"[..]).into(),
        payload,
    }
}

pub(crate) fn all() -> Vec<Event> {
    [
        Payload::MatchSnapshot(match_snapshot()),
        Payload::ContestOutcome(contest_outcome()),
        Payload::MatchStatsSnapshot(match_stats()),
        Payload::PlayerKicked(PlayerKicked {
            match_id: "m1".to_owned(),
            player_id: "76561198234907126".into(),
        }),
        Payload::OfferChanged(OfferChanged {
            offer_id: "1234567894561234567".to_owned(),
            change: OfferChange::Removed,
            changed_at: Timestamp::from_seconds(1_720_727_170),
            app_id: text("1"),
            campaign_id: text("2"),
            data: "{\"offerId\":\"1234567894561234567\"}".to_owned(),
        }),
        Payload::PlayerStanding(PlayerStanding {
            player_id: "player123".into(),
            standing: Standing::Banned,
            changed_at: Timestamp::from_seconds(1_735_689_600),
            reason: text("events from 3 or more countries in 2 days"),
        }),
        Payload::RewardPostback(reward_postback()),
        Payload::CreditConversion(CreditConversion {
            intent_id: "intent-1".to_owned(),
            player_id: "p1".into(),
            amount: usd(10_000),
            converted_amount: "120".to_owned(),
            metadata: text("{}"),
            answer: "FAILED".to_owned(),
        }),
        Payload::PlayerActivity(PlayerActivity {
            player_id: "p1".into(),
            activity: Activity::FundsDeposited {
                amount: Some(usd(500)),
                transaction_id: text("t1"),
                status: text("COMPLETE"),
            },
        }),
        Payload::ProviderFailure(ProviderFailure {
            entity_id: "m1".to_owned(),
            code: "COMPLETION_FAILED".to_owned(),
            reason: "participant group missing".to_owned(),
            request_id: text("r1"),
            attempt: Some(2),
            will_retry: Some(false),
        }),
        Payload::Unrecognized(Unrecognized {
            kind: UnrecognizedKind::UnknownType,
            reason: "event type \"New\" is not known".to_owned(),
        }),
    ]
    .map(event)
    .into()
}

fn match_snapshot() -> MatchSnapshot {
    let reward = Reward {
        kind: RewardKind::Cash,
        amount: Some(usd(1800)),
        value: text("18.00"),
        reference: text("ref-1"),
        metadata: text("{\"sku\":\"free-drink\"}"),
    };
    MatchSnapshot {
        match_id: "m1".to_owned(),
        kind: MatchKind::Recreational,
        status: MatchStatus::CanceledOther,
        provider_status: "CANCELED_DISPUTE".to_owned(),
        format: Some(MatchFormat::GroupVsGroup),
        game_id: text("DARTS"),
        created_by: Some("p1".into()),
        buy_in: Some(usd(1000)),
        groups: vec![Group {
            group_id: "g1".to_owned(),
            name: text("Team Alpha"),
            players: vec![Participant { player_id: "p1".into(), reward: Some(reward) }],
        }],
        winner_group_ids: vec!["g1".to_owned()],
    }
}

fn contest_outcome() -> ContestOutcome {
    let reward = Reward {
        kind: RewardKind::Studio,
        amount: None,
        value: None,
        reference: text("intent-1"),
        metadata: text("not even JSON"),
    };
    let outcome = |player: &str, outcome, reward| PlayerOutcome { player_id: player.into(), outcome, reward };
    ContestOutcome {
        contest_id: "c1".to_owned(),
        addressed_to: "p1".into(),
        outcomes: vec![
            outcome("p1", Outcome::Win, Some(reward)),
            outcome("p2", Outcome::Loss, None),
            outcome("p3", Outcome::Tie, None),
        ],
    }
}

fn match_stats() -> MatchStatsSnapshot {
    let counters = std::array::from_fn(|n| i32::try_from(n).unwrap() - 1);
    let team = |name: &str, score| TeamScore { name: name.to_owned(), score };
    MatchStatsSnapshot {
        match_id: "m1".to_owned(),
        map: text("de_mirage"),
        team1: team("Team Alpha", Some(13)),
        team2: team("Team Bravo", Some(0)),
        rounds_played: 20,
        finished: true,
        cancel_reason: text("MISSING_PLAYERS:76561239480715690"),
        players: vec![PlayerStats {
            player_id: "76561198234907126".into(),
            side: Side::Team1,
            nickname: "Player One".to_owned(),
            connected: true,
            kicked: true,
            counters: Counters(counters),
        }],
        history: vec![HistoryEntry {
            index: 0,
            name: "player_connected".to_owned(),
            at: Timestamp::from_seconds(1_728_985_183),
            player_id: Some(PlayerId::new("76561198234907126")),
        }],
    }
}

fn reward_postback() -> RewardPostback {
    RewardPostback {
        conversion_id: "c5eb2a9d".to_owned(),
        request_id: text("01786456"),
        player_id: "player123".into(),
        offer_id: text("12345678900123456"),
        goal_id: text("12345678911123456"),
        goal_name: text("Reach level 20"),
        kind: ConversionKind::Reward,
        amount: Some(usd(150)),
        payout: Some(usd(0)),
    }
}

/// The wire form of an event.
pub(crate) fn wire(event: &Event) -> v1::Event {
    v1::Event::from(event.clone())
}
