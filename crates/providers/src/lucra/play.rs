//! Lives as the provider sends them: games with stakes, free contests, tournaments, and what is about
//! players only.

mod api;
mod body;
mod contests;
mod games;
mod others;
mod settle;
mod table;
mod tournaments;

use crate::delivery::Method;
use crate::keys::KeyRole;
use crate::play::{Dice, LifeKind, PlayRequest, Script};

pub(super) use api::Api;

pub(super) const LIVES: &[LifeKind] = &[
    life("game", 40),
    life("game_with_studio_reward", 8),
    life("game_canceled", 12),
    life("game_running", 5),
    life("game_failing", 3),
    life("game_given_up", 1),
    life("contest", 16),
    life("contest_open", 2),
    life("tournament", 5),
    life("player", 5),
    life("conversion", 4),
    odd("unknown_event", 2),
    odd("unknown_status", 1),
    odd("no_amount", 1),
    odd("garbage", 2),
];

const fn life(name: &'static str, weight: u32) -> LifeKind {
    LifeKind { name, weight, odd: false, role: KeyRole::Webhook }
}

const fn odd(name: &'static str, weight: u32) -> LifeKind {
    LifeKind { odd: true, ..life(name, weight) }
}

pub(super) fn play(request: &PlayRequest<'_>) -> Option<Script> {
    let mut life = Life { request, dice: Dice::new(request.seed), script: Script::new(), after_ms: 0 };
    match request.life {
        "game" => games::whole(&mut life, games::Failing::No),
        "game_failing" => games::whole(&mut life, games::Failing::Yes),
        "game_given_up" => games::given_up(&mut life),
        "game_with_studio_reward" => games::with_studio_reward(&mut life),
        "game_canceled" => games::canceled(&mut life),
        "game_running" => games::running(&mut life),
        "contest" => contests::whole(&mut life),
        "contest_open" => contests::open(&mut life),
        "tournament" => tournaments::whole(&mut life),
        "player" => others::player(&mut life),
        "conversion" => others::conversion(&mut life),
        "unknown_event" => others::unknown_event(&mut life),
        "unknown_status" => games::unknown_status(&mut life),
        "no_amount" => games::no_amount(&mut life),
        "garbage" => games::garbage(&mut life),
        _ => return None,
    }
    Some(life.script)
}

/// A life in the making.
struct Life<'r> {
    request: &'r PlayRequest<'r>,
    dice: Dice,
    script: Script,
    after_ms: u64,
}

impl Life<'_> {
    /// Some time passes.
    fn wait(&mut self, ms_max: u64) {
        self.after_ms += self.dice.between(50, ms_max);
    }

    fn send(&mut self, body: Vec<u8>) {
        self.script.send(Method::Post, self.after_ms, body);
    }

    /// Different players, by id.
    fn players(&mut self, count: usize) -> Vec<String> {
        let crowd = self.request.crowd;
        let numbers = crowd.pick(&mut self.dice, count);
        numbers.into_iter().map(|number| crowd.dice_of(number).uuid()).collect()
    }

    fn player(&mut self) -> String {
        self.players(1).pop().unwrap_or_default()
    }

    fn exponent(&self) -> u8 {
        self.request.settings.policy.currency.exponent
    }
}
