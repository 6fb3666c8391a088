//! How the money of a game goes, written down from the rules and not from the code that applies them: who
//! holds the stakes decides whose figures count.

use std::collections::BTreeMap;

use matchpurse_domain::escrow::{fee_of, shares};
use matchpurse_domain::event::{MatchKind, MatchStatus};
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};

use super::Life;
use super::table::Table;
use crate::play::{MatchAmounts, MatchEffect};

/// What the provider keeps of a pot where it holds the stakes, in percent.
const PROVIDER_FEE_PERCENT: i64 = 10;

/// How a game ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// This side wins.
    Won(usize),
    /// These sides share the first place; the delivery has no room to name them.
    Shared(Vec<usize>),
    Tie,
}

/// What comes of an end.
pub(super) struct Settled {
    /// What the delivery says each player gets; empty when it says nothing of money.
    pub(super) figures: BTreeMap<String, i64>,
    pub(super) effect: MatchEffect,
    /// Wins, losses and ties of each player.
    pub(super) records: BTreeMap<String, (u64, u64, u64)>,
}

impl Ending {
    /// An end that the game's format allows; a tie can only be told where a status is.
    pub(super) fn of(table: &Table, life: &mut Life<'_>, can_tie: bool) -> Self {
        let sides = u64::try_from(table.sides.len()).unwrap_or(2);
        let winner = usize::try_from(life.dice.below(sides)).unwrap_or(0);
        // Only a provider that pays itself can leave open who won.
        let pays_itself = life.request.settings.policy.custody == Custody::Provider;
        if table.free_for_all && pays_itself && life.dice.chance(25) {
            Self::Shared(vec![winner, (winner + 1) % table.sides.len()])
        } else if !table.free_for_all && can_tie && life.dice.chance(20) {
            Self::Tie
        } else {
            Self::Won(winner)
        }
    }

    fn winners(&self) -> Vec<usize> {
        match self {
            Self::Won(side) => vec![*side],
            Self::Shared(sides) => sides.clone(),
            Self::Tie => Vec::new(),
        }
    }
}

/// What an end of `table`, at which everybody staked `stake`, must lead to.
pub(super) fn settle(table: &Table, stake: i64, ending: &Ending, life: &mut Life<'_>) -> Settled {
    let policy = &life.request.settings.policy;
    let players = table.players();
    let pot = stake.saturating_mul(i64::try_from(players.len()).unwrap_or(0));
    let sides = ending.winners();
    let winners: Vec<&str> = (table.sides.iter().enumerate())
        .filter(|(place, _)| sides.contains(place))
        .flat_map(|(_, side)| side.players.iter().map(String::as_str))
        .collect();
    let everybody: Vec<&str> = players.iter().map(|player| player.as_str()).collect();
    let provider_pays = policy.custody == Custody::Provider;
    // A tie is told with figures, or without any: then the source's own rule decides.
    let figures = match ending {
        Ending::Tie if provider_pays && life.dice.chance(50) => less_fee(pot, &everybody),
        Ending::Tie => BTreeMap::new(),
        Ending::Won(_) | Ending::Shared(_) => less_fee(pot, &winners),
    };
    let (paid, refunded) = match ending {
        _ if provider_pays && !figures.is_empty() => (figures.clone(), BTreeMap::new()),
        Ending::Tie => tie(pot, stake, table, &everybody, policy),
        Ending::Won(_) | Ending::Shared(_) => {
            let fee = fee_of(pot, policy.fee_bps).unwrap_or(0);
            (divide(pot.saturating_sub(fee), table, &winners), BTreeMap::new())
        }
    };
    let mut effect = effect(ending);
    for player in &everybody {
        effect.move_money(player, stake.saturating_neg());
    }
    for (player, amount) in paid.iter().chain(&refunded) {
        effect.move_money(player, *amount);
    }
    let (paid, refunded): (i64, i64) = (paid.values().sum(), refunded.values().sum());
    let fee = pot.saturating_sub(paid).saturating_sub(refunded);
    effect.amounts = Some(MatchAmounts { pot, paid, refunded, fee });
    let record = |player: &str| match ending {
        Ending::Tie => (0, 0, 1),
        _ if winners.contains(&player) => (1, 0, 0),
        _ => (0, 1, 0),
    };
    let records = everybody.iter().map(|player| ((*player).to_owned(), record(player))).collect();
    Settled { figures, effect, records }
}

fn effect(ending: &Ending) -> MatchEffect {
    let (status, settlement) = match ending {
        Ending::Tie => (MatchStatus::ClosedTie, "tie"),
        Ending::Won(_) | Ending::Shared(_) => (MatchStatus::Closed, "payout"),
    };
    MatchEffect {
        kind: MatchKind::Recreational.as_str().to_owned(),
        status: status.as_str().to_owned(),
        settlement: Some(settlement.to_owned()),
        ..MatchEffect::default()
    }
}

/// What the provider pays: the pot less its fee, divided equally; a unit that is left over goes to the first.
fn less_fee(pot: i64, to: &[&str]) -> BTreeMap<String, i64> {
    let prize = pot.saturating_sub(pot.saturating_mul(PROVIDER_FEE_PERCENT) / 100);
    let count = i64::try_from(to.len()).unwrap_or(1).max(1);
    let amounts = (0..).zip(to).map(|(place, player)| {
        let left_over = i64::from(place < prize % count);
        ((*player).to_owned(), prize / count + left_over)
    });
    amounts.collect()
}

/// By the source's own rule: what is paid, and what goes back.
fn tie(
    pot: i64,
    stake: i64,
    table: &Table,
    everybody: &[&str],
    policy: &SourcePolicy,
) -> (BTreeMap<String, i64>, BTreeMap<String, i64>) {
    let fee = fee_of(pot, policy.fee_bps).unwrap_or(0);
    match policy.tie_policy {
        TiePolicy::RefundFull => {
            (BTreeMap::new(), everybody.iter().map(|player| ((*player).to_owned(), stake)).collect())
        }
        TiePolicy::RefundMinusFee => {
            let back = divide(fee, table, everybody);
            let back = back.into_iter().map(|(player, share)| (player, stake.saturating_sub(share)));
            (BTreeMap::new(), back.collect())
        }
        TiePolicy::Split => (divide(pot.saturating_sub(fee), table, everybody), BTreeMap::new()),
    }
}

/// Equal shares; who gets a unit that is left over is drawn by the match's id, as everybody can recompute.
fn divide(amount: i64, table: &Table, to: &[&str]) -> BTreeMap<String, i64> {
    let shares = shares(amount, &table.id, to).unwrap_or_default();
    shares.into_iter().map(|(player, share)| (player.to_owned(), share)).collect()
}
