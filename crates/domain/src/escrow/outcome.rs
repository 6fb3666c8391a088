//! What an end says, and whether another one says the same.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::state::MatchState;
use crate::event::{Disposition, MatchSnapshot, MatchStatus, Outcome, RewardKind};
use crate::ids::PlayerId;
use crate::source::Custody;

/// Money that the provider says it gave, by player.
pub(super) fn cash_figures(snapshot: &MatchSnapshot) -> BTreeMap<PlayerId, i64> {
    let participants = snapshot.groups.iter().flat_map(|group| &group.players);
    participants
        .filter_map(|player| {
            let reward = player.reward.as_ref().filter(|reward| reward.kind == RewardKind::Cash)?;
            Some((player.player_id.clone(), reward.amount.as_ref()?.minor_units))
        })
        .collect()
}

/// True when an end does not contradict the one that the match has. It may say less: who repeats the winners
/// without the figures, or gives the stakes back for another reason, contradicts nobody.
pub(super) fn agrees(state: &MatchState, snapshot: &MatchSnapshot) -> bool {
    let disposition = snapshot.status.disposition();
    if disposition != state.status.disposition() {
        return false;
    }
    if disposition == Disposition::Refund || state.outcome_digest == Some(outcome_digest(snapshot)) {
        return true;
    }
    // Where the studio holds the stakes a provider's figures decide nothing.
    let figures = match state.custody {
        Custody::Provider => given(snapshot),
        Custody::Studio => BTreeMap::new(),
    };
    let paid: BTreeMap<PlayerId, i64> = state
        .seats
        .iter()
        .filter(|(_, seat)| seat.payout > 0)
        .map(|(player, seat)| (player.clone(), seat.payout))
        .collect();
    let figures_agree = figures.is_empty() || figures == paid;
    let won: BTreeSet<&str> = state
        .seats
        .values()
        .filter(|seat| seat.outcome == Some(Outcome::Win))
        .map(|seat| seat.group_id.as_str())
        .collect();
    let named: BTreeSet<&str> = snapshot.winner_group_ids.iter().map(String::as_str).collect();
    let winners_agree = match disposition {
        Disposition::Payout => named == won || (!figures.is_empty() && named.is_subset(&won)),
        _ => true,
    };
    figures_agree && winners_agree
}

/// True when the match has ended and the snapshot tells the end that stands, or less of it: of several that do, the
/// earliest says when it ended, in whatever order they come.
pub fn tells_its_end(state: &MatchState, snapshot: &MatchSnapshot) -> bool {
    state.settlement.is_some() && snapshot.status.is_terminal() && agrees(state, snapshot)
}

/// The figures that are amounts: zero is none.
fn given(snapshot: &MatchSnapshot) -> BTreeMap<PlayerId, i64> {
    let mut figures = cash_figures(snapshot);
    figures.retain(|_, amount| *amount > 0);
    figures
}

/// What an end says, to tell one from another: all ends that give the stakes back say the same.
pub(super) fn end_digest(snapshot: &MatchSnapshot) -> [u8; 32] {
    match snapshot.status.disposition() {
        Disposition::Refund => refund_digest(),
        _ => outcome_digest(snapshot),
    }
}

/// [`end_digest`] of what gives the stakes back.
pub(super) fn refund_digest() -> [u8; 32] {
    Sha256::digest(b"refund").into()
}

/// What an end says of winners and payouts, independent of the order and form in which it says it.
pub(super) fn outcome_digest(snapshot: &MatchSnapshot) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(if snapshot.status == MatchStatus::ClosedTie { b"tie" } else { b"win" });
    let wins: BTreeSet<&String> = snapshot.winner_group_ids.iter().collect();
    for group in wins {
        hash.update([0]);
        hash.update(group);
    }
    for (player, amount) in given(snapshot) {
        hash.update([1]);
        hash.update(player.as_str());
        hash.update(amount.to_be_bytes());
    }
    hash.finalize().into()
}
