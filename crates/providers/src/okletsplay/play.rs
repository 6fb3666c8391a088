//! Lives as the platform sends them: a match is pushed once, and perhaps called off.

mod api;

use matchpurse_domain::event::{MatchKind, MatchStatus, UnrecognizedKind};
use serde::Serialize;

use crate::delivery::Method;
use crate::keys::KeyRole;
use crate::play::{
    Dice, LifeKind, MatchAmounts, MatchEffect, PlayRequest, Retold, Script, ScriptedDelivery, cut_short,
    json_body,
};

use super::options::{self, OnInconsistent};
use super::pull;

pub(super) use api::Api;

pub(super) const LIVES: &[LifeKind] = &[
    life("match", 60),
    life("canceled", 30),
    life("canceled_first", 10),
    odd("contradiction", 1),
    odd("garbage", 1),
];

const fn life(name: &'static str, weight: u32) -> LifeKind {
    LifeKind { name, weight, odd: false, role: KeyRole::Webhook }
}

const fn odd(name: &'static str, weight: u32) -> LifeKind {
    LifeKind { odd: true, ..life(name, weight) }
}

/// A match as it is pushed.
#[derive(Debug, Serialize)]
struct Match {
    match_id: String,
    participants: Vec<Participant>,
    teams: Vec<Team>,
}

#[derive(Debug, Serialize)]
struct Participant {
    id: String,
    team_id: String,
}

#[derive(Debug, Serialize)]
struct Team {
    id: String,
}

/// As much of a match as a DELETE needs.
#[derive(Debug, Serialize)]
struct Stub<'m> {
    match_id: &'m str,
}

pub(super) fn play(request: &PlayRequest<'_>) -> Option<Script> {
    let mut dice = Dice::new(request.seed);
    let mut arranged = arrange(request, &mut dice);
    let mut script = Script::new();
    let later = dice.between(1_000, 30_000);
    match request.life {
        "match" => {
            put(&mut script, 0, &arranged, request);
            expect(&mut script, &arranged, request, false);
        }
        "canceled" => {
            put(&mut script, 0, &arranged, request);
            script.send(Method::Delete, later, cancellation(&arranged, &mut dice));
            expect(&mut script, &arranged, request, true);
        }
        // The cancellation overtakes the match: it must not come to life again.
        "canceled_first" => {
            script.send(Method::Delete, 0, cancellation(&arranged, &mut dice));
            put(&mut script, later, &arranged, request);
            expect(&mut script, &arranged, request, true);
        }
        "contradiction" => {
            arranged.teams.retain(|team| team.id != "team_2");
            arranged.teams.push(Team { id: "team_9".to_owned() });
            let kind = match options::on_inconsistent(request.settings) {
                Ok(OnInconsistent::Refuse) => UnrecognizedKind::Malformed,
                Ok(OnInconsistent::Park) | Err(_) => UnrecognizedKind::Inconsistent,
            };
            script.send_odd(Method::Put, 0, json_body(&arranged), kind);
        }
        "garbage" => {
            let body = cut_short(json_body(&arranged));
            script.send_odd(Method::Put, 0, body, UnrecognizedKind::Malformed);
        }
        _ => return None,
    }
    Some(script)
}

/// Two teams of one to five, or three or four players against each other.
fn arrange(request: &PlayRequest<'_>, dice: &mut Dice) -> Match {
    let match_id = dice.hex(24);
    let (teams, size) = match dice.below(10) {
        0..5 => (2, 1),
        5..8 => (2, 2),
        8 => (2, 5),
        _ => (dice.between(3, 4), 1),
    };
    let count = usize::try_from(teams * size).unwrap_or(2);
    let players = request.crowd.pick(dice, count);
    let participants = (0..).zip(&players).map(|(place, number)| Participant {
        id: format!("user_{}", request.crowd.dice_of(*number).hex(12)),
        team_id: format!("team_{}", place % teams + 1),
    });
    let teams = (1..=teams).map(|team| Team { id: format!("team_{team}") });
    Match { match_id, participants: participants.collect(), teams: teams.collect() }
}

/// The match is arranged. Where matches are asked for, everybody who asks is told; that one was called off is told to
/// nobody, because a match that is not told any more may as well be over.
fn put(script: &mut Script, after_ms: u64, arranged: &Match, request: &PlayRequest<'_>) {
    let asked = pull::asks(request.settings).unwrap_or(false);
    let retold = if asked { Retold::ToAll } else { Retold::Never };
    let delivery = ScriptedDelivery::new(Method::Put, after_ms, json_body(arranged));
    script.deliveries.push(ScriptedDelivery { retold, ..delivery });
}

/// The documentation says "a match stub": the whole match, or no more than its id.
fn cancellation(arranged: &Match, dice: &mut Dice) -> Vec<u8> {
    if dice.chance(50) { json_body(arranged) } else { json_body(&Stub { match_id: &arranged.match_id }) }
}

/// A match that is on holds every stake; one that is off has moved nothing in the end.
fn expect(script: &mut Script, arranged: &Match, request: &PlayRequest<'_>, canceled: bool) {
    let stake = request.settings.policy.stake.unwrap_or(0);
    let status = if canceled { MatchStatus::CanceledOther } else { MatchStatus::Confirmed };
    let mut effect = MatchEffect {
        kind: MatchKind::Platform.as_str().to_owned(),
        status: status.as_str().to_owned(),
        settlement: canceled.then(|| "refund".to_owned()),
        ..MatchEffect::default()
    };
    if !canceled {
        let mut pot = 0_i64;
        for participant in &arranged.participants {
            effect.move_money(&participant.id, stake.saturating_neg());
            pot = pot.saturating_add(stake);
        }
        effect.amounts = Some(MatchAmounts { pot, ..MatchAmounts::default() });
    }
    script.effects.matches.insert(arranged.match_id.clone(), effect);
}
