//! Whatever does not contradict itself ends the same in every order, with every repeat.

use std::collections::BTreeMap;

use matchpurse_domain::escrow::{Account, MatchState};
use matchpurse_domain::event::Disposition;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::book::Book;
use crate::language::policy;
use crate::lives::{Life, Said, config, heard, lives};

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/escrow/seeds/orders.txt");

/// What must not depend on the order.
///
/// While a match runs that is its status, its attributes, its stake, every seat and every sum, what each account
/// gained, and whether a deadline runs. It is not
/// * when the deadline is: it counts from the hold that came first;
/// * the provider's own word, and which unsettled ends were told in which order: those are notes of what was said.
///
/// Once it has ended it is the settlement with the sums that stay, what every account gained, and how it ended for
/// each player. It is not
/// * which of several reasons it was called off for: the first stays;
/// * stakes that were held and went back, in `pot` and `refunded` and at the seats: who hears of the end first takes
///   none;
/// * players that the end does not list, and a stake that nobody named before it: an end closes the list, and later
///   snapshots only fill in what a match is, never what it moved.
fn essence(book: &Book) -> String {
    let MatchState {
        status,
        format,
        game_id,
        created_by,
        buy_in,
        seats,
        pot,
        paid,
        refunded,
        fee,
        settlement,
        deadline,
        ..
    } = book.state.as_ref().unwrap();
    let nets: BTreeMap<&Account, i64> =
        book.nets.iter().filter(|(_, net)| **net != 0).map(|(account, net)| (account, *net)).collect();
    let always =
        format!("{settlement:?} paid {paid} fee {fee} {nets:?} {format:?} {game_id:?} {created_by:?}");
    if settlement.is_none() {
        let waits = deadline.is_some();
        return format!("{status:?} {always} {buy_in:?} {seats:?} pot {pot} back {refunded} waits {waits}");
    }
    let end = (status.disposition() != Disposition::Refund).then_some(status);
    let results: Vec<_> = seats
        .iter()
        .filter(|(_, seat)| seat.outcome.is_some() || seat.payout > 0)
        .map(|(player, seat)| (player, &seat.group_id, seat.payout, seat.outcome))
        .collect();
    format!("{end:?} {always} {results:?}")
}

fn played<'s>(life: &Life, said: impl IntoIterator<Item = &'s Said>) -> Book {
    let mut book = Book::new(&life.policy, &life.funds);
    for said in said {
        let (snapshot, signed) = heard(said);
        book.say(&snapshot, signed);
    }
    book
}

proptest! {
    #![proptest_config(config(SEEDS))]

    #[test]
    fn every_order_with_repeats_ends_the_same(
        life in lives(),
        orders in vec(vec(any::<u16>(), 32), 3),
    ) {
        let straight = essence(&played(&life, &life.said));
        for places in orders {
            // Everything once, and some of it twice, by place.
            let twice = life.said.iter().zip(places.iter().skip(16)).filter(|(_, place)| *place % 2 == 1);
            let mut order: Vec<(&u16, &Said)> = places.iter().zip(&life.said).collect();
            order.extend(twice.map(|(said, place)| (place, said)));
            order.sort_by_key(|(place, _)| **place);
            let order: Vec<&Said> = order.into_iter().map(|(_, said)| said).collect();
            prop_assert_eq!(essence(&played(&life, order.iter().copied())), straight.clone(), "{:#?}", order);
        }
    }
}

/// All orders of these, one of them twice, for every way to end, hold and tie.
#[test]
fn every_single_order_of_a_short_life_ends_the_same() {
    let running = ["OPEN g1:a game=DARTS", "CONFIRMED buy=1001 g1:a g2:b", "DISPUTE buy=1001 g2:b g2:c"];
    let ends = [
        "CLOSED buy=1001 win=g1 g1:a g2:b g2:c",
        "CLOSED buy=1001 win=g2 g1:a g2:b",
        "CLOSED buy=1001 win=g1,g2 g1:a g2:b g2:c",
        "CLOSED buy=1001 win=g1 g1:a=1500 g2:b=300 g2:c",
        "CLOSED buy=1001 win=g1 g1:a=9000 g2:b g2:c",
        "CLOSED buy=1001 g1:a g2:b g2:c",
        "CLOSED_TIE buy=1001 g1:a g2:b g2:c",
        "CLOSED_TIE buy=1001 g1:a g2:b",
        "CANCELED_TIMEOUT",
        "LOCKED buy=1001 g1:a",
    ];
    let mut lives = 0;
    for end in ends {
        for custody in [Custody::Provider, Custody::Studio] {
            for tie_policy in [TiePolicy::RefundFull, TiePolicy::RefundMinusFee, TiePolicy::Split] {
                let policy = SourcePolicy { custody, tie_policy, fee_bps: 777, ..policy() };
                let said: Vec<Said> =
                    running.iter().chain([&end, &end]).map(|&l| (l.to_owned(), true)).collect();
                let funds = ["a", "b", "c"].into_iter().map(|player| (player.into(), 5_000)).collect();
                let life = Life { policy, funds, said };
                let straight = essence(&played(&life, &life.said));
                for order in orders(life.said.len()) {
                    let book = played(&life, order.iter().map(|at| &life.said[*at]));
                    assert_eq!(essence(&book), straight, "{order:?} of {:#?}", life.said);
                    lives += 1;
                }
            }
        }
    }
    assert_eq!(lives, 10 * 6 * 120);
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for place in 0..count {
            let mut order = shorter.clone();
            order.insert(place, count - 1);
            all.push(order);
        }
    }
    all
}
