//! `matchpurse parked`: deliveries that could not be applied.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::{v1, wire};
use matchpurse_domain::event::{Event, Kept};
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::parked::{Author, Done, Error, Outlet, discard, replay};
use matchpurse_reading::Readings;
use matchpurse_settings::Settings;
use matchpurse_store::Store;
use matchpurse_store::parked::{Parked, ParkedFilter, ParkedKind};
use serde_json::{Value, json};

use crate::config::DatabaseArgs;
use crate::member::set;
use crate::moment::{moment, printable, shown};
use crate::say;

/// How many are read at once when all are to be resolved.
const PAGE: u32 = 200;

/// See the deliveries that could not be applied, have them applied after all, or decide that they are not wanted
#[derive(Debug, clap::Args)]
pub(crate) struct ParkedArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show those that wait, the newest first
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        filter: FilterArgs,
        /// Show those that were replayed or discarded instead
        #[arg(long)]
        resolved: bool,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show one with its event and body
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its number
        id: i64,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Hand it to the worker that failed once more; what nobody could read is read by today's adapter
    Replay(ResolveArgs),
    /// Decide that it is not wanted; it stays readable
    Discard(ResolveArgs),
}

#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// The worker or queue that gave it up: match-escrow, reward-fulfillment, …
    #[arg(long, value_name = "WORKER")]
    queue: Option<String>,
    /// Why: technical, unrecognized or `dead_letter`
    #[arg(long, value_parser = kind)]
    kind: Option<ParkedKind>,
    /// The source
    #[arg(long)]
    source: Option<String>,
    /// The provider's name for what happened, or ours: `match_snapshot`
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Parked since this time: 2026-11-22T10:00:00Z, 2026-11-22, or 6h for six hours ago
    #[arg(long, value_parser = moment, value_name = "TIME")]
    since: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
struct ResolveArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The numbers of those to resolve
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<i64>,
    /// All that wait and fit the conditions
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many a second
    #[arg(long, value_name = "N", default_value_t = 500)]
    rate: u32,
    /// Who you are; it is recorded
    #[arg(long)]
    actor: String,
    /// Why; it is recorded
    #[arg(long)]
    reason: String,
}

fn kind(text: &str) -> Result<ParkedKind, String> {
    ParkedKind::parse(text).ok_or_else(|| "expected technical, unrecognized or dead_letter".to_owned())
}

impl FilterArgs {
    fn filter(self, resolved: bool) -> ParkedFilter {
        let queue = |text: String| {
            let known = Queue::ALL.into_iter().find(|queue| queue.worker() == text);
            known.map_or(text, |queue| queue.name().to_owned())
        };
        ParkedFilter {
            resolved,
            queue: self.queue.map(queue),
            kind: self.kind,
            source: self.source,
            event_type: self.event_type,
            since: self.since,
        }
    }

    const fn is_empty(&self) -> bool {
        let Self { queue, kind, source, event_type, since } = self;
        queue.is_none() && kind.is_none() && source.is_none() && event_type.is_none() && since.is_none()
    }
}

/// Shows or resolves.
pub(crate) async fn run(args: ParkedArgs) -> Result<ExitCode> {
    match args.action {
        Action::List { database, filter, resolved, limit, json } => {
            let store = database.connect().await?;
            let filter = filter.filter(resolved);
            let found = store.parked_before(&filter, None, limit).await?;
            for parked in &found {
                if json { println!("{}", outline(parked)) } else { print_line(parked) }
            }
            let (count, _) = store.parked_count(&filter).await?;
            say(&format!("{} of {count} shown", found.len()));
        }
        Action::Show { database, id, json } => {
            let store = database.connect().await?;
            let parked = store.parked_by_id(id).await?.context("there is no such parked delivery")?;
            let whole = whole(&store, &parked).await?;
            if json { println!("{whole:#}") } else { print_whole(&parked, &whole) }
        }
        Action::Replay(args) => return resolve(args, true).await,
        Action::Discard(args) => return resolve(args, false).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn resolve(args: ResolveArgs, replayed: bool) -> Result<ExitCode> {
    if !args.all && !args.filter.is_empty() {
        bail!("conditions go with --all, not with numbers");
    }
    let (store, settings) = args.database.open().await?;
    let resolver = Resolver::new(store, settings.as_ref(), replayed, args.actor, args.reason)?;
    let mut tally = Tally::default();
    let pause = Duration::from_secs(1) / args.rate.max(1);
    if args.all {
        let filter = args.filter.filter(false);
        // What fails again meanwhile is parked under a new number, and is not taken again.
        let (count, last) = resolver.store.parked_count(&filter).await?;
        let mut after = 0;
        loop {
            let page = resolver.store.parked_after(&filter, after, PAGE).await?;
            let ids: Vec<i64> = page.iter().map(|parked| parked.id).filter(|id| *id <= last).collect();
            let Some(end) = ids.last() else { break };
            after = *end;
            for id in ids {
                resolver.one(id, &mut tally).await?;
                tokio::time::sleep(pause).await;
            }
            say(&format!("{} of {count}", tally.done.saturating_add(tally.refused)));
        }
    } else {
        for id in args.ids {
            resolver.one(id, &mut tally).await?;
        }
    }
    say(&format!("{} {}, {} not possible", tally.done, resolver.word(), tally.refused));
    Ok(if tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Tally {
    done: u64,
    refused: u64,
}

/// Resolves one after the other in the same way.
struct Resolver {
    store: Store,
    /// None: they are discarded.
    readings: Option<Readings>,
    outlet: Outlet,
    author: Author,
}

impl Resolver {
    fn new(
        store: Store,
        settings: Option<&Settings>,
        replayed: bool,
        actor: String,
        reason: String,
    ) -> Result<Self> {
        let author = Author { actor: actor.trim().to_owned(), reason: reason.trim().to_owned() };
        if author.actor.is_empty() || author.reason.is_empty() {
            bail!("--actor and --reason must say who and why");
        }
        // Only what nobody could read needs the sources; without a configuration there are none.
        let broker = settings.is_some_and(|settings| settings.broker.url.is_some());
        let outlet = if broker { Outlet::Broker } else { Outlet::Workers };
        let readings = replayed.then(|| settings.map(Readings::new).unwrap_or_default());
        Ok(Self { store, readings, outlet, author })
    }

    const fn word(&self) -> &'static str {
        if self.readings.is_some() { "replayed" } else { "discarded" }
    }

    /// Resolves one; one that is refused does not keep the others.
    async fn one(&self, id: i64, tally: &mut Tally) -> Result<()> {
        let done = match &self.readings {
            Some(readings) => {
                let read = |kept: &Kept| readings.read_again(kept).map_err(|error| error.to_string());
                replay(&self.store, id, &self.author, &read, self.outlet).await
            }
            None => discard(&self.store, id, &self.author).await,
        };
        match done {
            Ok(Done { repeated: true, .. }) => println!("{id} was {} before", self.word()),
            Ok(done) if done.parked.kind == ParkedKind::Unrecognized && !done.events.is_empty() => {
                let events: Vec<String> = done.events.iter().map(ToString::to_string).collect();
                println!("{id} {}: it is now {}", self.word(), events.join(", "));
            }
            Ok(_) => println!("{id} {}", self.word()),
            Err(Error::Store(error)) => return Err(error.into()),
            Err(refused) => {
                tally.refused += 1;
                println!("{id} not {}: {}", self.word(), printable(&refused.to_string()));
                return Ok(());
            }
        }
        tally.done += 1;
        Ok(())
    }
}

fn print_line(parked: &Parked) {
    let or = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
    println!(
        "{} {} {} {} {} {} {}: {}",
        parked.id,
        shown(parked.parked_at),
        parked.kind.as_str(),
        worker(&parked.queue),
        or(&parked.source),
        or(&parked.event_type),
        or(&parked.subject),
        printable(parked.reason.lines().next().unwrap_or_default())
    );
}

fn worker(queue: &str) -> String {
    Queue::by_name(queue).map_or_else(|| printable(queue), |queue| queue.worker().to_owned())
}

/// What is known without the body.
fn outline(parked: &Parked) -> Value {
    json!({
        "id": parked.id,
        "event_id": parked.event_id,
        "worker": worker(&parked.queue),
        "kind": parked.kind.as_str(),
        "reason": parked.reason,
        "source": parked.source,
        "type": parked.event_type,
        "subject": parked.subject,
        "traceparent": parked.traceparent,
        "parked_at": shown(parked.parked_at),
        "resolved": parked.resolved.as_ref().map(|resolved| json!({
            "at": shown(resolved.at),
            "resolution": resolved.resolution,
            "by": resolved.by,
            "reason": resolved.reason,
            "became": resolved.became,
        })),
    })
}

/// With the event and the delivery's body, from which the ingress has blotted the secrets out.
async fn whole(store: &Store, parked: &Parked) -> Result<Value> {
    let mut shown = outline(parked);
    match wire::decode(&parked.body) {
        Ok(event) => {
            let mut raw = event.raw.clone();
            if raw.is_empty() {
                let first = store.archived(event.delivery_id).await?;
                raw = first.map(|first| first.event.raw).unwrap_or_default();
            }
            set(&mut shown, "body", body(&raw));
            let event = serde_json::to_value(v1::Event::from(Event { raw: Vec::new().into(), ..event }))?;
            set(&mut shown, "event", event);
        }
        Err(_) => set(&mut shown, "body", body(&parked.body)),
    }
    Ok(shown)
}

/// JSON as such, anything else as text.
fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes)))
}

fn print_whole(parked: &Parked, whole: &Value) {
    print_line(parked);
    println!("event {}, routing key {}", parked.event_id, printable(&parked.routing_key));
    if let Some(traceparent) = &parked.traceparent {
        println!("trace {}", printable(traceparent));
    }
    println!("why:\n{}", printable(&parked.reason));
    if let Some(resolved) = &parked.resolved {
        let (at, reason) = (shown(resolved.at), printable(&resolved.reason));
        println!("{} at {at} by {}: {reason}", resolved.resolution, printable(&resolved.by));
    }
    for name in ["event", "body"] {
        if let Some(value) = whole.get(name) {
            println!("{name}:\n{}", printable(&format!("{value:#}")));
        }
    }
}
