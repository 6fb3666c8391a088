//! `matchpurse deliveries`: what was sent to which endpoint, what came of it, and sending it again.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::webhook::EndpointName;
use matchpurse_operations::deliveries::retry;
use matchpurse_store::dispatch::{self, AttemptLine, DeliveryLine, DeliveryState, PageFilter};
use matchpurse_store::{Client, now};
use uuid::Uuid;

use crate::config::DatabaseArgs;
use crate::endpoints::{KeyArgs, print_operation};
use crate::rewards::{AuthorArgs, clock, in_words};
use crate::say;

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
pub(crate) async fn run(args: DeliveriesArgs) -> Result<ExitCode> {
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
            print_list(&store.client().await?, filter, limit).await?;
        }
        Action::Show { database, delivery } => {
            let store = database.connect().await?;
            print_whole(&store.client().await?, delivery).await?;
        }
        Action::Retry { database, delivery, author, key } => {
            let store = database.connect().await?;
            let done = retry(&store, delivery, &author.author()?, &key.key()?, now()).await?;
            println!("{}", text(&done.delivery));
            say(if done.repeated {
                "it was asked for before; nothing was done now"
            } else {
                "it is due now"
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Page after page, until there are as many as are wanted.
async fn print_list(client: &Client, mut filter: PageFilter<'_>, limit: u32) -> Result<()> {
    let mut left = limit;
    loop {
        let page = dispatch::page_of_deliveries(client, &filter, left).await?;
        for line in &page.lines {
            println!("{}", text(line));
        }
        left = left.saturating_sub(u32::try_from(page.lines.len()).unwrap_or(u32::MAX));
        match page.next {
            Some(next) if left > 0 => filter.before = Some(next),
            Some(_) => break,
            None if left == limit => {
                say("there are none");
                break;
            }
            None => break,
        }
    }
    Ok(())
}

/// `number state kind about subject of source to endpoint`, and below it the last attempt.
fn text(line: &DeliveryLine) -> String {
    let due = line.next_attempt_at.map_or_else(String::new, |at| format!(", next {}", clock(at)));
    let because = line.because.map_or("", in_words);
    let unknown = if line.unknown { ", may have arrived" } else { "" };
    let last = line.last.as_ref().map_or_else(String::new, |last| format!("\n    last {}", attempt(last)));
    format!(
        "{} {} {} of {} about {} to {}: {} attempt{}{because}{due}{unknown}{last}",
        line.delivery_id,
        line.state.as_str(),
        line.kind,
        line.source,
        line.subject,
        line.endpoint,
        line.attempts,
        if line.attempts == 1 { "" } else { "s" }
    )
}

fn attempt(attempt: &AttemptLine) -> String {
    let AttemptLine { at, took_ms, outcome, status, detail } = attempt;
    let status = status.map_or_else(String::new, |status| format!(" {status}"));
    let took = took_ms.map_or_else(String::new, |ms| format!(" after {ms} ms"));
    let words = if detail.is_empty() { String::new() } else { format!(", {detail:?}") };
    format!("{} {}{status}{took}{words}", clock(*at), outcome.as_str())
}

async fn print_whole(client: &Client, id: i64) -> Result<()> {
    let line = dispatch::delivery(client, id).await?.context("there is no such delivery")?;
    println!("{}", text(&line));
    println!("    sent under {}, made {}", line.webhook_id, clock(line.created_at));
    for one in dispatch::attempts_of(client, &[id]).await?.remove(&id).unwrap_or_default() {
        println!("  {}", attempt(&one));
    }
    let mut operations = dispatch::operations_on_delivery(client, id, OPERATIONS_MAX).await?;
    operations.reverse();
    operations.iter().for_each(print_operation);
    if let Some(body) = dispatch::body_of(client, line.webhook_id).await? {
        println!("{}", String::from_utf8_lossy(&body));
    }
    Ok(())
}
