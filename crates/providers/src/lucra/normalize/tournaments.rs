//! Tournaments: one pool, many players, a list of what each place wins.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::event::{
    Group, MatchKind, MatchSnapshot, MatchStatus, Participant, Payload, ProviderFailure, Reward, RewardKind,
    UnrecognizedKind,
};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::money::Money;

use super::{Problem, Reading, event, known_status};
use crate::json::{self, Id, JsonText};
use crate::lucra::wire::{Entrant, Tier, Tournament, TournamentHead};
use crate::normalized::{NewEvent, NormalizeError};

pub(super) fn snapshot(delivery: &mut Reading<'_>, name: &str) -> Result<NewEvent, NormalizeError> {
    let beside: TournamentHead = json::read(delivery.body)?;
    let tournament: Tournament = delivery.matchup()?;
    let subject = tournament.id.as_str().to_owned();
    event(subject, payload(delivery, tournament, beside.new_user_id, name))
}

/// The provider closed a tournament to somebody by a rule of the law.
pub(super) fn limit_exceeded(delivery: &Reading<'_>) -> Result<NewEvent, NormalizeError> {
    let beside: TournamentHead = json::read(delivery.body)?;
    let tournament: Tournament = delivery.matchup()?;
    let entity_id = tournament.id.into_string();
    let payload = Payload::ProviderFailure(ProviderFailure {
        entity_id: entity_id.clone(),
        code: "COMPLIANCE_LIMIT_EXCEEDED".to_owned(),
        reason: beside.compliance_limits.map_or_else(String::new, |limits| json::clip(limits.as_str())),
        request_id: None,
        attempt: None,
        will_retry: None,
    });
    event(entity_id, Ok(payload))
}

fn payload(
    delivery: &mut Reading<'_>,
    tournament: Tournament,
    new_user: Option<Id>,
    name: &str,
) -> Result<Payload, Problem> {
    let status = tournament.status.as_ref().and_then(|text| known_status(text.as_str()));
    let status = status.unwrap_or_else(|| status_by_name(name));
    let buy_in = delivery.optional_money(tournament.buy_in_amount.as_ref(), "buyInAmount")?;
    let users = tournament.users.unwrap_or_default();
    let tiers = tournament.reward_structure.unwrap_or_default();
    let kind = tournament.kind.as_ref().map_or("", json::Text::as_str);
    let mut rewards = if matches!(status, MatchStatus::Closed | MatchStatus::ClosedTie) {
        read_rewards(delivery, kind, &users, &tiers)?
    } else {
        BTreeMap::new()
    };
    let winners = rewards.keys().cloned().collect::<Vec<_>>();
    let listed = users.iter().map(|user| &user.user_id).chain(&new_user).map(Id::as_str);
    let mut mentioned = BTreeSet::new();
    let players: Vec<Participant> = listed
        .map(PlayerId::from)
        .chain(winners)
        .filter(|player| mentioned.insert(player.clone()))
        .map(|player| Participant { reward: rewards.remove(&player), player_id: player })
        .collect();
    let groups = if players.is_empty() {
        Vec::new()
    } else {
        vec![Group { group_id: String::new(), name: None, players }]
    };
    Ok(Payload::MatchSnapshot(MatchSnapshot {
        match_id: tournament.id.into_string(),
        kind: MatchKind::Tournament,
        status,
        provider_status: tournament.status.map_or_else(String::new, |text| json::clip(text.as_str())),
        format: None,
        game_id: tournament.game_id.map(Id::into_string),
        created_by: None,
        buy_in,
        groups,
        winner_group_ids: Vec::new(),
    }))
}

/// The statuses of tournaments are not documented; where one is none of a game's, the event's name says
/// where the tournament is.
fn status_by_name(name: &str) -> MatchStatus {
    match name {
        "TournamentCompleted" => MatchStatus::Closed,
        "TournamentCanceled" => MatchStatus::CanceledOther,
        _ => MatchStatus::Open,
    }
}

/// What each player has won, by the tournament's type.
fn read_rewards(
    delivery: &mut Reading<'_>,
    kind: &str,
    users: &[Entrant],
    tiers: &[Tier],
) -> Result<BTreeMap<PlayerId, Reward>, Problem> {
    match kind {
        "NO_REWARD" => Ok(BTreeMap::new()),
        "TENANT_REWARD" => studio_rewards(delivery, tiers),
        cash if cash.starts_with("CASH_") => cash_rewards(delivery, cash, users, tiers),
        other => {
            let reason = format!("{}: unknown tournament type {:?}", delivery.path("type"), json::clip(other));
            Err(Problem::unclear(UnrecognizedKind::UnknownType, reason))
        }
    }
}

/// What the studio gives: the word at the player's place.
fn studio_rewards(delivery: &Reading<'_>, tiers: &[Tier]) -> Result<BTreeMap<PlayerId, Reward>, Problem> {
    let mut rewards = BTreeMap::new();
    for (index, tier) in tiers.iter().enumerate() {
        let Some(user) = &tier.user_id else { continue };
        let reward = Reward {
            kind: RewardKind::Studio,
            amount: None,
            value: tier.value.clone().and_then(JsonText::into_non_empty),
            reference: None,
            metadata: None,
        };
        if rewards.insert(PlayerId::from(user.as_str()), reward).is_some() {
            let field = delivery.path(&format!("rewardStructure[{index}].userId"));
            return Err(inconsistent(format!("{field}: a player stands at two places")));
        }
    }
    Ok(rewards)
}

/// Money: what stands with the player, else what stands at the places. `value` is money only where the
/// type says that it is fixed; otherwise it is percent of a pool.
fn cash_rewards(
    delivery: &mut Reading<'_>,
    kind: &str,
    users: &[Entrant],
    tiers: &[Tier],
) -> Result<BTreeMap<PlayerId, Reward>, Problem> {
    let mut won: BTreeMap<PlayerId, Money> = BTreeMap::new();
    for (index, user) in users.iter().enumerate() {
        let Some(amount) = &user.reward_net_amount else { continue };
        let path = format!("users[{index}].rewardNetAmount");
        let amount = delivery.money(amount, &path)?;
        if won.insert(PlayerId::from(user.user_id.as_str()), amount).is_some() {
            return Err(inconsistent(format!("{}: a player stands there twice", delivery.path(&path))));
        }
    }
    let mut by_place: BTreeMap<PlayerId, Money> = BTreeMap::new();
    for (index, tier) in tiers.iter().enumerate() {
        let Some(player) = tier.user_id.as_ref().map(|id| PlayerId::from(id.as_str())) else { continue };
        if won.contains_key(&player) {
            continue;
        }
        let path = format!("rewardStructure[{index}]");
        let amount = match (&tier.tier_net_amount, &tier.value) {
            (Some(net), _) => delivery.money(net, &format!("{path}.tierNetAmount"))?,
            (None, Some(value)) if kind == "CASH_FIXED" => {
                delivery.money_of_text(JsonText::as_str(value), &format!("{path}.value"))?
            }
            _ => {
                return Err(json::wrong(&delivery.path(&path), "a place that was won, without an amount").into());
            }
        };
        add(&mut by_place, player, amount)
            .ok_or_else(|| json::wrong(&delivery.path(&path), "the amounts of one player are too large"))?;
    }
    won.extend(by_place);
    won.retain(|_, amount| amount.minor_units > 0);
    Ok(won.into_iter().map(|(player, amount)| (player, cash(amount))).collect())
}

fn add(to: &mut BTreeMap<PlayerId, Money>, player: PlayerId, amount: Money) -> Option<()> {
    match to.get_mut(&player) {
        Some(sum) => sum.minor_units = sum.minor_units.checked_add(amount.minor_units)?,
        None => drop(to.insert(player, amount)),
    }
    Some(())
}

fn cash(amount: Money) -> Reward {
    Reward { kind: RewardKind::Cash, amount: Some(amount), value: None, reference: None, metadata: None }
}

fn inconsistent(reason: String) -> Problem {
    Problem::unclear(UnrecognizedKind::Inconsistent, reason)
}
