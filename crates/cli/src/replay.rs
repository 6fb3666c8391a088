//! `matchpurse replay`: archived events, applied once more or only looked at.

mod report;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_offer_removal::OfferRemoval;
use matchpurse_operations::replay::{Scope, WORKERS, begin};
use matchpurse_operations::rewards::Author;
use matchpurse_player_stats::PlayerStats;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_settings::Settings;
use matchpurse_store::Store;
use matchpurse_store::events::{EventFilter, count, oldest};
use matchpurse_worker_kit::{Effects, rehearse};
use serde_json::json;

use self::report::Report;
use crate::author::said;
use crate::config::DatabaseArgs;
use crate::exit::{Ending, usage};
use crate::moment::moment;
use crate::money::Coins;
use crate::out::Out;
use crate::progress::Progress;
use crate::say;

/// Events of one page; also how many of a subject are looked at in one transaction.
const PAGE: u32 = 200;

/// How many handed-on events may wait for their workers: live events that need the spool find room in it.
const WAITING_MAX: u64 = 2_000;

/// How often it is looked whether the workers are done.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Apply archived events once more: what is missing is made good, what is there stays as it is
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// That came at this time or later: 2026-11-22T10:00:00Z, 2026-11-22, or 6h for six hours ago
    #[arg(long, value_parser = moment, value_name = "TIME")]
    from: Option<Timestamp>,
    /// That came before this time
    #[arg(long, value_parser = moment, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Of this source
    #[arg(long)]
    source: Option<String>,
    /// About this match, contest, offer or player
    #[arg(long)]
    subject: Option<String>,
    /// Of this type: the provider's name for what happened, or ours
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// For this worker only, instead of all that want them; may be given more than once
    #[arg(long = "worker", value_name = "WORKER", value_parser = worker)]
    workers: Vec<Queue>,
    /// Say what would change and how much money would move, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// At most so many events a second
    #[arg(long, value_name = "N", default_value_t = 500)]
    rate: u32,
    /// Who you are; it is recorded
    #[arg(long, required_unless_present = "dry_run")]
    actor: Option<String>,
    /// Why; it is recorded
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
}

fn worker(text: &str) -> Result<Queue, String> {
    let names: Vec<&str> = WORKERS.into_iter().map(Queue::worker).collect();
    let found = WORKERS.into_iter().find(|queue| queue.worker() == text);
    found.ok_or_else(|| format!("expected {}", names.join(", ")))
}

/// Replays, or looks.
pub(crate) async fn run(args: ReplayArgs, out: Out) -> Result<Ending> {
    let ReplayArgs { from, to, source, subject, event_type, mut workers, rate, .. } = args;
    if workers.is_empty() {
        workers = WORKERS.to_vec();
    }
    // What comes while this runs is applied anyway.
    let to = to.or_else(|| Some(matchpurse_store::now()));
    let scope = Scope { filter: EventFilter { source, subject, event_type, from, to }, workers };
    let (store, settings) = args.database.open().await?;
    let total = {
        let client = store.client().await?;
        count(&client, &scope.filter).await?
    };
    say(&format!("{total} events"));
    let mut pace = Pace::new(rate);
    if args.dry_run {
        let settings = settings.ok_or_else(|| {
            usage("what events do depends on the configuration; give it by --config as well")
        })?;
        let report = look(&store, &settings, &scope, &mut pace, total).await?;
        out.thing(|| report.to_json(), || report.text(Coins(Some(&settings))));
        return Ok(Ending::Done);
    }
    let (actor, reason) = said(&args.actor.unwrap_or_default(), &args.reason.unwrap_or_default())?;
    let (read, handed_on, erased) =
        hand_on(&store, scope, &Author { actor, reason }, &mut pace, total).await?;
    out.thing(
        || json!({ "events": read, "handed_on": handed_on, "erased": erased }),
        || {
            let refused = match erased {
                0 => String::new(),
                _ => format!("; {erased} refused: they told of a player who was erased"),
            };
            format!("{read} events, {handed_on} handed on to workers and applied or parked{refused}")
        },
    );
    Ok(Ending::Done)
}

/// Hands the events on and waits until the workers are done. Returns how many were read and handed on, and how many were
/// not because they told of somebody who was erased.
async fn hand_on(
    store: &Store,
    scope: Scope,
    author: &Author,
    pace: &mut Pace,
    total: u64,
) -> Result<(u64, u64, u64)> {
    let mut replaying = begin(store, scope, author).await?;
    let (mut read, mut handed_on, mut erased, mut place) = (0_u64, 0_u64, 0_u64, 0);
    let progress = Progress::begin("handing on", Some(total));
    loop {
        let page = replaying.page(store, PAGE.min(pace.rate)).await?;
        if page.read == 0 {
            break;
        }
        read += page.read as u64;
        handed_on += page.handed_on as u64;
        erased += page.erased as u64;
        place = page.place.max(place);
        pace.after(page.read).await;
        while replaying.waiting(store, place).await? > WAITING_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        progress.at(read);
    }
    let mut most = 0;
    let progress = Progress::begin("waiting for the workers", None);
    while let waiting @ 1.. = replaying.waiting(store, place).await? {
        most = waiting.max(most);
        progress.at(most - waiting);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    replaying.finish(store).await?;
    Ok((read, handed_on, erased))
}

async fn look(
    store: &Store,
    settings: &Settings,
    scope: &Scope,
    pace: &mut Pace,
    total: u64,
) -> Result<Report> {
    let escrow = MatchEscrow::new(settings);
    let rewards = RewardFulfillment::new(settings)?;
    let all: [&dyn Effects; 4] = [&escrow, &rewards, &PlayerStats, &OfferRemoval];
    let workers: Vec<&dyn Effects> =
        all.into_iter().filter(|worker| scope.workers.contains(&worker.queue())).collect();
    let mut report = Report::default();
    let progress = Progress::begin("looking at events", Some(total));
    let mut after = None;
    loop {
        let lines = {
            let client = store.client().await?;
            oldest(&client, &scope.filter, after, PAGE).await?
        };
        let Some(last) = lines.last() else { return Ok(report) };
        after = Some(last.place());
        let read = lines.len();
        // Events of one subject build on each other; nothing else is locked together.
        let mut subjects: BTreeMap<(String, String), Vec<Event>> = BTreeMap::new();
        for line in lines {
            report.events += 1;
            if scope.wanting(line.event.payload.name()).next().is_some() {
                let subject = (line.event.source.as_str().to_owned(), line.event.subject.clone());
                subjects.entry(subject).or_default().push(line.event);
            }
        }
        for events in subjects.into_values() {
            for rehearsed in rehearse(store, &workers, &events).await? {
                if let Some(event) = events.get(rehearsed.event) {
                    report.add(event, rehearsed);
                }
            }
        }
        pace.after(read).await;
        progress.at(report.events);
    }
}

/// Not faster than so many events a second.
struct Pace {
    rate: u32,
    due: Instant,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { rate: rate.max(1), due: Instant::now() }
    }

    /// Waits until so many more may follow. Time that was lost is not made up for.
    async fn after(&mut self, events: usize) {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        self.due = self.due.max(Instant::now()) + Duration::from_secs(1) / self.rate * events;
        tokio::time::sleep_until(self.due.into()).await;
    }
}
