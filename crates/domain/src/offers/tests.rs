use proptest::prelude::*;

use super::*;
use crate::event::{OfferChange, OfferChanged, PlayerStanding, Standing};
use crate::time::Timestamp;

fn changed(change: OfferChange, at: i64, data: &str) -> OfferChanged {
    OfferChanged {
        offer_id: "1234567894561234567".to_owned(),
        change,
        changed_at: Timestamp::from_seconds(at),
        app_id: Some(format!("app of {data}")),
        campaign_id: None,
        data: data.to_owned(),
    }
}

fn standing(standing: Standing, at: i64, reason: Option<&str>) -> PlayerStanding {
    let changed_at = Timestamp::from_seconds(at);
    PlayerStanding { player_id: "ann".into(), standing, changed_at, reason: reason.map(str::to_owned) }
}

fn play(events: &[OfferChanged]) -> (Option<Offer>, Vec<OfferNotice>) {
    let mut notices = Vec::new();
    let offer = events.iter().fold(None, |known: Option<Offer>, event| {
        let (offer, notice) = apply_offer(known.as_ref(), event);
        notices.extend(notice);
        Some(offer)
    });
    (offer, notices)
}

fn judge(events: &[PlayerStanding]) -> (Option<PlayerRecord>, Vec<StandingNotice>) {
    let mut notices = Vec::new();
    let record = events.iter().fold(None, |known: Option<PlayerRecord>, event| {
        let (record, notice) = apply_standing(known.as_ref(), event);
        notices.extend(notice);
        Some(record)
    });
    (record, notices)
}

#[test]
fn a_story_of_changes_leads_to_this_offer() {
    use OfferChange::{Created, Removed, Updated};
    let (created, removed, updated) =
        (|at| changed(Created, at, "c"), |at| changed(Removed, at, "r"), |at| changed(Updated, at, "u"));
    let table = [
        (vec![created(1), removed(2)], "removed 2 c [Created, Removed]"),
        (vec![removed(2), created(1)], "removed 2 c [Removed, Updated]"),
        (vec![created(1), removed(1)], "removed 1 c [Created, Removed]"),
        (vec![removed(1), created(1)], "removed 1 c [Removed, Updated]"),
        (vec![removed(1), created(2)], "active 2 c [Removed, Restored]"),
        (vec![created(2), removed(1)], "active 2 c [Created]"),
        (vec![removed(1), removed(3), removed(1)], "removed 3 r [Removed]"),
        (vec![updated(5)], "active - u [Updated]"),
        (vec![updated(5), updated(6)], "active - u [Updated]"),
        (vec![updated(5), created(1)], "active 1 u [Updated, Created]"),
        (vec![updated(5), removed(1)], "removed 1 u [Updated, Removed]"),
        (vec![removed(9), updated(5)], "removed 9 u [Removed, Updated]"),
        (vec![created(7), updated(8)], "active 7 u [Created, Updated]"),
        (vec![created(7), created(9)], "active 9 c [Created]"),
        (vec![created(7), updated(5), created(7)], "active 7 c [Created]"),
    ];
    for (events, expected) in table {
        let (offer, notices) = play(&events);
        let offer = offer.unwrap();
        let at = offer.state_at.map_or("-".to_owned(), |at| at.seconds().to_string());
        let told = format!("{} {at} {} {notices:?}", offer.state.as_str(), offer.description.data);
        assert_eq!(told, expected, "{events:#?}");
    }
}

#[test]
fn a_story_of_bans_leads_to_this_standing() {
    let (ban, unban) = (|at| standing(Standing::Banned, at, None), |at| standing(Standing::Good, at, None));
    let table = [
        (vec![ban(1), unban(2)], "good 2 [Banned, Unbanned]"),
        (vec![unban(2), ban(1)], "good 2 []"),
        (vec![unban(1), ban(1)], "banned 1 [Banned]"),
        (vec![ban(1), unban(1)], "banned 1 [Banned]"),
        (vec![ban(1), ban(3), ban(1)], "banned 3 [Banned]"),
    ];
    for (events, expected) in table {
        let (record, notices) = judge(&events);
        let record = record.unwrap();
        let told = format!("{} {} {notices:?}", record.standing.as_str(), record.changed_at.seconds());
        assert_eq!(told, expected, "{events:#?}");
    }
}

fn changes() -> impl Strategy<Value = Vec<OfferChanged>> {
    let change =
        prop_oneof![Just(OfferChange::Removed), Just(OfferChange::Created), Just(OfferChange::Updated)];
    prop::collection::vec((change, 0_i64..4, "[ab]"), 1..8)
        .prop_map(|all| all.into_iter().map(|(change, at, data)| changed(change, at, &data)).collect())
}

fn bans() -> impl Strategy<Value = Vec<PlayerStanding>> {
    let which = prop_oneof![Just(Standing::Banned), Just(Standing::Good)];
    prop::collection::vec((which, 0_i64..4, prop::option::of("[ab]")), 1..8)
        .prop_map(|all| all.into_iter().map(|(s, at, why)| standing(s, at, why.as_deref())).collect())
}

fn shuffled<T: Clone + std::fmt::Debug>(events: Vec<T>) -> impl Strategy<Value = (Vec<T>, Vec<T>)> {
    prop::collection::vec(0..events.len(), 0..events.len()).prop_flat_map(move |repeats| {
        let more = repeats.into_iter().map(|at| events[at].clone());
        let all: Vec<_> = events.iter().cloned().chain(more).collect();
        (Just(events.clone()), Just(all).prop_shuffle())
    })
}

/// All orders of `all`.
fn orders<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = all.split_first() else { return vec![Vec::new()] };
    let put = |order: Vec<T>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, first.clone());
            order
        })
    };
    orders(rest).into_iter().flat_map(put).collect()
}

/// The state that was told last.
fn told_state(notices: &[OfferNotice]) -> Option<OfferState> {
    notices.iter().rev().find_map(|notice| match notice {
        OfferNotice::Created | OfferNotice::Restored => Some(OfferState::Active),
        OfferNotice::Removed => Some(OfferState::Removed),
        OfferNotice::Updated => None,
    })
}

#[test]
fn all_orders_of_events_at_two_times_give_one_offer_and_tell_its_state() {
    use OfferChange::{Created, Removed, Updated};
    let events: Vec<OfferChanged> =
        [(Created, 1), (Removed, 1), (Updated, 1), (Created, 2), (Removed, 2), (Updated, 2)]
            .into_iter()
            .map(|(change, at)| changed(change, at, &format!("{change:?}")))
            .collect();
    // Every part of the set too, so that every state is the last one of some.
    let parts = (1_usize..1 << events.len()).map(|mask| {
        let chosen = |at: &usize| mask & (1 << at) != 0;
        (0..events.len()).filter(chosen).map(|at| events[at].clone()).collect::<Vec<_>>()
    });
    for part in parts {
        let expected = play(&part).0;
        for order in orders(&part) {
            let (offer, notices) = play(&order);
            assert_eq!(offer, expected, "{order:#?}");
            let offer = offer.unwrap();
            assert_eq!(told_state(&notices), offer.state_at.map(|_| offer.state), "{order:#?}");
            // Told once more, the whole story changes nothing and tells nothing.
            let again = play(&[order.clone(), order].concat());
            assert_eq!(again, (expected.clone(), notices));
        }
    }
}

#[test]
fn an_answer_says_why() {
    let words = Eligibility::ALL.map(|answer| format!("{} {}", answer.as_str(), answer.is_eligible()));
    assert_eq!(
        words,
        ["active true", "started true", "removed false", "unknown false", "player_banned false"]
    );
    for (state, started, expected) in [
        (Some(OfferState::Active), false, Eligibility::Active),
        (Some(OfferState::Active), true, Eligibility::Active),
        (Some(OfferState::Removed), false, Eligibility::Removed),
        (Some(OfferState::Removed), true, Eligibility::Started),
        (None, false, Eligibility::Unknown),
        (None, true, Eligibility::Unknown),
    ] {
        assert_eq!(Eligibility::judge(false, state, started), expected);
        assert_eq!(Eligibility::judge(true, state, started), Eligibility::PlayerBanned);
    }
}

proptest! {
    #[test]
    fn every_order_of_changes_gives_the_same_offer((events, other) in changes().prop_flat_map(shuffled)) {
        prop_assert_eq!(play(&events).0, play(&other).0);
    }

    #[test]
    fn every_order_of_bans_gives_the_same_standing((events, other) in bans().prop_flat_map(shuffled)) {
        prop_assert_eq!(judge(&events).0, judge(&other).0);
    }

    #[test]
    fn a_repeat_tells_the_studio_nothing(events in changes()) {
        let last = events.last().unwrap().clone();
        let notices = play(&events).1;
        prop_assert_eq!(play(&[events, vec![last]].concat()).1, notices);
    }
}
