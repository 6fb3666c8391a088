//! Recreational games: players stake a buy-in against each other.

use matchpurse_domain::event::{
    Group, MatchFormat, MatchKind, MatchSnapshot, MatchStatus, Participant, Payload, Reward, RewardKind,
    UnrecognizedKind,
};
use matchpurse_domain::ids::PlayerId;

use super::{Problem, Reading, add_new_player, each_player_once, event, known_status};
use crate::json::{self, Id};
use crate::lucra::wire::{Game, GameGroup, GameReward};
use crate::normalized::{NewEvent, NormalizeError};

/// The event that names a player who may not stand in the groups yet.
const JOINED: &str = "RecreationalGameJoined";

pub(super) fn snapshot(delivery: &mut Reading<'_>, name: &str) -> Result<NewEvent, NormalizeError> {
    let mut game: Game = delivery.matchup()?;
    game.joined_by_user_id = match name {
        JOINED => game.joined_by_user_id.or(delivery.new_player()?.joined_by_user_id),
        _ => None,
    };
    let subject = game.id.as_str().to_owned();
    event(subject, payload(delivery, game, name))
}

fn payload(delivery: &mut Reading<'_>, game: Game, name: &str) -> Result<Payload, Problem> {
    let status = match &game.status {
        Some(text) => known_status(text.as_str()).ok_or_else(|| {
            let field = delivery.path("status");
            let reason = format!("{field}: unknown status {:?}", json::clip(text.as_str()));
            Problem::unclear(UnrecognizedKind::UnknownStatus, reason)
        })?,
        None => status_by_name(name),
    };
    let buy_in = delivery.optional_money(game.buy_in_amount.as_ref(), "buyInAmount")?;
    let buy_in_by_rest = delivery.optional_money(game.buy_in.as_ref(), "buyIn")?;
    let winner = one_of(game.winner_group_id, game.winning_group_id, "winnerGroupId and winningGroupId")?;
    let groups = game.groups.unwrap_or_default().into_iter().enumerate();
    let mut groups = groups
        .map(|(index, group)| read_group(delivery, group, index, status))
        .collect::<Result<Vec<_>, Problem>>()?;
    each_player_once(&groups)?;
    // The list of a game that is over is the last word on who played.
    if !status.is_terminal() {
        add_new_player(&mut groups, game.joined_by_user_id);
    }
    Ok(Payload::MatchSnapshot(MatchSnapshot {
        match_id: game.id.into_string(),
        kind: MatchKind::Recreational,
        status,
        provider_status: game.status.map_or_else(String::new, |text| json::clip(text.as_str())),
        format: game.subtype.and_then(|text| match text.as_str() {
            "GROUP_VS_GROUP" => Some(MatchFormat::GroupVsGroup),
            "FREE_FOR_ALL" => Some(MatchFormat::FreeForAll),
            _ => None,
        }),
        game_id: game.game_id.map(Id::into_string),
        created_by: game.created_by_user_id.map(|id| PlayerId::new(id.into_string())),
        buy_in: one_of(buy_in, buy_in_by_rest, "buyInAmount and buyIn")?,
        groups,
        winner_group_ids: winner.map(Id::into_string).into_iter().collect(),
    }))
}

/// The one of two fields that is there; the hooks and the REST interface have two names for one thing.
fn one_of<T: PartialEq>(a: Option<T>, b: Option<T>, fields: &str) -> Result<Option<T>, Problem> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => {
            Err(Problem::unclear(UnrecognizedKind::Inconsistent, format!("{fields} contradict each other")))
        }
        (a, b) => Ok(a.or(b)),
    }
}

/// The provider's sample program knows no `status`; then the event's name says where the game is.
fn status_by_name(name: &str) -> MatchStatus {
    match name {
        "RecreationalGameStarted" => MatchStatus::Locked,
        "RecreationalGameCompleted" => MatchStatus::Closed,
        "RecreationalGameCanceled" => MatchStatus::CanceledOther,
        _ => MatchStatus::Open,
    }
}

fn read_group(
    delivery: &mut Reading<'_>,
    group: GameGroup,
    index: usize,
    status: MatchStatus,
) -> Result<Group, Problem> {
    let mut players = Vec::new();
    for (place, user) in group.users.unwrap_or_default().into_iter().enumerate() {
        let reward = match user.reward {
            Some(reward) => {
                let path = format!("groups[{index}].users[{place}].reward");
                Some(read_reward(delivery, reward, &path, status)?)
            }
            None => None,
        };
        players.push(Participant { player_id: PlayerId::new(user.user_id.into_string()), reward });
    }
    let name = group.name.and_then(json::Text::into_non_empty);
    Ok(Group { group_id: group.group_id.into_string(), name, players })
}

fn read_reward(
    delivery: &mut Reading<'_>,
    reward: GameReward,
    path: &str,
    status: MatchStatus,
) -> Result<Reward, Problem> {
    let metadata = reward.metadata.and_then(json::JsonText::into_non_empty);
    match reward.kind.as_ref().map_or("", json::Text::as_str) {
        "CASH" => {
            let value_path = format!("{path}.value");
            let amount = match &reward.value {
                Some(value) => Some(delivery.money_of_text(value.as_str(), &value_path)?),
                // Before the end it is only a promise, which may still lack its amount.
                None if !matches!(status, MatchStatus::Closed | MatchStatus::ClosedTie) => None,
                None => return Err(json::wrong(&delivery.path(&value_path), "a cash reward without an amount").into()),
            };
            Ok(Reward { kind: RewardKind::Cash, amount, value: None, reference: None, metadata })
        }
        "TENANT_REWARD" => Ok(Reward {
            kind: RewardKind::Studio,
            amount: None,
            value: reward.value.and_then(json::JsonText::into_non_empty),
            reference: reward.intent_id.or(reward.id).map(Id::into_string),
            metadata,
        }),
        other => Err(Problem::unclear(
            UnrecognizedKind::UnknownType,
            format!("{}: unknown reward type {:?}", delivery.path(&format!("{path}.type")), json::clip(other)),
        )),
    }
}
