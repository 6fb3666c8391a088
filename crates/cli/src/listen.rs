//! `matchpurse listen`: what comes in, as it comes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use matchpurse_contracts::v1;
use matchpurse_domain::event::{Event, Payload};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::events::{EventFilter, EventLine, Head, heads, piece_of_chain};
use matchpurse_store::{Store, now};
use serde_json::{Value, json};
use tokio::time::sleep;

use self::rejected::Refusals;
use crate::config::{DatabaseArgs, WHERE};
use crate::exit::{Ending, usage};
use crate::moment::{clock_ms, printable, stamp};
use crate::out::{Out, Paint};
use crate::say;

mod meaning;
mod rejected;

/// How often it is looked for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Events of one source in one look.
const PAGE: i64 = 500;

/// How long until a connection is tried again, at first and at most.
const AGAIN_MIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// Print events as they come, until interrupted
///
/// An event is shown once the archive has it. Where the database goes away it is tried again until it is back, and
/// nothing is left out.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only those of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those that say this: `match_snapshot`, `offer_changed`, …; or by the provider's name for it
    #[arg(long, value_name = "PAYLOAD")]
    payload: Option<String>,
    /// Only those about this match, contest, offer or player
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Begin with so many that came before
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    last: u32,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Show also what the ingress refused, and why; its admin port tells that
    #[arg(long)]
    rejected: bool,
    /// Where the ingress's admin port is, when it is not the configuration's
    #[arg(long, value_name = "URL", requires = "rejected", help_heading = WHERE)]
    admin: Option<String>,
}

/// Where it is in each chain.
struct Following {
    store: Store,
    filter: EventFilter,
    /// The last event of each source that was shown or left out.
    places: BTreeMap<String, i64>,
}

/// Follows until it is interrupted, or there were enough.
pub(crate) async fn run(args: ListenArgs, out: Out) -> Result<Ending> {
    let source = args.source.as_deref().map(SourceName::parse).transpose()?;
    let (store, settings) = args.database.open().await?;
    let mut refusals = if args.rejected {
        let configured = settings.as_ref().and_then(|settings| settings.ingress.admin_listen.as_deref());
        let configured = configured.filter(|address| !address.ends_with(":0"));
        let admin = args.admin.clone().or_else(|| configured.map(|address| format!("http://{address}")));
        let admin =
            admin.ok_or_else(|| usage("where the ingress's admin port is must be given by --admin"))?;
        Some(Refusals::begin(&admin, args.source.clone()).await?)
    } else {
        None
    };
    let filter = EventFilter {
        source: source.map(|source| source.as_str().to_owned()),
        subject: args.subject,
        event_type: args.payload,
        ..EventFilter::default()
    };
    let mut following = Following { store, filter, places: BTreeMap::new() };
    let mut shown = 0;
    for line in following.begin(args.last).await? {
        if !print(&line, out) {
            return Ok(Ending::Done);
        }
        shown += 1;
    }
    say("listening; Ctrl-C ends it");
    let (mut away, mut told) = (AGAIN_MIN, false);
    loop {
        let lines = match following.look().await {
            Ok(lines) => {
                if std::mem::take(&mut told) {
                    say("the database is back");
                }
                away = AGAIN_MIN;
                lines
            }
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut told, true) {
                    say(&format!("the database is away ({}); trying again", matchpurse_store::chain(&error)));
                }
                sleep(away).await;
                away = (away * 2).min(AGAIN_MAX);
                continue;
            }
            Err(error) => return Err(anyhow!(error)),
        };
        let more = !lines.is_empty();
        for line in lines {
            shown += 1;
            if !print(&line, out) || args.count.is_some_and(|count| shown >= count) {
                return Ok(Ending::Done);
            }
        }
        if let Some(refusals) = &mut refusals {
            for refused in refusals.look().await {
                shown += 1;
                if !refused.print(out) || args.count.is_some_and(|count| shown >= count) {
                    return Ok(Ending::Done);
                }
            }
        }
        if !more {
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Following {
    /// Takes the ends of all chains as the beginning, and returns the last events before it.
    async fn begin(&mut self, last: u32) -> Result<Vec<EventLine>> {
        let client = self.store.client().await?;
        self.places = heads(&client).await?.into_iter().map(|(source, head)| (source, head.seq)).collect();
        if last == 0 {
            return Ok(Vec::new());
        }
        let mut lines = matchpurse_store::events::newest(&client, &self.filter, None, last).await?.lines;
        lines.reverse();
        Ok(lines)
    }

    /// What came since the last look, by time. Each chain is read without gaps, so nothing is left out whatever commits
    /// when.
    async fn look(&mut self) -> matchpurse_store::Result<Vec<EventLine>> {
        let client = self.store.client().await?;
        let (mut lines, mut places) = (Vec::new(), self.places.clone());
        for (source, Head { seq, .. }) in heads(&client).await? {
            let place = places.entry(source.clone()).or_insert(0);
            let upto = seq.min(place.saturating_add(PAGE));
            let wanted = self.filter.source.as_ref().is_none_or(|wanted| *wanted == source);
            if wanted && upto > *place {
                lines.extend(piece_of_chain(&client, &self.filter, &source, (*place, upto), None).await?);
            }
            *place = upto;
        }
        lines.sort_by_key(|line| (line.event.received_at, line.event.id));
        // Only now: what could not be read to its end is read again.
        self.places = places;
        Ok(lines)
    }
}

/// Prints an event; false when nobody reads any more.
fn print(line: &EventLine, out: Out) -> bool {
    let printed = if out.json() { out.try_line(as_json(line)) } else { out.try_line(text(line, out)) };
    printed.is_ok()
}

/// `time source payload subject what it means`
fn text(line: &EventLine, out: Out) -> String {
    let event = &line.event;
    let paint = matches!(event.payload, Payload::Unrecognized(_)).then_some(Paint::Waits);
    let payload = format!("{:20}", event.payload.name().as_str());
    let subject = if event.subject.is_empty() { "-" } else { &event.subject };
    format!(
        "{}  {:12}  {}  {:24}  {}",
        out.painted(Some(Paint::Faint), &clock_ms(event.received_at)),
        event.source.as_str(),
        out.painted(paint, &payload),
        printable(subject),
        printable(&meaning::of(event))
    )
}

fn as_json(line: &EventLine) -> Value {
    let event = Event { raw: Default::default(), ..line.event.clone() };
    json!({
        "at": stamp(event.received_at),
        "source": event.source.as_str(),
        "payload": event.payload.name().as_str(),
        "type": event.provider_type,
        "subject": event.subject,
        "meaning": meaning::of(&event),
        "id": event.id.to_string(),
        "seq": line.seq,
        "archived_at": stamp(line.archived_at),
        "event": serde_json::to_value(v1::Event::from(event)).unwrap_or_default(),
    })
}

/// Since when refusals are shown: those of before were somebody else's.
fn beginning() -> Timestamp {
    now()
}
