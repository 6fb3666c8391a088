//! A book beside the escrow: it sees only the transfers, and checks after every step what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::escrow::{
    Account, Funds, MatchState, Outcome, Settlement, Transfer, TransferKind, Trust, apply, expire,
};
use matchpurse_domain::event::{Disposition, MatchSnapshot};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::source::{Custody, SourcePolicy};
use matchpurse_domain::time::Timestamp;

/// One match with the accounts that it moves.
#[derive(Clone)]
pub(crate) struct Book {
    policy: SourcePolicy,
    /// The match as it is.
    pub(crate) state: Option<MatchState>,
    /// What each account gained through the match, minor units.
    pub(crate) nets: BTreeMap<Account, i64>,
    /// What came from outside: before the match, or as a deposit during it.
    deposits: BTreeMap<PlayerId, i64>,
    /// The sums of the transfers, by kind.
    sums: BTreeMap<TransferKind, i64>,
    keys: BTreeSet<(TransferKind, Account, i16)>,
    deadline: Option<Timestamp>,
    seconds: i64,
}

impl Book {
    pub(crate) fn new(policy: &SourcePolicy, funds: &BTreeMap<PlayerId, i64>) -> Self {
        Self {
            policy: policy.clone(),
            state: None,
            nets: BTreeMap::new(),
            deposits: funds.clone(),
            sums: BTreeMap::new(),
            keys: BTreeSet::new(),
            deadline: None,
            seconds: 0,
        }
    }

    pub(crate) fn deposit(&mut self, player: PlayerId, amount: i64) {
        *self.deposits.entry(player).or_default() += amount;
    }

    /// What each player has now.
    pub(crate) fn funds(&self) -> Funds {
        let mut funds = self.deposits.clone();
        for (account, net) in &self.nets {
            if let Account::Player(player) = account {
                *funds.entry(player.clone()).or_default() += net;
            }
        }
        Funds(funds)
    }

    /// Plays an event. It is played twice: what was said already must change and move nothing.
    pub(crate) fn say(&mut self, snapshot: &MatchSnapshot, signed: bool) -> Outcome {
        let trust = Trust { body_authenticated: signed };
        self.seconds += 10;
        let at = Timestamp::from_seconds(self.seconds);
        let play =
            |book: &Self| apply(book.state.clone(), snapshot, &book.policy, &mut book.funds(), trust, at);
        let outcome = play(self);
        self.keep(&outcome, at);
        let again = play(self);
        assert_eq!(again.transfers, [], "a repeat of {snapshot:?} moved money");
        assert_eq!(again.state, outcome.state, "a repeat of {snapshot:?} changed the match");
        outcome
    }

    /// Lets the deadline pass.
    pub(crate) fn expire(&mut self) -> Outcome {
        self.seconds += self.policy.hold_deadline_s;
        let outcome = expire(self.state.clone().unwrap(), self.policy.on_deadline);
        self.keep(&outcome, Timestamp::from_seconds(self.seconds));
        outcome
    }

    fn keep(&mut self, outcome: &Outcome, at: Timestamp) {
        let (before, now) = (self.state.clone(), &outcome.state);
        for transfer in &outcome.transfers {
            self.post(transfer);
        }
        if let Some(before) = before {
            assert!(now.status.rank() >= before.status.rank(), "the status went back");
            if before.settlement.is_some() {
                assert_eq!(outcome.transfers, [], "money moved after the end");
                assert_eq!((now.status, now.settlement), (before.status, before.settlement));
                assert_eq!(now.seats, before.seats, "a late event touched a seat");
            }
        }
        self.state_matches_the_transfers(now);
        // The first hold starts the clock, later ones do not move it, and the end stops it.
        if now.escrowed() > 0 {
            let due = at.plus_seconds(self.policy.hold_deadline_s);
            self.deadline = self.deadline.or(Some(due));
        } else {
            self.deadline = None;
        }
        assert_eq!(now.deadline, self.deadline);
        self.state = Some(now.clone());
    }

    fn post(&mut self, transfer: &Transfer) {
        let Transfer { kind, subject, generation, debit, credit, amount } = transfer;
        assert!(*amount > 0, "{transfer:?}");
        let (from, to) = match kind {
            TransferKind::Hold => (subject, &Account::Escrow),
            TransferKind::Payout | TransferKind::Refund | TransferKind::Fee => (&Account::Escrow, subject),
            TransferKind::TopUp => (&Account::External, &Account::Escrow),
            TransferKind::Reversal => panic!("only a person reverses: {transfer:?}"),
        };
        assert_eq!((debit, credit), (from, to), "{transfer:?}");
        assert!(
            self.keys.insert((*kind, subject.clone(), *generation)),
            "the key of {transfer:?} came twice"
        );
        if let TransferKind::Payout | TransferKind::Refund = kind {
            let slot = |kind| self.keys.contains(&(kind, subject.clone(), *generation));
            assert!(
                slot(TransferKind::Payout) != slot(TransferKind::Refund),
                "{subject:?} was paid and refunded"
            );
        }
        *self.sums.entry(*kind).or_default() += amount;
        *self.nets.entry(debit.clone()).or_default() -= amount;
        *self.nets.entry(credit.clone()).or_default() += amount;
        if self.policy.custody == Custody::Studio {
            assert!(self.funds().0.values().all(|has| *has >= 0), "somebody is below zero: {transfer:?}");
        }
    }

    /// The match's own figures are those of its transfers, and they are conserved.
    fn state_matches_the_transfers(&self, now: &MatchState) {
        let sum = |kind| self.sums.get(&kind).copied().unwrap_or(0);
        let escrow = self.nets.get(&Account::Escrow).copied().unwrap_or(0);
        assert_eq!(now.pot, sum(TransferKind::Hold) + sum(TransferKind::TopUp));
        assert_eq!(now.paid, sum(TransferKind::Payout));
        assert_eq!(now.refunded, sum(TransferKind::Refund));
        assert_eq!(now.fee, sum(TransferKind::Fee));
        assert_eq!(now.escrowed(), escrow);
        assert!(escrow >= 0, "escrow is below zero");
        assert_eq!(now.seats.values().map(|seat| seat.hold).sum::<i64>(), sum(TransferKind::Hold));
        assert_eq!(now.seats.values().map(|seat| seat.payout).sum::<i64>(), now.paid);
        assert_eq!(now.seats.values().map(|seat| seat.refund).sum::<i64>(), now.refunded);
        let expected = match now.status.disposition() {
            Disposition::None | Disposition::Hold => None,
            Disposition::Payout => Some(Settlement::Payout),
            Disposition::Tie => Some(Settlement::Tie),
            Disposition::Refund => Some(Settlement::Refund),
        };
        assert_eq!(now.settlement, expected);
        assert!(expected.is_none() || escrow == 0, "settled with {escrow} left in escrow");
        if expected == Some(Settlement::Refund) {
            assert_eq!((now.refunded, now.paid, now.fee), (now.pot, 0, 0), "a refund gives everything back");
        }
    }
}
