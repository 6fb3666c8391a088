//! Results that a match's own provider does not tell: the studio's back-end does.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{Decision, Funds, Trust};
use super::close;
use super::correct::Refusal;
use super::state::{MatchState, Outcome, SeatState};
use crate::event::{Group, MatchKind, MatchSnapshot, MatchStatus, Participant};
use crate::ids::PlayerId;
use crate::source::Custody;
use crate::time::Timestamp;

/// How a match went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchResult {
    /// Every side of the match, by the provider's id of it.
    pub groups: BTreeMap<String, GroupResult>,
    /// Players who had a score of their own; it decides nothing.
    pub players: BTreeMap<PlayerId, i64>,
}

/// How a side did. More points are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupResult {
    /// Its points.
    pub score: i64,
    /// It gave up or did not come, and is behind everybody who played, whatever its points.
    pub forfeit: bool,
}

impl MatchResult {
    /// The place of every side, from 1; who is equal shares one. All that forfeited share the last.
    pub fn places(&self) -> BTreeMap<&str, u32> {
        let better = |group: &GroupResult| {
            let ahead = |other: &&GroupResult| !other.forfeit && (group.forfeit || other.score > group.score);
            u32::try_from(self.groups.values().filter(ahead).count()).unwrap_or(u32::MAX)
        };
        self.groups.iter().map(|(id, group)| (id.as_str(), better(group).saturating_add(1))).collect()
    }

    /// The points of a player: his own, else his side's; none of who is on no side of the result.
    pub fn score_of(&self, player: &PlayerId, group_id: &str) -> Option<i64> {
        let own = self.players.get(player).copied();
        own.or_else(|| self.groups.get(group_id).map(|group| group.score))
    }

    /// The sides in the first place; none where nobody played.
    fn winners(&self) -> Vec<String> {
        let first = self.places().into_iter().filter(|(_, place)| *place == 1).map(|(id, _)| id);
        first
            .filter(|id| self.groups.get(*id).is_some_and(|group| !group.forfeit))
            .map(str::to_owned)
            .collect()
    }
}

/// Ends a match that has not ended as the result says. Whoever is first wins; several share the prize, and where that is
/// everybody it is a tie. `funds` are what the players have; only asked where the studio holds the stakes.
///
/// # Errors
/// [`Refusal`]; the match stays as it is. A match that a provider settles with its own money and its own figures is none
/// that somebody else may decide.
pub fn decide(
    state: MatchState,
    result: &MatchResult,
    funds: &Funds,
    at: Timestamp,
) -> Result<Outcome, Refusal> {
    takes_result(&state)?;
    let end = end_of(&state, result)?;
    let mut decision = Decision::new(state);
    with_stakes(&decision, funds)?;
    decision.merge(&end);
    decision.hold_listed(&end, &mut funds.clone(), at);
    close::close(&mut decision, &end, Trust { body_authenticated: true });
    if decision.overflow {
        return Err(Refusal::Overflow);
    }
    if decision.state.settlement.is_none() {
        let why = decision.anomalies.pop().map(|anomaly| anomaly.detail);
        return Err(Refusal::Undecided(why.unwrap_or_default()));
    }
    decision.forget_deadline();
    Ok(decision.outcome())
}

/// That the match is one that a result may still end.
///
/// # Errors
/// As [`decide`], whatever the result.
pub fn takes_result(state: &MatchState) -> Result<(), Refusal> {
    if !state.stakes_money() {
        return Err(Refusal::NoMoney);
    }
    if let Some(settlement) = state.settlement {
        return Err(Refusal::Ended(settlement));
    }
    if state.kind == MatchKind::Recreational && state.custody == Custody::Provider {
        return Err(Refusal::ProviderDecides);
    }
    Ok(())
}

/// The end that the result means, as a provider would tell it.
fn end_of(state: &MatchState, result: &MatchResult) -> Result<MatchSnapshot, Refusal> {
    let known: BTreeSet<&str> = state.seats.values().map(|seat| seat.group_id.as_str()).collect();
    let told: BTreeSet<&str> = result.groups.keys().map(String::as_str).collect();
    if let Some(unknown) = told.difference(&known).next() {
        return Err(Refusal::Unknown((*unknown).to_owned()));
    }
    if let Some(player) = result.players.keys().find(|player| !state.seats.contains_key(*player)) {
        return Err(Refusal::Unknown(player.as_str().to_owned()));
    }
    if let Some(missing) = known.difference(&told).next() {
        return Err(Refusal::Undecided(format!("group {missing:?} is not in the result")));
    }
    if result.groups.len() < 2 {
        return Err(Refusal::Undecided("one side alone is no match".to_owned()));
    }
    let winners = result.winners();
    let (status, winner_group_ids) = match winners.len() {
        0 => return Err(Refusal::Undecided("nobody has played".to_owned())),
        all if all == result.groups.len() => (MatchStatus::ClosedTie, Vec::new()),
        _ => (MatchStatus::Closed, winners),
    };
    let mut groups: BTreeMap<&str, Vec<Participant>> = BTreeMap::new();
    for (player, seat) in &state.seats {
        let participant = Participant { player_id: player.clone(), reward: None };
        groups.entry(&seat.group_id).or_default().push(participant);
    }
    let group = |(group_id, players): (&str, _)| Group { group_id: group_id.to_owned(), name: None, players };
    Ok(MatchSnapshot {
        match_id: state.match_id.clone(),
        kind: state.kind,
        status,
        provider_status: state.provider_status.clone(),
        format: state.format,
        game_id: None,
        created_by: None,
        buy_in: None,
        groups: groups.into_iter().map(group).collect(),
        winner_group_ids,
    })
}

/// That whoever is not held yet has the stake, so that the pot is whole.
fn with_stakes(decision: &Decision, funds: &Funds) -> Result<(), Refusal> {
    if decision.state.custody == Custody::Provider {
        return Ok(());
    }
    let stake = decision.stake();
    let unheld = decision.state.seats.iter().filter(|(_, seat)| seat.state == SeatState::Joined);
    let lacks = unheld.filter_map(|(player, _)| {
        let lacking = stake.saturating_sub(funds.0.get(player).copied().unwrap_or(0));
        (lacking > 0).then(|| (player.clone(), lacking))
    });
    let lacks: Vec<(PlayerId, i64)> = lacks.collect();
    if lacks.is_empty() { Ok(()) } else { Err(Refusal::NoStake(lacks)) }
}
