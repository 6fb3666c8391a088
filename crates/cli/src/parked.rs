//! `matchpurse parked`: deliveries that could not be applied.

use std::time::Duration;

use anyhow::Result;
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

use crate::author::AuthorArgs;
use crate::config::DatabaseArgs;
use crate::exit::{Ending, not_there, usage};
use crate::member::set;
use crate::moment::{clock, moment, printable, stamp};
use crate::out::Out;
use crate::progress::Progress;
use crate::say;
use crate::table::{Table, left, or_dash, right, state as state_cell, words};

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
    },
    /// Show one with its event and body
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its number
        id: i64,
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
    #[command(flatten)]
    author: AuthorArgs,
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
pub(crate) async fn run(args: ParkedArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::List { database, filter, resolved, limit } => {
            let store = database.connect().await?;
            let filter = filter.filter(resolved);
            let found = store.parked_before(&filter, None, limit).await?;
            out.list(&found, outline, table);
            let (count, _) = store.parked_count(&filter).await?;
            if count > 0 {
                say(&format!("{} of {count} shown", found.len()));
            }
        }
        Action::Show { database, id } => {
            let store = database.connect().await?;
            let parked = store.parked_by_id(id).await?;
            let parked = parked.ok_or_else(|| not_there("there is no such parked delivery"))?;
            let whole = whole(&store, &parked).await?;
            if out.json() { out.value(&whole) } else { print_whole(&parked, &whole, out) }
        }
        Action::Replay(args) => return resolve(args, true, out).await,
        Action::Discard(args) => return resolve(args, false, out).await,
    }
    Ok(Ending::Done)
}

async fn resolve(args: ResolveArgs, replayed: bool, out: Out) -> Result<Ending> {
    if !args.all && !args.filter.is_empty() {
        return Err(usage("conditions go with --all, not with numbers"));
    }
    let (actor, reason) = args.author.said()?;
    let (store, settings) = args.database.open().await?;
    let resolver = Resolver::new(store, settings.as_ref(), replayed, Author { actor, reason }, out);
    let mut tally = Tally::default();
    let pause = Duration::from_secs(1) / args.rate.max(1);
    if args.all {
        let filter = args.filter.filter(false);
        // What fails again meanwhile is parked under a new number, and is not taken again.
        let (count, last) = resolver.store.parked_count(&filter).await?;
        let progress = Progress::begin(resolver.word(), Some(count));
        let mut after = 0;
        loop {
            let page = resolver.store.parked_after(&filter, after, PAGE).await?;
            let ids: Vec<i64> = page.iter().map(|parked| parked.id).filter(|id| *id <= last).collect();
            let Some(end) = ids.last() else { break };
            after = *end;
            for id in ids {
                let resolved = resolver.one(id, &mut tally).await?;
                progress.aside(|| resolver.print(id, &resolved));
                progress.at(tally.done.saturating_add(tally.refused));
                tokio::time::sleep(pause).await;
            }
        }
    } else {
        for id in args.ids {
            let resolved = resolver.one(id, &mut tally).await?;
            resolver.print(id, &resolved);
        }
    }
    say(&format!("{} {}, {} not possible", tally.done, resolver.word(), tally.refused));
    Ok(Ending::of_check(tally.refused == 0))
}

#[derive(Default)]
struct Tally {
    done: u64,
    refused: u64,
}

/// What became of one.
enum Resolved {
    /// It was so before.
    Before,
    /// It is done; what nobody could read has become these events.
    Done(Vec<String>),
    /// Why not.
    Refused(String),
}

/// Resolves one after the other in the same way.
struct Resolver {
    store: Store,
    /// None: they are discarded.
    readings: Option<Readings>,
    outlet: Outlet,
    author: Author,
    out: Out,
}

impl Resolver {
    fn new(store: Store, settings: Option<&Settings>, replayed: bool, author: Author, out: Out) -> Self {
        // Only what nobody could read needs the sources; without a configuration there are none.
        let broker = settings.is_some_and(|settings| settings.broker.url.is_some());
        let outlet = if broker { Outlet::Broker } else { Outlet::Workers };
        let readings = replayed.then(|| settings.map(Readings::new).unwrap_or_default());
        Self { store, readings, outlet, author, out }
    }

    const fn word(&self) -> &'static str {
        if self.readings.is_some() { "replayed" } else { "discarded" }
    }

    /// Resolves one; one that is refused does not keep the others.
    async fn one(&self, id: i64, tally: &mut Tally) -> Result<Resolved> {
        let done = match &self.readings {
            Some(readings) => {
                let read = |kept: &Kept| readings.read_again(kept).map_err(|error| error.to_string());
                replay(&self.store, id, &self.author, &read, self.outlet).await
            }
            None => discard(&self.store, id, &self.author).await,
        };
        let resolved = match done {
            Ok(Done { repeated: true, .. }) => Resolved::Before,
            Ok(done) if done.parked.kind == ParkedKind::Unrecognized => {
                Resolved::Done(done.events.iter().map(ToString::to_string).collect())
            }
            Ok(_) => Resolved::Done(Vec::new()),
            Err(Error::Store(error)) => return Err(error.into()),
            Err(refused) => Resolved::Refused(refused.to_string()),
        };
        match resolved {
            Resolved::Refused(_) => tally.refused += 1,
            Resolved::Before | Resolved::Done(_) => tally.done += 1,
        }
        Ok(resolved)
    }

    fn print(&self, id: i64, resolved: &Resolved) {
        let word = self.word();
        if self.out.json() {
            let (done, became, refused) = match resolved {
                Resolved::Before => (true, &[][..], None),
                Resolved::Done(events) => (true, &events[..], None),
                Resolved::Refused(why) => (false, &[][..], Some(why)),
            };
            let repeated = matches!(resolved, Resolved::Before);
            let line =
                json!({ "id": id, word: done, "repeated": repeated, "became": became, "refused": refused });
            return self.out.line(line);
        }
        match resolved {
            Resolved::Before => self.out.line(format_args!("{id} was {word} before")),
            Resolved::Done(events) if events.is_empty() => self.out.line(format_args!("{id} {word}")),
            Resolved::Done(events) => {
                self.out.line(format_args!("{id} {word}: it is now {}", events.join(", ")));
            }
            Resolved::Refused(why) => self.out.line(format_args!("{id} not {word}: {}", printable(why))),
        }
    }
}

fn table(found: &[Parked]) -> Table {
    let mut table = Table::new([
        right("id"),
        left("parked"),
        left("kind"),
        left("worker"),
        left("source"),
        left("type"),
        words("subject"),
        words("why"),
    ]);
    for parked in found {
        table.row([
            parked.id.into(),
            clock(parked.parked_at).into(),
            state_cell(parked.kind.as_str()),
            worker(&parked.queue).into(),
            or_dash(parked.source.as_ref()),
            or_dash(parked.event_type.as_ref()),
            or_dash(parked.subject.as_ref()),
            parked.reason.lines().next().unwrap_or_default().into(),
        ]);
    }
    table
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
        "parked_at": stamp(parked.parked_at),
        "resolved": parked.resolved.as_ref().map(|resolved| json!({
            "at": stamp(resolved.at),
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

fn print_whole(parked: &Parked, whole: &Value, out: Out) {
    let or = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
    out.line(format_args!(
        "{} {} {} {} {} {} {}",
        parked.id,
        clock(parked.parked_at),
        parked.kind.as_str(),
        worker(&parked.queue),
        or(&parked.source),
        or(&parked.event_type),
        or(&parked.subject),
    ));
    out.line(format_args!("event {}, routing key {}", parked.event_id, printable(&parked.routing_key)));
    if let Some(traceparent) = &parked.traceparent {
        out.line(format_args!("trace {}", printable(traceparent)));
    }
    out.line(format_args!("why:\n{}", printable(&parked.reason)));
    if let Some(resolved) = &parked.resolved {
        let (at, reason) = (clock(resolved.at), printable(&resolved.reason));
        out.line(format_args!("{} at {at} by {}: {reason}", resolved.resolution, printable(&resolved.by)));
    }
    for name in ["event", "body"] {
        if let Some(value) = whole.get(name) {
            out.line(format_args!("{name}:\n{}", printable(&format!("{value:#}"))));
        }
    }
}
