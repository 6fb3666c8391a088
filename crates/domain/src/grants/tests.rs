use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::{Outcome as Ended, *};
use crate::ids::{EventId, PlayerId, SourceName};
use crate::money::{CurrencyCode, Money};
use crate::time::Timestamp;

fn event(payload: Payload) -> Event {
    let source = SourceName::parse("s").unwrap();
    let id = EventId::of_delivery(&source, "POST", format!("{payload:?}").as_bytes(), 0);
    Event {
        id,
        delivery_id: id,
        source,
        provider: "p".to_owned(),
        provider_type: String::new(),
        subject: String::new(),
        occurred_at: None,
        received_at: Timestamp::default(),
        provenance: Provenance { body_authenticated: true, amount_rounded: false, vouched: None },
        raw: Bytes::new(),
        payload,
    }
}

fn usd(minor_units: i64) -> Money {
    Money::new(minor_units, CurrencyCode::parse("USD").unwrap())
}

fn studio(reference: &str, metadata: &str) -> Reward {
    Reward {
        kind: RewardKind::Studio,
        amount: None,
        value: None,
        reference: Some(reference.to_owned()),
        metadata: Some(metadata.to_owned()),
    }
}

/// The same as a promise names it: with the provider's id of the reward.
fn promise(reference: &str, metadata: &str) -> Reward {
    Reward { value: Some(format!("id of {reference}")), ..studio(reference, metadata) }
}

fn cash(minor_units: i64) -> Reward {
    let amount = Some(usd(minor_units));
    Reward { kind: RewardKind::Cash, amount, value: None, reference: None, metadata: None }
}

fn entry(player: &str, reward: Option<Reward>) -> PlayerOutcome {
    let outcome = if reward.is_some() { Ended::Win } else { Ended::Loss };
    PlayerOutcome { player_id: player.into(), outcome, reward }
}

fn contest(to: &str, outcomes: Vec<PlayerOutcome>) -> Event {
    let contest = ContestOutcome { contest_id: "c".to_owned(), addressed_to: to.into(), outcomes };
    event(Payload::ContestOutcome(contest))
}

/// A match of two sides, "a" with player "ann" and "b" with player "bob".
fn snapshot(kind: MatchKind, status: MatchStatus, winners: &[&str], rewards: [Option<Reward>; 2]) -> Event {
    let [ann, bob] = rewards;
    let group = |id: &str, player: &str, reward| Group {
        group_id: id.to_owned(),
        name: None,
        players: vec![Participant { player_id: player.into(), reward }],
    };
    event(Payload::MatchSnapshot(MatchSnapshot {
        match_id: "c".to_owned(),
        kind,
        status,
        provider_status: String::new(),
        format: None,
        game_id: None,
        created_by: None,
        buy_in: None,
        groups: vec![group("a", "ann", ann), group("b", "bob", bob)],
        winner_group_ids: winners.iter().map(|id| (*id).to_owned()).collect(),
    }))
}

fn game(status: MatchStatus, winners: &[&str], rewards: [Option<Reward>; 2]) -> Event {
    snapshot(MatchKind::Recreational, status, winners, rewards)
}

fn open(rewards: [Option<Reward>; 2]) -> Event {
    snapshot(MatchKind::FreeToPlay, MatchStatus::Confirmed, &[], rewards)
}

fn postback(player: &str, minor_units: i64, kind: ConversionKind) -> Event {
    event(Payload::RewardPostback(RewardPostback {
        conversion_id: "conv".to_owned(),
        request_id: None,
        player_id: player.into(),
        offer_id: Some("offer".to_owned()),
        goal_id: None,
        goal_name: Some("Reach \"20\"".to_owned()),
        kind,
        amount: Some(usd(minor_units)),
        payout: Some(usd(150)),
    }))
}

fn wish(amount: i64, answer: &str) -> Event {
    event(Payload::CreditConversion(CreditConversion {
        intent_id: "intent".to_owned(),
        player_id: "ann".into(),
        amount: usd(amount),
        converted_amount: "120".to_owned(),
        metadata: None,
        answer: answer.to_owned(),
    }))
}

fn reversal(player: &str, minor_units: Option<i64>) -> Event {
    let mut event = postback(player, 0, ConversionKind::Reversal);
    if let Payload::RewardPostback(postback) = &mut event.payload {
        postback.amount = minor_units.map(usd);
    }
    event
}

/// What the events lead to: the contests, the notices' slots with how often each came, the anomalies.
#[derive(Debug, PartialEq, Eq, Default)]
struct World {
    contests: BTreeMap<ContestKey, Contest>,
    notices: BTreeMap<String, u32>,
    anomalies: Vec<&'static str>,
    wishes: usize,
}

fn play(events: &[Event]) -> World {
    play_under(events, |_| None)
}

/// The same where the studio has demands of its own.
fn play_under(events: &[Event], objection: impl Fn(&Grant) -> Option<Objection>) -> World {
    let mut world = World::default();
    for claim in events.iter().filter_map(Claim::of) {
        let state = world.contests.entry(claim.contest.clone()).or_default();
        let mut outcome = apply(state, &claim);
        outcome.withhold(state, |_, grant| objection(grant));
        *state = outcome.state;
        for notice in outcome.notices {
            *world.notices.entry(format!("{notice:?}")).or_default() += 1;
        }
        world.anomalies.extend(outcome.anomaly.map(|anomaly| anomaly.kind.as_str()));
        world.wishes += usize::from(outcome.wish.is_some());
    }
    world
}

/// `player/reference: state reason` of every grant, then the anomalies.
fn told(events: &[Event]) -> String {
    let world = play(events);
    let grants = world.contests.values().flat_map(|contest| &contest.grants).map(|(slot, grant)| {
        let reason = grant.reason.map_or(String::new(), |reason| format!(" {}", reason.as_str()));
        let reward_ref = &slot.reward_ref;
        format!("{}/{reward_ref}: {}{reason}", slot.player_id, grant.state.as_str())
    });
    grants.chain(world.anomalies.iter().map(|kind| format!("! {kind}"))).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_story_of_events_leads_to_these_grants() {
    use ConversionKind::{Install, Reward as Earned};
    use MatchStatus::{CanceledByOwner, CanceledTimeout, Closed, ClosedTie, Locked, Open};
    let win = || Some(studio("r1", "{}"));
    let won = contest("ann", vec![entry("ann", win()), entry("bob", None)]);
    let won_copy = contest("bob", vec![entry("bob", None), entry("ann", win())]);
    let longer =
        contest("ann", vec![entry("ann", win()), entry("bob", None), entry("cat", Some(studio("r3", "")))]);
    let lost = contest("ann", vec![entry("ann", None), entry("bob", Some(studio("r2", "{}")))]);
    let both = || open([win(), Some(studio("r2", "{}"))]);
    let unnamed = Reward { reference: None, ..studio("", "{}") };
    let closed = || game(Closed, &["a"], [Some(cash(1800)), None]);
    let with = |metadata| contest("ann", vec![entry("ann", Some(studio("r", metadata)))]);
    let table: Vec<(Vec<Event>, &str)> = vec![
        // Free contests.
        (vec![won.clone()], "ann/r1: granted"),
        (vec![won.clone(), won_copy.clone(), won.clone()], "ann/r1: granted"),
        (vec![both(), won.clone()], "ann/r1: granted; bob/r2: released"),
        (vec![won.clone(), both()], "ann/r1: granted; bob/r2: released"),
        (vec![both()], "ann/r1: reserved; bob/r2: reserved"),
        (vec![won.clone(), longer.clone()], "ann/r1: granted; cat/r3: granted"),
        (vec![longer, won.clone()], "ann/r1: granted; cat/r3: granted"),
        (vec![won.clone(), lost.clone()], "ann/r1: granted; ! outcome_conflict"),
        (vec![lost, won], "bob/r2: granted; ! outcome_conflict"),
        (vec![contest("ann", vec![entry("ann", Some(unnamed.clone()))])], "ann/: needs_review no_reference"),
        (
            vec![contest("ann", vec![entry("ann", Some(studio("r", "{")))])],
            "ann/r: needs_review payload_not_json",
        ),
        // The same JSON may be written in another way by the provider's API than by its webhook.
        (vec![with(r#"{"a":1,"b":[2]}"#), with(r#"{ "b": [2], "a": 1 }"#)], "ann/r: granted"),
        (vec![with(r#"{"a":1}"#), with(r#"{"a":2}"#)], "ann/r: granted; ! outcome_conflict"),
        (
            vec![contest("a", vec![entry("a", Some(studio("r", "1"))), entry("a", Some(studio("r", "2")))])],
            "a/r: needs_review ambiguous_reference",
        ),
        // Matches.
        (vec![closed()], "ann/match: recorded"),
        (vec![closed(), closed()], "ann/match: recorded"),
        (vec![game(Open, &[], [Some(cash(1800)), None])], ""),
        (vec![game(Locked, &["a"], [Some(cash(1800)), None])], ""),
        (vec![game(Closed, &["a"], [Some(unnamed.clone()), None])], "ann/match: granted"),
        (vec![game(Closed, &["a"], [None, Some(unnamed)])], "bob/match: needs_review not_a_winner"),
        (vec![game(Closed, &["a"], [Some(cash(1800)), Some(cash(0))])], "ann/match: recorded"),
        (
            vec![game(ClosedTie, &[], [Some(cash(9)), Some(cash(9))])],
            "ann/match: recorded; bob/match: recorded",
        ),
        (vec![game(Closed, &[], [None, None]), closed()], "ann/match: recorded"),
        (vec![closed(), game(Closed, &["a"], [None, None])], "ann/match: recorded"),
        (
            vec![closed(), game(CanceledByOwner, &[], [None, None])],
            "ann/match: recorded; ! terminal_conflict",
        ),
        (vec![game(CanceledByOwner, &[], [None, None]), closed()], "! terminal_conflict"),
        (vec![game(CanceledByOwner, &[], [None, None]), game(CanceledTimeout, &[], [None, None])], ""),
        (
            vec![closed(), game(Closed, &["b"], [None, Some(cash(1800))])],
            "ann/match: recorded; ! outcome_conflict",
        ),
        // Conversions on an offerwall.
        (vec![postback("ann", 150, Earned), postback("ann", 150, Earned)], "ann/conv: granted"),
        (
            vec![postback("ann", 150, Earned), postback("bob", 150, Earned)],
            "ann/conv: granted; ! postback_conflict",
        ),
        (
            vec![postback("ann", 150, Earned), postback("ann", 151, Earned)],
            "ann/conv: granted; ! postback_conflict",
        ),
        (vec![postback("ann", 0, Earned), postback("ann", 150, Install)], ""),
        // What an offerwall takes back, whether it came before or not.
        (vec![postback("ann", 150, Earned), reversal("ann", None)], "ann/conv: reversed"),
        (vec![reversal("ann", None), postback("ann", 150, Earned)], "ann/conv: reversed"),
        (
            vec![reversal("ann", None), reversal("ann", Some(150)), reversal("ann", None)],
            "ann/conv: reversed",
        ),
        (vec![postback("ann", 150, Earned), reversal("bob", None)], "ann/conv: granted; ! postback_conflict"),
        (
            vec![reversal("bob", None), postback("ann", 150, Earned)],
            "bob/conv: reversed; ! postback_conflict",
        ),
        (
            vec![postback("ann", 150, Earned), reversal("ann", Some(100))],
            "ann/conv: granted; ! postback_conflict",
        ),
        (
            vec![reversal("ann", Some(100)), postback("ann", 150, Earned)],
            "ann/conv: reversed; ! postback_conflict",
        ),
        // Wishes for credit.
        (vec![wish(100, "FAILED"), wish(100, "FAILED")], ""),
        (vec![wish(100, "COMPLETED")], "ann/intent: granted"),
        (vec![wish(100, "PENDING")], "ann/intent: needs_review answer_pending"),
        (vec![wish(100, "FAILED"), wish(200, "FAILED")], "! conversion_conflict"),
        (vec![wish(100, "FAILED"), wish(100, "COMPLETED")], "! conversion_conflict"),
    ];
    for (events, expected) in table {
        assert_eq!(told(&events), expected, "{events:#?}");
    }
}

#[test]
fn a_platforms_match_gives_no_reward_and_a_tournament_gives_its_list() {
    let rewards = || [Some(studio("first", "{}")), Some(cash(500))];
    let platform = snapshot(MatchKind::Platform, MatchStatus::Closed, &[], rewards());
    assert_eq!(told(&[platform]), "");
    let tournament = |rewards| snapshot(MatchKind::Tournament, MatchStatus::Closed, &[], rewards);
    let whole = || tournament(rewards());
    assert_eq!(told(&[whole(), whole()]), "ann/first: granted; bob/match: recorded");
    // A longer list adds who is missing, and a shorter one nothing.
    let [first, _] = rewards();
    let shorter = || tournament([first.clone(), None]);
    for lists in [[shorter(), whole()], [whole(), shorter()]] {
        assert_eq!(told(&lists), "ann/first: granted; bob/match: recorded");
    }
    let other = tournament([Some(studio("second", "{}")), None]);
    assert_eq!(told(&[shorter(), other]), "ann/first: granted; ! outcome_conflict");
}

#[test]
fn what_is_taken_back_is_told_once_and_asked_for_when_the_studio_has_given_it() {
    let claim = |event: &Event| Claim::of(event).unwrap();
    let credited = apply(&Contest::default(), &claim(&postback("ann", 150, ConversionKind::Reward))).state;
    let back = claim(&reversal("ann", Some(150)));
    for (state, after, told, anomaly) in [
        (GrantState::Granted, GrantState::Reversed, 1, None),
        (GrantState::NeedsReview, GrantState::Reversed, 1, None),
        (GrantState::Delivering, GrantState::Reversed, 1, None),
        (GrantState::Failed, GrantState::Reversed, 1, None),
        (GrantState::Reversed, GrantState::Reversed, 0, None),
        (GrantState::Fulfilled, GrantState::Fulfilled, 0, Some(AnomalyKind::ReversedTooLate)),
    ] {
        let mut contest = credited.clone();
        contest.grants.values_mut().for_each(|grant| grant.state = state);
        let outcome = apply(&contest, &back);
        assert!(outcome.state.grants.values().all(|grant| grant.state == after), "{state:?}");
        assert_eq!(outcome.notices.len(), told, "{state:?}");
        assert!(outcome.notices.iter().all(|notice| matches!(notice, Notice::Reversed(_))));
        assert_eq!(outcome.anomaly.map(|anomaly| anomaly.kind), anomaly, "{state:?}");
        assert_eq!(outcome.state.decision, contest.decision);
    }
}

#[test]
fn a_reversal_that_nobody_vouches_for_takes_nothing_back() {
    let mut back = reversal("ann", None);
    back.provenance.body_authenticated = false;
    assert_eq!(Claim::of(&back), None);
}

/// The studio wants to know what it gives.
fn wants_a_payload(grant: &Grant) -> Option<Objection> {
    let lacks = grant.kind == GrantKind::Studio && grant.payload.as_deref() != Some("{}");
    lacks.then(|| Objection {
        reason: ReviewReason::PayloadRefused,
        detail: Some(format!("{:?} is no object", grant.payload)),
    })
}

#[test]
fn what_the_studio_refuses_is_held_until_the_promise_says_what_it_is() {
    let bare = Reward { metadata: None, ..studio("r1", "") };
    let won = contest("ann", vec![entry("ann", Some(bare))]);
    let table = [
        (vec![won.clone()], "NeedsReview Some(\"None is no object\")", 0, 1),
        (vec![won.clone(), open([Some(promise("r1", "{}")), None])], "Granted None", 1, 1),
        (vec![open([Some(promise("r1", "{}")), None]), won.clone()], "Granted None", 1, 0),
        (
            vec![won.clone(), open([Some(promise("r1", "[]")), None])],
            "NeedsReview Some(\"Some(\\\"[]\\\") is no object\")",
            0,
            1,
        ),
        (
            vec![open([Some(promise("r1", "[]")), None]), won.clone()],
            "NeedsReview Some(\"Some(\\\"[]\\\") is no object\")",
            0,
            1,
        ),
    ];
    for (events, expected, granted, held) in table {
        let world = play_under(&events, wants_a_payload);
        let grant = world.contests.values().flat_map(|contest| contest.grants.values()).next().unwrap();
        assert_eq!(format!("{:?} {:?}", grant.state, grant.detail), expected, "{events:#?}");
        let count = |word: &str| world.notices.iter().filter(|(told, _)| told.starts_with(word)).count();
        assert_eq!((count("Granted"), count("Held")), (granted, held), "{events:#?}");
    }
    // A promise that nobody vouches for releases nothing.
    let mut promised = open([Some(promise("r1", "{}")), None]);
    promised.provenance.body_authenticated = false;
    let world = play_under(&[won, promised], wants_a_payload);
    let mut grants = world.contests.values().flat_map(|contest| contest.grants.values());
    assert_eq!(grants.next().unwrap().state, GrantState::NeedsReview);
}

#[test]
fn a_free_contest_gives_to_winners_and_ties_of_any_copy_and_holds_what_a_loser_would_get() {
    let with = |player: &str, outcome| PlayerOutcome {
        player_id: player.into(),
        outcome,
        reward: Some(studio("r", "{}")),
    };
    let list = vec![with("ann", Ended::Win), with("bob", Ended::Tie), with("cat", Ended::Loss)];
    // Of whomever's copy it is, and however often it comes.
    for to in ["ann", "bob", "cat"] {
        assert_eq!(
            told(&[contest(to, list.clone()), contest("ann", list.clone())]),
            "ann/r: granted; bob/r: granted; cat/r: needs_review not_a_winner"
        );
    }
}

#[test]
fn a_grant_has_the_promised_value_whether_the_promise_comes_before_or_after() {
    let bare = Reward { metadata: None, ..studio("r1", "") };
    let won = contest("ann", vec![entry("ann", Some(bare))]);
    let promised = open([Some(promise("r1", r#"{"sku":1}"#)), None]);
    let of_other_value = Reward { value: Some("other".to_owned()), ..promise("r1", "[]") };
    let later = open([Some(of_other_value), None]);
    for events in [[&promised, &won, &later], [&won, &promised, &later]] {
        let world = play(&events.map(Clone::clone));
        let grants: Vec<_> = world.contests.values().flat_map(|contest| contest.grants.values()).collect();
        assert_eq!(grants.len(), 1);
        assert_eq!(grants[0].state, GrantState::Granted);
        assert_eq!(grants[0].value.as_deref(), Some("id of r1"), "filled in once");
        assert_eq!(grants[0].payload.as_deref(), Some(r#"{"sku":1}"#));
        assert_eq!(world.notices.values().collect::<Vec<_>>(), [&1]);
    }
}

#[test]
fn what_no_signature_covers_is_not_given() {
    let mut won = contest("ann", vec![entry("ann", Some(studio("r1", "{}")))]);
    won.provenance.body_authenticated = false;
    assert_eq!(told(&[won]), "ann/r1: needs_review unauthenticated");
}

#[test]
fn only_the_first_answer_to_a_wish_is_written_down() {
    assert_eq!(play(&[wish(100, "FAILED"), wish(100, "FAILED"), wish(200, "FAILED")]).wishes, 1);
}

#[test]
fn a_grant_that_is_under_way_or_reversed_is_never_touched() {
    let claim = Claim::of(&contest("ann", vec![entry("ann", Some(studio("r1", "{}")))])).unwrap();
    let settled = apply(&Contest::default(), &claim).state;
    for state in [GrantState::Delivering, GrantState::Fulfilled, GrantState::Failed, GrantState::Reversed] {
        let mut contest = settled.clone();
        contest.decision = None;
        contest.grants.values_mut().for_each(|grant| grant.state = state);
        let outcome = apply(&contest, &claim);
        assert_eq!(outcome.notices, []);
        assert_eq!(outcome.state.grants, contest.grants);
    }
}

#[test]
fn the_id_of_a_grant_is_fixed_for_ever() {
    let source = SourceName::parse("lounge").unwrap();
    let contest = ContestKey { source, kind: ContestKind::Contest, contest_id: "c1".to_owned() };
    let slot = |player: &str, reward_ref: &str| Slot {
        player_id: PlayerId::new(player),
        reward_ref: reward_ref.to_owned(),
    };
    insta::assert_snapshot!(grant_id(&contest, &slot("ann", "r1")), @"982191a7-491a-5643-8e31-d6b2df071120");
    assert_ne!(grant_id(&contest, &slot("ann", "r1")), grant_id(&contest, &slot("annr", "1")));
}

const PLAYERS: [&str; 6] = ["ann", "bob", "p2", "p3", "p4", "p5"];

/// Events that do not contradict each other: one outcome list in growing lengths, promises, and the end of
/// a match of the same id.
fn harmony() -> impl Strategy<Value = Vec<Event>> {
    let player = (0_u8..3, any::<bool>());
    prop::collection::vec(player, 0..6).prop_map(|players| {
        let entries: Vec<_> = (players.iter().enumerate())
            .map(|(n, (reference, wins))| {
                // An outcome names no value, and not always what came along.
                let metadata = ["{}", ""][n % 2];
                let reward = wins.then(|| studio(["", "r1", "r2"][usize::from(*reference)], metadata));
                entry(PLAYERS[n], reward)
            })
            .collect();
        let mut events: Vec<_> =
            (1..=entries.len()).map(|n| contest(PLAYERS[n - 1], entries[..n].to_vec())).collect();
        // Some of these are of players and references that the list gives too.
        events.push(open([Some(promise("r1", "{}")), Some(promise("r2", "[]"))]));
        events.push(open([None, Some(promise("r1", "{}"))]));
        events.push(open([Some(promise("r2", "{}")), Some(promise("r3", "{}"))]));
        events.push(game(MatchStatus::Open, &[], [Some(cash(1800)), None]));
        events.push(game(MatchStatus::Closed, &[], [None, None]));
        events.push(game(MatchStatus::Closed, &["a"], [Some(cash(1800)), None]));
        events.push(postback("ann", 150, ConversionKind::Reward));
        events.push(wish(100, "COMPLETED"));
        events
    })
}

/// The same events in another order, some of them repeatedly.
fn shuffled(events: Vec<Event>) -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    let repeats = prop::collection::vec(0..events.len(), 0..events.len());
    repeats.prop_flat_map(move |repeats| {
        let more = repeats.into_iter().map(|at| events[at].clone());
        let all: Vec<_> = events.iter().cloned().chain(more).collect();
        (Just(events.clone()), Just(all).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn every_order_with_repeats_gives_the_same_grants((events, other) in harmony().prop_flat_map(shuffled)) {
        let (first, second) = (play(&events), play(&other));
        prop_assert_eq!(&first.anomalies, &Vec::<&str>::new());
        // Nobody is told of one grant twice.
        prop_assert!(second.notices.values().all(|times| *times == 1));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn every_order_ends_alike_where_the_studio_has_demands(
        (events, other) in harmony().prop_flat_map(shuffled)
    ) {
        let (first, second) = (play_under(&events, wants_a_payload), play_under(&other, wants_a_payload));
        prop_assert!(second.notices.values().all(|times| *times == 1), "{:?}", second.notices);
        prop_assert_eq!(first.contests, second.contests);
    }

    #[test]
    fn a_conversion_that_is_taken_back_ends_alike_in_every_order(
        (events, other) in prop::option::of(Just(150)).prop_flat_map(|units| {
            shuffled(vec![postback("ann", 150, ConversionKind::Reward), reversal("ann", units)])
        })
    ) {
        let (first, second) = (play(&events), play(&other));
        prop_assert_eq!(&second.anomalies, &Vec::<&str>::new());
        prop_assert!(second.notices.values().all(|times| *times == 1));
        prop_assert_eq!(first.contests, second.contests);
    }

    #[test]
    fn a_contradiction_moves_nothing(wins in any::<bool>(), events in harmony()) {
        let mut events = events;
        let before = play(&events);
        let reward = wins.then(|| studio("other", "{}"));
        events.push(contest("ann", vec![entry("ann", reward), entry("ann", Some(studio("more", "{}")))]));
        events.push(game(MatchStatus::CanceledByOwner, &[], [None, None]));
        events.push(postback("bob", 150, ConversionKind::Reward));
        events.push(wish(101, "COMPLETED"));
        let after = play(&events);
        if before.contests.values().any(|contest| {
            contest.decision.as_ref().is_some_and(|decision| decision.ending == Ending::Outcome)
        }) {
            prop_assert_eq!(&before.contests, &after.contests);
            prop_assert_eq!(&before.notices, &after.notices);
            prop_assert_eq!(after.anomalies.len(), 4);
        }
    }
}
