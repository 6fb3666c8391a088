//! What holds whatever is said: conservation, the first end, and the division that the rules describe.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::escrow::{Account, AnomalyKind, Settlement};
use matchpurse_domain::event::MatchStatus;
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::book::Book;
use crate::language::snapshot;
use crate::lives::{Table, config, rules, tables};

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/escrow/seeds/properties.txt");

fn rich() -> BTreeMap<PlayerId, i64> {
    (0..6).map(|n| (PlayerId::new(format!("p{n}")), 1_000_000)).collect()
}

/// Any snapshot at all, of six players in three groups; they may change sides and be listed twice.
fn anything() -> impl Strategy<Value = String> {
    let player = (0..3, 0..6, prop::option::weighted(0.3, 0_i64..5_000));
    let stake = prop::option::weighted(0.9, prop_oneof![4 => Just(1_000_i64), 1 => 0_i64..3_000]);
    let winners = vec(0..4, 0..3);
    (prop::sample::select(&MatchStatus::ALL[..]), stake, winners, vec(player, 0..6)).prop_map(
        |(status, stake, winners, players)| {
            let mut line = status.as_str().to_owned();
            line.extend(stake.map(|stake| format!(" buy={stake}")));
            let winners: Vec<String> = winners.iter().map(|group| format!("g{group}")).collect();
            line.extend((!winners.is_empty()).then(|| format!(" win={}", winners.join(","))));
            for (group, player, reward) in players {
                let reward = reward.map(|amount| format!("={amount}")).unwrap_or_default();
                line.push_str(&format!(" g{group}:p{player}{reward}"));
            }
            line
        },
    )
}

/// Ends that all contradict each other. Where the provider's figures count they tell two ends of the same winners
/// apart; one without figures would only say less.
fn other_ends(table: &Table, custody: Custody) -> Vec<String> {
    let (buy, all) = (format!("buy={}", table.stake), table.list(u8::MAX, &[]));
    let mut ends = vec![format!("CANCELED_OTHER {buy} {all}")];
    let figures = match custody {
        Custody::Provider => vec![Some(1), Some(2)],
        Custody::Studio => vec![None],
    };
    for figure in figures {
        let list = table.list(u8::MAX, &[figure]);
        ends.push(format!("CLOSED {buy} win=g0 {list}"));
        ends.push(format!("CLOSED_TIE {buy} {list}"));
    }
    if table.groups.contains(&1) {
        ends.push(format!("CLOSED {buy} win=g1 {all}"));
        ends.push(format!("CLOSED {buy} win=g0,g1 {all}"));
    }
    ends
}

proptest! {
    #![proptest_config(config(SEEDS))]

    /// The book looks after every step: sums, the escrow account, the deadline, keys, and that where the studio holds
    /// the stakes nobody falls below zero, though many are short.
    #[test]
    fn money_is_conserved_whatever_is_said(
        policy in rules(),
        funds in vec(0_i64..2_500, 6),
        said in vec((anything(), prop::bool::weighted(0.8), prop::option::weighted(0.2, (0_usize..6, 0_i64..1_000))), 1..12),
    ) {
        let funds = funds.into_iter().enumerate().map(|(n, has)| (PlayerId::new(format!("p{n}")), has)).collect();
        let mut book = Book::new(&policy, &funds);
        for (line, signed, deposit) in said {
            book.say(&snapshot(&line), signed);
            if let Some((player, amount)) = deposit {
                book.deposit(PlayerId::new(format!("p{player}")), amount);
            }
        }
    }

    #[test]
    fn of_ends_that_contradict_each_other_the_first_stays(
        policy in rules(),
        table in tables(),
        said in vec((any::<prop::sample::Index>(), prop::bool::weighted(0.6)), 2..10),
    ) {
        let ends = other_ends(&table, policy.custody);
        let running: Vec<String> = ["OPEN", "CONFIRMED", "DISPUTE"]
            .iter()
            .map(|status| format!("{status} buy={} {}", table.stake, table.list(u8::MAX, &[])))
            .collect();
        let mut book = Book::new(&policy, &rich());
        let mut first: Option<&String> = None;
        let mut told = BTreeSet::new();
        for (index, is_end) in &said {
            let line = if *is_end { index.get(&ends) } else { index.get(&running) };
            let outcome = book.say(&snapshot(line), true);
            let kinds: Vec<AnomalyKind> = outcome.anomalies.iter().map(|anomaly| anomaly.kind).collect();
            // Whatever was told once is not told again.
            let expected = match first {
                Some(first) if *is_end && first != line && told.insert(line) => {
                    prop_assert!(outcome.late);
                    let same_kind = status(first) == status(line);
                    vec![if same_kind { AnomalyKind::OutcomeConflict } else { AnomalyKind::TerminalConflict }]
                }
                _ => vec![],
            };
            prop_assert_eq!(kinds, expected, "{}", line);
            // A book that has ended takes no transfer any more: it looks itself.
            first = first.or(is_end.then_some(line));
            prop_assert_eq!(outcome.state.settlement.is_some(), first.is_some());
            prop_assert!(first.is_none_or(|first| outcome.state.status == status(first)));
        }
    }

    #[test]
    fn the_money_is_divided_as_the_rules_say(
        policy in rules(),
        table in tables(),
        end in prop_oneof![Just("tie"), Just("one"), Just("several")],
        held_before in any::<bool>(),
    ) {
        let all = table.list(u8::MAX, &[]);
        let win: Vec<usize> = match end {
            "tie" => vec![],
            "one" => vec![0],
            _ => table.groups.iter().copied().filter(|group| *group < 2).collect(),
        };
        let mut book = Book::new(&policy, &rich());
        if held_before {
            book.say(&snapshot(&format!("CONFIRMED buy={} {all}", table.stake)), true);
        }
        let line = if win.is_empty() {
            format!("CLOSED_TIE buy={} {all}", table.stake)
        } else {
            let groups: Vec<String> = win.iter().map(|group| format!("g{group}")).collect();
            format!("CLOSED buy={} win={} {all}", table.stake, groups.join(","))
        };
        let outcome = book.say(&snapshot(&line), true);
        let settlement = if win.is_empty() { Settlement::Tie } else { Settlement::Payout };
        prop_assert_eq!(outcome.state.settlement, Some(settlement));
        let expected = division(&policy, &table, &win);
        let found: Vec<i64> = (0..table.groups.len())
            .map(|n| book.nets.get(&Account::Player(PlayerId::new(format!("p{n}")))).copied().unwrap_or(0) + table.stake)
            .collect();
        match expected {
            Division::Exactly(amounts) => prop_assert_eq!(found, amounts),
            Division::ByGroup(prize) => {
                let sum = |group| -> i64 {
                    found.iter().zip(&table.groups).filter(|(_, g)| **g == group).map(|(amount, _)| amount).sum()
                };
                let sums: Vec<i64> = [0, 1].into_iter().map(sum).collect();
                prop_assert_eq!(sums.iter().sum::<i64>(), prize);
                prop_assert!((sums[0] - sums[1]).abs() <= 1, "the groups share alike: {:?}", sums);
                for group in [0, 1] {
                    let players: Vec<usize> = (0..found.len()).filter(|n| table.groups[*n] == group).collect();
                    for (player, amount) in shares(sums[group], &players) {
                        prop_assert_eq!(found[player], amount);
                    }
                }
            }
        }
    }
}

fn status(line: &str) -> MatchStatus {
    MatchStatus::parse(line.split(' ').next().unwrap()).unwrap()
}

/// What each player comes out with, by the rules as they are written down.
enum Division {
    Exactly(Vec<i64>),
    /// The prize; each group has half of it, and which of them an odd unit is not looked at here.
    ByGroup(i64),
}

fn division(policy: &SourcePolicy, table: &Table, win: &[usize]) -> Division {
    let players: Vec<usize> = (0..table.groups.len()).collect();
    let pot = table.stake * i64::try_from(players.len()).unwrap();
    let fee = pot * i64::from(policy.fee_bps) / 10_000;
    let given = |winners: Vec<(usize, i64)>| {
        let winners: BTreeMap<usize, i64> = winners.into_iter().collect();
        players.iter().map(|n| winners.get(n).copied().unwrap_or(0)).collect()
    };
    match (win, policy.tie_policy) {
        ([], TiePolicy::RefundFull) => Division::Exactly(vec![table.stake; players.len()]),
        ([], TiePolicy::RefundMinusFee) => {
            let kept = shares(fee, &players);
            Division::Exactly(kept.into_iter().map(|(_, kept)| table.stake - kept).collect())
        }
        ([], TiePolicy::Split) => Division::Exactly(given(shares(pot - fee, &players))),
        (win, _) => {
            let groups: BTreeSet<&usize> = win.iter().collect();
            if groups.len() > 1 {
                return Division::ByGroup(pot - fee);
            }
            let winners: Vec<usize> =
                players.iter().copied().filter(|n| groups.contains(&table.groups[*n])).collect();
            Division::Exactly(given(shares(pot - fee, &winners)))
        }
    }
}

/// Equal shares; the units left over go one each to those with the smallest SHA-256 of match and player.
fn shares(amount: i64, players: &[usize]) -> Vec<(usize, i64)> {
    let count = i64::try_from(players.len()).unwrap();
    let mut drawn: Vec<([u8; 32], usize)> =
        players.iter().map(|n| (Sha256::digest(format!("m1\0p{n}")).into(), *n)).collect();
    drawn.sort_unstable();
    let lucky: Vec<usize> =
        drawn.iter().take(usize::try_from(amount % count).unwrap()).map(|(_, n)| *n).collect();
    players.iter().map(|n| (*n, amount / count + i64::from(lucky.contains(n)))).collect()
}
