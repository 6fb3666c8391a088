//! `matchpurse deliveries`: what was sent to which endpoint, what came of it, and sending it again.

use anyhow::Result;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::webhook::EndpointName;
use matchpurse_operations::deliveries::retry;
use matchpurse_store::dispatch::{self, AttemptLine, DeliveryLine, DeliveryState, PageFilter};
use matchpurse_store::{Client, now};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::author::{AuthorArgs, KeyArgs};
use crate::config::DatabaseArgs;
use crate::endpoints::{operation_json, print_operation};
use crate::exit::{Ending, not_there};
use crate::member::set;
use crate::moment::{attempts, clock, stamp};
use crate::out::Out;
use crate::rewards::in_words;
use crate::say;
use crate::table::{Table, left, right, state as state_cell, words};

/// The most records of what was done to a delivery that are shown.
const OPERATIONS_MAX: i64 = 50;

/// See what was sent to which endpoint and what came of it, and have it sent again
#[derive(Debug, clap::Args)]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the newest
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those to this endpoint
        #[arg(long, value_parser = EndpointName::parse)]
        endpoint: Option<EndpointName>,
        /// Only those in this state: waiting, behind, delivered, given_up, withdrawn
        #[arg(long, value_parser = state)]
        state: Option<DeliveryState>,
        /// Only those of notices of this kind: reward.granted, match.settled, …
        #[arg(long)]
        kind: Option<String>,
        /// Only those of notices from this source
        #[arg(long, value_parser = SourceName::parse)]
        source: Option<SourceName>,
        /// Only those about this match, grant, offer or player of the source
        #[arg(long, requires = "source")]
        subject: Option<String>,
        /// Only those of this notice
        #[arg(long)]
        webhook_id: Option<Uuid>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one with its attempts, what was done to it, and what is sent
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its number
        delivery: i64,
    },
    /// Send one again now, under the same id
    Retry {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its number
        delivery: i64,
        #[command(flatten)]
        author: AuthorArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
}

fn state(text: &str) -> Result<DeliveryState, String> {
    DeliveryState::parse(text).ok_or_else(|| {
        let states = DeliveryState::ALL.map(DeliveryState::as_str);
        format!("there are {}", states.join(", "))
    })
}

/// Shows or decides.
pub(crate) async fn run(args: DeliveriesArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::List { database, endpoint, state, kind, source, subject, webhook_id, limit } => {
            let store = database.connect().await?;
            let filter = PageFilter {
                endpoint: endpoint.as_ref().map(EndpointName::as_str),
                state,
                kind: kind.as_deref(),
                source: source.as_ref().map(SourceName::as_str),
                subject: subject.as_deref(),
                webhook_id,
                before: None,
            };
            out.list(&found(&store.client().await?, filter, limit).await?, json, table);
        }
        Action::Show { database, delivery } => {
            let store = database.connect().await?;
            print_whole(&store.client().await?, delivery, out).await?;
        }
        Action::Retry { database, delivery, author, key } => {
            let store = database.connect().await?;
            let done = retry(&store, delivery, &author.author()?, &key.key()?, now()).await?;
            let json = || json!({ "delivery": json(&done.delivery), "repeated": done.repeated });
            out.thing(json, || text(&done.delivery));
            say(if done.repeated {
                "it was asked for before; nothing was done now"
            } else {
                "it is due now"
            });
        }
    }
    Ok(Ending::Done)
}

/// Page after page, until there are as many as are wanted.
async fn found(client: &Client, mut filter: PageFilter<'_>, limit: u32) -> Result<Vec<DeliveryLine>> {
    let mut found = Vec::new();
    let mut left = limit;
    loop {
        let page = dispatch::page_of_deliveries(client, &filter, left).await?;
        left = left.saturating_sub(u32::try_from(page.lines.len()).unwrap_or(u32::MAX));
        found.extend(page.lines);
        match page.next {
            Some(next) if left > 0 => filter.before = Some(next),
            _ => return Ok(found),
        }
    }
}

fn table(lines: &[DeliveryLine]) -> Table {
    let mut table = Table::new([
        right("number"),
        left("state"),
        left("kind"),
        words("about"),
        left("endpoint"),
        right("attempts"),
        words("how it goes"),
    ]);
    for line in lines {
        let last = line.last.as_ref().map(|last| format!("last {}", attempt(last)));
        let due = line.next_attempt_at.map(|at| format!("next {}", clock(at)));
        let because = line.because.map(|because| in_words(because).trim().to_owned());
        let unknown = line.unknown.then(|| "may have arrived".to_owned());
        let course: Vec<String> = [because, last, due, unknown].into_iter().flatten().collect();
        table.row([
            line.delivery_id.into(),
            state_cell(line.state.as_str()),
            (&line.kind).into(),
            format!("{} of {}", line.subject, line.source).into(),
            (&line.endpoint).into(),
            line.attempts.into(),
            course.join("; ").into(),
        ]);
    }
    table
}

/// `number state kind about subject of source to endpoint`, and below it the last attempt.
fn text(line: &DeliveryLine) -> String {
    let due = line.next_attempt_at.map_or_else(String::new, |at| format!(", next {}", clock(at)));
    let because = line.because.map_or("", in_words);
    let unknown = if line.unknown { ", may have arrived" } else { "" };
    let last = line.last.as_ref().map_or_else(String::new, |last| format!("\n    last {}", attempt(last)));
    format!(
        "{} {} {} of {} about {} to {}: {}{because}{due}{unknown}{last}",
        line.delivery_id,
        line.state.as_str(),
        line.kind,
        line.source,
        line.subject,
        line.endpoint,
        attempts(line.attempts)
    )
}

/// A delivery for programs.
pub(crate) fn json(line: &DeliveryLine) -> Value {
    json!({
        "id": line.delivery_id,
        "state": line.state.as_str(),
        "kind": line.kind,
        "source": line.source,
        "subject": line.subject,
        "endpoint": line.endpoint,
        "webhook_id": line.webhook_id,
        "attempts": line.attempts,
        "next_attempt_at": line.next_attempt_at.map(stamp),
        "unknown": line.unknown,
        "because": line.because.map(|because| because.as_str()),
        "created_at": stamp(line.created_at),
        "finished_at": line.finished_at.map(stamp),
        "last": line.last.as_ref().map(attempt_json),
    })
}

fn attempt_json(attempt: &AttemptLine) -> Value {
    let AttemptLine { at, took_ms, outcome, status, detail } = attempt;
    json!({ "at": stamp(*at), "took_ms": took_ms, "outcome": outcome.as_str(), "status": status, "detail": detail })
}

fn attempt(attempt: &AttemptLine) -> String {
    let AttemptLine { at, took_ms, outcome, status, detail } = attempt;
    let status = status.map_or_else(String::new, |status| format!(" {status}"));
    let took = took_ms.map_or_else(String::new, |ms| format!(" after {ms} ms"));
    let words = if detail.is_empty() { String::new() } else { format!(", {detail:?}") };
    format!("{} {}{status}{took}{words}", clock(*at), outcome.as_str())
}

async fn print_whole(client: &Client, id: i64, out: Out) -> Result<()> {
    let line = dispatch::delivery(client, id).await?.ok_or_else(|| not_there("there is no such delivery"))?;
    let tried = dispatch::attempts_of(client, &[id]).await?.remove(&id).unwrap_or_default();
    let mut operations = dispatch::operations_on_delivery(client, id, OPERATIONS_MAX).await?;
    operations.reverse();
    let body = dispatch::body_of(client, line.webhook_id).await?;
    if out.json() {
        let mut whole = json(&line);
        set(&mut whole, "tried", tried.iter().map(attempt_json).collect::<Value>());
        set(&mut whole, "operations", operations.iter().map(operation_json).collect::<Value>());
        let body = body.map(|body| serde_json::from_slice::<Value>(&body)).transpose()?;
        set(&mut whole, "body", body.unwrap_or_default());
        out.value(&whole);
        return Ok(());
    }
    out.line(text(&line));
    out.line(format_args!("    sent under {}, made {}", line.webhook_id, clock(line.created_at)));
    for one in &tried {
        out.line(format_args!("  {}", attempt(one)));
    }
    operations.iter().for_each(|operation| print_operation(operation, out));
    if let Some(body) = body {
        out.line(String::from_utf8_lossy(&body));
    }
    Ok(())
}
