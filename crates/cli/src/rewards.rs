//! `matchpurse rewards`: see grants, and decide about those that a person must look at.

mod shown;

use anyhow::Result;
use matchpurse_domain::grants::{GrantKind, GrantState};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_operations::rewards::{Author, Done, release, retry, reverse};
use matchpurse_store::dispatch::{self, Because, DeliveryFilter};
use matchpurse_store::grants::{self, GrantFilter, GrantLine};
use matchpurse_store::redemptions::{self, CallFilter, CallState};
use matchpurse_store::{Client, now};
use serde_json::{Value, json};
use uuid::Uuid;

use self::shown::{call, call_json, call_table, table, text};
use crate::author::{AuthorArgs, KeyArgs};
use crate::config::DatabaseArgs;
use crate::deliveries;
use crate::exit::{Ending, not_there};
use crate::member::set;
use crate::moment::{attempts, clock, stamp};
use crate::money::Coins;
use crate::out::Out;
use crate::say;

/// The most deliveries of one grant that are shown.
const DELIVERIES_MAX: i64 = 100;

/// See rewards, and decide about those that a person must look at
#[derive(Debug, clap::Args)]
pub(crate) struct RewardsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the newest
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those in this state: reserved, granted, needs_review, recorded, released, delivering, fulfilled,
        /// failed, reversed
        #[arg(long, value_parser = state)]
        state: Option<GrantState>,
        /// Only those of this source
        #[arg(long)]
        source: Option<String>,
        /// Only those of this player of the source
        #[arg(long, requires = "source")]
        player: Option<String>,
        /// Only those of this contest of the source, by the provider's id
        #[arg(long, requires = "source")]
        contest: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show all that is known of one
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The grant's id
        grant: Uuid,
    },
    /// Show what providers are told of rewards that were given, and what of it waits for a person
    ///
    /// `matchpurse rewards retry` of one of the grants has such a call made again.
    Calls {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those in this state: held, waiting, told, refused, given_up, withdrawn
        #[arg(long, value_parser = call_state)]
        state: Option<CallState>,
        /// Only those of this source
        #[arg(long)]
        source: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Give one that is held for review
    Release {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The grant's id
        grant: Uuid,
        #[command(flatten)]
        author: AuthorArgs,
    },
    /// Take one back, or decide against one that is held for review
    Reverse {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The grant's id
        grant: Uuid,
        #[command(flatten)]
        author: AuthorArgs,
    },
    /// Have the studio, and the provider, told of one now
    ///
    /// Under the same ids, where its endpoints could not be reached; and the provider, where it could not be told that
    /// it was given.
    Retry {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The grant's id
        grant: Uuid,
        #[command(flatten)]
        author: AuthorArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
}

impl AuthorArgs {
    /// Who, and why.
    pub(crate) fn author(self) -> Result<Author> {
        let (actor, reason) = self.said()?;
        Ok(Author { actor, reason })
    }
}

fn state(text: &str) -> Result<GrantState, String> {
    GrantState::parse(text).ok_or_else(|| {
        let states = GrantState::ALL.map(GrantState::as_str);
        format!("there are {}", states.join(", "))
    })
}

fn call_state(text: &str) -> Result<CallState, String> {
    CallState::parse(text).ok_or_else(|| {
        let states = CallState::ALL.map(CallState::as_str);
        format!("there are {}", states.join(", "))
    })
}

/// Shows or decides.
pub(crate) async fn run(args: RewardsArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::List { database, state, source, player, contest, limit } => {
            let source = source.map(|source| SourceName::parse(&source)).transpose()?;
            let whose = source.map(|source| (source, player.map(PlayerId::new)));
            let (store, settings) = database.open().await?;
            let filter = GrantFilter { state, whose, contest, before: None };
            let lines = grants::list(&store.client().await?, &filter, limit).await?;
            out.list(&lines, shown::json, |lines| table(lines, Coins(settings.as_ref())));
        }
        Action::Show { database, grant } => {
            let (store, settings) = database.open().await?;
            let client = store.client().await?;
            let line = grants::find(&client, grant).await?;
            let line = line.ok_or_else(|| not_there("there is no such grant"))?;
            print_whole(&client, &line, Coins(settings.as_ref()), out).await?;
        }
        Action::Calls { database, state, source, limit } => {
            let store = database.connect().await?;
            let filter = CallFilter { state, source: source.as_deref() };
            let lines = redemptions::calls(&store.client().await?, filter, limit).await?;
            out.list(&lines, call_json, call_table);
        }
        Action::Release { database, grant, author } => {
            let (store, settings) = database.open().await?;
            let done = release(&store, grant, &author.author()?, now()).await?;
            print_done(&done, "released", Coins(settings.as_ref()), out);
        }
        Action::Reverse { database, grant, author } => {
            let (store, settings) = database.open().await?;
            let done = reverse(&store, grant, &author.author()?, now()).await?;
            print_done(&done, "taken back", Coins(settings.as_ref()), out);
            if done.grant.grant.kind == GrantKind::Credit {
                say("the provider keeps the player's money for it until it is returned there");
            }
        }
        Action::Retry { database, grant, author, key } => {
            let (store, settings) = database.open().await?;
            let done = retry(&store, grant, &author.author()?, &key.key()?, now()).await?;
            print_done(&done, "told again", Coins(settings.as_ref()), out);
        }
    }
    Ok(Ending::Done)
}

fn print_done(done: &Done, what: &str, coins: Coins<'_>, out: Out) {
    let Done { grant, operation, repeated } = done;
    let json =
        || json!({ "reward": shown::json(grant), "operation": operation.to_string(), "repeated": repeated });
    out.thing(json, || text(grant, coins));
    let before = if *repeated { " before; nothing was done now" } else { "" };
    say(&format!("it was {what}{before}, operation {operation}"));
}

/// All that is known of a grant.
async fn print_whole(client: &Client, line: &GrantLine, coins: Coins<'_>, out: Out) -> Result<()> {
    let operations = grants::operations(client, line.id).await?;
    let subject = line.id.to_string();
    let source = line.contest.source.as_str();
    let filter = DeliveryFilter { subject: Some((source, &subject)), ..DeliveryFilter::default() };
    let mut told = dispatch::deliveries(client, &filter, DELIVERIES_MAX).await?;
    told.reverse();
    let provider_call = redemptions::of_grant(client, line.id).await?;
    if out.json() {
        let mut whole = shown::json(line);
        let done = operations.iter().map(|done| {
            json!({ "id": done.id.to_string(), "kind": done.kind, "actor": done.actor, "reason": done.reason,
                    "at": stamp(done.at) })
        });
        set(&mut whole, "operations", done.collect::<Value>());
        set(&mut whole, "deliveries", told.iter().map(deliveries::json).collect::<Value>());
        set(&mut whole, "provider_call", provider_call.as_ref().map(call_json).unwrap_or_default());
        out.value(&whole);
        return Ok(());
    }
    out.line(text(line, coins));
    if let Some(payload) = &line.grant.payload {
        out.line(format_args!("    came along: {payload}"));
    }
    out.line(format_args!(
        "    first heard of {}, changed {}",
        clock(line.created_at),
        clock(line.updated_at)
    ));
    out.line(format_args!("    by event or operation {}", line.cause));
    for done in operations {
        out.line(format_args!("  {} {} by {}: {}", clock(done.at), done.kind, done.actor, done.reason));
    }
    for delivery in told {
        let last = delivery.last.as_ref().map_or_else(String::new, |last| {
            let status = last.status.map_or_else(String::new, |status| format!(" {status}"));
            let words = if last.detail.is_empty() { String::new() } else { format!(", {:?}", last.detail) };
            format!(", last {}{status} at {}{words}", last.outcome.as_str(), clock(last.at))
        });
        let because = delivery.because.map_or("", in_words);
        out.line(format_args!(
            "  {} {} to {}: {}{because} after {}{last}",
            clock(delivery.created_at),
            delivery.kind,
            delivery.endpoint,
            delivery.state.as_str(),
            attempts(delivery.attempts)
        ));
    }
    if let Some(line) = provider_call {
        out.line(format_args!("  {}", call(&line)));
    }
    Ok(())
}

/// Why a delivery ended without having been tried to its end.
pub(crate) const fn in_words(because: Because) -> &'static str {
    match because {
        Because::EndpointRemoved => " because the endpoint was removed: a retry hands it on",
        Because::HandedOn => " because others got it: the endpoint was removed",
    }
}
