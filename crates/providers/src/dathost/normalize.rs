//! The body in our words: one snapshot of the whole match, and whom its history says was voted out.

use std::collections::BTreeSet;

use matchpurse_domain::event::{
    Counters, HistoryEntry, MatchStatsSnapshot, Payload, PlayerKicked, PlayerStats, Side, TeamScore,
    Unrecognized, UnrecognizedKind,
};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::time::Timestamp;

use crate::json::{self, LooseId, Text};
use crate::normalized::{NewEvent, NormalizeError, Normalized};
use crate::times;

use super::wire;

/// The history's word for a player who was voted out.
const VOTEKICKED: &str = "player_votekicked";
/// Our words for the three deliveries that have no word of their own, after the fields of their URLs.
const ROUND_END: &str = "round_end";
const MATCH_END: &str = "match_end";
const VOTEKICK: &str = "player_votekick_success";

/// A delivery as its events. Which shape it is, is told by its fields; whatever is none of them is kept and
/// not understood.
pub(super) fn normalize(body: &[u8]) -> Result<Normalized, NormalizeError> {
    let shape: wire::Shape = json::read(body)?;
    if shape.team1_stats.is_some() || shape.match_series_id.is_some() {
        return Ok(unknown("the older CS:GO match API, which has another contract"));
    }
    if shape.id.is_some() && shape.players.is_some() {
        return match_state(json::read(body)?);
    }
    if shape.match_id.is_some() && shape.steam_id_64.is_some() {
        return Ok(votekick(json::read(body)?));
    }
    Ok(unknown("neither a match nor a player"))
}

/// The whole match at this moment.
fn match_state(read: wire::Match) -> Result<Normalized, NormalizeError> {
    let match_id = read.id.into_string();
    let history = history(read.events)?;
    let provider_type = match history.last() {
        Some(line) => json::clip(&line.name),
        None if read.finished => MATCH_END.to_owned(),
        None => ROUND_END.to_owned(),
    };
    let one = |payload| NewEvent {
        subject: match_id.clone(),
        occurred_at: history.last().map(|line| line.at),
        payload,
    };
    let players = match players(read.players) {
        Ok(players) => players,
        Err(reason) => {
            let events = vec![one(Payload::Unrecognized(reason))];
            return Ok(Normalized { provider_type, events, amount_rounded: false, question: None });
        }
    };
    let mut events = vec![one(Payload::MatchStatsSnapshot(MatchStatsSnapshot {
        match_id: match_id.clone(),
        map: not_empty(read.settings.map),
        team1: team(read.team1),
        team2: team(read.team2),
        rounds_played: read.rounds_played,
        finished: read.finished,
        cancel_reason: not_empty(read.cancel_reason),
        players,
        history: history.clone(),
    }))];
    events.extend(history.into_iter().filter_map(|line| kicked(&match_id, line)));
    Ok(Normalized { provider_type, events, amount_rounded: false, question: None })
}

/// The history with every line's place, because its times tie.
fn history(lines: Vec<wire::HistoryLine>) -> Result<Vec<HistoryEntry>, NormalizeError> {
    let mut history = Vec::with_capacity(lines.len());
    for (index, line) in (0_u32..).zip(lines) {
        let at = times::from_unix_seconds(line.timestamp).ok_or_else(|| {
            json::wrong(&format!("events[{index}].timestamp"), "this is no time in Unix seconds")
        })?;
        history.push(HistoryEntry {
            index,
            name: line.event.into_string(),
            at,
            player_id: line.payload.steam_id_64.map(player_id),
        });
    }
    Ok(history)
}

/// Everybody with counters. A side that we do not know is not taken for another: it would change who won.
fn players(read: Vec<wire::Player>) -> Result<Vec<PlayerStats>, Unrecognized> {
    let mut seen = BTreeSet::new();
    let mut players = Vec::with_capacity(read.len());
    for (at, player) in read.into_iter().enumerate() {
        let side = Side::parse(player.team.as_str()).ok_or_else(|| Unrecognized {
            kind: UnrecognizedKind::UnknownStatus,
            reason: json::clip(&format!("players[{at}].team: {:?} is no side we know", player.team.as_str())),
        })?;
        let player_id = player_id(player.steam_id_64);
        if !seen.insert(player_id.clone()) {
            return Err(Unrecognized {
                kind: UnrecognizedKind::Inconsistent,
                reason: json::clip(&format!("players[{at}].steam_id_64: {player_id} stands there twice")),
            });
        }
        players.push(PlayerStats {
            player_id,
            side,
            nickname: player.nickname_override.unwrap_or_default().into_string(),
            connected: player.connected.unwrap_or_default(),
            // A flag of this moment, which a player who comes back may lose; the event is in the history.
            kicked: player.kicked.unwrap_or_default(),
            counters: counters(&player.stats),
        });
    }
    Ok(players)
}

/// In the order of `COUNTER_NAMES`.
fn counters(stats: &wire::PlayerStats) -> Counters {
    let all = [
        stats.kills,
        stats.assists,
        stats.deaths,
        stats.mvps,
        stats.score,
        stats.double_kills,
        stats.triple_kills,
        stats.quadra_kills,
        stats.penta_kills,
        stats.headshot_kills,
        stats.pistol_kills,
        stats.sniper_kills,
        stats.damage_dealt,
        stats.entry_attempts,
        stats.entry_successes,
        stats.flashes_thrown,
        stats.flashes_successful,
        stats.enemies_flashed,
        stats.utility_thrown,
        stats.utility_damage,
        stats.clutch_attempts,
        stats.clutch_wins,
    ];
    Counters(all.map(|count| count.0))
}

fn team(read: wire::Team) -> TeamScore {
    TeamScore {
        name: read.name.unwrap_or_default().into_string(),
        score: read.stats.and_then(|stats| stats.score),
    }
}

/// The history's lines about players who were voted out, as events. They come again with every later
/// delivery of the match, because each carries the whole history.
fn kicked(match_id: &str, line: HistoryEntry) -> Option<NewEvent> {
    let player_id = line.player_id.filter(|_| line.name == VOTEKICKED)?;
    Some(NewEvent {
        subject: match_id.to_owned(),
        occurred_at: Some(line.at),
        payload: Payload::PlayerKicked(PlayerKicked { match_id: match_id.to_owned(), player_id }),
    })
}

/// The bare player. The delivery itself is the news, whatever the flag `kicked` says.
fn votekick(read: wire::Votekick) -> Normalized {
    let match_id = read.match_id.into_string();
    let payload = PlayerKicked { match_id: match_id.clone(), player_id: player_id(read.steam_id_64) };
    single(VOTEKICK, match_id, None, Payload::PlayerKicked(payload))
}

fn unknown(reason: &str) -> Normalized {
    let payload = Unrecognized { kind: UnrecognizedKind::UnknownType, reason: reason.to_owned() };
    single("", String::new(), None, Payload::Unrecognized(payload))
}

fn single(
    provider_type: &str,
    subject: String,
    occurred_at: Option<Timestamp>,
    payload: Payload,
) -> Normalized {
    Normalized {
        provider_type: provider_type.to_owned(),
        events: vec![NewEvent { subject, occurred_at, payload }],
        amount_rounded: false,
        question: None,
    }
}

fn player_id(id: LooseId) -> PlayerId {
    PlayerId::new(id.into_string())
}

fn not_empty(text: Option<Text>) -> Option<String> {
    text.map(Text::into_string).filter(|text| !text.is_empty())
}
