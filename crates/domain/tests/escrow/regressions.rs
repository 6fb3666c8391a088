//! What broke other ledgers, and cannot happen here. Those that need a real database are in `match-escrow`.

use std::collections::BTreeMap;

use matchpurse_domain::escrow::{
    Account, AnomalyKind, Funds, MatchState, Outcome, TransferKind, Trust, apply,
};
use matchpurse_domain::event::{MatchStatus, Participant};
use matchpurse_domain::source::{Custody, SourcePolicy};
use matchpurse_domain::time::Timestamp;

use crate::book::Book;
use crate::language::{policy, snapshot};

fn studio() -> SourcePolicy {
    SourcePolicy { custody: Custody::Studio, ..policy() }
}

fn player(name: &str) -> Account {
    Account::Player(name.into())
}

/// What an event does to a match, without anything around it.
fn applied(state: Option<MatchState>, line: &str, policy: &SourcePolicy, funds: &mut Funds) -> Outcome {
    let trust = Trust { body_authenticated: true };
    apply(state, &snapshot(line), policy, funds, trust, Timestamp::from_seconds(0))
}

/// blnk#152: a transaction could be refunded again and again, and each time the balances moved.
#[test]
fn blnk_152_a_stake_goes_back_once_however_often_it_is_called_off() {
    let mut book = Book::new(&policy(), &BTreeMap::new());
    book.say(&snapshot("CONFIRMED buy=1000 g1:a g2:b"), true);
    let refunds = |outcome: &Outcome| {
        outcome.transfers.iter().filter(|transfer| transfer.kind == TransferKind::Refund).count()
    };
    assert_eq!(refunds(&book.say(&snapshot("CANCELED_BY_OWNER buy=1000 g1:a g2:b"), true)), 2);
    for again in ["CANCELED_BY_OWNER", "CANCELED_TIMEOUT", "CANCELED_OTHER"] {
        let outcome = book.say(&snapshot(&format!("{again} buy=1000 g1:a g2:b")), true);
        assert_eq!((outcome.transfers, outcome.late), (vec![], true));
    }
    assert_eq!((book.nets[&player("a")], book.nets[&player("b")]), (0, 0));
}

/// blnk#374: a second refund found the first refund, took that for a payment of its own and undid it: the stake was
/// taken again while the caller was told that nothing happened.
#[test]
fn blnk_374_what_went_back_is_not_taken_again() {
    let mut book = Book::new(&policy(), &BTreeMap::new());
    book.say(&snapshot("CONFIRMED buy=1000 g1:a g2:b g2:c"), true);
    // One goes back by the final list, two by the tie; then everything that ever held or refunded is said again.
    book.say(&snapshot("CLOSED_TIE buy=1000 g1:a g2:b"), true);
    let after = book.nets.clone();
    for again in ["CONFIRMED buy=1000 g1:a g2:b g2:c", "CLOSED_TIE buy=1000 g1:a g2:b", "CANCELED_OTHER"] {
        assert_eq!(book.say(&snapshot(again), true).transfers, [], "{again}");
    }
    assert_eq!(book.nets, after);
    assert!(["a", "b", "c"].into_iter().all(|name| book.nets[&player(name)] == 0));
}

/// blnk#181: a balance was checked without what was already held from it, so six holds of 1000 were taken from 5000.
#[test]
fn blnk_181_what_is_held_already_is_not_there_for_the_next_hold() {
    let mut funds = Funds([("a".into(), 5_000), ("b".into(), 1_000_000)].into_iter().collect());
    for number in 1..=6 {
        let outcome = applied(None, "CONFIRMED buy=1000 g1:a g2:b", &studio(), &mut funds);
        let held = outcome.transfers.len();
        assert_eq!(held, if number <= 5 { 2 } else { 0 }, "match {number}");
        assert_eq!(funds.0[&"a".into()], 5_000 - 1_000 * number.min(5));
    }
    assert_eq!(
        funds.0[&"b".into()],
        1_000_000 - 5_000,
        "who had the money keeps it where the other one was short"
    );
}

/// blnk#182: a hold that had been rejected for lack of money could still be committed, which overdrew the balance.
#[test]
fn blnk_182_a_hold_that_failed_is_never_paid_out() {
    let funds = [("a".into(), 1_000), ("b".into(), 999)].into_iter().collect();
    for end in [
        "CLOSED buy=1000 win=g1 g1:a g2:b",
        "CLOSED buy=1000 win=g2 g1:a g2:b",
        "CLOSED buy=1000 win=g1 g1:a=2000 g2:b",
        "CLOSED_TIE buy=1000 g1:a g2:b",
        "CANCELED_OTHER buy=1000 g1:a g2:b",
    ] {
        let mut book = Book::new(&studio(), &funds);
        let failed = book.say(&snapshot("CONFIRMED buy=1000 g1:a g2:b"), true);
        assert_eq!(failed.anomalies[0].kind, AnomalyKind::HoldFailed);
        assert_eq!(failed.notices[0].kind, "match.hold_failed");
        assert_eq!(book.say(&snapshot(end), true).transfers, [], "{end}");
        assert!(book.nets.is_empty(), "{end}");
    }
}

/// Nakama's `walletsUpdate` skips a user that it does not know and reports no error, so a prize is lost in silence.
/// Here whoever the end names is paid, known or not; and where the studio holds the stakes somebody without an
/// account fails loudly.
#[test]
fn nakama_a_player_whom_nobody_knows_is_paid_or_told_of() {
    let mut book = Book::new(&policy(), &BTreeMap::new());
    book.say(&snapshot("CLOSED buy=1000 win=g1 g1:stranger=1800 g2:other"), true);
    assert_eq!(book.nets[&player("stranger")], 800);

    let mut book = Book::new(&studio(), &[("a".into(), 1_000)].into_iter().collect());
    let outcome = book.say(&snapshot("CLOSED buy=1000 win=g2 g1:a g2:stranger"), true);
    let kinds: Vec<AnomalyKind> = outcome.anomalies.iter().map(|anomaly| anomaly.kind).collect();
    assert!(kinds.contains(&AnomalyKind::HoldFailed) && kinds.contains(&AnomalyKind::HoldMissing));
    assert_eq!(outcome.state.status, MatchStatus::PendingOutcomes);
    assert!(book.nets.is_empty());
}

/// formancehq/stack#1633: the same idempotency key twice in one batch crashed the ledger. Here a batch folds its events
/// one after the other, so the second sees what the first did, in the same bytes or in others.
#[test]
fn formance_stack_1633_two_equal_keys_in_one_batch_move_once() {
    let mut funds = Funds([("a".into(), 1_000), ("b".into(), 1_000)].into_iter().collect());
    let mut state = None;
    let mut keys = Vec::new();
    for line in [
        "CONFIRMED buy=1000 g1:a g2:b",
        "CONFIRMED buy=1000 g1:a g2:b",
        "LOCKED buy=1000 g2:b g1:a",
        "CLOSED buy=1000 win=g1 g1:a g2:b",
        "CLOSED buy=1000 win=g1 g2:b g1:a",
    ] {
        let outcome = applied(state.take(), line, &studio(), &mut funds);
        keys.extend(outcome.transfers.into_iter().map(|t| (t.kind, t.subject, t.generation)));
        state = Some(outcome.state);
    }
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), count), (4, 4), "two holds, one payout and the fee");
}

/// A body that no signature covers says who won how much. Where nothing is held there is nothing to hand over either,
/// and the provider is not made to bring it.
#[test]
fn figures_of_an_unsigned_body_pay_nobody_even_where_nothing_is_held() {
    for line in ["CLOSED win=g1 g1:a=5000 g2:b", "CLOSED_TIE g1:a=5000 g2:b"] {
        let mut book = Book::new(&policy(), &BTreeMap::new());
        let outcome = book.say(&snapshot(line), false);
        assert_eq!((outcome.transfers, outcome.state.settlement), (vec![], None), "{line}");
        assert_eq!(outcome.anomalies[0].kind, AnomalyKind::PayoutUnauthenticated);
    }
}

/// The stakes went back; then two ends come that name different winners. Who decides knows of one of them only, when
/// the second is taken for the first one's repeat.
#[test]
fn another_winner_after_the_stakes_went_back_is_told_too() {
    let mut book = Book::new(&policy(), &BTreeMap::new());
    book.say(&snapshot("CANCELED_OTHER buy=1000 g1:a g2:b"), true);
    let keys: Vec<String> = ["g1", "g2", "g1"]
        .into_iter()
        .flat_map(|wins| {
            book.say(&snapshot(&format!("CLOSED buy=1000 win={wins} g1:a g2:b")), true).anomalies
        })
        .map(|anomaly| anomaly.discriminator)
        .collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1], "an anomaly's key is kept for ever, and opens no second one");
}

/// As many players as a delivery can name: what is decided about them must not take the square of their number.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is about the time that passes")]
fn a_crowd_is_settled_in_the_time_of_a_crowd() {
    let mut end = snapshot("CLOSED buy=1000 win=g1 g1:a");
    let crowd =
        (0..30_000).map(|n| Participant { player_id: format!("{n:08}").as_str().into(), reward: None });
    end.groups[0].players = crowd.collect();
    let mut funds = Funds::default();
    let policy = SourcePolicy { fee_bps: 1, ..policy() };
    let began = std::time::Instant::now();
    let trust = Trust { body_authenticated: true };
    let outcome = apply(None, &end, &policy, &mut funds, trust, Timestamp::from_seconds(0));
    assert_eq!(outcome.state.paid + outcome.state.fee, 30_000_000);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}
