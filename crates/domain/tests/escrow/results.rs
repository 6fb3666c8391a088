//! Results that another than the provider tells, as text: a line of a script is a snapshot or a result.

use std::collections::BTreeMap;
use std::fmt::Write;

use matchpurse_domain::escrow::{Account, Funds, GroupResult, MatchResult, MatchState, Trust, apply, decide};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;
use proptest::prelude::*;

use crate::language::{policy, shown, snapshot};

const AT: Timestamp = Timestamp::from_seconds(0);
const TRUST: Trust = Trust { body_authenticated: true };

/// `g1=16 g2=3,forfeit`
fn result(words: &str) -> MatchResult {
    let group = |word: &str| {
        let (id, score) = word.split_once('=').unwrap();
        let (score, forfeit) = score.split_once(',').map_or((score, false), |(score, _)| (score, true));
        (id.to_owned(), GroupResult { score: score.parse().unwrap(), forfeit })
    };
    MatchResult { groups: words.split(' ').map(group).collect(), players: BTreeMap::new() }
}

fn platform(custody: Custody) -> SourcePolicy {
    SourcePolicy { custody, stake: Some(1000), ..policy() }
}

fn play(policy: &SourcePolicy, funds: &[(&str, i64)], script: &str) -> String {
    let mut funds = Funds(funds.iter().map(|(player, amount)| (PlayerId::from(*player), *amount)).collect());
    let mut state: Option<MatchState> = None;
    let mut text = String::new();
    for line in script.lines().map(str::trim) {
        let outcome = match line.strip_prefix("result ") {
            None => apply(state.take(), &snapshot(line), policy, &mut funds, TRUST, AT),
            Some(words) => match decide(state.clone().unwrap(), &result(words), &funds, AT) {
                Ok(outcome) => outcome,
                Err(refusal) => {
                    writeln!(text, "{line}\n    refused: {refusal}").unwrap();
                    continue;
                }
            },
        };
        writeln!(text, "{line}\n    {}", shown(&outcome)).unwrap();
        state = Some(outcome.state);
    }
    text
}

#[test]
fn a_result_settles_a_match_and_what_the_provider_says_later_is_the_same_or_an_anomaly() {
    insta::assert_snapshot!(play(
        &platform(Custody::Provider),
        &[],
        "CONFIRMED kind=platform buy=1000 g1:a g1:c g2:b g2:d
         result g1=300 g2=299
         result g1=300 g2=299
         CLOSED kind=platform buy=1000 win=g1 g1:a g1:c g2:b g2:d
         CLOSED kind=platform buy=1000 win=g2 g1:a g1:c g2:b g2:d
         CANCELED_OTHER kind=platform",
    ));
}

#[test]
fn who_forfeits_is_behind_everybody_and_equal_points_share() {
    let start = "CONFIRMED kind=platform buy=1000 g1:a g2:b g3:c";
    let mut text = String::new();
    for words in [
        "g1=300,forfeit g2=1 g3=0",
        "g1=5 g2=5 g3=4",
        "g1=5 g2=5 g3=5",
        "g1=5 g2=5 g3=9,forfeit",
        "g1=0,forfeit g2=0,forfeit g3=-9223372036854775808",
        "g1=0,forfeit g2=0,forfeit g3=0,forfeit",
        "g1=1 g2=2",
        "g1=1 g2=2 g3=3 g4=4",
    ] {
        text.push_str(&play(&platform(Custody::Provider), &[], &format!("{start}\nresult {words}")));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn where_the_studio_holds_the_stakes_the_pot_is_whole_or_nothing_moves() {
    insta::assert_snapshot!(play(
        &platform(Custody::Studio),
        &[("a", 1000), ("b", 900)],
        "OPEN kind=recreational buy=1000 g1:a g2:b
         result g1=1 g2=2",
    ));
    insta::assert_snapshot!(play(
        &platform(Custody::Studio),
        &[("a", 1000), ("b", 1000)],
        "OPEN kind=recreational buy=1000 g1:a g2:b
         result g1=1 g2=2",
    ));
}

#[test]
fn what_a_provider_pays_itself_or_holds_no_money_is_not_decided_by_others() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        "CONFIRMED buy=1000 g1:a g2:b
         result g1=1 g2=2",
    ));
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        "CONFIRMED kind=free_to_play g1:a g2:b
         result g1=1 g2=2",
    ));
}

proptest! {
    /// Whatever the result: all that was staked goes out, nobody gets less than nothing, and the places are those of the
    /// points.
    #[test]
    fn every_result_divides_the_pot(
        sides in prop::collection::vec((1_usize..4, -3_i64..4, any::<bool>()), 2..5),
        fee_bps in 0_u16..10_001,
        tie in 0..3,
    ) {
        let tie_policy = [TiePolicy::RefundFull, TiePolicy::RefundMinusFee, TiePolicy::Split][tie as usize];
        let policy = SourcePolicy { fee_bps, tie_policy, ..platform(Custody::Provider) };
        let mut line = "CONFIRMED kind=platform buy=997".to_owned();
        let mut told = MatchResult { groups: BTreeMap::new(), players: BTreeMap::new() };
        for (side, (players, score, forfeit)) in sides.iter().enumerate() {
            (0..*players).for_each(|n| write!(line, " g{side}:p{side}{n}").unwrap());
            told.groups.insert(format!("g{side}"), GroupResult { score: *score, forfeit: *forfeit });
        }
        let state = apply(None, &snapshot(&line), &policy, &mut Funds::default(), TRUST, AT).state;
        let decided = decide(state.clone(), &told, &Funds::default(), AT);
        prop_assert_eq!(decided.is_err(), sides.iter().all(|(.., forfeit)| *forfeit));
        if let Ok(outcome) = decided {
            let after = outcome.state;
            prop_assert_eq!(after.escrowed(), 0);
            prop_assert_eq!(after.pot, state.pot);
            let escrow = outcome.transfers.iter().map(|transfer| match (&transfer.debit, &transfer.credit) {
                (Account::Escrow, _) => -transfer.amount,
                (_, Account::Escrow) => transfer.amount,
                _ => 0,
            });
            prop_assert_eq!(escrow.sum::<i64>(), -state.pot);
            prop_assert!(outcome.transfers.iter().all(|transfer| transfer.amount > 0));
            prop_assert!(after.deadline.is_none() && after.settlement.is_some());
        }
        for (one, place) in told.places() {
            for (other, behind) in told.places() {
                let points = |id: &str| {
                    let group = told.groups[id];
                    (!group.forfeit, if group.forfeit { 0 } else { group.score })
                };
                prop_assert_eq!(place.cmp(&behind), points(other).cmp(&points(one)));
            }
        }
    }
}
