//! The body in our words. A PUT is a match whose stakes the platform has already taken; a DELETE ends it.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::event::{
    Group, MatchKind, MatchSnapshot, MatchStatus, Participant, Payload, Unrecognized, UnrecognizedKind,
};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::money::Money;
use matchpurse_domain::source::SourcePolicy;

use crate::delivery::Method;
use crate::json;
use crate::normalized::{NewEvent, NormalizeError, Normalized};
use crate::provider::Verified;
use crate::settings::AdapterSettings;

use super::options::{self, OnInconsistent};
use super::wire;

/// What is wrong with a match that is readable but contradicts itself.
struct Contradiction {
    field: String,
    problem: String,
}

/// A PUT or a DELETE as one event.
pub(super) fn normalize(
    verified: &Verified,
    settings: &AdapterSettings,
) -> Result<Normalized, NormalizeError> {
    let event = match verified.method() {
        Method::Put => created(verified.body(), settings)?,
        Method::Delete => canceled(verified.body(), &settings.policy)?,
        other @ Method::Post => return Err(json::wrong("method", &format!("{} is none", other.as_str()))),
    };
    Ok(Normalized {
        provider_type: verified.method().as_str().to_owned(),
        events: vec![event],
        amount_rounded: false,
        question: None,
    })
}

/// The match is on, and the platform holds the stakes.
fn created(body: &[u8], settings: &AdapterSettings) -> Result<NewEvent, NormalizeError> {
    let read: wire::Match = json::read(body)?;
    let match_id = read.match_id.as_str().to_owned();
    match groups(&read) {
        Ok(groups) => {
            let snapshot = MatchSnapshot {
                groups,
                ..snapshot(&match_id, MatchStatus::Confirmed, "", &settings.policy)
            };
            Ok(event(match_id, Payload::MatchSnapshot(snapshot)))
        }
        // Neither answer is right for every studio: a refusal calls off a match whose players have paid, a
        // parked match is played while our books do not know of it. So it is the source's choice.
        Err(Contradiction { field, problem }) => match options::on_inconsistent(settings) {
            Ok(OnInconsistent::Refuse) => Err(json::wrong(&field, &problem)),
            Ok(OnInconsistent::Park) | Err(_) => Ok(inconsistent(match_id, format!("{field}: {problem}"))),
        },
    }
}

/// The match is off. It is not refused for anything but an unreadable body, because a cancellation that is
/// lost leaves money held.
fn canceled(body: &[u8], policy: &SourcePolicy) -> Result<NewEvent, NormalizeError> {
    // Frameworks and proxies on the way drop the body of a DELETE; all matches share one URL, so without
    // it nobody can say which match is meant, and nothing is guessed.
    let without_id = || inconsistent(String::new(), "a DELETE without a match_id".to_owned());
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(without_id());
    }
    let read: wire::Cancellation = json::read(body)?;
    let Some(match_id) = read.match_id.map(json::LooseId::into_string) else { return Ok(without_id()) };
    // The players are known from the PUT; here they are taken when they are told and make sense.
    let roster = json::read::<wire::Match>(body).ok().and_then(|read| groups(&read).ok());
    let snapshot = MatchSnapshot {
        groups: roster.unwrap_or_default(),
        ..snapshot(&match_id, MatchStatus::CanceledOther, Method::Delete.as_str(), policy)
    };
    Ok(event(match_id, Payload::MatchSnapshot(snapshot)))
}

/// The teams with their players.
fn groups(read: &wire::Match) -> Result<Vec<Group>, Contradiction> {
    let contradiction = |field: String, problem: &str| Contradiction { field, problem: problem.to_owned() };
    if read.teams.len() < 2 {
        return Err(contradiction("teams".to_owned(), "a match has two teams or more"));
    }
    if read.participants.is_empty() {
        return Err(contradiction("participants".to_owned(), "nobody plays"));
    }
    let mut groups = Vec::with_capacity(read.teams.len());
    let mut place_of = BTreeMap::new();
    for (at, team) in read.teams.iter().enumerate() {
        let id = team.id.as_str();
        if place_of.insert(id, at).is_some() {
            return Err(contradiction(format!("teams[{at}].id"), &format!("team {id} stands there twice")));
        }
        groups.push(Group { group_id: id.to_owned(), name: None, players: Vec::new() });
    }
    let mut players = BTreeSet::new();
    for (at, participant) in read.participants.iter().enumerate() {
        let (id, team_id) = (participant.id.as_str(), participant.team_id.as_str());
        if !players.insert(id) {
            let problem = format!("player {id} stands there twice");
            return Err(contradiction(format!("participants[{at}].id"), &problem));
        }
        match place_of.get(team_id).and_then(|place| groups.get_mut(*place)) {
            Some(group) => {
                group.players.push(Participant { player_id: PlayerId::new(id), reward: None });
            }
            None => {
                let problem = format!("team {team_id} is not among the teams");
                return Err(contradiction(format!("participants[{at}].team_id"), &problem));
            }
        }
    }
    Ok(groups)
}

/// A snapshot without players. The platform sends no amounts: the stake is what the source has configured.
fn snapshot(
    match_id: &str,
    status: MatchStatus,
    provider_status: &str,
    policy: &SourcePolicy,
) -> MatchSnapshot {
    MatchSnapshot {
        match_id: match_id.to_owned(),
        kind: MatchKind::Platform,
        status,
        provider_status: provider_status.to_owned(),
        format: None,
        game_id: None,
        created_by: None,
        buy_in: policy.stake.map(|stake| Money::new(stake, policy.currency.code.clone())),
        groups: Vec::new(),
        winner_group_ids: Vec::new(),
    }
}

fn inconsistent(match_id: String, reason: String) -> NewEvent {
    let payload = Unrecognized { kind: UnrecognizedKind::Inconsistent, reason: json::clip(&reason) };
    event(match_id, Payload::Unrecognized(payload))
}

/// The platform says nowhere when anything happened.
fn event(match_id: String, payload: Payload) -> NewEvent {
    NewEvent { subject: match_id, occurred_at: None, payload }
}
