use crate::ids::PlayerId;
use crate::time::Timestamp;

/// A game server's counters of a match, all of them, at one moment. `(finished, rounds_played)` only climbs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchStatsSnapshot {
    /// The provider's id of the match.
    pub match_id: String,
    /// The map, if known.
    pub map: Option<String>,
    /// The side that starts as counter-terrorists.
    pub team1: TeamScore,
    /// The other side.
    pub team2: TeamScore,
    /// How many rounds are over.
    pub rounds_played: u32,
    /// True when no round follows.
    pub finished: bool,
    /// Why the match was called off, if it was; such a match counts for nothing.
    pub cancel_reason: Option<String>,
    /// The players with their counters.
    pub players: Vec<PlayerStats>,
    /// What happened so far, oldest first; the same entries come again with every delivery.
    pub history: Vec<HistoryEntry>,
}

/// One side's name and score.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TeamScore {
    /// The name; may be empty.
    pub name: String,
    /// Rounds won, if the provider says so.
    pub score: Option<u32>,
}

/// Which side a player is on. Sides swap at half-time, labels do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `team1`
    Team1,
    /// `team2`
    Team2,
    /// Only watches.
    Spectator,
}

/// One player's counters in a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerStats {
    /// The player; a SteamID64 as text.
    pub player_id: PlayerId,
    /// Which side.
    pub side: Side,
    /// The name shown; may be empty.
    pub nickname: String,
    /// True while the player is on the server.
    pub connected: bool,
    /// True when the player was voted out.
    pub kicked: bool,
    /// The counters.
    pub counters: Counters,
}

/// The 22 counters a player, in the order of [`COUNTER_NAMES`].
///
/// They are kept as a list because every one of them is handled alike: stored, summed, shown. A counter can
/// fall between rounds (a team kill lowers kills), so nothing relates one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters(pub [i32; 22]);

/// The names of the counters, as the database and the contract write them.
pub const COUNTER_NAMES: [&str; 22] = [
    "kills",
    "assists",
    "deaths",
    "mvps",
    "score",
    "double_kills",
    "triple_kills",
    "quadra_kills",
    "penta_kills",
    "headshot_kills",
    "pistol_kills",
    "sniper_kills",
    "damage_dealt",
    "entry_attempts",
    "entry_successes",
    "flashes_thrown",
    "flashes_successful",
    "enemies_flashed",
    "utility_thrown",
    "utility_damage",
    "clutch_attempts",
    "clutch_wins",
];

/// One line of a match's history. Its key is its place in the list, because timestamps tie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The place in the list, from 0.
    pub index: u32,
    /// The provider's word for what happened.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// Whom it concerns, if anybody.
    pub player_id: Option<PlayerId>,
}

/// A player was voted out of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerKicked {
    /// The provider's id of the match.
    pub match_id: String,
    /// The player.
    pub player_id: PlayerId,
}

impl Side {
    /// The word for it in the database and the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Team1 => "team1",
            Self::Team2 => "team2",
            Self::Spectator => "spectator",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Team1, Self::Team2, Self::Spectator].into_iter().find(|side| side.as_str() == text)
    }
}
