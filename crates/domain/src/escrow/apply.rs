use std::collections::{BTreeMap, BTreeSet};

use super::close;
use super::outcome;
use super::state::{
    Account, Anomaly, AnomalyKind, MatchState, Notice, Outcome, Seat, SeatState, Settlement, Transfer,
    TransferKind,
};
use crate::event::{Disposition, MatchSnapshot, MatchStatus};
use crate::ids::PlayerId;
use crate::source::{Custody, SourcePolicy};
use crate::time::Timestamp;

/// What the players have, as far as a hold may use it. Only asked where the studio holds the stakes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Funds(pub BTreeMap<PlayerId, i64>);

/// How far the event that says it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// True when a signature covered the body. A body that only its caller vouches for may hold stakes and
    /// give them back, never hand them to somebody else.
    pub body_authenticated: bool,
}

/// Applies a snapshot of a match.
///
/// `at` is the time of the event, not of its processing, so that a replay decides the same. `funds` are
/// reduced by what is held from them.
pub fn apply(
    state: Option<MatchState>,
    snapshot: &MatchSnapshot,
    policy: &SourcePolicy,
    funds: &mut Funds,
    trust: Trust,
    at: Timestamp,
) -> Outcome {
    let state = state.unwrap_or_else(|| MatchState::first(snapshot, policy));
    let before = state.clone();
    let mut decision = Decision::new(state);
    if decision.state.settlement.is_some() {
        decision.after_the_end(snapshot);
    } else {
        decision.merge(snapshot);
        decision.advance(snapshot, funds, trust, at.plus_seconds(policy.hold_deadline_s));
    }
    decision.finish(before, snapshot)
}

/// A decision in the making.
pub(super) struct Decision {
    pub(super) state: MatchState,
    pub(super) transfers: Vec<Transfer>,
    pub(super) anomalies: Vec<Anomaly>,
    pub(super) notices: Vec<Notice>,
    late: bool,
    pub(super) overflow: bool,
    /// Where the match was before this event: a status never falls behind it.
    pub(super) before: MatchStatus,
}

impl Decision {
    pub(super) const fn new(state: MatchState) -> Self {
        Self {
            before: state.status,
            state,
            transfers: Vec::new(),
            anomalies: Vec::new(),
            notices: Vec::new(),
            late: false,
            overflow: false,
        }
    }

    /// Amounts that do not fit undo the whole decision: nothing moves, and a person is told.
    fn finish(mut self, before: MatchState, snapshot: &MatchSnapshot) -> Outcome {
        if self.overflow {
            self = Self::new(before);
            self.anomaly(
                AnomalyKind::AmountOverflow,
                snapshot.status.as_str(),
                "the match's amounts do not fit".into(),
            );
        }
        self.outcome()
    }

    pub(super) fn outcome(self) -> Outcome {
        let Self { state, transfers, anomalies, notices, late, .. } = self;
        Outcome { state, transfers, anomalies, notices, late }
    }

    pub(super) fn anomaly(&mut self, kind: AnomalyKind, discriminator: &str, detail: String) {
        let anomaly = Anomaly { kind, discriminator: discriminator.to_owned(), detail };
        if !self.anomalies.contains(&anomaly) {
            self.anomalies.push(anomaly);
        }
    }

    pub(super) fn notice(&mut self, kind: &'static str, discriminator: String) {
        let notice = Notice { kind, discriminator };
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// The match has ended: empty attributes are filled, and a contradiction is noted.
    fn after_the_end(&mut self, snapshot: &MatchSnapshot) {
        self.late = true;
        self.fill(snapshot);
        self.stake_after_the_end(snapshot);
        if !snapshot.status.is_terminal() {
            return;
        }
        let digest = outcome::end_digest(snapshot);
        if outcome::agrees(&self.state, snapshot) || self.state.other_ends.contains(&digest) {
            return;
        }
        let (first, second) = (self.state.status.disposition(), snapshot.status.disposition());
        self.state.remember_end(digest);
        let text = format!("{} after {}", snapshot.status.as_str(), self.state.status.as_str());
        let said = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        if first == second {
            let text = format!("{text}, with another outcome");
            self.anomaly(AnomalyKind::OutcomeConflict, &said, text);
        } else {
            // Another winner than the one that a person was told of is news; all refunds say the same.
            let discriminator = match second {
                Disposition::Refund => snapshot.status.as_str().to_owned(),
                _ => format!("{}:{said}", snapshot.status.as_str()),
            };
            self.anomaly(AnomalyKind::TerminalConflict, &discriminator, text);
        }
    }

    /// Another stake than the one that was settled. Stakes that went back without ever being known are no matter.
    fn stake_after_the_end(&mut self, snapshot: &MatchSnapshot) {
        let stake = snapshot.buy_in.as_ref().map_or(0, |money| money.minor_units);
        let settled = match (self.state.buy_in, self.state.settlement) {
            (None, Some(Settlement::Refund)) => return,
            (settled, _) => settled.unwrap_or(0),
        };
        if stake > 0 && stake != settled && self.state.stakes_money() {
            let text = format!("a stake of {stake} after the match had ended with one of {settled}");
            self.anomaly(AnomalyKind::BuyInConflict, &stake.to_string(), text);
        }
    }

    /// Attributes that were empty take the snapshot's.
    fn fill(&mut self, snapshot: &MatchSnapshot) {
        let state = &mut self.state;
        state.format = state.format.or(snapshot.format);
        if state.game_id.is_none() {
            state.game_id.clone_from(&snapshot.game_id);
        }
        if state.created_by.is_none() {
            state.created_by.clone_from(&snapshot.created_by);
        }
    }

    /// Attributes, stake, players and status; no money yet.
    pub(super) fn merge(&mut self, snapshot: &MatchSnapshot) {
        self.fill(snapshot);
        if let (true, Some(buy_in)) = (self.state.stakes_money(), &snapshot.buy_in) {
            match self.state.buy_in {
                None => self.state.buy_in = Some(buy_in.minor_units),
                Some(first) if first != buy_in.minor_units => self.anomaly(
                    AnomalyKind::BuyInConflict,
                    &buy_in.minor_units.to_string(),
                    format!("a stake of {} after one of {first}; the first one stays", buy_in.minor_units),
                ),
                Some(_) => {}
            }
        }
        let terminal = snapshot.status.is_terminal();
        for group in &snapshot.groups {
            for player in &group.players {
                let seat = self
                    .state
                    .seats
                    .entry(player.player_id.clone())
                    .or_insert_with(|| Seat::joined(group.group_id.clone()));
                if terminal || seat.group_id.is_empty() {
                    seat.group_id.clone_from(&group.group_id);
                }
            }
        }
        if snapshot.status.rank() > self.state.status.rank() {
            self.state.status = snapshot.status;
            self.state.provider_status.clone_from(&snapshot.provider_status);
        } else if snapshot.status == self.state.status && self.state.provider_status.is_empty() {
            self.state.provider_status.clone_from(&snapshot.provider_status);
        }
    }

    /// What the status that the match now has does with money.
    fn advance(&mut self, snapshot: &MatchSnapshot, funds: &mut Funds, trust: Trust, deadline: Timestamp) {
        match self.state.status.disposition() {
            Disposition::None => {}
            Disposition::Hold => self.hold_all(funds, deadline),
            Disposition::Refund => self.refund_all(),
            Disposition::Payout | Disposition::Tie => {
                self.hold_listed(snapshot, funds, deadline);
                close::close(self, snapshot, trust);
                // Without an outcome it only waits, and holds everybody as any match does that waits.
                if self.state.settlement.is_none() {
                    self.hold_all(funds, deadline);
                }
            }
        }
        self.forget_deadline();
    }

    /// What has ended waits for nobody any more.
    pub(super) fn forget_deadline(&mut self) {
        if self.state.settlement.is_some() {
            self.state.deadline = None;
            self.state.arbitration_asked = false;
            self.state.claimed_end = false;
        }
    }

    /// The end's own list says who played: those are held if they were not yet, so that the pot is whole.
    pub(super) fn hold_listed(&mut self, snapshot: &MatchSnapshot, funds: &mut Funds, deadline: Timestamp) {
        if snapshot.players().next().is_none() {
            return self.hold_all(funds, deadline);
        }
        let joined = |decision: &Self, player: &PlayerId| {
            decision.state.seats.get(player).is_some_and(|seat| seat.state == SeatState::Joined)
        };
        let unheld: Vec<PlayerId> =
            snapshot.players().filter(|player| joined(self, player)).cloned().collect();
        self.hold(&unheld, funds, deadline);
        if self.state.custody == Custody::Studio && self.stake() > 0 {
            for player in unheld.iter().filter(|player| joined(self, player)).cloned().collect::<Vec<_>>() {
                let detail =
                    format!("{player} is in the final list without a hold; the others are settled alone");
                self.anomaly(AnomalyKind::HoldMissing, player.as_str(), detail);
            }
        }
    }

    fn hold_all(&mut self, funds: &mut Funds, deadline: Timestamp) {
        let unheld: Vec<PlayerId> = self
            .state
            .seats
            .iter()
            .filter(|(_, seat)| seat.state == SeatState::Joined)
            .map(|(player, _)| player.clone())
            .collect();
        self.hold(&unheld, funds, deadline);
    }

    /// The stake of one player; zero where the match is membership only.
    pub(super) fn stake(&self) -> i64 {
        if self.state.stakes_money() { self.state.buy_in.unwrap_or(0) } else { 0 }
    }

    /// Takes the players' stakes into escrow. Where the studio holds the stakes it is all or none: one who
    /// has not the money leaves the match unheld.
    pub(super) fn hold<'p>(
        &mut self,
        players: impl IntoIterator<Item = &'p PlayerId>,
        funds: &mut Funds,
        deadline: Timestamp,
    ) {
        let stake = self.stake();
        let joined = |player: &&PlayerId| {
            self.state.seats.get(*player).is_some_and(|seat| seat.state == SeatState::Joined)
        };
        // A list may name somebody twice; the stake is held once.
        let players: BTreeSet<PlayerId> = players.into_iter().filter(joined).cloned().collect();
        if stake == 0 || players.is_empty() {
            return;
        }
        if self.state.custody == Custody::Studio {
            let has = |player: &PlayerId| funds.0.get(player).copied().unwrap_or(0);
            let short: Vec<&PlayerId> = players.iter().filter(|player| has(player) < stake).collect();
            if let Some(first) = short.first() {
                let detail =
                    format!("{} player(s) have not the stake of {stake}, among them {first}", short.len());
                self.anomaly(AnomalyKind::HoldFailed, first.as_str(), detail);
                self.notice("match.hold_failed", format!("hold_failed:{first}"));
                return;
            }
            for player in &players {
                funds.0.entry(player.clone()).and_modify(|has| *has = has.saturating_sub(stake));
            }
        }
        for player in &players {
            let Some(seat) = self.state.seats.get_mut(player) else { continue };
            seat.state = SeatState::Held;
            seat.hold = stake;
            self.state.pot = self.sum(self.state.pot, stake);
            self.transfers.push(Transfer {
                kind: TransferKind::Hold,
                subject: Account::Player(player.clone()),
                generation: self.state.generation,
                debit: Account::Player(player.clone()),
                credit: Account::Escrow,
                amount: stake,
            });
        }
        self.state.deadline = self.state.deadline.or(Some(deadline));
        self.notice("match.held", format!("held:{}", self.state.pot));
    }

    /// Every stake goes back, and the match is over.
    pub(super) fn refund_all(&mut self) {
        let held: Vec<PlayerId> = self.held().map(|(player, _)| player.clone()).collect();
        for player in &held {
            self.refund(player, None);
        }
        self.state.settlement = Some(Settlement::Refund);
        self.notice("match.refunded", "end".to_owned());
    }

    /// Players whose stake is in escrow.
    pub(super) fn held(&self) -> impl Iterator<Item = (&PlayerId, &Seat)> {
        self.state.seats.iter().filter(|(_, seat)| seat.state == SeatState::Held)
    }

    /// Gives a player's stake back, less what is kept of it.
    pub(super) fn refund(&mut self, player: &PlayerId, kept: Option<i64>) {
        let Some(seat) = self.state.seats.get_mut(player).filter(|seat| seat.state == SeatState::Held) else {
            return;
        };
        seat.state = SeatState::Refunded;
        seat.refund = seat.hold.saturating_sub(kept.unwrap_or(0)).max(0);
        let amount = seat.refund;
        self.state.refunded = self.sum(self.state.refunded, amount);
        self.leave_escrow(TransferKind::Refund, Account::Player(player.clone()), amount);
    }

    /// Pays a player out of escrow; zero only closes the seat.
    pub(super) fn pay(&mut self, player: &PlayerId, amount: i64) {
        let Some(seat) = self.state.seats.get_mut(player) else { return };
        seat.state = SeatState::Settled;
        seat.payout = amount;
        self.state.paid = self.sum(self.state.paid, amount);
        self.leave_escrow(TransferKind::Payout, Account::Player(player.clone()), amount);
    }

    /// Books what is left in escrow as the fee.
    pub(super) fn keep_as_fee(&mut self, amount: i64) {
        self.state.fee = self.sum(self.state.fee, amount);
        self.leave_escrow(TransferKind::Fee, self.state.fee_account(), amount);
    }

    /// Brings the provider's promotional money into escrow.
    pub(super) fn top_up(&mut self, amount: i64) {
        self.state.pot = self.sum(self.state.pot, amount);
        self.transfers.push(Transfer {
            kind: TransferKind::TopUp,
            subject: Account::External,
            generation: self.state.generation,
            debit: Account::External,
            credit: Account::Escrow,
            amount,
        });
    }

    fn leave_escrow(&mut self, kind: TransferKind, to: Account, amount: i64) {
        if amount > 0 {
            self.transfers.push(Transfer {
                kind,
                subject: to.clone(),
                generation: self.state.generation,
                debit: Account::Escrow,
                credit: to,
                amount,
            });
        }
    }

    /// A sum that fits, or a mark that undoes the decision.
    pub(super) fn sum(&mut self, a: i64, b: i64) -> i64 {
        a.checked_add(b).unwrap_or_else(|| {
            self.overflow = true;
            a
        })
    }
}
