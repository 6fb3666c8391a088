//! `matchpurse stats`: the statistics of a match, and which of two ends of it stands.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use matchpurse_domain::event::Side;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_operations::stats::{Author, Choice, correct};
use matchpurse_store::stats::{Line, MatchRecord, StatsKey, find_match};
use matchpurse_store::{Client, now};
use uuid::Uuid;

use crate::config::DatabaseArgs;
use crate::figures::figures;
use crate::rewards::clock;
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
        /// Who you are; it is recorded
        #[arg(long)]
        actor: String,
        /// Why; it is recorded
        #[arg(long)]
        reason: String,
        /// Makes a repeat of this command harmless; without it the command is another correction each time
        #[arg(long)]
        key: Option<String>,
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
pub(crate) async fn run(args: StatsArgs) -> Result<ExitCode> {
    match args.action {
        Action::Show { database, which } => {
            let (store, _) = database.open().await?;
            print_match(&store.client().await?, &which.key()?).await?;
        }
        Action::Correct { database, which, stands, actor, reason, key } => {
            ensure!(!actor.trim().is_empty() && !reason.trim().is_empty(), "say who you are, and why");
            let (store, _) = database.open().await?;
            let which = which.key()?;
            let idempotency_key = key.unwrap_or_else(|| format!("command line, {}", now().micros()));
            let author = Author { actor, reason, idempotency_key };
            let done = correct(&store, &which, stands.choice(), &author, now()).await?;
            print_match(&store.client().await?, &which).await?;
            let before = if done.repeated { " before; nothing was done now" } else { "" };
            say(&format!("it was decided{before}, operation {}", done.operation));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_match(client: &Client, key: &StatsKey) -> Result<()> {
    let record = find_match(client, key).await?.context("there are no statistics of this match")?;
    print!("{}", text(&record));
    Ok(())
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
