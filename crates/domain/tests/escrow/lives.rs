//! Lives of matches, as random lines of the language in `language.rs`.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::event::MatchSnapshot;
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::language::{policy, snapshot};

/// How many lives each property is tried with; `PROPTEST_CASES` sets another number.
const CASES: u32 = 10_000;

/// What fails is kept in `seeds/`, to be committed, and is tried before anything new.
pub(crate) fn config(seeds: &'static str) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..ProptestConfig::with_cases(CASES)
    }
}

/// A line, and whether a signature covers it.
pub(crate) type Said = (String, bool);

pub(crate) fn heard((line, signed): &Said) -> (MatchSnapshot, bool) {
    (snapshot(line), *signed)
}

/// A match, and everything that is said of it; nothing in it contradicts anything else.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) policy: SourcePolicy,
    pub(crate) funds: BTreeMap<PlayerId, i64>,
    pub(crate) said: Vec<Said>,
}

/// Who plays for what: everybody's group, and the stake.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) groups: Vec<usize>,
    pub(crate) stake: i64,
}

impl Table {
    /// Those of the players that the mask's bits name, with their rewards.
    pub(crate) fn list(&self, mask: u8, rewards: &[Option<i64>]) -> String {
        let mut words = Vec::new();
        for (n, group) in self.groups.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1) {
            let reward = rewards.get(n).copied().flatten().map(|amount| format!("={amount}"));
            words.push(format!("g{group}:p{n}{}", reward.unwrap_or_default()));
        }
        words.join(" ")
    }
}

/// Two to six players in one to three groups, or each in one of his own.
pub(crate) fn tables() -> impl Strategy<Value = Table> {
    (2_usize..=6, 1_usize..=4, prop_oneof![1 => Just(0), 9 => 1_i64..3_000]).prop_map(
        |(players, groups, stake)| {
            let groups = if groups == 4 { players } else { groups };
            Table { groups: (0..players).map(|n| n % groups).collect(), stake }
        },
    )
}

pub(crate) fn rules() -> impl Strategy<Value = SourcePolicy> {
    let ties =
        prop_oneof![Just(TiePolicy::RefundFull), Just(TiePolicy::RefundMinusFee), Just(TiePolicy::Split)];
    let custody = prop_oneof![Just(Custody::Provider), Just(Custody::Studio)];
    let fees = prop_oneof![0_u16..3_000, Just(0), Just(10_000)];
    (fees, ties, custody).prop_map(|(fee_bps, tie_policy, custody)| SourcePolicy {
        fee_bps,
        tie_policy,
        custody,
        ..policy()
    })
}

const RUNNING: [&str; 5] = ["OPEN", "CONFIRMED", "LOCKED", "PENDING_OUTCOMES", "DISPUTE"];
const CANCELED: [&str; 5] = [
    "CANCELED_BY_OWNER",
    "CANCELED_NOT_ACCEPTED",
    "CANCELED_THROUGH_API",
    "CANCELED_TIMEOUT",
    "CANCELED_OTHER",
];

/// How a match ends, if it does.
#[derive(Debug, Clone)]
enum End {
    None,
    Won { figures: bool },
    Tied { figures: bool },
    Canceled(Vec<&'static str>),
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        2 => Just(End::None),
        4 => any::<bool>().prop_map(|figures| End::Won { figures }),
        2 => prop::bool::weighted(0.3).prop_map(|figures| End::Tied { figures }),
        2 => vec(prop::sample::select(&CANCELED[..]), 1..4).prop_map(End::Canceled),
    ]
}

/// A life that does not contradict itself:
///
/// * One stake, one group for each player, one outcome; but several reasons to call a match off are no
///   contradiction, for each gives the same stakes back.
/// * Players come and go while it runs, and the final list may lack some of them. It lists somebody who won.
/// * Whatever ends with an outcome names the stake and lists who played, as every provider's final snapshot does;
///   others may leave the stake out.
/// * Ends that do not say who won, or that nobody signed, may come beside the one that counts.
/// * Where the studio holds the stakes, either everybody has the money, or everybody is in every list of a match that
///   runs: a hold is all or none, so with less money who is held depends on who was there at the time.
pub(crate) fn lives() -> impl Strategy<Value = Life> {
    let running = vec((prop::sample::select(&RUNNING[..]), any::<u8>(), prop::bool::weighted(0.8)), 0..6);
    let rewards = vec(prop::option::of(0_i64..6_000), 6);
    let claims = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let funds = prop_oneof![3 => Just(vec![1_000_000; 6]), 1 => vec(0_i64..6_000, 6)];
    let masks = (any::<u8>(), any::<u8>(), prop::bool::weighted(0.4));
    (rules(), tables(), running, ends(), rewards, claims, funds, masks).prop_map(
        |(policy, table, running, end, rewards, (unknown, unsigned), funds, (winners, absent, lacks))| {
            let everybody = u8::MAX >> (8 - table.groups.len());
            let rich = funds.iter().all(|has| *has >= table.stake) || policy.custody == Custody::Provider;
            let buy = format!("buy={}", table.stake);
            let mut said: Vec<Said> = Vec::new();
            for (status, mask, names_stake) in running {
                let mask = if rich { mask } else { everybody };
                let buy = if names_stake { &buy } else { "" };
                said.push((format!("{status} {buy} {}", table.list(mask, &[])), true));
            }
            // Whoever plays at the lowest place in a winning group stays in the final list.
            let mut won: BTreeSet<usize> = table.groups.iter().copied().collect();
            won.retain(|group| winners >> group & 1 == 1);
            won.extend(won.is_empty().then_some(0));
            let winner = table.groups.iter().position(|group| won.contains(group)).unwrap();
            let listed = if lacks { everybody & !absent | 1 << winner } else { everybody };
            let win: Vec<String> = won.iter().map(|group| format!("g{group}")).collect();
            let win = format!("win={}", win.join(","));
            let figures =
                |given: bool| if given { table.list(listed, &rewards) } else { table.list(listed, &[]) };
            let end = match &end {
                End::None => vec![],
                End::Won { figures: given } => vec![format!("CLOSED {buy} {win} {}", figures(*given))],
                End::Tied { figures: given } => vec![format!("CLOSED_TIE {buy} {}", figures(*given))],
                End::Canceled(reasons) => reasons
                    .iter()
                    .map(|reason| format!("{reason} {}", table.list(absent & everybody, &[])))
                    .collect(),
            };
            if unsigned {
                said.extend(end.iter().map(|line| (line.clone(), false)));
            }
            if unknown
                && !end.iter().any(|line| line.starts_with("CANCELED") || line.starts_with("CLOSED_TIE"))
            {
                said.push((format!("CLOSED {buy} {}", table.list(listed, &[])), true));
            }
            said.extend(end.into_iter().map(|line| (line, true)));
            if said.is_empty() {
                said.push((format!("OPEN {buy} {}", table.list(everybody, &[])), true));
            }
            let funds =
                funds.into_iter().enumerate().map(|(n, has)| (PlayerId::new(format!("p{n}")), has)).collect();
            Life { policy, funds, said }
        },
    )
}
