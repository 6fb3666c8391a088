//! Free-to-play contests: two sides, a promised reward for each, and one copy of the outcome for each.

use matchpurse_domain::event::{MatchKind, MatchStatus};
use serde::Serialize;

use super::Life;
use crate::play::{GrantEffect, GrantKey, MatchAmounts, MatchEffect, json_body};

/// What a client sent along: a text that holds JSON.
const METADATA: [&str; 3] = [r#"{"sku":"free-drink","qty":1}"#, r#"{"sku":"sticker","qty":3}"#, "{}"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Matchup<'c> {
    id: &'c str,
    event: &'static str,
    created_by_user_id: &'c str,
    #[serde(rename = "type")]
    kind: &'static str,
    is_public: bool,
    groups: Vec<Group<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_by_user_id: Option<&'c str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group<'c> {
    group_id: &'c str,
    users: Vec<User<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    professional_team_details: Option<TeamDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    professional_player_details: Option<PlayerDetails>,
}

#[derive(Serialize)]
struct TeamDetails {
    team: &'static str,
    schedule: &'static str,
    metric: &'static str,
}

#[derive(Serialize)]
struct PlayerDetails {
    player: &'static str,
    schedule: &'static str,
    metric: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User<'c> {
    user_id: &'c str,
    tenant_reward: TenantReward<'c>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TenantReward<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'c str>,
    intent_id: &'c str,
    metadata: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeCopy<'c> {
    event: &'static str,
    matchup_id: &'c str,
    user_id: &'c str,
    users_outcomes: Vec<UserOutcome<'c>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserOutcome<'c> {
    user_id: &'c str,
    outcome: &'static str,
    reward: Option<TenantReward<'c>>,
}

/// One player's side.
struct Seat {
    player: String,
    group_id: String,
    reward_id: String,
    intent_id: String,
    metadata: &'static str,
}

struct Contest {
    id: String,
    kind: &'static str,
    seats: Vec<Seat>,
}

/// It is made, accepted, and decided: one wins, or both are equal.
pub(super) fn whole(life: &mut Life<'_>) {
    let contest = Contest::new(life);
    life.send(contest.matchup("FtpMatchupCreated", 1));
    life.wait(60_000);
    life.send(contest.matchup("FtpMatchupAccepted", usize::MAX));
    life.wait(600_000);
    let tie = life.dice.chance(15);
    let winner = usize::from(life.dice.chance(50));
    let outcome_of = |place: usize| match place {
        _ if tie => "TIE",
        place if place == winner => "WIN",
        _ => "LOSS",
    };
    for seat in &contest.seats {
        let outcomes = contest.seats.iter().enumerate().map(|(place, seat)| UserOutcome {
            user_id: &seat.player,
            outcome: outcome_of(place),
            reward: (outcome_of(place) != "LOSS").then(|| seat.reward(false)),
        });
        let copy = OutcomeCopy {
            event: "ContestUserOutcome",
            matchup_id: &contest.id,
            user_id: &seat.player,
            users_outcomes: outcomes.collect(),
        };
        let body = json_body(&copy);
        life.send(body);
        life.wait(200);
    }
    for (place, seat) in contest.seats.iter().enumerate() {
        let outcome = outcome_of(place);
        // What was promised and not won is released, in whatever order it comes.
        contest.expect_grant(life, seat, if outcome == "LOSS" { "released" } else { "granted" });
        let is = |word: &str| u64::from(outcome == word);
        life.script.effects.record(&seat.player, is("WIN"), is("LOSS"), is("TIE"));
    }
    let (status, settlement) =
        if tie { (MatchStatus::ClosedTie, "tie") } else { (MatchStatus::Closed, "payout") };
    contest.expect(life, status, Some(settlement));
}

/// It is made, and nobody has come yet.
pub(super) fn open(life: &mut Life<'_>) {
    let contest = Contest::new(life);
    life.send(contest.matchup("FtpMatchupCreated", 1));
    if let Some(first) = contest.seats.first() {
        contest.expect_grant(life, first, "reserved");
    }
    contest.expect(life, MatchStatus::Open, None);
}

impl Contest {
    fn new(life: &mut Life<'_>) -> Self {
        let players = life.players(2);
        let seats = players.into_iter().map(|player| Seat {
            player,
            group_id: life.dice.uuid(),
            reward_id: life.dice.uuid(),
            intent_id: life.dice.uuid(),
            metadata: life.dice.pick(&METADATA).copied().unwrap_or("{}"),
        });
        let seats = seats.collect();
        let kinds =
            ["PROFESSIONAL_SPORTS_TEAM_STAT", "PROFESSIONAL_SPORTS_PLAYER_STAT", "RECREATIONAL_GAME"];
        let kind = life.dice.pick(&kinds).copied().unwrap_or_default();
        Self { id: life.dice.uuid(), kind, seats }
    }

    /// The matchup when `seated` players have come.
    fn matchup(&self, event: &'static str, seated: usize) -> Vec<u8> {
        let names = ["Philadelphia Eagles", "Dallas Cowboys"];
        let groups = self.seats.iter().zip(names).enumerate().map(|(place, (seat, name))| {
            let schedule = "DAL vs PHI - 2024REG W10";
            let seat_taken = place < seated;
            Group {
                group_id: &seat.group_id,
                users: if seat_taken {
                    vec![User { user_id: &seat.player, tenant_reward: seat.reward(true) }]
                } else {
                    Vec::new()
                },
                professional_team_details: (self.kind == "PROFESSIONAL_SPORTS_TEAM_STAT")
                    .then_some(TeamDetails { team: name, schedule, metric: "FOOTBALL_SCORE" }),
                professional_player_details: (self.kind == "PROFESSIONAL_SPORTS_PLAYER_STAT")
                    .then_some(PlayerDetails { player: name, schedule, metric: "PASSING_TDS" }),
            }
        });
        let accepted = self.seats.get(1).filter(|_| seated > 1).map(|seat| seat.player.as_str());
        json_body(&Matchup {
            id: &self.id,
            event,
            created_by_user_id: self.seats.first().map_or("", |seat| seat.player.as_str()),
            kind: self.kind,
            is_public: true,
            groups: groups.collect(),
            accepted_by_user_id: accepted,
        })
    }

    fn expect_grant(&self, life: &mut Life<'_>, seat: &Seat, state: &str) {
        let key = GrantKey {
            kind: "contest".to_owned(),
            contest: self.id.clone(),
            player: seat.player.clone(),
            reference: seat.intent_id.clone(),
        };
        let effect = GrantEffect { state: state.to_owned(), amount: None };
        life.script.effects.grants.insert(key, effect);
    }

    fn expect(self, life: &mut Life<'_>, status: MatchStatus, settlement: Option<&str>) {
        let effect = MatchEffect {
            kind: MatchKind::FreeToPlay.as_str().to_owned(),
            status: status.as_str().to_owned(),
            settlement: settlement.map(str::to_owned),
            amounts: Some(MatchAmounts::default()),
            ..MatchEffect::default()
        };
        life.script.effects.matches.insert(self.id, effect);
    }
}

impl Seat {
    /// The reward: with its own id before the end, without it after.
    fn reward(&self, before: bool) -> TenantReward<'_> {
        TenantReward {
            id: before.then_some(self.reward_id.as_str()),
            intent_id: &self.intent_id,
            metadata: self.metadata,
        }
    }
}
