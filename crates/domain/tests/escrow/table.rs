//! One script for each rule; the answers stand in `snapshots/`.

use matchpurse_domain::source::{Custody, TiePolicy};

use crate::language::{play, policy};

#[test]
fn the_life_of_a_match_that_the_provider_holds() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        true,
        "OPEN buy=1000 g1:a
         CONFIRMED buy=1000 g1:a g2:b
         CONFIRMED buy=1000 g1:a g2:b
         OPEN buy=1000 g1:a g2:b g2:c
         LOCKED buy=1000 g1:a g2:b
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b g2:c
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b g2:c
         OPEN buy=1000 g1:a
         CLOSED buy=1000 win=g2 g1:a g2:b=900 g2:c=900
         CLOSED_TIE buy=1000 g1:a g2:b g2:c
         CANCELED_BY_OWNER buy=1000 g1:a g2:b",
    ));
}

#[test]
fn the_end_comes_first() {
    insta::assert_snapshot!(
        [
            "CLOSED buy=1000 win=g1 g1:a=1800 g2:b",
            "CLOSED_TIE buy=1000 g1:a g2:b",
            "CANCELED_TIMEOUT buy=1000 g1:a g2:b"
        ]
        .map(|end| play(&policy(), &[], true, &format!("{end}\nCONFIRMED buy=1000 g1:a g2:b")))
        .join("\n")
    );
}

#[test]
fn a_cancelled_match_gives_everything_back() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        true,
        "CONFIRMED buy=1000 g1:a g2:b
         CANCELED_OTHER buy=1000 g1:a
         CANCELED_BY_OWNER buy=1000 g1:a
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b",
    ));
}

#[test]
fn the_providers_figures_win_over_ours() {
    insta::assert_snapshot!(
        [
            "CLOSED buy=1000 win=g1 g1:a=1999 g2:b",
            "CLOSED buy=1000 win=g1 g1:a=5000 g2:b",
            "CLOSED buy=1000 win=g1 g1:a=0 g2:b",
            "CLOSED buy=1000 win=g1 g1:a=900 g2:b=900 g3:c=900",
            "CLOSED buy=1000 win=g1 g1:a=2000 g2:b=2000",
            "CLOSED_TIE buy=1000 g1:a=0 g2:b=0",
            "CLOSED buy=0 win=g1 g1:a=500 g2:b",
            "CLOSED buy=1000 win=g1 g1:a g2:b",
            "CLOSED buy=1000 win=g1 g1:a* g2:b",
            "CLOSED_TIE buy=1000 g1:a=900 g2:b=900",
        ]
        .map(|end| play(&policy(), &[], true, end))
        .join("\n")
    );
}

#[test]
fn nobody_is_paid_on_a_guess() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        true,
        "CONFIRMED buy=1000 g1:a g2:b
         CLOSED buy=1000 g1:a g2:b
         CLOSED buy=1000 win=g9 g1:a g2:b
         DISPUTE buy=1000 g1:a g2:b
         CLOSED buy=1000 g1:a g2:b
         CLOSED buy=1000 win=g2 g1:a g2:b",
    ));
}

#[test]
fn a_body_that_nobody_signed_pays_nobody() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        false,
        "CONFIRMED buy=1000 g1:a g2:b
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b
         CLOSED_TIE buy=1000 g1:a=2000 g2:b
         CANCELED_OTHER buy=1000 g1:a g2:b",
    ));
}

#[test]
fn who_is_listed_twice_is_held_once() {
    insta::assert_snapshot!(
        [
            "CLOSED buy=1000 win=g1 g1:a g2:b g2:b",
            "CONFIRMED buy=1000 g1:a g1:a g2:b",
            "CLOSED buy=1000 g1:a g2:b g2:b",
        ]
        .map(|script| play(&policy(), &[], true, script))
        .join("\n")
    );
}

#[test]
fn who_is_not_in_the_final_list_gets_the_stake_back() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        true,
        "CONFIRMED buy=1000 g1:a g2:b g2:c
         CLOSED buy=1000 win=g1 g1:a=1800 g2:b",
    ));
}

#[test]
fn the_first_stake_stays() {
    insta::assert_snapshot!(play(
        &policy(),
        &[],
        true,
        "CONFIRMED buy=1000 g1:a g2:b
         LOCKED buy=2000 g1:a g2:b
         CLOSED win=g1",
    ));
}

#[test]
fn several_winners_share_by_group_and_then_by_player() {
    let mut policy = policy();
    policy.fee_bps = 333;
    insta::assert_snapshot!(play(
        &policy,
        &[],
        true,
        "CLOSED buy=1000 win=g1,g2 g1:a g2:b g2:c g2:d g3:e g3:f"
    ));
}

#[test]
fn a_tie_does_what_the_source_says() {
    insta::assert_snapshot!(
        [TiePolicy::RefundFull, TiePolicy::RefundMinusFee, TiePolicy::Split]
            .map(|tie_policy| {
                let mut policy = policy();
                policy.tie_policy = tie_policy;
                policy.fee_bps = 777;
                play(&policy, &[], true, "CLOSED_TIE buy=1001 g1:a g2:b g2:c")
            })
            .join("\n")
    );
}

#[test]
fn a_studio_that_holds_the_stakes_authorizes() {
    let mut policy = policy();
    policy.custody = Custody::Studio;
    let rich = [("a", 5000), ("b", 1000)];
    insta::assert_snapshot!(
        [
            "CONFIRMED buy=1000 g1:a g2:b\nCLOSED buy=1000 win=g1 g1:a=5000 g2:b",
            "CONFIRMED buy=1001 g1:a g2:b\nCLOSED buy=1001 win=g1 g1:a g2:b",
            "CLOSED buy=1000 win=g2 g1:a g2:b",
            "CONFIRMED buy=1000 g1:a\nCLOSED buy=1000 win=g1 g1:a g3:poor",
        ]
        .map(|script| play(&policy, &rich, true, script))
        .join("\n")
    );
}

#[test]
fn amounts_that_do_not_fit_move_nothing() {
    let huge = i64::MAX / 2;
    insta::assert_snapshot!(play(&policy(), &[], true, &format!("CONFIRMED buy={huge} g1:a g2:b g3:c")));
}
