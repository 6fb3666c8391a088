//! The end of a match that has winners or is tied.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{Decision, Trust};
use super::outcome::{cash_figures, end_digest, outcome_digest};
use super::split::{fee_of, player_shares, shares};
use super::state::{AnomalyKind, SeatState, Settlement};
use crate::event::{MatchSnapshot, MatchStatus, Outcome, RewardKind};
use crate::ids::PlayerId;
use crate::source::{Custody, TiePolicy};

/// How the money of an ended match is divided.
pub(super) enum Division {
    /// The provider's figures, where it holds the stakes: it has paid already, and we record it.
    Figures(BTreeMap<PlayerId, i64>),
    /// The prize, divided among the winners.
    Winners(BTreeMap<String, Vec<PlayerId>>),
    /// By the tie policy.
    Tie,
}

/// Settles the match, or leaves it waiting for its outcome with an anomaly: no money moves on a guess.
pub(super) fn close(decision: &mut Decision, snapshot: &MatchSnapshot, trust: Trust) {
    let division = match divide(decision, snapshot, trust) {
        Ok(division) => division,
        Err((kind, detail)) => return wait_for_outcome(decision, snapshot, kind, detail),
    };
    settle(decision, snapshot, division);
}

/// Divides the money as it was decided, and ends the match.
pub(super) fn settle(decision: &mut Decision, snapshot: &MatchSnapshot, division: Division) {
    refund_vanished(decision, snapshot);
    let tie = snapshot.status == MatchStatus::ClosedTie;
    match division {
        Division::Figures(figures) => pay_figures(decision, &figures),
        Division::Winners(groups) => pay_winners(decision, &groups),
        Division::Tie => settle_tie(decision),
    }
    close_seats(decision, snapshot, tie);
    decision.state.settlement = Some(if tie { Settlement::Tie } else { Settlement::Payout });
    decision.state.outcome_digest = Some(outcome_digest(snapshot));
    decision.notice("match.settled", "end".to_owned());
}

fn divide(
    decision: &Decision,
    snapshot: &MatchSnapshot,
    trust: Trust,
) -> Result<Division, (AnomalyKind, String)> {
    let tie = snapshot.status == MatchStatus::ClosedTie;
    let staked = decision.state.escrowed() > 0;
    let records = decision.state.custody == Custody::Provider && decision.state.stakes_money();
    let figures = if records { cash_figures(snapshot) } else { BTreeMap::new() };
    let paid = figures.values().any(|amount| *amount > 0);
    let gives_back = tie && !paid && decision.state.tie_policy == TiePolicy::RefundFull;
    // Figures are claimed also where nothing is held: the difference would come from the provider.
    if (staked || paid) && !trust.body_authenticated && !gives_back {
        let detail = "stakes were claimed by a body that no signature covers".to_owned();
        return Err((AnomalyKind::PayoutUnauthenticated, detail));
    }
    if paid {
        return plausible(decision, snapshot, &figures).map(|()| Division::Figures(figures));
    }
    if tie {
        return Ok(Division::Tie);
    }
    let groups = winners(decision, snapshot);
    if groups.is_empty() && decision.state.stakes_money() {
        let named = snapshot.winner_group_ids.join(", ");
        let detail = format!("no player of a winning group is known; named: [{named}]");
        return Err((AnomalyKind::WinnerUnknown, detail));
    }
    if records && staked && (!figures.is_empty() || has_other_rewards(snapshot)) {
        let detail = "the provider names rewards, but no amount of money for anybody".to_owned();
        return Err((AnomalyKind::PayoutUnknown, detail));
    }
    Ok(Division::Winners(groups))
}

/// A reward need not have been won. Figures beyond the pot are a promotion when only winners get them; when
/// others get some too, they may as well be what everybody could have won.
fn plausible(
    decision: &Decision,
    snapshot: &MatchSnapshot,
    figures: &BTreeMap<PlayerId, i64>,
) -> Result<(), (AnomalyKind, String)> {
    let wins = &snapshot.winner_group_ids;
    let won = |player: &PlayerId| {
        decision.state.seats.get(player).is_some_and(|seat| wins.contains(&seat.group_id))
    };
    let others = !wins.is_empty() && figures.iter().any(|(player, amount)| *amount > 0 && !won(player));
    let total = figures.values().try_fold(0_i64, |sum, amount| sum.checked_add(*amount));
    // Whoever is not in the final list gets the stake back, which is no part of what is divided.
    let vanished = vanished(decision, snapshot);
    let goes_back = vanished.iter().filter_map(|player| decision.state.seats.get(player));
    let goes_back = goes_back.fold(0_i64, |sum, seat| sum.saturating_add(seat.hold));
    let pot = decision.state.escrowed().saturating_sub(goes_back);
    if others && total.is_none_or(|total| total > pot) {
        let detail = "the provider's figures exceed the pot and pay players who did not win".to_owned();
        return Err((AnomalyKind::PayoutUnknown, detail));
    }
    Ok(())
}

/// The outcome is not known: the stakes stay held, and so does the deadline.
fn wait_for_outcome(decision: &mut Decision, snapshot: &MatchSnapshot, kind: AnomalyKind, detail: String) {
    decision.state.status = decision.before.max(MatchStatus::PendingOutcomes);
    decision.state.provider_status.clone_from(&snapshot.provider_status);
    decision.state.claimed_end = true;
    decision.state.remember_end(end_digest(snapshot));
    decision.anomaly(kind, "", detail);
}

fn has_other_rewards(snapshot: &MatchSnapshot) -> bool {
    let mut participants = snapshot.groups.iter().flat_map(|group| &group.players);
    participants.any(|player| player.reward.as_ref().is_some_and(|reward| reward.kind == RewardKind::Studio))
}

/// The players of the winning groups, by group; those who have a stake in it where there are stakes.
fn winners(decision: &Decision, snapshot: &MatchSnapshot) -> BTreeMap<String, Vec<PlayerId>> {
    let wins = snapshot.winner_group_ids.iter().map(String::as_str).collect::<BTreeSet<_>>();
    let mut groups: BTreeMap<String, Vec<PlayerId>> = BTreeMap::new();
    let everybody: BTreeSet<&PlayerId> = snapshot.players().collect();
    for (player, seat) in &decision.state.seats {
        let listed = snapshot.groups.is_empty() || everybody.contains(player);
        let staked = decision.stake() == 0 || seat.state == SeatState::Held;
        if wins.contains(seat.group_id.as_str()) && listed && staked {
            groups.entry(seat.group_id.clone()).or_default().push(player.clone());
        }
    }
    groups
}

/// Whoever holds a stake but is not in the end's list. An end without any list says nothing about who played.
fn vanished(decision: &Decision, snapshot: &MatchSnapshot) -> Vec<PlayerId> {
    let listed: BTreeSet<&PlayerId> = snapshot.players().collect();
    let absent = |player: &PlayerId| !listed.is_empty() && !listed.contains(player);
    decision.held().map(|(player, _)| player.clone()).filter(absent).collect()
}

/// Gives the stakes back of those who did not play.
fn refund_vanished(decision: &mut Decision, snapshot: &MatchSnapshot) {
    for player in vanished(decision, snapshot) {
        decision.refund(&player, None);
        let detail = format!("{player} held a stake but is not in the final list; the stake went back");
        decision.anomaly(AnomalyKind::ParticipantVanished, player.as_str(), detail);
    }
}

/// Records what the provider paid: more than the pot is its promotion, less is its fee.
fn pay_figures(decision: &mut Decision, figures: &BTreeMap<PlayerId, i64>) {
    let mut total = 0;
    for amount in figures.values() {
        total = decision.sum(total, *amount);
    }
    let escrowed = decision.state.escrowed();
    if total > escrowed {
        decision.top_up(total.saturating_sub(escrowed));
    }
    for (player, amount) in figures {
        decision.pay(player, *amount);
    }
    let left = decision.state.escrowed();
    decision.keep_as_fee(left);
}

/// Divides the prize by winning group, then among the players of each.
fn pay_winners(decision: &mut Decision, groups: &BTreeMap<String, Vec<PlayerId>>) {
    let escrowed = decision.state.escrowed();
    if escrowed == 0 {
        return;
    }
    let fee = fee_of(escrowed, decision.state.fee_bps).unwrap_or(0);
    let match_id = decision.state.match_id.clone();
    let names: Vec<&str> = groups.keys().map(String::as_str).collect();
    let by_group = shares(escrowed.saturating_sub(fee), &match_id, &names).unwrap_or_default();
    for (players, (_, prize)) in groups.values().zip(by_group) {
        for (player, share) in player_shares(prize, &match_id, players).unwrap_or_default() {
            decision.pay(&player, share);
        }
    }
    let left = decision.state.escrowed();
    decision.keep_as_fee(left);
}

fn settle_tie(decision: &mut Decision) {
    let players: Vec<PlayerId> = decision.held().map(|(player, _)| player.clone()).collect();
    let escrowed = decision.state.escrowed();
    if players.is_empty() || escrowed == 0 {
        return;
    }
    let fee = match decision.state.tie_policy {
        TiePolicy::RefundFull => 0,
        TiePolicy::RefundMinusFee | TiePolicy::Split => fee_of(escrowed, decision.state.fee_bps).unwrap_or(0),
    };
    let match_id = decision.state.match_id.clone();
    if decision.state.tie_policy == TiePolicy::Split {
        let prize = escrowed.saturating_sub(fee);
        for (player, share) in player_shares(prize, &match_id, &players).unwrap_or_default() {
            decision.pay(&player, share);
        }
    } else {
        for (player, share) in player_shares(fee, &match_id, &players).unwrap_or_default() {
            decision.refund(&player, Some(share));
        }
    }
    let left = decision.state.escrowed();
    decision.keep_as_fee(left);
}

/// Every seat that is still open is closed, and who played learns how it ended.
fn close_seats(decision: &mut Decision, snapshot: &MatchSnapshot, tie: bool) {
    let wins: BTreeSet<&str> = snapshot.winner_group_ids.iter().map(String::as_str).collect();
    let listed: BTreeSet<&PlayerId> = snapshot.players().collect();
    let knows = tie || !wins.is_empty() || decision.state.paid > 0;
    for (player, seat) in &mut decision.state.seats {
        if seat.state == SeatState::Held {
            seat.state = SeatState::Settled;
        }
        if !knows || !(listed.is_empty() || listed.contains(player)) {
            continue;
        }
        // In a partial tie the provider names one winning group, and pays several.
        let won = seat.payout > 0 || wins.contains(seat.group_id.as_str());
        seat.outcome = Some(match (tie, won) {
            (true, _) => Outcome::Tie,
            (false, true) => Outcome::Win,
            (false, false) => Outcome::Loss,
        });
    }
}
