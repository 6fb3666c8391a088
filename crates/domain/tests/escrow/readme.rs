//! The worked example of the README, figure by figure.

use matchpurse_domain::escrow::{Account, Funds, Trust, apply};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::money::format_major;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;

use crate::language::{policy, snapshot};

const README: &str = include_str!("../../../../README.md");

/// What each row of the README's table means.
fn scenario(label: &str) -> (SourcePolicy, &'static str) {
    let provider = SourcePolicy { fee_bps: 1000, ..policy() };
    let studio = SourcePolicy { custody: Custody::Studio, ..provider.clone() };
    let tie = |tie_policy| SourcePolicy { tie_policy, ..studio.clone() };
    let won = "CLOSED buy=1001 win=g1 g1:ann g2:bob g3:cem";
    let tied = "CLOSED_TIE buy=1001 g1:ann g2:bob g3:cem";
    match label {
        "`studio`: Ann wins" => (studio, won),
        "`studio`: Ann and Bob win" => (studio, "CLOSED buy=1001 win=g1,g2 g1:ann g2:bob g3:cem"),
        "`studio`: a tie, `refund_full`" => (tie(TiePolicy::RefundFull), tied),
        "`studio`: a tie, `refund_minus_fee`" => (tie(TiePolicy::RefundMinusFee), tied),
        "`studio`: a tie, `split`" => (tie(TiePolicy::Split), tied),
        "`provider`: it says that it paid Ann 25.00" => {
            (provider, "CLOSED buy=1001 win=g1 g1:ann=2500 g2:bob g3:cem")
        }
        "`provider`: it says that it paid Ann 35.00" => {
            (provider, "CLOSED buy=1001 win=g1 g1:ann=3500 g2:bob g3:cem")
        }
        "`provider`: it names no amounts, and Ann as the winner" => (provider, won),
        "either: called off, or no end until the deadline" => {
            (provider, "CANCELED_TIMEOUT buy=1001 g1:ann g2:bob g3:cem")
        }
        other => panic!("the README has a row that this test does not know: {other}"),
    }
}

/// What the three players and whoever keeps the fee gain, as people write it.
fn gains(policy: &SourcePolicy, end: &str) -> Vec<String> {
    let players = ["ann", "bob", "cem"].map(PlayerId::from);
    let mut funds = Funds(players.iter().map(|player| (player.clone(), 1001)).collect());
    let trust = Trust { body_authenticated: true };
    let mut state = None;
    let mut transfers = Vec::new();
    for line in ["CONFIRMED buy=1001 g1:ann g2:bob g3:cem", end] {
        let at = Timestamp::from_seconds(0);
        let outcome = apply(state.take(), &snapshot(line), policy, &mut funds, trust, at);
        transfers.extend(outcome.transfers);
        state = Some(outcome.state);
    }
    let gain = |account: &Account| {
        let of = |at: &Account, amount: i64| if at == account { amount } else { 0 };
        transfers.iter().map(|t| of(&t.credit, t.amount) - of(&t.debit, t.amount)).sum::<i64>()
    };
    let mut gains: Vec<i64> = players.map(|player| gain(&Account::Player(player))).to_vec();
    gains.push(gain(&Account::House) + gain(&Account::External));
    assert_eq!(gains.iter().sum::<i64>(), 0, "{end}");
    gains.iter().map(|gain| format_major(*gain, 2).replace('-', "−")).collect()
}

#[test]
fn the_readmes_figures_are_those_of_the_escrow() {
    let section = README.split("## Money: custody, fees and ties").nth(1).unwrap();
    let rows = section
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("| either"));
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (policy, end) = scenario(cells[0]);
        assert_eq!(cells[1..], gains(&policy, end), "{row}");
        seen += 1;
    }
    assert_eq!(seen, 9, "every scenario stands in the README");
}
