//! Lives as the game servers send them. There are two systems of hooks: one URL each for the end of a round,
//! the end of the match and a vote, or one URL for everything, whose body has the whole history every time.

mod api;
mod body;
mod game;

use std::collections::BTreeMap;

use matchpurse_domain::event::{COUNTER_NAMES, UnrecognizedKind};

use crate::delivery::Method;
use crate::keys::KeyRole;
use crate::play::{
    Dice, KickKey, LifeKind, PlayRequest, Retold, Script, ScriptedDelivery, StatsEffect, cut_short, json_body,
};

use body::Webhooks;
use game::Game;

pub(super) use api::Api;

pub(super) const LIVES: &[LifeKind] = &[
    life("match_by_url", 50),
    life("match_with_history", 20),
    life("canceled_by_url", 6),
    life("canceled_with_history", 8),
    odd("older_api", 1),
    odd("garbage", 1),
];

const fn life(name: &'static str, weight: u32) -> LifeKind {
    LifeKind { name, weight, odd: false, role: KeyRole::Webhook }
}

const fn odd(name: &'static str, weight: u32) -> LifeKind {
    LifeKind { odd: true, ..life(name, weight) }
}

/// The lines of the history that are sent when they happen.
const SENT: &[&str] = &[
    "match_started",
    "round_end",
    "player_votekicked",
    "match_ended",
    "players_exited",
    "gotv_stopped",
    "match_canceled",
];

/// A match's end as it is refused by nobody: the older product's contract, which is another one.
const OLDER_API: &str = r#"{"id":"ID","game_server_id":"S","map":"de_mirage","team1_stats":{"score":13},"team2_stats":{"score":7},"finished":true}"#;

pub(super) fn play(request: &PlayRequest<'_>) -> Option<Script> {
    let mut dice = Dice::new(request.seed);
    let mut script = Script::new();
    let mut life = Life { begins: request.at.seconds(), key: request.key, history: false };
    let mut game = Game::new(request, &mut dice);
    match request.life {
        "match_by_url" => life.whole(&mut script, &mut game, &mut dice),
        "match_with_history" => {
            life.history = true;
            life.whole(&mut script, &mut game, &mut dice);
        }
        "canceled_by_url" => life.canceled(&mut script, &mut game, &mut dice),
        "canceled_with_history" => {
            life.history = true;
            life.canceled(&mut script, &mut game, &mut dice);
        }
        "older_api" => {
            let body = OLDER_API.replace("ID", &game.id);
            script.send_odd(Method::Post, 0, body, UnrecognizedKind::UnknownType);
        }
        "garbage" => {
            let body = cut_short(life.body(&game, false, None));
            script.send_odd(Method::Post, 0, body, UnrecognizedKind::Malformed);
        }
        _ => return None,
    }
    Some(script)
}

/// One match, and by which system it is told.
struct Life<'r> {
    /// Unix seconds.
    begins: i64,
    /// The `Authorization` value, which the bodies echo.
    key: &'r [u8],
    /// True for the one URL with the history.
    history: bool,
}

impl Life<'_> {
    /// A match to its end.
    fn whole(&self, script: &mut Script, game: &mut Game, dice: &mut Dice) {
        game.connect(dice, 0);
        game.clock += 30;
        game.note("match_started", None);
        if self.history {
            self.send(script, game, false, None);
        }
        let kick_after = dice.chance(20).then(|| dice.between(1, 4));
        while !game.is_over() {
            game.play_round(dice);
            self.send(script, game, false, None);
            if kick_after == Some(u64::from(game.rounds()))
                && let Some(place) = game.vote_out(dice)
            {
                self.vote(script, game, place);
            }
        }
        game.note("match_ended", None);
        self.send(script, game, true, None);
        if self.history {
            // The same numbers again, twice: the end must count once.
            for (event, seconds) in [("players_exited", 20), ("gotv_stopped", 1)] {
                game.clock += seconds;
                game.note(event, None);
                self.send(script, game, true, None);
            }
        }
        count(script, game);
    }

    /// Called off before it began, or in the middle: it counts for nothing.
    fn canceled(&self, script: &mut Script, game: &mut Game, dice: &mut Dice) {
        let missing = usize::from(dice.chance(50));
        game.connect(dice, missing);
        let reason = if missing == 0 {
            game.note("match_started", None);
            for _ in 0..dice.between(1, 4) {
                game.play_round(dice);
                self.send(script, game, false, None);
            }
            "USER_API_CANCEL".to_owned()
        } else {
            game.clock += 300;
            let absent = game.players.last().map_or("", |player| player.id.as_str());
            format!("MISSING_PLAYERS:{absent}")
        };
        game.note("match_canceled", None);
        self.send(script, game, true, Some(&reason));
    }

    /// The match as it is now.
    fn send(&self, script: &mut Script, game: &Game, finished: bool, cancel_reason: Option<&str>) {
        let kicks = game.players.iter().filter(|player| player.kicked).count();
        // Every delivery with the history tells of a vote-kick again.
        let told = if self.history { u32::try_from(kicks).unwrap_or(0) } else { 0 };
        let body = self.body(game, finished, cancel_reason);
        let delivery = ScriptedDelivery::new(Method::Post, self.after_ms(game), body);
        let retold = Retold::ToWhoKnows;
        script.deliveries.push(ScriptedDelivery { events: 1 + told, retold, ..delivery });
    }

    /// Somebody was voted out.
    fn vote(&self, script: &mut Script, game: &Game, place: usize) {
        if self.history {
            self.send(script, game, false, None);
        } else if let Some(player) = game.player(place) {
            script.send(Method::Post, self.after_ms(game), json_body(&player));
        }
        if let Some(player) = game.players.get(place) {
            let key = KickKey { match_id: game.id.clone(), player: player.id.clone() };
            script.effects.kicks.insert(key);
        }
    }

    fn body(&self, game: &Game, finished: bool, cancel_reason: Option<&str>) -> Vec<u8> {
        let key = String::from_utf8_lossy(self.key);
        let webhooks = if self.history {
            Webhooks {
                match_end_url: "",
                round_end_url: "",
                player_votekick_success_url: "",
                event_url: "https://hooks.example.com/servers/events",
                enabled_events: SENT,
                authorization_header: &key,
            }
        } else {
            Webhooks {
                match_end_url: "https://hooks.example.com/servers/match-end",
                round_end_url: "https://hooks.example.com/servers/round-end",
                player_votekick_success_url: "https://hooks.example.com/servers/votekick",
                event_url: "",
                enabled_events: &[],
                authorization_header: &key,
            }
        };
        let mut body = game.body(webhooks, finished, cancel_reason);
        if !self.history {
            body.events = &[];
        }
        json_body(&body)
    }

    fn after_ms(&self, game: &Game) -> u64 {
        u64::try_from(game.clock.saturating_sub(self.begins)).unwrap_or(0).saturating_mul(1_000)
    }
}

/// What the match adds to its players' totals.
fn count(script: &mut Script, game: &Game) {
    let [one, two] = game.score;
    let mut lines = BTreeMap::new();
    for player in &game.players {
        let (mine, theirs) = if player.side == 0 { (one, two) } else { (two, one) };
        let counters = COUNTER_NAMES.iter().zip(player.counts.0).filter(|(_, count)| *count != 0);
        let line = StatsEffect {
            matches: 1,
            wins: u64::from(mine > theirs),
            losses: u64::from(mine < theirs),
            draws: u64::from(mine == theirs),
            rounds: u64::from(game.rounds()),
            counters: counters.map(|(name, count)| ((*name).to_owned(), i64::from(count))).collect(),
        };
        lines.insert(player.id.clone(), line);
    }
    script.effects.stats.clone_from(&lines);
    script.effects.lines = Some(BTreeMap::from([(game.id.clone(), lines)]));
}
