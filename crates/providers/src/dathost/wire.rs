//! The body as it is sent.
//!
//! The documents and the deliveries of the years differ: fields came later, required ones are null. So only
//! what the meaning hangs on is required, everything else has a default, and null is as good as absent.

use serde::{Deserialize, Deserializer};
use serde::de::{Error as _, IgnoredAny};

use crate::json::{LooseId, Text, loose_id_or_none};

/// The fields by which the shapes are told apart. No delivery says which event it is.
#[derive(Debug, Deserialize)]
pub(super) struct Shape {
    pub(super) id: Option<IgnoredAny>,
    pub(super) players: Option<IgnoredAny>,
    pub(super) match_id: Option<IgnoredAny>,
    pub(super) steam_id_64: Option<IgnoredAny>,
    /// Only in the older product's matches.
    pub(super) team1_stats: Option<IgnoredAny>,
    /// Only in the older product's series.
    pub(super) match_series_id: Option<IgnoredAny>,
}

/// A match: round end, match end and every event of `event_url` have this one shape.
#[derive(Debug, Deserialize)]
pub(super) struct Match {
    pub(super) id: LooseId,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) team1: Team,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) team2: Team,
    pub(super) players: Vec<Player>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) settings: Settings,
    #[serde(deserialize_with = "number")]
    pub(super) rounds_played: u32,
    pub(super) finished: bool,
    pub(super) cancel_reason: Option<Text>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) events: Vec<HistoryLine>,
}

/// A side.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Team {
    pub(super) name: Option<Text>,
    pub(super) stats: Option<TeamStats>,
}

/// A side's result so far.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TeamStats {
    #[serde(default, deserialize_with = "number_or_none")]
    pub(super) score: Option<u32>,
}

/// A player of a match.
#[derive(Debug, Deserialize)]
pub(super) struct Player {
    /// Beyond 2^53: a number is read by its digits.
    pub(super) steam_id_64: LooseId,
    pub(super) team: Text,
    pub(super) nickname_override: Option<Text>,
    pub(super) connected: Option<bool>,
    pub(super) kicked: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) stats: PlayerStats,
}

/// A player who was voted out; the body of `player_votekick_success_url` is the bare player.
#[derive(Debug, Deserialize)]
pub(super) struct Votekick {
    pub(super) match_id: LooseId,
    pub(super) steam_id_64: LooseId,
}

/// What matters of a match's settings.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Settings {
    pub(super) map: Option<Text>,
}

/// A line of the match's history.
#[derive(Debug, Deserialize)]
pub(super) struct HistoryLine {
    pub(super) event: Text,
    /// Unix seconds.
    pub(super) timestamp: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) payload: HistoryPayload,
}

/// What a line says beyond its name; other lines have scores here, or nothing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct HistoryPayload {
    #[serde(default, deserialize_with = "loose_id_or_none")]
    pub(super) steam_id_64: Option<LooseId>,
}

/// The 22 counters. Six names begin with a digit or mix their case, so no rule of renaming makes them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlayerStats {
    pub(super) kills: Count,
    pub(super) assists: Count,
    pub(super) deaths: Count,
    pub(super) mvps: Count,
    pub(super) score: Count,
    #[serde(rename = "2ks")]
    pub(super) double_kills: Count,
    #[serde(rename = "3ks")]
    pub(super) triple_kills: Count,
    #[serde(rename = "4ks")]
    pub(super) quadra_kills: Count,
    #[serde(rename = "5ks")]
    pub(super) penta_kills: Count,
    #[serde(rename = "kills_with_headshot")]
    pub(super) headshot_kills: Count,
    #[serde(rename = "kills_with_pistol")]
    pub(super) pistol_kills: Count,
    #[serde(rename = "kills_with_sniper")]
    pub(super) sniper_kills: Count,
    pub(super) damage_dealt: Count,
    pub(super) entry_attempts: Count,
    pub(super) entry_successes: Count,
    pub(super) flashes_thrown: Count,
    pub(super) flashes_successful: Count,
    #[serde(rename = "flashes_enemies_blinded")]
    pub(super) enemies_flashed: Count,
    pub(super) utility_thrown: Count,
    pub(super) utility_damage: Count,
    #[serde(rename = "1vX_attempts")]
    pub(super) clutch_attempts: Count,
    #[serde(rename = "1vX_wins")]
    pub(super) clutch_wins: Count,
}

/// A counter; null is zero, anything but a whole number is an error.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Count(pub(super) i32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::<i32>::deserialize(from).map(|count| Self(count.unwrap_or_default()))
    }
}

/// A number of rounds, as far as the database counts: what is kept and what is added up must be the same.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    number_or_none(from)?.ok_or_else(|| D::Error::custom("invalid type: null, expected a number of rounds"))
}

fn number_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let number = Option::<i32>::deserialize(from)?;
    let whole = |number| u32::try_from(number).map_err(|_| D::Error::custom("a number of rounds below zero"));
    number.map(whole).transpose()
}

/// Null is as good as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}
