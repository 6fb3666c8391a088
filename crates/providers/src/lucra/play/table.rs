//! A game as the provider knows it, and as it writes it in a delivery.

use matchpurse_domain::event::MatchStatus;

use super::Life;
use super::body::{Failure, FailureNotice, Flat, Game, Group, Metadata, Nested, OrNull, Reward, User};
use crate::delivery::Method;
use crate::play::{Retold, ScriptedDelivery, json_body, major};

/// Stakes, in minor units.
const STAKES: [i64; 7] = [99, 500, 700, 1_000, 1_250, 2_500, 10_001];
const GAMES: [&str; 4] = ["DARTS", "AIR-HOCKEY", "POOL", "CORNHOLE"];
const SIDES: [&str; 6] = ["Team Alpha", "Team Bravo", "Team Charlie", "Team Delta", "Team Echo", "Team Foxtrot"];
/// In which of its shapes the provider writes a game; two pages and a sample program have one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As the Swagger has it.
    Flat,
    /// As one page of the documentation has it.
    Nested,
    /// As the sample program knows it: without a status, and without what is null.
    Sparse,
}

/// A game as the provider knows it.
pub(super) struct Table {
    pub(super) id: String,
    pub(super) game_id: &'static str,
    pub(super) shape: Shape,
    pub(super) free_for_all: bool,
    pub(super) sides: Vec<Side>,
    /// What each player stakes, in minor units; none: it is not said.
    pub(super) stake: Option<i64>,
}

pub(super) struct Side {
    pub(super) id: String,
    pub(super) players: Vec<String>,
}

/// What one delivery says beyond who sits where.
#[derive(Default)]
pub(super) struct Moment<'m> {
    pub(super) event: &'static str,
    pub(super) status: &'static str,
    /// How many have sat down; the others come later.
    pub(super) seated: usize,
    pub(super) joined_by: Option<&'m str>,
    pub(super) winner: Option<&'m str>,
    /// The reward of a player, by place of side and player.
    pub(super) rewards: Vec<(String, Reward)>,
}

/// The first delivery of every game.
pub(super) const fn created() -> Moment<'static> {
    Moment {
        event: "RecreationalGameCreated",
        status: "OPEN",
        seated: 1,
        joined_by: None,
        winner: None,
        rewards: Vec::new(),
    }
}

impl Table {
    /// A game with its players; `staked` ones have a stake.
    pub(super) fn new(life: &mut Life<'_>, staked: bool) -> Self {
        let (free_for_all, sides, size) = match life.dice.below(10) {
            0..5 => (false, 2, 1),
            5..7 => (false, 2, 2),
            7 => (false, 2, 3),
            _ => (true, life.dice.between(3, 6), 1),
        };
        let (sides, size) = (usize::try_from(sides).unwrap_or(2), size);
        let mut players = life.players(sides * size).into_iter();
        let sides = (0..sides)
            .map(|_| Side { id: life.dice.uuid(), players: players.by_ref().take(size).collect() })
            .collect();
        let shape = match life.dice.below(10) {
            0..6 => Shape::Flat,
            6..8 => Shape::Nested,
            _ => Shape::Sparse,
        };
        Self {
            id: life.dice.uuid(),
            game_id: life.dice.pick(&GAMES).copied().unwrap_or_default(),
            shape,
            free_for_all,
            sides,
            stake: staked.then(|| life.dice.pick(&STAKES).copied().unwrap_or(500)),
        }
    }

    /// Everybody, in the order in which they sit down: round by round over the sides.
    pub(super) fn players(&self) -> Vec<&String> {
        let rows = self.sides.iter().map(|side| side.players.len()).max().unwrap_or(0);
        (0..rows)
            .flat_map(|row| self.sides.iter().filter_map(move |side| side.players.get(row)))
            .collect()
    }

    /// It is made, by the first player.
    pub(super) fn create(&self, life: &mut Life<'_>) {
        let mut moment = created();
        // A reward before the end is a promise, and nobody has won anything by it.
        if self.stake.is_some() && self.shape == Shape::Flat && life.dice.chance(20) {
            let promised = self.cash(life, self.stake.unwrap_or(0).saturating_mul(2));
            moment.rewards = self.players().first().map(|player| ((*player).clone(), promised)).into_iter().collect();
        }
        self.send(life, moment);
    }

    /// It is made, and everybody joins.
    pub(super) fn fill(&self, life: &mut Life<'_>) {
        self.create(life);
        let players = self.players();
        for (place, player) in players.iter().enumerate().skip(1) {
            life.wait(30_000);
            let full = place + 1 == players.len();
            self.send(
                life,
                Moment {
                    event: "RecreationalGameJoined",
                    status: if full { "CONFIRMED" } else { "OPEN" },
                    seated: place + 1,
                    joined_by: Some(player),
                    ..Moment::default()
                },
            );
        }
    }

    /// It begins; the status that it has then. Without a status only the event's name says so.
    pub(super) fn start(&self, life: &mut Life<'_>) -> MatchStatus {
        life.wait(5_000);
        let locked = life.dice.chance(70);
        let status = if locked { "LOCKED" } else { "PENDING_OUTCOMES" };
        let moment =
            Moment { event: "RecreationalGameStarted", status, seated: usize::MAX, ..Moment::default() };
        self.send(life, moment);
        if locked || self.shape == Shape::Sparse { MatchStatus::Locked } else { MatchStatus::PendingOutcomes }
    }

    /// The provider tries to complete it, fails, and will try again; or does not, after the last attempt.
    pub(super) fn fail(&self, life: &mut Life<'_>, goes_on: bool) {
        let attempts = u32::try_from(life.dice.between(1, 3)).unwrap_or(1);
        for attempt in 1..=attempts {
            life.wait(10_000);
            let failure = Failure {
                code: "COMPLETION_FAILED",
                reason: "participant group missing",
                request_id: life.dice.uuid(),
                attempt,
                will_retry: goes_on || attempt < attempts,
            };
            let event =
                if attempt == 1 { "ScoreIngestionFailed" } else { "RecreationalGameCompletionFailed" };
            let notice = FailureNotice { event, tenant_id: "SAMPLE", entity_id: &self.id, failure };
            life.send(json_body(&notice));
        }
    }

    pub(super) fn cash(&self, life: &Life<'_>, amount: i64) -> Reward {
        let value = major(amount, life.exponent()).get().to_owned();
        let metadata = (self.shape == Shape::Nested).then_some(Metadata::Object("{}"));
        Reward { kind: "CASH", value, metadata }
    }

    pub(super) fn send(&self, life: &mut Life<'_>, moment: Moment<'_>) {
        let body = self.body(moment, life);
        let delivery = ScriptedDelivery::new(Method::Post, life.after_ms, body);
        life.script.deliveries.push(ScriptedDelivery { retold: Retold::ToWhoKnows, ..delivery });
    }

    pub(super) fn body(&self, moment: Moment<'_>, life: &Life<'_>) -> Vec<u8> {
        let seated: Vec<&String> = self.players().into_iter().take(moment.seated).collect();
        let sparse = self.shape == Shape::Sparse;
        let user_metadata = match self.shape {
            Shape::Nested => Metadata::Text(r#"{"externalId":"player-7"}"#),
            Shape::Flat | Shape::Sparse => Metadata::Object("{}"),
        };
        let groups = self.sides.iter().zip(SIDES).map(|(side, name)| Group {
            group_id: &side.id,
            name,
            users: (side.players.iter().filter(|player| seated.contains(player)))
                .map(|player| User {
                    user_id: player,
                    user_metadata,
                    reward: (moment.rewards.iter().find(|(to, _)| to == player))
                        .map(|(_, reward)| reward.clone()),
                })
                .collect(),
        });
        let game = Game {
            id: &self.id,
            created_by_user_id: self.players().first().map_or("", |player| player.as_str()),
            game_id: self.game_id,
            status: (!sparse).then_some(moment.status),
            kind: "RECREATIONAL_GAME",
            subtype: if self.free_for_all { "FREE_FOR_ALL" } else { "GROUP_VS_GROUP" },
            buy_in_amount: self.stake.map(|stake| major(stake, life.exponent())),
            is_public: (!sparse).then_some(true),
            winner_group_id: match (sparse, moment.winner) {
                (true, None) => None,
                (_, winner) => Some(OrNull(winner)),
            },
            metadata: (self.shape == Shape::Flat).then_some(()),
            // In a free-for-all everybody is a side, which comes with its player.
            groups: groups.filter(|group| !self.free_for_all || !group.users.is_empty()).collect(),
            joined_by_user_id: moment.joined_by.filter(|_| self.shape != Shape::Nested),
        };
        if self.shape == Shape::Nested {
            json_body(&Nested { event: moment.event, matchup: &game })
        } else {
            json_body(&Flat { event: moment.event, game: &game })
        }
    }
}
