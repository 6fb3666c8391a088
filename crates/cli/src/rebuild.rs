//! `matchpurse rebuild` and `matchpurse diff`: all state anew from the archive and the records, beside the one that is
//! there, and what is not the same in both.

use anyhow::{Context as _, Result, bail};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_offer_removal::OfferRemoval;
use matchpurse_operations::rebuild::{self as replay, ReplayError};
use matchpurse_player_stats::PlayerStats;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_settings::Settings;
use matchpurse_store::rebuild::diff::{Difference, Newer, TableDiff};
use matchpurse_store::rebuild::{Input, Rebuild, set_grant_state_in_tx};
use matchpurse_store::{chain, parked};
use matchpurse_worker_kit::Effects;
use serde_json::{Value, json};

use crate::config::{ConfigArgs, WHERE};
use crate::exit::Ending;
use crate::out::{Out, Paint};
use crate::progress::{Progress, waiting};
use crate::say;

/// How many of the inputs that could not be applied are named.
const DEVIATIONS_SHOWN: i64 = 20;

/// Build all state anew from the archive and the records, in a schema of its own
#[derive(Debug, clap::Args)]
pub(crate) struct RebuildArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The database, when it is not the configuration's; its user must be allowed to make schemas
    #[arg(long, value_name = "URL", help_heading = WHERE)]
    database_url: Option<String>,
    /// The schema; one that was begun before is gone on with, and gets what came since
    #[arg(long, value_name = "SCHEMA")]
    into: String,
}

/// Compare a rebuild with the state that is there
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The database, when it is not the configuration's; its user must be allowed to read both
    #[arg(long, value_name = "URL", help_heading = WHERE)]
    database_url: Option<String>,
    /// The schema that `rebuild` made
    #[arg(long, value_name = "SCHEMA")]
    with: String,
    /// How many differing rows of each table are shown
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i64).range(0..=10_000))]
    first: i64,
}

/// The effects of all workers, as the settings of now have them.
struct Workers {
    escrow: MatchEscrow,
    rewards: RewardFulfillment,
    stats: PlayerStats,
    offers: OfferRemoval,
}

impl Workers {
    fn new(settings: &Settings) -> Result<Self> {
        Ok(Self {
            escrow: MatchEscrow::new(settings),
            rewards: RewardFulfillment::new(settings)?,
            stats: PlayerStats,
            offers: OfferRemoval,
        })
    }

    /// The effects of a queue's worker. The archive's are not done again: it is the input.
    fn of(&self, queue: Queue) -> Option<&dyn Effects> {
        match queue {
            Queue::MatchEscrow => Some(&self.escrow),
            Queue::RewardFulfillment => Some(&self.rewards),
            Queue::PlayerStats => Some(&self.stats),
            Queue::OfferRemoval => Some(&self.offers),
            Queue::EventArchive => None,
        }
    }
}

/// Builds, or goes on with it. Fails when something could not be applied as it was.
pub(crate) async fn run(args: RebuildArgs, out: Out) -> Result<Ending> {
    let settings = args.config.load().context("the rules of the sources are in the configuration")?;
    let url = args.database_url.unwrap_or_else(|| settings.database.url.expose().to_owned());
    let workers = Workers::new(&settings)?;
    let rebuild = Rebuild::begin(&url.into(), &args.into).await?;
    say("the inputs are written down in their order");
    let planned = waiting("planning", rebuild.plan()).await?;
    say(&format!("{} new inputs", planned.new));
    if planned.unapplied > 0 {
        say(&format!(
            "{} of the archived events are not applied by their worker yet: they are applied here",
            planned.unapplied
        ));
    }
    if planned.parked > 0 {
        say(&format!("{} events that are parked or discarded at their worker are left out", planned.parked));
    }
    let begun = rebuild.progress().await?;
    let shown = Progress::begin("applying inputs", u64::try_from(begun.all).ok());
    while let Some((position, input)) = rebuild.next().await? {
        apply(&rebuild, &workers, position, input).await?;
        // The plan's places are counted from 1 without gaps.
        shown.at(u64::try_from(position).unwrap_or(0));
    }
    drop(shown);
    let progress = rebuild.progress().await?;
    let (deviations, all) = rebuild.deviations(DEVIATIONS_SHOWN).await?;
    if out.json() {
        let deviations: Vec<String> = deviations.iter().map(ToString::to_string).collect();
        out.value(&json!({ "schema": args.into, "inputs": progress.done,
                           "not_applied": { "count": all, "listed": deviations } }));
    } else {
        for deviation in &deviations {
            out.line(deviation);
        }
        out.line(format_args!(
            "{} inputs are in schema {}; {all} could not be applied as they were",
            progress.done, args.into
        ));
    }
    Ok(Ending::of_check(all == 0))
}

async fn apply(rebuild: &Rebuild, workers: &Workers, position: i64, input: Input) -> Result<()> {
    let store = rebuild.built();
    let done = match input {
        Input::Events { queue, events, at } => {
            return apply_events(rebuild, workers, queue, events, at).await;
        }
        Input::Operation(operation, at) => replay::operation(store, &operation, at).await,
        Input::Proposal(correction, at) => replay::proposal(store, &correction, at).await,
        Input::Decision(correction, at) => replay::decision(store, &correction, at).await,
        Input::Delivered(grant) => {
            let mut client = store.client().await?;
            let tx = client.begin().await?;
            set_grant_state_in_tx(&tx, grant, "fulfilled").await?;
            tx.commit().await?;
            Ok(())
        }
    };
    match done {
        Ok(()) => {
            let mut client = store.client().await?;
            let tx = client.begin().await?;
            rebuild.advance_in_tx(&tx, position).await?;
            Ok(tx.commit().await?)
        }
        Err(error @ ReplayError::Refused { .. }) => Ok(rebuild.deviate(position, &error.to_string()).await?),
        Err(ReplayError::Store(error)) => Err(error).context("the database did not take what was recorded"),
    }
}

/// Applies events of one worker, in one transaction if that is possible. What the worker cannot apply is named and left
/// out, as the worker parks it.
async fn apply_events(
    rebuild: &Rebuild,
    workers: &Workers,
    queue: Queue,
    events: Vec<(i64, Event)>,
    at: Timestamp,
) -> Result<()> {
    let (places, events): (Vec<i64>, Vec<Event>) = events.into_iter().unzip();
    let Some(last) = places.last() else { bail!("there is nothing to apply at this place of the plan") };
    match in_one(rebuild, workers, queue, &events, *last, at).await {
        Ok(()) => return Ok(()),
        Err(error) if error.is_transient() => {
            return Err(error).context("the database did not take the events");
        }
        Err(_) => {}
    }
    for (place, event) in places.into_iter().zip(events) {
        let applied = in_one(rebuild, workers, queue, std::slice::from_ref(&event), place, at).await;
        match applied {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                return Err(error).context("the database did not take an event");
            }
            Err(error) => {
                let what = format!(
                    "event {} of {}/{} cannot be applied by {}: {}",
                    event.id,
                    event.source,
                    event.subject,
                    queue.worker(),
                    chain(&error)
                );
                rebuild.deviate(place, &what).await?;
            }
        }
    }
    Ok(())
}

async fn in_one(
    rebuild: &Rebuild,
    workers: &Workers,
    queue: Queue,
    events: &[Event],
    position: i64,
    at: Timestamp,
) -> matchpurse_store::Result<()> {
    let mut client = rebuild.built().client().await?;
    let tx = client.begin().await?;
    match workers.of(queue) {
        Some(effects) => effects.apply_in_tx(&tx, events, at).await?,
        None => parked::park_unrecognized_in_tx(&tx, queue, events).await?,
    }
    rebuild.advance_in_tx(&tx, position).await?;
    tx.commit().await
}

/// Compares, prints the tables and what differs in them, and fails when something does.
pub(crate) async fn diff(args: DiffArgs, out: Out) -> Result<Ending> {
    let url = match args.database_url {
        Some(url) => url,
        None => args.config.load()?.database.url.expose().to_owned(),
    };
    let rebuild = Rebuild::open(&url.into(), &args.with).await?;
    let (mut tables, mut differing) = (Vec::new(), 0_i64);
    let progress = Progress::begin("comparing", None);
    let mut each = |table: TableDiff| {
        differing += table.differing;
        if out.json() {
            tables.push(as_json(&table));
        } else {
            progress.aside(|| out.line(text(&table).trim_end()));
        }
    };
    let newer = progress.during(rebuild.diff(args.first, &mut each)).await?;
    drop(progress);
    let same = differing == 0;
    if out.json() {
        let newer = json!({
            "unfinished": newer.unfinished, "events": newer.events, "operations": newer.operations,
        });
        out.value(&json!({ "same": same, "differing": differing, "newer": newer, "tables": tables }));
    } else {
        let paint = if same { Paint::Good } else { Paint::Bad };
        out.line(out.painted(Some(paint), &verdict(differing, newer)));
    }
    Ok(Ending::of_check(same))
}

fn verdict(differing: i64, newer: Newer) -> String {
    let verdict = match differing {
        0 => "the rebuild is equal to the live state".to_owned(),
        1 => "1 row differs".to_owned(),
        rows => format!("{rows} rows differ"),
    };
    if newer.is_none() {
        return verdict;
    }
    let Newer { unfinished, events, operations } = newer;
    format!(
        "{verdict}; since the rebuild was made {events} events and {operations} operations came, and {unfinished} \
         inputs are still to be applied: run `matchpurse rebuild` again to take them in"
    )
}

/// A table in a line, and below it the rows that differ.
fn text(table: &TableDiff) -> String {
    let TableDiff { table: name, live_rows, built_rows, differing, first } = table;
    let mut text = match differing {
        0 => format!("{name}: {live_rows} rows\n"),
        _ => format!("{name}: {live_rows} rows, {built_rows} in the rebuild, {differing} DIFFER\n"),
    };
    for difference in first {
        text.push_str(&format!("  {}\n", row(difference)));
    }
    if let Some(more) =
        differing.checked_sub(i64::try_from(first.len()).unwrap_or(0)).filter(|more| *more > 0)
    {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}

fn row(difference: &Difference) -> String {
    let Difference { key, live, built } = difference;
    match (live, built) {
        (Some(_), None) => format!("{key}: not in the rebuild"),
        (None, Some(_)) => format!("{key}: only in the rebuild"),
        _ => {
            let field = |(name, live, built): (&str, &Value, &Value)| {
                format!("{name} is {live}, in the rebuild {built}")
            };
            let fields: Vec<String> = difference.fields().into_iter().map(field).collect();
            format!("{key}: {}", fields.join("; "))
        }
    }
}

fn as_json(table: &TableDiff) -> Value {
    let row = |row: &Difference| json!({ "key": row.key, "live": row.live, "rebuild": row.built });
    json!({
        "table": table.table,
        "live_rows": table.live_rows,
        "rebuild_rows": table.built_rows,
        "differing": table.differing,
        "first": table.first.iter().map(row).collect::<Vec<_>>(),
    })
}
