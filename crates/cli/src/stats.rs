//! `matchpurse stats`: the statistics of a match, and which of two ends of it stands.

use anyhow::Result;
use matchpurse_domain::event::Side;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_operations::stats::{Author, Choice, correct};
use matchpurse_store::stats::{CorrectionRecord, Line, MatchRecord, StatsKey, find_match};
use matchpurse_store::{Client, now};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::author::{AuthorArgs, KeyArgs};
use crate::config::DatabaseArgs;
use crate::exit::{Ending, not_there};
use crate::figures::{figures, figures_json};
use crate::moment::{clock, printable, stamp};
use crate::out::Out;
use crate::say;

/// See the statistics of a match, and decide which of two ends of it stands
#[derive(Debug, clap::Args)]
pub(crate) struct StatsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show a match with every player's line
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        which: MatchArgs,
    },
    /// Decide which numbers stand where a provider told two ends: the totals change by the difference
    Correct {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        which: MatchArgs,
        #[command(flatten)]
        stands: StandsArgs,
        #[command(flatten)]
        author: AuthorArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
}

#[derive(Debug, clap::Args)]
struct MatchArgs {
    /// The source's name
    source: String,
    /// The provider's id of the match
    match_id: String,
}

/// Which numbers stand.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct StandsArgs {
    /// Those of this archived event; `matchpurse explain` shows the events
    #[arg(long, value_name = "ID")]
    event: Option<Uuid>,
    /// Those that count now: only the question is closed
    #[arg(long)]
    keep: bool,
}

impl MatchArgs {
    fn key(self) -> Result<StatsKey> {
        Ok(StatsKey { source: SourceName::parse(&self.source)?, match_id: self.match_id })
    }
}

impl StandsArgs {
    fn choice(&self) -> Choice {
        self.event.map_or(Choice::Keep, |id| Choice::Event(EventId::from_uuid(id)))
    }
}

/// Shows or decides.
pub(crate) async fn run(args: StatsArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::Show { database, which } => {
            let store = database.connect().await?;
            print_match(&store.client().await?, &which.key()?, out).await?;
        }
        Action::Correct { database, which, stands, author, key } => {
            let (actor, reason) = author.said()?;
            let author = Author { actor, reason, idempotency_key: key.key()? };
            let store = database.connect().await?;
            let which = which.key()?;
            let done = correct(&store, &which, stands.choice(), &author, now()).await?;
            print_match(&store.client().await?, &which, out).await?;
            let before = if done.repeated { " before; nothing was done now" } else { "" };
            say(&format!("it was decided{before}, operation {}", done.operation));
        }
    }
    Ok(Ending::Done)
}

async fn print_match(client: &Client, key: &StatsKey, out: Out) -> Result<()> {
    let record = find_match(client, key).await?;
    let record = record.ok_or_else(|| not_there("there are no statistics of this match"))?;
    out.thing(|| as_json(&record), || printable(text(&record).trim_end()));
    Ok(())
}

fn as_json(record: &MatchRecord) -> Value {
    let rounds = record.state.as_ref().map_or(0, |state| state.rounds_played);
    let state = record.state.as_ref().map(|state| {
        json!({
            "map": state.map,
            "team1": { "name": state.team1.name, "score": state.team1.score },
            "team2": { "name": state.team2.name, "score": state.team2.score },
            "rounds": state.rounds_played,
            "finished": state.finished,
            "canceled": state.canceled,
            "cancel_reason": state.cancel_reason,
            "winner": state.winner.map(|winner| winner.as_str()),
            "ended_at": state.ended_at.map(stamp),
        })
    });
    let line = |line: &Line| {
        json!({
            "player": line.player_id.as_str(),
            "side": line.side.as_str(),
            "nickname": line.nickname,
            "kicked": line.kicked,
            "outcome": line.outcome.map(|outcome| outcome.as_str()),
            "counters": line.counters.0,
            "figures": figures_json(&line.totals(rounds)),
        })
    };
    let correction = |done: &CorrectionRecord| json!({ "at": stamp(done.at), "actor": done.actor, "reason": done.reason, "detail": done.detail });
    json!({
        "source": record.key.source.as_str(),
        "match": record.key.match_id,
        "state": state,
        "last_event": record.last_event.to_string(),
        "updated_at": stamp(record.updated_at),
        "players": record.lines.iter().map(line).collect::<Vec<_>>(),
        "kicks": record.kicks.iter()
            .map(|kick| json!({ "player": kick.player_id.as_str(), "at": stamp(kick.at) }))
            .collect::<Vec<_>>(),
        "corrections": record.corrections.iter().map(correction).collect::<Vec<_>>(),
    })
}

/// The match, a line a player, and what people did.
fn text(record: &MatchRecord) -> String {
    let mut text = format!("match {} of {}: {}\n", record.key.match_id, record.key.source, headline(record));
    let rounds = record.state.as_ref().map_or(0, |state| state.rounds_played);
    for line in &record.lines {
        text.push_str(&format!("  {}\n", player(line, rounds)));
    }
    for kick in &record.kicks {
        text.push_str(&format!("  {} {} was voted out\n", clock(kick.at), kick.player_id));
    }
    for done in &record.corrections {
        let action = done.detail.get("action").and_then(|action| action.as_str()).unwrap_or_default();
        let event = done.detail.get("event_id").and_then(|id| id.as_str());
        let event = event.map_or_else(String::new, |id| format!(" by event {id}"));
        text.push_str(&format!("  {} {action}{event} by {}: {}\n", clock(done.at), done.actor, done.reason));
    }
    text
}

fn headline(record: &MatchRecord) -> String {
    let Some(state) = &record.state else { return "nothing is known but who was voted out".to_owned() };
    let score = |score: Option<u32>| score.map_or_else(|| "?".to_owned(), |score| score.to_string());
    let end = match (state.canceled, state.winner, state.finished) {
        (true, ..) => format!("called off ({})", state.cancel_reason.as_deref().unwrap_or("no reason")),
        (false, Some(winner), _) => format!("final, {}", winner.as_str()),
        (false, None, true) => "final, nobody knows who won".to_owned(),
        (false, None, false) => "live".to_owned(),
    };
    let when = state.ended_at.map_or_else(String::new, |at| format!(", ended {}", clock(at)));
    let (one, two) = (&state.team1, &state.team2);
    format!(
        "{} {:?} {}:{} {:?}, {} rounds, {end}{when}",
        state.map.as_deref().unwrap_or("unknown map"),
        one.name,
        score(one.score),
        score(two.score),
        two.name,
        state.rounds_played,
    )
}

fn player(line: &Line, rounds: u32) -> String {
    let [kills, assists, deaths, ..] = line.counters.0;
    let counts = format!("{kills} kills, {assists} assists, {deaths} deaths");
    let kicked = if line.kicked { ", kicked" } else { "" };
    let shown = match line.side {
        Side::Spectator => String::new(),
        _ => format!("; {}", figures(&line.totals(rounds))),
    };
    format!("{:9} {} {:?}: {counts}{kicked}{shown}", line.side.as_str(), line.player_id, line.nickname)
}

#[cfg(test)]
mod tests {
    use matchpurse_domain::event::Counters;
    use matchpurse_domain::time::Timestamp;
    use matchpurse_store::stats::Kick;

    use super::*;

    #[test]
    fn a_match_is_told_line_by_line() {
        let key = StatsKey { source: SourceName::parse("servers").unwrap(), match_id: "m1".to_owned() };
        let event_id = EventId::from_uuid(Uuid::nil());
        let kick = Kick { key: key.clone(), player_id: "7".into(), event_id, at: Timestamp::default() };
        let mut counters = Counters::default();
        (counters.0[0], counters.0[2]) = (9, 3);
        let line = Line {
            player_id: "7".into(),
            side: Side::Team2,
            nickname: "seven".to_owned(),
            kicked: true,
            outcome: None,
            counters,
        };
        let record = MatchRecord {
            key,
            state: None,
            last_event: event_id,
            updated_at: Timestamp::default(),
            lines: vec![line],
            kicks: vec![kick],
            history: Vec::new(),
            corrections: Vec::new(),
        };
        let told = text(&record);
        let mut lines = told.lines();
        assert_eq!(lines.next().unwrap(), "match m1 of servers: nothing is known but who was voted out");
        assert!(
            lines
                .next()
                .unwrap()
                .starts_with("  team2     7 \"seven\": 9 kills, 0 assists, 3 deaths, kicked; kd 3.000")
        );
        assert_eq!(lines.next(), Some("  1970-01-01 00:00:00 7 was voted out"));
    }
}
