//! `matchpurse anomalies`: what contradicts itself, and what people decide about it.

use anyhow::Result;
use matchpurse_contracts::v1;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_operations::anomalies::resolve;
use matchpurse_store::anomalies::{AnomalyFilter, AnomalyLine, find, list};
use matchpurse_store::story::Figures;
use matchpurse_store::{Store, story};
use serde_json::{Value, json};

use crate::author::AuthorArgs;
use crate::config::DatabaseArgs;
use crate::exit::{Ending, not_there};
use crate::member::set;
use crate::moment::{clock, printable, stamp};
use crate::money::{Coins, amount};
use crate::out::Out;
use crate::table::{Table, left, right, words};

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
    },
    /// Show both sides of one: what we have, and what was told
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its number
        id: i64,
    },
    /// Close one that is to stay as it is
    ///
    /// Money is moved by `matchpurse correct`, which closes what it answers.
    Resolve {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its number
        id: i64,
        #[command(flatten)]
        author: AuthorArgs,
    },
}

/// Shows or decides.
pub(crate) async fn run(args: AnomaliesArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::List { database, kind, source, subject, resolved, limit } => {
            let store = database.connect().await?;
            let filter = AnomalyFilter { resolved, kind, source, subject };
            let found = list(&store.client().await?, &filter, None, limit).await?;
            out.list(&found, outline, table);
        }
        Action::Show { database, id } => {
            let (store, settings) = database.open().await?;
            let found = find(&store.client().await?, id).await?;
            let found = found.ok_or_else(|| not_there("there is no such anomaly"))?;
            show(&store, &found, Coins(settings.as_ref()), out).await?;
        }
        Action::Resolve { database, id, author } => {
            let author = author.author()?;
            let resolved = resolve(&database.connect().await?, id, &author).await?;
            out.thing(|| outline(&resolved), || text(&resolved));
        }
    }
    Ok(Ending::Done)
}

fn decided(line: &AnomalyLine) -> Option<String> {
    line.resolved.as_ref().map(|decided| format!("resolved by {}: {}", decided.by, decided.resolution))
}

fn text(line: &AnomalyLine) -> String {
    let decided = decided(line).map_or_else(String::new, |decided| format!(", {}", printable(&decided)));
    let (at, subject) = (clock(line.at), printable(&line.subject));
    format!("{} {at} {} {}/{subject}{decided}", line.id, line.kind, line.source)
}

fn table(found: &[AnomalyLine]) -> Table {
    let mut table = Table::new([
        right("id"),
        left("opened"),
        left("kind"),
        left("source"),
        words("about"),
        words("decided"),
    ]);
    for line in found {
        table.row([
            line.id.into(),
            clock(line.at).into(),
            (&line.kind).into(),
            (&line.source).into(),
            (&line.subject).into(),
            decided(line).unwrap_or_default().into(),
        ]);
    }
    table
}

fn outline(line: &AnomalyLine) -> Value {
    json!({
        "id": line.id,
        "kind": line.kind,
        "source": line.source,
        "subject": line.subject,
        "event_id": line.event_id,
        "detail": line.detail,
        "at": stamp(line.at),
        "resolved": line.resolved.as_ref().map(|decided| json!({
            "at": stamp(decided.at),
            "by": decided.by,
            "resolution": decided.resolution,
        })),
    })
}

/// One side is what we have, the other is what the event says.
async fn show(store: &Store, line: &AnomalyLine, coins: Coins<'_>, out: Out) -> Result<()> {
    let source = SourceName::parse(&line.source)?;
    let figures = story::of_match(&store.client().await?, &source, &line.subject).await?;
    let event = match line.event_id {
        Some(id) => store.archived(EventId::from_uuid(id)).await?.map(|archived| archived.event),
        None => None,
    };
    let event =
        event.map(|event| serde_json::to_value(v1::Event::from(Event { raw: Vec::new().into(), ..event })));
    let event = event.transpose()?;
    if out.json() {
        let mut whole = outline(line);
        set(&mut whole, "ours", figures.iter().map(figures_json).collect::<Value>());
        set(&mut whole, "event", event.unwrap_or_default());
        out.value(&whole);
        return Ok(());
    }
    out.line(text(line));
    out.line(format_args!("what contradicts:\n{}", printable(&format!("{:#}", line.detail))));
    for ours in &figures {
        out.line(format_args!("what we have: {}", figures_text(ours, coins)));
    }
    if let Some(event) = event {
        out.line(format_args!("what was told:\n{}", printable(&format!("{event:#}"))));
    }
    Ok(())
}

/// `settled: pot 20.00 USD, …`.
pub(crate) fn figures_text(found: &Figures, coins: Coins<'_>) -> String {
    let [pot, paid, refunded, fee, held] = found.amounts.map(|amount| coins.shown(amount, &found.currency));
    format!("{}: pot {pot}, paid {paid}, back {refunded}, fee {fee}, in escrow now {held}", found.state)
}

/// The same for programs.
pub(crate) fn figures_json(found: &Figures) -> Value {
    let [pot, paid, refunded, fee, held] = found.amounts.map(|minor| amount(minor, &found.currency));
    json!({ "state": found.state, "pot": pot, "paid": paid, "refunded": refunded, "fee": fee, "held": held })
}
