//! What the studio is told of statistics.

use matchpurse_domain::event::{Event, TeamScore};
use matchpurse_domain::stats::MatchStats;
use matchpurse_store::outbox::Notice;
use matchpurse_store::stats::{Kick, StatsKey};
use serde_json::{Value, json};

/// The notice of a match's final, once in its life.
pub(crate) fn finished(event: &Event, key: &StatsKey, state: &MatchStats) -> Notice {
    Notice {
        source: key.source.clone(),
        kind: "match.stats_final",
        subject: key.match_id.clone(),
        discriminator: String::new(),
        payload: json!({
            "match_id": key.match_id,
            "map": state.map,
            "rounds_played": state.rounds_played,
            "team1": team(&state.team1),
            "team2": team(&state.team2),
            "result": state.winner.map(|winner| winner.as_str()),
        }),
        occurred_at: event.occurred_at.unwrap_or(event.received_at),
        cause: Some(event.id),
    }
}

fn team(team: &TeamScore) -> Value {
    json!({ "name": team.name, "score": team.score })
}

/// The notice of a player who was voted out.
pub(crate) fn kicked(kick: &Kick) -> Notice {
    Notice {
        source: kick.key.source.clone(),
        kind: "player.kicked",
        subject: kick.key.match_id.clone(),
        discriminator: kick.player_id.as_str().to_owned(),
        payload: json!({ "match_id": kick.key.match_id, "player_id": kick.player_id.as_str() }),
        occurred_at: kick.at,
        cause: Some(kick.event_id),
    }
}
