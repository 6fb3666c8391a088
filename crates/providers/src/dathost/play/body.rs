//! The bodies, in the documented order of their fields.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// The counters' names as they are sent, in the order of `COUNTER_NAMES`.
const WIRE_NAMES: [&str; 22] = [
    "kills",
    "assists",
    "deaths",
    "mvps",
    "score",
    "2ks",
    "3ks",
    "4ks",
    "5ks",
    "kills_with_headshot",
    "kills_with_pistol",
    "kills_with_sniper",
    "damage_dealt",
    "entry_attempts",
    "entry_successes",
    "flashes_thrown",
    "flashes_successful",
    "flashes_enemies_blinded",
    "utility_thrown",
    "utility_damage",
    "1vX_attempts",
    "1vX_wins",
];

/// A match: the body of every delivery but the vote-kick's.
#[derive(Debug, serde::Serialize)]
pub(super) struct Match<'g> {
    pub(super) id: &'g str,
    pub(super) game_server_id: &'g str,
    pub(super) team1: Team,
    pub(super) team2: Team,
    pub(super) players: Vec<Player<'g>>,
    pub(super) settings: Settings<'g>,
    pub(super) webhooks: Webhooks<'g>,
    pub(super) rounds_played: u32,
    pub(super) finished: bool,
    pub(super) cancel_reason: Option<&'g str>,
    pub(super) events: &'g [Line],
}

#[derive(Debug, serde::Serialize)]
pub(super) struct Team {
    pub(super) name: &'static str,
    pub(super) flag: &'static str,
    pub(super) stats: TeamStats,
}

#[derive(Debug, serde::Serialize)]
pub(super) struct TeamStats {
    pub(super) score: u32,
}

#[derive(Debug, serde::Serialize)]
pub(super) struct Player<'g> {
    pub(super) match_id: &'g str,
    pub(super) steam_id_64: &'g str,
    pub(super) team: &'static str,
    pub(super) nickname_override: &'g str,
    pub(super) connected: bool,
    pub(super) kicked: bool,
    pub(super) disconnected_at: Option<i64>,
    pub(super) disconnected_reason: Option<&'static str>,
    pub(super) stats: Counts,
}

#[derive(Debug, serde::Serialize)]
pub(super) struct Settings<'g> {
    pub(super) map: Option<&'g str>,
    pub(super) password: Option<&'static str>,
    pub(super) connect_time: u32,
    pub(super) match_begin_countdown: u32,
    pub(super) team_size: Option<u32>,
    pub(super) wait_for_gotv: bool,
    pub(super) enable_plugin: bool,
    pub(super) enable_tech_pause: bool,
}

/// What the studio set up, echoed. The secret is among it, as it would be in the worst case.
#[derive(Debug, serde::Serialize)]
pub(super) struct Webhooks<'g> {
    pub(super) match_end_url: &'static str,
    pub(super) round_end_url: &'static str,
    pub(super) player_votekick_success_url: &'static str,
    pub(super) event_url: &'static str,
    pub(super) enabled_events: &'static [&'static str],
    pub(super) authorization_header: &'g str,
}

/// A line of the history.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Line {
    pub(super) event: &'static str,
    pub(super) timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<LinePayload>,
}

#[derive(Debug, Clone, serde::Serialize)]
#[serde(untagged)]
pub(super) enum LinePayload {
    Player { steam_id_64: String },
    Score { team1_score: u32, team2_score: u32 },
}

/// A player's counters, in the order of `COUNTER_NAMES`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts(pub(super) [i32; 22]);

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(WIRE_NAMES.len()))?;
        for (name, count) in WIRE_NAMES.iter().zip(self.0) {
            map.serialize_entry(name, &count)?;
        }
        map.end()
    }
}
