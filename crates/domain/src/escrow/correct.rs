//! Corrections: an end that a person sets.
//!
//! Where the match had not ended it ends so. Where it had, everything that its generation moved is undone, one sum
//! a subject, and the next generation holds and settles anew: nothing in the ledger is changed or taken out.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{Decision, Funds, Trust};
use super::close::{self, Division};
use super::outcome;
use super::state::{Account, MatchState, Outcome, Seat, SeatState, Settlement, Transfer, TransferKind};
use crate::event::{Disposition, Group, MatchSnapshot, MatchStatus, Participant, Reward, RewardKind};
use crate::ids::PlayerId;
use crate::money::{MAX_MINOR_UNITS, Money};
use crate::source::Custody;
use crate::time::Timestamp;

/// How a person says that a match ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every stake goes back.
    Refund,
    /// A tie; the match's tie policy decides.
    Tie,
    /// The players of these groups won; the prize is divided among them.
    Winners(Vec<String>),
    /// These players get these amounts, in minor units. What is left of the pot is the fee.
    Figures(BTreeMap<PlayerId, i64>),
    /// As this end of the provider says, though it came second or nobody signed it.
    AsReported(Box<MatchSnapshot>),
}

/// Why a verdict or a result cannot be carried out; nothing moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Free-to-play matches and tournaments hold nothing.
    #[error("a match of this kind holds no money")]
    NoMoney,
    /// The reported snapshot is of a match that still runs.
    #[error("{0} is no end of a match")]
    NotAnEnd(&'static str),
    /// A group or player of the verdict is not one of the match's.
    #[error("{0:?} is not in the match")]
    Unknown(String),
    /// A negative amount, or all together are too much: more than the pot where the studio holds the stakes, more than
    /// any amount may be where a provider does.
    #[error("the amounts are not between 0 and {most} minor units together")]
    Amounts {
        /// The most, minor units.
        most: i64,
    },
    /// The verdict says as little as the end that could not be settled.
    #[error("it does not say how the money is divided: {0}")]
    Undecided(String),
    /// Players have not the money any more that they would have to give back, in minor units.
    #[error("players lack money that they would have to give back: {}", lacking(.0))]
    Short(Vec<(PlayerId, i64)>),
    /// Players whose stake is not held have not the money for it, in minor units.
    #[error("players have not the stake: {}", lacking(.0))]
    NoStake(Vec<(PlayerId, i64)>),
    /// The match has ended, and only a correction ends it anew.
    #[error("the match has ended by a {} already", .0.as_str())]
    Ended(Settlement),
    /// The provider holds the stakes of this match and says itself who gets what.
    #[error("the provider of this match decides it and pays its players itself")]
    ProviderDecides,
    /// No account would change.
    #[error("the match ended like that already")]
    NothingChanges,
    /// The amounts do not fit into 64 bits.
    #[error("the match's amounts do not fit")]
    Overflow,
}

fn lacking(players: &[(PlayerId, i64)]) -> String {
    let all: Vec<String> =
        players.iter().map(|(player, amount)| format!("{player} lacks {amount}")).collect();
    all.join(", ")
}

/// Carries out a verdict. `funds` are what the players have; only asked where the studio holds the stakes.
///
/// # Errors
/// [`Refusal`]; the match stays as it is.
pub fn correct(
    state: MatchState,
    verdict: &Verdict,
    funds: &Funds,
    at: Timestamp,
) -> Result<Outcome, Refusal> {
    if !state.stakes_money() {
        return Err(Refusal::NoMoney);
    }
    let players = at_play(&state);
    let again = state.settlement.is_some() && state.pot > 0 && state.buy_in.unwrap_or(0) > 0;
    let mut decision = Decision::new(state);
    if decision.state.settlement.is_some() {
        reverse(&mut decision);
    }
    let end = end_of(&decision.state, verdict, &players)?;
    if decision.state.pot == 0 && end.buy_in.is_some() {
        decision.state.buy_in = end.buy_in.as_ref().map(|money| money.minor_units);
    }
    decision.merge(&end);
    // Money that goes back by the reversal may be held again at once: only the sum must be there, and that is
    // looked at when everything is decided.
    let mut enough = Funds(decision.state.seats.keys().map(|player| (player.clone(), i64::MAX)).collect());
    if again {
        decision.hold(players.iter(), &mut enough, at);
    }
    settle(&mut decision, verdict, &end, &mut enough, at)?;
    let nets = nets(&decision.transfers).ok_or(Refusal::Overflow)?;
    if decision.overflow {
        return Err(Refusal::Overflow);
    }
    if decision.state.generation > 0 && nets.values().all(|net| *net == 0) {
        return Err(Refusal::NothingChanges);
    }
    if decision.state.custody == Custody::Studio {
        affordable(&nets, funds)?;
    }
    // What the way there would have told is not what happened.
    decision.anomalies.clear();
    decision.notices.clear();
    decision.notice("match.corrected", format!("generation:{}", decision.state.generation));
    Ok(decision.outcome())
}

/// Whose stakes the end divides: those that it divided before. Somebody whose stake went back because he was not
/// in the final list did not play. Where nobody staked anything, what was divided came from the provider, and everybody
/// may have had a part in it.
fn at_play(state: &MatchState) -> BTreeSet<PlayerId> {
    let without_stakes = state.buy_in.unwrap_or(0) == 0;
    let played = |seat: &Seat| match state.settlement {
        None => true,
        Some(_) if without_stakes => true,
        Some(Settlement::Refund) => seat.hold > 0 || state.pot == 0,
        Some(Settlement::Payout | Settlement::Tie) => {
            seat.hold > 0 && (seat.outcome.is_some() || seat.state != SeatState::Refunded)
        }
    };
    state.seats.iter().filter(|(_, seat)| played(seat)).map(|(player, _)| player.clone()).collect()
}

/// Undoes the generation and opens the next one.
fn reverse(decision: &mut Decision) {
    let state = &mut decision.state;
    let mut moved: BTreeMap<Account, i64> = BTreeMap::new();
    for (player, seat) in &state.seats {
        let gained = seat.payout.saturating_add(seat.refund).saturating_sub(seat.hold);
        moved.insert(Account::Player(player.clone()), gained);
    }
    let held = state.seats.values().fold(0_i64, |sum, seat| sum.saturating_add(seat.hold));
    let top_up = state.pot.saturating_sub(held);
    for (account, amount) in [(state.fee_account(), state.fee), (Account::External, top_up.saturating_neg())]
    {
        let gained = moved.entry(account).or_default();
        *gained = gained.saturating_add(amount);
    }
    let generation = state.generation;
    for (subject, gained) in moved.into_iter().filter(|(_, gained)| *gained != 0) {
        let (debit, credit) =
            if gained > 0 { (subject.clone(), Account::Escrow) } else { (Account::Escrow, subject.clone()) };
        let amount = gained.saturating_abs();
        decision.transfers.push(Transfer {
            kind: TransferKind::Reversal,
            subject,
            generation,
            debit,
            credit,
            amount,
        });
    }
    state.remember_end(match state.settlement {
        Some(Settlement::Refund) => outcome::refund_digest(),
        _ => state.outcome_digest.unwrap_or_default(),
    });
    state.generation = state.generation.saturating_add(1);
    for seat in state.seats.values_mut() {
        *seat = Seat::joined(std::mem::take(&mut seat.group_id));
    }
    (state.pot, state.paid, state.refunded, state.fee) = (0, 0, 0, 0);
    (state.settlement, state.outcome_digest) = (None, None);
    state.status = MatchStatus::Open;
    decision.before = MatchStatus::Open;
}

/// The end that the verdict means, as a provider would tell it.
fn end_of(
    state: &MatchState,
    verdict: &Verdict,
    players: &BTreeSet<PlayerId>,
) -> Result<MatchSnapshot, Refusal> {
    let (status, winner_group_ids, figures) = match verdict {
        Verdict::AsReported(snapshot) if snapshot.status.is_terminal() => return Ok((**snapshot).clone()),
        Verdict::AsReported(snapshot) => return Err(Refusal::NotAnEnd(snapshot.status.as_str())),
        Verdict::Refund => (MatchStatus::CanceledOther, Vec::new(), None),
        Verdict::Tie => (MatchStatus::ClosedTie, Vec::new(), None),
        Verdict::Winners(groups) => (MatchStatus::Closed, groups.clone(), None),
        Verdict::Figures(figures) => (MatchStatus::Closed, Vec::new(), Some(figures)),
    };
    let seated = || players.iter().filter_map(|player| Some((player, state.seats.get(player)?)));
    let unknown_group = |group: &&String| !seated().any(|(_, seat)| seat.group_id == **group);
    let unknown_player = |player: &&PlayerId| !players.contains(*player);
    if let Some(group) = winner_group_ids.iter().find(unknown_group) {
        return Err(Refusal::Unknown(group.clone()));
    }
    if let Some(player) = figures.and_then(|figures| figures.keys().find(unknown_player)) {
        return Err(Refusal::Unknown(player.as_str().to_owned()));
    }
    let mut groups: BTreeMap<&str, Vec<Participant>> = BTreeMap::new();
    for (player, seat) in seated() {
        let amount = figures.and_then(|figures| figures.get(player));
        let amount = amount.map(|amount| Money::new(*amount, state.currency.clone()));
        let reward = amount.map(|amount| Reward {
            kind: RewardKind::Cash,
            amount: Some(amount),
            value: None,
            reference: None,
            metadata: None,
        });
        groups.entry(&seat.group_id).or_default().push(Participant { player_id: player.clone(), reward });
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

/// Holds whoever is in the end's list and is not held yet, and settles as the end says.
fn settle(
    decision: &mut Decision,
    verdict: &Verdict,
    end: &MatchSnapshot,
    enough: &mut Funds,
    at: Timestamp,
) -> Result<(), Refusal> {
    if end.status.disposition() == Disposition::Refund {
        decision.refund_all();
    } else {
        decision.hold_listed(end, enough, at);
        match verdict {
            Verdict::Figures(figures) => settle_figures(decision, end, figures)?,
            _ => close::close(decision, end, Trust { body_authenticated: true }),
        }
    }
    if decision.state.settlement.is_none() {
        let why = decision.anomalies.pop().map(|anomaly| anomaly.detail);
        return Err(Refusal::Undecided(why.unwrap_or_default()));
    }
    decision.forget_deadline();
    Ok(())
}

fn settle_figures(
    decision: &mut Decision,
    end: &MatchSnapshot,
    figures: &BTreeMap<PlayerId, i64>,
) -> Result<(), Refusal> {
    let pot = decision.state.escrowed();
    let total = figures.values().try_fold(0_i64, |sum, amount| sum.checked_add(*amount));
    let negative = figures.values().any(|amount| *amount < 0);
    // Only a provider can have brought money of its own, and no more than any amount may be: one slip would fill its
    // account to the brim, and nothing of the source could be booked any more.
    let most = match decision.state.custody {
        Custody::Studio => pot,
        Custody::Provider => pot.max(MAX_MINOR_UNITS),
    };
    if negative || total.is_none_or(|total| total > most) {
        return Err(Refusal::Amounts { most });
    }
    close::settle(decision, end, Division::Figures(figures.clone()));
    Ok(())
}

/// What every account gains; none when that does not fit.
fn nets(transfers: &[Transfer]) -> Option<BTreeMap<Account, i64>> {
    let mut nets: BTreeMap<Account, i64> = BTreeMap::new();
    for transfer in transfers {
        let debit = nets.entry(transfer.debit.clone()).or_default();
        *debit = debit.checked_sub(transfer.amount)?;
        let credit = nets.entry(transfer.credit.clone()).or_default();
        *credit = credit.checked_add(transfer.amount)?;
    }
    Some(nets)
}

/// Nobody is left with less than nothing.
fn affordable(nets: &BTreeMap<Account, i64>, funds: &Funds) -> Result<(), Refusal> {
    let lacks = |(account, net): (&Account, &i64)| {
        let Account::Player(player) = account else { return None };
        let left = funds.0.get(player).copied().unwrap_or(0).saturating_add(*net);
        (left < 0).then(|| (player.clone(), left.saturating_abs()))
    };
    let short: Vec<(PlayerId, i64)> = nets.iter().filter_map(lacks).collect();
    if short.is_empty() { Ok(()) } else { Err(Refusal::Short(short)) }
}
