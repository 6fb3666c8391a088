//! Free-to-play matchups: no stake; the studio rewards.

use matchpurse_domain::event::{
    ContestOutcome, Group, MatchKind, MatchSnapshot, MatchStatus, Outcome, Participant, Payload,
    PlayerOutcome, Reward, RewardKind, UnrecognizedKind,
};
use matchpurse_domain::ids::PlayerId;

use super::{Problem, Reading, add_new_player, event};
use crate::json::{self, Id};
use crate::lucra::wire::{Contest, FreeToPlay, FreeToPlayGroup, TenantReward, UserOutcome};
use crate::normalized::{NewEvent, NormalizeError};

pub(super) fn created(delivery: &Reading<'_>) -> Result<NewEvent, NormalizeError> {
    snapshot(delivery.matchup()?, MatchStatus::Open, None)
}

/// Somebody took the other side; the groups may not have them yet.
pub(super) fn accepted(delivery: &Reading<'_>) -> Result<NewEvent, NormalizeError> {
    let mut matchup: FreeToPlay = delivery.matchup()?;
    let by = matchup.accepted_by_user_id.take().or(delivery.new_player()?.accepted_by_user_id);
    snapshot(matchup, MatchStatus::Confirmed, by)
}

/// The deliveries have no status; each event stands for one.
fn snapshot(
    matchup: FreeToPlay,
    status: MatchStatus,
    new_player: Option<Id>,
) -> Result<NewEvent, NormalizeError> {
    let match_id = matchup.id.into_string();
    let mut groups = matchup.groups.unwrap_or_default().into_iter().map(read_group).collect();
    add_new_player(&mut groups, new_player);
    let payload = Payload::MatchSnapshot(MatchSnapshot {
        match_id: match_id.clone(),
        kind: MatchKind::FreeToPlay,
        status,
        provider_status: String::new(),
        format: None,
        game_id: None,
        created_by: matchup.created_by_user_id.map(|id| PlayerId::new(id.into_string())),
        buy_in: None,
        groups,
        winner_group_ids: Vec::new(),
    });
    event(match_id, Ok(payload))
}

/// How a matchup ended. Each participant's copy holds the outcomes of all.
pub(super) fn outcome(delivery: &Reading<'_>) -> Result<NewEvent, NormalizeError> {
    let contest: Contest = json::read(delivery.body)?;
    let contest_id = contest.matchup_id.into_string();
    let outcomes = contest.users_outcomes.into_iter().enumerate();
    let outcomes = outcomes.map(|(index, outcome)| read_outcome(outcome, index)).collect::<Result<_, _>>();
    let payload = outcomes.map(|outcomes| {
        Payload::ContestOutcome(ContestOutcome {
            contest_id: contest_id.clone(),
            addressed_to: PlayerId::new(contest.user_id.into_string()),
            outcomes,
        })
    });
    event(contest_id, payload)
}

fn read_group(group: FreeToPlayGroup) -> Group {
    let users = group.users.unwrap_or_default().into_iter();
    Group {
        group_id: group.group_id.into_string(),
        name: None,
        players: users
            .map(|user| Participant {
                player_id: PlayerId::new(user.user_id.into_string()),
                reward: user.tenant_reward.map(read_reward),
            })
            .collect(),
    }
}

fn read_outcome(outcome: UserOutcome, index: usize) -> Result<PlayerOutcome, Problem> {
    let text = outcome.outcome.as_str();
    let known = Outcome::parse(text).ok_or_else(|| {
        let reason = format!("usersOutcomes[{index}].outcome: unknown outcome {:?}", json::clip(text));
        Problem::unclear(UnrecognizedKind::UnknownStatus, reason)
    })?;
    Ok(PlayerOutcome {
        player_id: PlayerId::new(outcome.user_id.into_string()),
        outcome: known,
        reward: outcome.reward.map(read_reward),
    })
}

fn read_reward(reward: TenantReward) -> Reward {
    Reward {
        kind: RewardKind::Studio,
        amount: None,
        value: reward.id.and_then(json::JsonText::into_non_empty),
        reference: reward.intent_id.map(Id::into_string),
        metadata: reward.metadata.and_then(json::JsonText::into_non_empty),
    }
}
