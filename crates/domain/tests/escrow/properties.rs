//! Conservation after every event, and the same end in every order.

use std::collections::BTreeMap;

use matchpurse_domain::escrow::{Account, Funds, MatchState, Transfer, TransferKind, Trust, apply};
use matchpurse_domain::event::MatchSnapshot;
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::language::{policy, snapshot};

/// A match that does not contradict itself: its players, its end, and the steps on the way.
fn life() -> impl Strategy<Value = Vec<String>> {
    let end = prop_oneof![
        (0_usize..3).prop_map(|winner| format!("CLOSED win=g{winner}")),
        Just("CLOSED win=figures".to_owned()),
        Just("CLOSED_TIE".to_owned()),
        Just("CANCELED_OTHER".to_owned()),
        Just("CANCELED_TIMEOUT".to_owned()),
    ];
    (2_usize..7, 0_i64..5_000, 0_i64..20_000, end).prop_map(|(players, stake, prize, end)| {
        let seats: Vec<String> = (0..players).map(|n| format!("g{}:p{n}", n % 3)).collect();
        let all = seats.join(" ");
        let mut lines: Vec<String> =
            (1..=players).map(|n| format!("OPEN buy={stake} {}", seats[..n].join(" "))).collect();
        for status in ["CONFIRMED", "LOCKED", "PENDING_OUTCOMES"] {
            lines.push(format!("{status} buy={stake} {all}"));
        }
        let figures = format!("CLOSED win=g0 buy={stake} {}={prize} {}", seats[0], seats[1..].join(" "));
        let winner = if players == 2 { end.replace("win=g2", "win=g1") } else { end.clone() };
        lines.push(if end.ends_with("figures") { figures } else { format!("{winner} buy={stake} {all}") });
        lines
    })
}

fn rules() -> impl Strategy<Value = SourcePolicy> {
    let ties =
        prop_oneof![Just(TiePolicy::RefundFull), Just(TiePolicy::RefundMinusFee), Just(TiePolicy::Split)];
    (0_u16..3000, ties, any::<bool>()).prop_map(|(fee_bps, tie_policy, studio)| {
        let custody = if studio { Custody::Studio } else { Custody::Provider };
        SourcePolicy { fee_bps, tie_policy, custody, ..policy() }
    })
}

fn funds() -> Funds {
    Funds((0..10).map(|n| (PlayerId::new(format!("p{n}")), 1_000_000)).collect())
}

/// Plays the events, checking conservation after each; returns the end and what each account gained.
fn run(policy: &SourcePolicy, events: &[MatchSnapshot]) -> (MatchState, BTreeMap<Account, i64>) {
    let mut state = None;
    let mut nets: BTreeMap<Account, i64> = BTreeMap::new();
    let mut keys = std::collections::BTreeSet::new();
    let mut funds = funds();
    for event in events {
        let trust = Trust { body_authenticated: true };
        let outcome = apply(state.take(), event, policy, &mut funds, trust, Timestamp::from_seconds(1));
        for Transfer { kind, subject, generation, debit, credit, amount } in outcome.transfers {
            assert!(amount > 0 && debit != credit);
            assert!(keys.insert((kind, subject.clone(), generation)), "a transfer's key came twice");
            if matches!(kind, TransferKind::Payout | TransferKind::Refund) {
                let other =
                    if kind == TransferKind::Payout { TransferKind::Refund } else { TransferKind::Payout };
                assert!(!keys.contains(&(other, subject, generation)), "paid and refunded");
            }
            *nets.entry(debit).or_default() -= amount;
            *nets.entry(credit).or_default() += amount;
        }
        let now = outcome.state;
        let escrow = nets.get(&Account::Escrow).copied().unwrap_or(0);
        assert_eq!(escrow, now.escrowed());
        assert!(escrow >= 0);
        assert!(now.settlement.is_none() || escrow == 0, "settled with {escrow} left");
        assert_eq!(now.settlement.is_some(), now.status.is_terminal());
        assert_eq!(now.deadline.is_some(), escrow > 0);
        state = Some(now);
    }
    nets.retain(|_, net| *net != 0);
    (state.unwrap(), nets)
}

/// What must not depend on the order: holds that went back leave no trace in it.
fn essence((state, nets): (MatchState, BTreeMap<Account, i64>)) -> String {
    let outcomes: Vec<_> =
        state.seats.iter().map(|(player, seat)| (player, seat.payout, seat.outcome)).collect();
    let (status, settlement) = (state.status, state.settlement);
    format!("{status:?} {settlement:?} paid {} fee {} {nets:?} {outcomes:?}", state.paid, state.fee)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_order_with_repeats_ends_the_same(
        policy in rules(),
        life in life(),
        order in vec(any::<prop::sample::Index>(), 1..24),
    ) {
        let events: Vec<MatchSnapshot> = life.iter().map(|line| snapshot(line)).collect();
        let straight = essence(run(&policy, &events));
        // Some order with repeats, of some of the events, and at last the end if it has not come yet.
        let mut shuffled: Vec<MatchSnapshot> = order.iter().map(|index| index.get(&events).clone()).collect();
        shuffled.push(events.last().unwrap().clone());
        shuffled.extend(events.iter().rev().cloned());
        prop_assert_eq!(essence(run(&policy, &shuffled)), straight);
    }

    #[test]
    fn money_is_conserved_whatever_is_said(
        policy in rules(),
        lines in vec(("OPEN|CONFIRMED|LOCKED|PENDING_OUTCOMES|DISPUTE|CLOSED|CLOSED_TIE|CANCELED_OTHER|VOIDED_TIMEOUT",
            0_i64..3000, "g[0-2]", vec(("g[0-2]", "[a-f]", prop::option::of(0_i64..5000)), 0..6)), 1..12),
    ) {
        let events: Vec<MatchSnapshot> = lines
            .iter()
            .map(|(status, stake, winner, players)| {
                let players: Vec<String> = players
                    .iter()
                    .map(|(group, player, reward)| match reward {
                        Some(amount) => format!("{group}:{player}={amount}"),
                        None => format!("{group}:{player}"),
                    })
                    .collect();
                snapshot(&format!("{status} buy={stake} win={winner} {}", players.join(" ")))
            })
            .collect();
        run(&policy, &events);
    }
}
