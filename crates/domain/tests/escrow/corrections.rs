//! Corrections and deadlines, as text: a line of a script is a snapshot, or what a person or the clock does.

use std::fmt::Write;

use matchpurse_domain::escrow::{
    Account, Funds, MatchState, TransferKind, Trust, Verdict, apply, correct, expire,
};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::source::{Custody, OnDeadline, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;

use crate::language::{policy, shown, snapshot};

fn verdict(words: &str) -> Verdict {
    match words.split_once(' ').unwrap_or((words, "")) {
        ("refund", _) => Verdict::Refund,
        ("tie", _) => Verdict::Tie,
        ("winners", groups) => Verdict::Winners(groups.split(',').map(str::to_owned).collect()),
        ("figures", figures) => Verdict::Figures(
            figures
                .split(' ')
                .map(|figure| figure.split_once('=').unwrap())
                .map(|(player, amount)| (PlayerId::from(player), amount.parse().unwrap()))
                .collect(),
        ),
        ("reported", line) => Verdict::AsReported(Box::new(snapshot(line))),
        other => panic!("no verdict: {other:?}"),
    }
}

fn move_funds(funds: &mut Funds, account: &Account, amount: i64) {
    if let Account::Player(player) = account {
        *funds.0.entry(player.clone()).or_default() += amount;
    }
}

/// Plays the lines; `funds` is what each player has, and lives on from line to line.
fn play(policy: &SourcePolicy, funds: &[(&str, i64)], script: &str) -> String {
    let mut funds = Funds(funds.iter().map(|(player, amount)| (PlayerId::from(*player), *amount)).collect());
    let mut state: Option<MatchState> = None;
    let mut text = String::new();
    for line in script.lines().map(str::trim) {
        let at = Timestamp::from_seconds(0);
        let outcome = if let Some(words) = line.strip_prefix("correct ") {
            match correct(state.clone().unwrap(), &verdict(words), &funds, at) {
                Ok(outcome) => outcome,
                Err(refusal) => {
                    writeln!(text, "{line}\n    refused: {refusal}").unwrap();
                    continue;
                }
            }
        } else if let Some((player, amount)) = line.strip_prefix("withdraw ").and_then(|l| l.split_once(' '))
        {
            *funds.0.get_mut(&PlayerId::from(player)).unwrap() -= amount.parse::<i64>().unwrap();
            writeln!(text, "{line}").unwrap();
            continue;
        } else if line == "deadline" {
            expire(state.take().unwrap(), policy.on_deadline)
        } else {
            let trust = Trust { body_authenticated: true };
            apply(state.take(), &snapshot(line), policy, &mut funds, trust, at)
        };
        writeln!(text, "{line}\n    {}", shown(&outcome)).unwrap();
        for transfer in &outcome.transfers {
            // `apply` takes the holds out of the funds itself.
            if line.starts_with("correct") || transfer.kind != TransferKind::Hold {
                move_funds(&mut funds, &transfer.debit, -transfer.amount);
                move_funds(&mut funds, &transfer.credit, transfer.amount);
            }
        }
        state = Some(outcome.state);
    }
    text
}

#[test]
fn a_correction_undoes_the_generation_and_settles_the_next() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        "CONFIRMED buy=1000 g1:a g2:b
         correct tie
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b
         correct winners g2
         correct winners g2
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b
         correct refund
         correct figures a=500 b=1500
         correct figures a=500 b=3500
         correct reported CANCELED_OTHER buy=1000 g1:a g2:b
         CANCELED_BY_OWNER g1:a g2:b",
    ));
}

#[test]
fn a_second_end_can_be_taken_instead_of_the_first() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        "CANCELED_BY_OWNER
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b
         correct reported CONFIRMED buy=1000 g1:a g2:b
         correct winners g1
         correct reported CLOSED buy=1000 win=g1 g1:a=1800 g2:b
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b
         CANCELED_BY_OWNER
         CLOSED buy=1000 win=g2 g1:a g2:b=1800",
    ));
}

#[test]
fn an_end_that_could_not_be_settled_is_settled_by_hand() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        "CONFIRMED buy=1000 g1:a g2:b g3:c
         CLOSED buy=1000 win=g9 g1:a g2:b
         correct reported CLOSED buy=1000 win=g9 g1:a g2:b
         correct winners g9
         correct winners g1,g2
         correct winners g3",
    ));
}

#[test]
fn who_did_not_play_is_not_held_again() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        "CONFIRMED buy=1000 g1:a g2:b g3:c
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b
         correct winners g3
         correct winners g2
         correct refund
         correct winners g1",
    ));
}

#[test]
fn where_the_studio_holds_the_stakes_nobody_falls_below_nothing() {
    let studio = SourcePolicy { custody: Custody::Studio, tie_policy: TiePolicy::RefundMinusFee, ..policy() };
    insta::assert_snapshot!(play(
        &studio,
        &[("a", 1000), ("b", 1000)],
        "CONFIRMED buy=1000 g1:a g2:b
         CLOSED buy=1000 win=g1 g1:a g2:b
         correct figures a=1500 b=600
         correct figures a=-1
         correct winners g1
         withdraw a 1000
         correct winners g2
         correct figures a=1000 b=900
         correct tie",
    ));
}

#[test]
fn a_deadline_gives_the_stakes_back_or_asks_a_person() {
    let arbitrate = SourcePolicy { on_deadline: OnDeadline::Arbitrate, ..policy() };
    insta::assert_snapshot!(
        [
            (policy(), "OPEN buy=1000 g1:a\ndeadline"),
            (
                policy(),
                "CONFIRMED buy=1000 g1:a g2:b\ndeadline\ndeadline\nCANCELED_TIMEOUT g1:a g2:b\n\
                 CLOSED buy=1000 win=g1 g1:a=1800 g2:b\ncorrect winners g1"
            ),
            (policy(), "CONFIRMED buy=1000 g1:a g2:b\nCLOSED buy=1000 g1:a g2:b\ndeadline\ndeadline"),
            (policy(), "DISPUTE buy=1000 g1:a g2:b\ndeadline\nCLOSED buy=1000 win=g1 g1:a=1800 g2:b"),
            (arbitrate.clone(), "CONFIRMED buy=1000 g1:a g2:b\ndeadline\ndeadline\ncorrect refund"),
        ]
        .map(|(policy, script)| play(&policy, &[], script))
        .join("\n")
    );
}

#[test]
fn what_a_provider_gave_where_nobody_staked_can_be_divided_anew() {
    let text = play(
        &policy(),
        &[],
        "CLOSED win=g1 g1:a=500 g2:b
         correct figures b=1000000000001
         correct figures b=400
         correct winners g2
         correct refund",
    );
    insta::assert_snapshot!(text);
}
