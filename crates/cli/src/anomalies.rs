//! `matchpurse anomalies`: what contradicts itself, and what people decide about it.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use matchpurse_contracts::v1;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::money::{format_major, known_exponent};
use matchpurse_operations::anomalies::resolve;
use matchpurse_operations::rewards::Author;
use matchpurse_store::anomalies::{AnomalyFilter, AnomalyLine, find, list};
use matchpurse_store::{Store, story};
use serde_json::{Value, json};

use crate::config::DatabaseArgs;
use crate::member::set;
use crate::moment::{printable, shown};
use crate::say;

/// See what contradicts itself, and decide about it
#[derive(Debug, clap::Args)]
pub(crate) struct AnomaliesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show those that wait, the newest first
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Their kind: `terminal_conflict`, `stake_changed`, …
        #[arg(long)]
        kind: Option<String>,
        /// The source
        #[arg(long)]
        source: Option<String>,
        /// The match, contest, offer or player
        #[arg(long)]
        subject: Option<String>,
        /// Show those that are decided instead
        #[arg(long)]
        resolved: bool,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show both sides of one: what we have, and what was told
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its number
        id: i64,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Close one that is to stay as it is; money is moved by `matchpurse correct`, which closes what it answers
    Resolve {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its number
        id: i64,
        /// Who you are; it is recorded
        #[arg(long)]
        actor: String,
        /// Why; it is recorded
        #[arg(long)]
        reason: String,
    },
}

/// Shows or decides.
pub(crate) async fn run(args: AnomaliesArgs) -> Result<ExitCode> {
    match args.action {
        Action::List { database, kind, source, subject, resolved, limit, json } => {
            let store = database.connect().await?;
            let filter = AnomalyFilter { resolved, kind, source, subject };
            let found = list(&store.client().await?, &filter, None, limit).await?;
            for line in &found {
                if json { println!("{}", outline(line)) } else { print_line(line) }
            }
            say(&format!("{} shown", found.len()));
        }
        Action::Show { database, id, json } => {
            let store = database.connect().await?;
            let found = find(&store.client().await?, id).await?;
            show(&store, &found.context("there is no such anomaly")?, json).await?;
        }
        Action::Resolve { database, id, actor, reason } => {
            let author = Author { actor: actor.trim().to_owned(), reason: reason.trim().to_owned() };
            if author.actor.is_empty() || author.reason.is_empty() {
                bail!("--actor and --reason must say who and why");
            }
            print_line(&resolve(&database.connect().await?, id, &author).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_line(line: &AnomalyLine) {
    let decided = line.resolved.as_ref().map(|decided| {
        format!(", resolved by {}: {}", printable(&decided.by), printable(&decided.resolution))
    });
    println!(
        "{} {} {} {}/{}{}",
        line.id,
        shown(line.at),
        line.kind,
        line.source,
        printable(&line.subject),
        decided.unwrap_or_default()
    );
}

fn outline(line: &AnomalyLine) -> Value {
    json!({
        "id": line.id,
        "kind": line.kind,
        "source": line.source,
        "subject": line.subject,
        "event_id": line.event_id,
        "detail": line.detail,
        "at": shown(line.at),
        "resolved": line.resolved.as_ref().map(|decided| json!({
            "at": shown(decided.at),
            "by": decided.by,
            "resolution": decided.resolution,
        })),
    })
}

/// One side is what we have, the other is what the event says.
async fn show(store: &Store, line: &AnomalyLine, json: bool) -> Result<()> {
    let source = SourceName::parse(&line.source)?;
    let figures = story::of_match(&store.client().await?, &source, &line.subject).await?;
    let event = match line.event_id {
        Some(id) => store.archived(EventId::from_uuid(id)).await?.map(|archived| archived.event),
        None => None,
    };
    let event =
        event.map(|event| serde_json::to_value(v1::Event::from(Event { raw: Vec::new().into(), ..event })));
    let event = event.transpose()?;
    let ours: Vec<String> = figures
        .iter()
        .map(|found| {
            let [pot, paid, refunded, fee, held] = found.amounts.map(|amount| {
                let exponent = known_exponent(&found.currency).unwrap_or(0);
                format!("{} {}", format_major(amount, exponent), found.currency)
            });
            format!(
                "{}: pot {pot}, paid {paid}, back {refunded}, fee {fee}, in escrow now {held}",
                found.state
            )
        })
        .collect();
    if json {
        let mut whole = outline(line);
        set(&mut whole, "ours", ours);
        set(&mut whole, "event", event.unwrap_or_default());
        println!("{whole:#}");
        return Ok(());
    }
    print_line(line);
    println!("what contradicts:\n{}", printable(&format!("{:#}", line.detail)));
    for ours in ours {
        println!("what we have: {ours}");
    }
    if let Some(event) = event {
        println!("what was told:\n{}", printable(&format!("{event:#}")));
    }
    Ok(())
}
