//! A match that is played round by round, so that its counters climb as a server's do and agree with each
//! other: who kills makes somebody die.

use crate::play::{Dice, PlayRequest};

use super::body::{self, Counts, Line, LinePayload};

/// The smallest SteamID64 of a person's account.
const STEAM_ID_BASE: u64 = 76_561_197_960_265_728;
const MAPS: [&str; 7] =
    ["de_mirage", "de_inferno", "de_nuke", "de_ancient", "de_anubis", "de_dust2", "de_vertigo"];

/// A counter, as its place in `COUNTER_NAMES`.
#[derive(Debug, Clone, Copy)]
enum Counter {
    Kills,
    Assists,
    Deaths,
    Mvps,
    Score,
    DoubleKills,
    TripleKills,
    QuadraKills,
    PentaKills,
    Headshots,
    PistolKills,
    SniperKills,
    Damage,
    EntryAttempts,
    EntrySuccesses,
    FlashesThrown,
    FlashesSuccessful,
    EnemiesFlashed,
    UtilityThrown,
    UtilityDamage,
    ClutchAttempts,
    ClutchWins,
}

pub(super) struct Game {
    pub(super) id: String,
    server_id: String,
    map: &'static str,
    pub(super) players: Vec<Player>,
    /// Rounds won by `team1` and `team2`.
    pub(super) score: [u32; 2],
    pub(super) history: Vec<Line>,
    /// Unix seconds.
    pub(super) clock: i64,
    /// How many rounds win.
    goal: u32,
}

pub(super) struct Player {
    pub(super) id: String,
    nickname: String,
    /// 0 or 1.
    pub(super) side: usize,
    pub(super) connected: bool,
    pub(super) kicked: bool,
    left_at: Option<i64>,
    pub(super) counts: Counts,
}

impl Game {
    /// One against one, two against two or five against five.
    pub(super) fn new(request: &PlayRequest<'_>, dice: &mut Dice) -> Self {
        let (a_side, goal) = match dice.below(10) {
            0..4 => (1, 5),
            4..7 => (2, 9),
            _ => (5, 13),
        };
        let numbers = request.crowd.pick(dice, a_side * 2);
        let players = numbers.iter().enumerate().map(|(place, number)| {
            let account = request.crowd.dice_of(*number).number() >> 32;
            Player {
                id: STEAM_ID_BASE.saturating_add(account).to_string(),
                nickname: format!("Player {number}"),
                side: place % 2,
                connected: false,
                kicked: false,
                left_at: None,
                counts: Counts::default(),
            }
        });
        let mut game = Self {
            id: dice.hex(24),
            server_id: dice.hex(24),
            map: dice.pick(&MAPS).copied().unwrap_or_default(),
            players: players.collect(),
            score: [0, 0],
            history: Vec::new(),
            clock: request.at.seconds(),
            goal,
        };
        for (event, seconds) in [("booting_server", 0), ("loading_map", 7), ("server_ready_for_players", 2)] {
            game.clock += seconds;
            game.note(event, None);
        }
        game
    }

    /// Everybody comes, but the last `missing` of them.
    pub(super) fn connect(&mut self, dice: &mut Dice, missing: usize) {
        let coming = self.players.len().saturating_sub(missing);
        for place in 0..coming {
            self.clock += i64::try_from(dice.below(20)).unwrap_or(0);
            let Some(player) = self.players.get_mut(place) else { continue };
            player.connected = true;
            let payload = LinePayload::Player { steam_id_64: player.id.clone() };
            self.note("player_connected", Some(payload));
        }
        if missing == 0 {
            self.note("all_players_connected", None);
        }
    }

    /// Adds a line to the history.
    pub(super) fn note(&mut self, event: &'static str, payload: Option<LinePayload>) {
        self.history.push(Line { event, timestamp: self.clock, payload });
    }

    pub(super) fn rounds(&self) -> u32 {
        self.score.iter().sum()
    }

    /// Somebody has won enough rounds, or both have won all but one of them, which is a draw.
    pub(super) fn is_over(&self) -> bool {
        self.score.contains(&self.goal) || self.score == [self.goal - 1; 2]
    }

    /// Votes a player out, when there are enough players to do without; the place among the players.
    pub(super) fn vote_out(&mut self, dice: &mut Dice) -> Option<usize> {
        let count = self.players.len();
        if count < 4 || self.players.iter().any(|player| player.kicked) {
            return None;
        }
        let place = usize::try_from(dice.below(u64::try_from(count).unwrap_or(1))).unwrap_or(0);
        let player = self.players.get_mut(place)?;
        player.kicked = true;
        player.connected = false;
        player.left_at = Some(self.clock);
        let whom = LinePayload::Player { steam_id_64: player.id.clone() };
        self.note("player_disconnected", Some(whom.clone()));
        self.note("player_votekicked", Some(whom));
        Some(place)
    }

    /// Plays one round.
    pub(super) fn play_round(&mut self, dice: &mut Dice) {
        self.clock += i64::try_from(dice.between(40, 110)).unwrap_or(60);
        let winner = usize::from(dice.chance(50));
        let mut alive = [self.side(0), self.side(1)];
        let mut kills = vec![0_u32; self.players.len()];
        let mut first = true;
        while !alive.iter().any(Vec::is_empty) {
            // The winners lose some, but never the last one.
            let spared = alive.get(winner).is_none_or(|side| side.len() == 1);
            let shooters = if spared || dice.chance(60) { winner } else { 1 - winner };
            let killer = alive.get(shooters).and_then(|side| dice.pick(side)).copied();
            let victim = alive.get_mut(1 - shooters).and_then(|side| take(dice, side));
            if let (Some(killer), Some(victim)) = (killer, victim) {
                self.kill(dice, killer, victim, first);
                if let Some(count) = kills.get_mut(killer) {
                    *count += 1;
                }
            }
            first = false;
            // Now and then the bomb or the clock ends it.
            if dice.chance(5) {
                break;
            }
        }
        self.end_round(dice, winner, alive.get(winner).map_or(&[], Vec::as_slice), &kills);
    }

    fn kill(&mut self, dice: &mut Dice, killer: usize, victim: usize, first: bool) {
        let side = self.players.get(killer).map(|player| player.side);
        let mates: Vec<usize> = (0..self.players.len())
            .filter(|place| *place != killer && self.players.get(*place).map(|p| p.side) == side)
            .collect();
        let extra = i32::try_from(dice.below(40)).unwrap_or(0);
        self.count(killer, &[(Counter::Kills, 1), (Counter::Score, 2), (Counter::Damage, 100 + extra)]);
        self.count(victim, &[(Counter::Deaths, 1)]);
        if dice.chance(45) {
            self.count(killer, &[(Counter::Headshots, 1)]);
        }
        match dice.below(10) {
            0..2 => self.count(killer, &[(Counter::PistolKills, 1)]),
            2 => self.count(killer, &[(Counter::SniperKills, 1)]),
            _ => {}
        }
        if first {
            self.count(killer, &[(Counter::EntryAttempts, 1), (Counter::EntrySuccesses, 1)]);
            self.count(victim, &[(Counter::EntryAttempts, 1)]);
        }
        if let Some(mate) = dice.pick(&mates).copied().filter(|_| dice.chance(25)) {
            self.count(mate, &[(Counter::Assists, 1), (Counter::Score, 1)]);
        }
    }

    fn end_round(&mut self, dice: &mut Dice, winner: usize, standing: &[usize], kills: &[u32]) {
        if let Some(score) = self.score.get_mut(winner) {
            *score += 1;
        }
        for (place, kills) in kills.iter().enumerate() {
            let multi = match kills {
                2 => Some(Counter::DoubleKills),
                3 => Some(Counter::TripleKills),
                4 => Some(Counter::QuadraKills),
                5 => Some(Counter::PentaKills),
                _ => None,
            };
            if let Some(multi) = multi {
                self.count(place, &[(multi, 1)]);
            }
            if self.players.get(place).is_some_and(|player| player.connected) && dice.chance(40) {
                let hit = i32::try_from(dice.below(3)).unwrap_or(0);
                self.count(
                    place,
                    &[
                        (Counter::FlashesThrown, 1),
                        (Counter::FlashesSuccessful, i32::from(hit > 0)),
                        (Counter::EnemiesFlashed, hit),
                        (Counter::UtilityThrown, 1),
                        (Counter::UtilityDamage, hit * 7),
                    ],
                );
            }
        }
        let best = (0..kills.len())
            .filter(|place| self.players.get(*place).is_some_and(|p| p.side == winner && p.connected))
            .max_by_key(|place| kills.get(*place));
        if let Some(best) = best {
            self.count(best, &[(Counter::Mvps, 1)]);
        }
        if let ([last], true) = (standing, self.side(winner).len() > 1) {
            self.count(*last, &[(Counter::ClutchAttempts, 1), (Counter::ClutchWins, 1)]);
        }
        let [team1_score, team2_score] = self.score;
        self.note("round_end", Some(LinePayload::Score { team1_score, team2_score }));
    }

    /// Who plays on a side now.
    fn side(&self, side: usize) -> Vec<usize> {
        let places = self.players.iter().enumerate();
        places.filter(|(_, player)| player.side == side && player.connected).map(|(place, _)| place).collect()
    }

    fn count(&mut self, place: usize, counts: &[(Counter, i32)]) {
        let Some(player) = self.players.get_mut(place) else { return };
        for (counter, more) in counts {
            if let Some(count) = player.counts.0.get_mut(*counter as usize) {
                *count += more;
            }
        }
    }

    /// A player as a body has them.
    pub(super) fn player(&self, place: usize) -> Option<body::Player<'_>> {
        let player = self.players.get(place)?;
        Some(body::Player {
            match_id: &self.id,
            steam_id_64: &player.id,
            team: if player.side == 0 { "team1" } else { "team2" },
            nickname_override: &player.nickname,
            connected: player.connected,
            kicked: player.kicked,
            disconnected_at: player.left_at,
            disconnected_reason: player.left_at.map(|_| "kicked"),
            stats: player.counts,
        })
    }

    /// The match as a body has it, but for what the studio set up.
    pub(super) fn body<'g>(
        &'g self,
        webhooks: body::Webhooks<'g>,
        finished: bool,
        cancel_reason: Option<&'g str>,
    ) -> body::Match<'g> {
        let [one, two] = self.score;
        body::Match {
            id: &self.id,
            game_server_id: &self.server_id,
            team1: body::Team { name: "Team Alpha", flag: "SE", stats: body::TeamStats { score: one } },
            team2: body::Team { name: "Team Bravo", flag: "DK", stats: body::TeamStats { score: two } },
            players: (0..self.players.len()).filter_map(|place| self.player(place)).collect(),
            settings: body::Settings {
                map: Some(self.map),
                password: Some("the-servers-password"),
                connect_time: 300,
                match_begin_countdown: 30,
                team_size: None,
                wait_for_gotv: false,
                enable_plugin: true,
                enable_tech_pause: true,
            },
            webhooks,
            rounds_played: self.rounds(),
            finished,
            cancel_reason,
            events: &self.history,
        }
    }
}

/// Takes somebody out of those who are alive.
fn take(dice: &mut Dice, alive: &mut Vec<usize>) -> Option<usize> {
    let place = usize::try_from(dice.below(u64::try_from(alive.len()).unwrap_or(1))).unwrap_or(0);
    (place < alive.len()).then(|| alive.swap_remove(place))
}
