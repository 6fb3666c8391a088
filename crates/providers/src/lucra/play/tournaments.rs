//! Tournaments: the pool is the provider's own; what the places win is recorded, or given by the studio.

use matchpurse_domain::event::{MatchKind, MatchStatus};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Life;
use super::games::grant_key;
use crate::play::{GrantEffect, MatchAmounts, MatchEffect, json_body, major, rfc3339};

const KINDS: [&str; 4] = ["CASH_PERCENTAGE", "CASH_FIXED", "TENANT_REWARD", "NO_REWARD"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notice<'t> {
    event: &'static str,
    tenant_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_user_id: Option<&'t str>,
    matchup: Tournament<'t>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tournament<'t> {
    id: &'t str,
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    tenant_id: &'static str,
    created_at: String,
    is_public: bool,
    game_id: &'static str,
    title: String,
    metadata_string: &'static str,
    fee: u32,
    buy_in_amount: Box<RawValue>,
    number_of_participants: usize,
    max_participants: u32,
    pool_net_amount: Box<RawValue>,
    scoring_type: &'static str,
    reward_structure: Vec<Tier<'t>>,
    users: Vec<Entrant<'t>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tier<'t> {
    position: usize,
    value: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier_net_amount: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entrant<'t> {
    user_id: &'t str,
    user_name: String,
    position: Option<usize>,
    metadata_string: &'static str,
    score: Option<u64>,
    reward_net_amount: Option<Box<RawValue>>,
    can_submit_new_score: bool,
}

struct Pool {
    id: String,
    kind: &'static str,
    title: String,
    /// Minor units.
    buy_in: i64,
    players: Vec<String>,
    /// Amounts are written as if somebody had kept them in a double.
    as_doubles: bool,
    created_at: String,
}

/// A tournament from its making to its end, or until it is called off.
pub(super) fn whole(life: &mut Life<'_>) {
    let count = usize::try_from(life.dice.between(2, 12)).unwrap_or(2);
    let kind = life.dice.pick(&KINDS).copied().unwrap_or_default();
    let mut pool = Pool {
        players: life.players(count),
        id: life.dice.uuid(),
        kind,
        title: "Friday Cup".to_owned(),
        buy_in: if kind.starts_with("CASH_") { 1_000 } else { 0 },
        as_doubles: life.dice.chance(30),
        created_at: rfc3339(life.request.at),
    };
    pool.send(life, "TournamentCreated", "OPEN", 0, None);
    for edition in 0..life.dice.below(3) {
        life.wait(20_000);
        pool.title = format!("Friday Cup, edition {}", edition + 2);
        pool.send(life, "TournamentEdited", "OPEN", 0, None);
    }
    for seated in 1..=pool.players.len() {
        life.wait(20_000);
        let joined = pool.players.get(seated - 1).cloned();
        pool.send(life, "TournamentUserJoined", "OPEN", seated, joined.as_deref());
    }
    life.wait(900_000);
    let canceled = life.dice.chance(15);
    let everybody = pool.players.len();
    let (status, settlement) = if canceled {
        pool.send(life, "TournamentCanceled", "CANCELED", everybody, None);
        (MatchStatus::CanceledOther, "refund")
    } else {
        pool.send(life, "TournamentCompleted", "CLOSED", everybody, None);
        for (player, effect) in pool.given() {
            life.script.effects.grants.insert(grant_key(&pool.id, player), effect);
        }
        (MatchStatus::Closed, "payout")
    };
    let effect = MatchEffect {
        kind: MatchKind::Tournament.as_str().to_owned(),
        status: status.as_str().to_owned(),
        settlement: Some(settlement.to_owned()),
        amounts: Some(MatchAmounts::default()),
        ..MatchEffect::default()
    };
    life.script.effects.matches.insert(pool.id, effect);
}

impl Pool {
    /// What the places get in the end; the players stand in the order of their places.
    fn given(&self) -> impl Iterator<Item = (&str, GrantEffect)> {
        let places = self.players.iter().enumerate();
        places.filter_map(|(place, player)| {
            let effect = match (self.kind, self.prize(place)) {
                (kind, Some(prize)) if kind.starts_with("CASH_") => {
                    GrantEffect { state: "recorded".to_owned(), amount: Some(prize) }
                }
                ("TENANT_REWARD", _) if place == 0 => {
                    GrantEffect { state: "granted".to_owned(), amount: None }
                }
                _ => return None,
            };
            Some((player.as_str(), effect))
        })
    }

    /// What is left of the pool when the provider has taken 5 percent.
    fn net(&self) -> i64 {
        let count = i64::try_from(self.players.len()).unwrap_or(0);
        self.buy_in.saturating_mul(count).saturating_mul(95) / 100
    }

    /// What a place wins in money: three quarters and one quarter.
    fn prize(&self, place: usize) -> Option<i64> {
        match place {
            0 => Some(self.net() - self.net() / 4),
            1 => Some(self.net() / 4),
            _ => None,
        }
        .filter(|prize| *prize > 0)
    }

    fn amount(&self, life: &Life<'_>, units: i64) -> Box<RawValue> {
        let exact = major(units, life.exponent());
        // What a double makes of 28.5, as one hundred-millionth too much.
        let drifted = format!("{}000000000000004", exact.get());
        match RawValue::from_string(drifted) {
            Ok(drifted) if self.as_doubles && exact.get().contains('.') => drifted,
            _ => exact,
        }
    }

    fn send(
        &self,
        life: &mut Life<'_>,
        event: &'static str,
        status: &'static str,
        seated: usize,
        joined: Option<&str>,
    ) {
        let ended = status == "CLOSED";
        let cash = self.kind.starts_with("CASH_");
        let tiers = (0..2).map(|place| Tier {
            position: place + 1,
            value: match (self.kind, self.prize(place)) {
                ("CASH_FIXED", Some(prize)) => major(prize, life.exponent()),
                ("TENANT_REWARD", _) => RawValue::from_string(r#""free-drink""#.to_owned()).unwrap_or_default(),
                _ => major(if place == 0 { 75 } else { 25 }, 0),
            },
            // The studio's second prize goes to nobody.
            user_id: (self.players.get(place).filter(|_| ended && (cash || place == 0))).map(String::as_str),
            tier_net_amount: self.prize(place).filter(|_| cash).map(|prize| self.amount(life, prize)),
        });
        let users = self.players.iter().enumerate().take(seated).map(|(place, player)| Entrant {
            user_id: player,
            user_name: format!("player-{place}"),
            position: ended.then_some(place + 1),
            metadata_string: "{}",
            score: ended.then(|| 1_000 - u64::try_from(place).unwrap_or(0)),
            reward_net_amount: (self.prize(place).filter(|_| ended && cash))
                .map(|prize| self.amount(life, prize)),
            can_submit_new_score: !ended,
        });
        let notice = Notice {
            event,
            tenant_id: "SAMPLE",
            mode: ended.then_some("auto"),
            new_user_id: joined,
            matchup: Tournament {
                id: &self.id,
                kind: self.kind,
                status,
                tenant_id: "SAMPLE",
                created_at: self.created_at.clone(),
                is_public: true,
                game_id: "AIR-HOCKEY",
                title: self.title.clone(),
                metadata_string: "{}",
                fee: 5,
                buy_in_amount: major(self.buy_in, life.exponent()),
                number_of_participants: seated,
                max_participants: 250,
                pool_net_amount: self.amount(life, self.net()),
                scoring_type: "HIGHEST_SCORE",
                reward_structure: tiers.collect(),
                users: users.collect(),
            },
        };
        let body = json_body(&notice);
        life.send(body);
    }
}
