//! `matchpurse endpoints`: where the studio's notices go, how that fares, and trying it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{EndpointName, EventPattern, TargetUrl};
use matchpurse_operations::endpoints::{self, Done, SecretChoice};
use matchpurse_service_kit::target::forbidden_host;
use matchpurse_settings::Settings;
use matchpurse_store::dispatch::{
    self, Disabled, EndpointFilter, EndpointLine, EndpointSpec, EndpointState, OperationLine, Origin,
};
use matchpurse_store::{Client, ExposeSecret as _, SecretString, now};
use serde_json::{Value, json};

use crate::author::{AuthorArgs, KeyArgs};
use crate::config::DatabaseArgs;
use crate::exit::{Ending, not_there, usage};
use crate::member::set;
use crate::moment::{clock, stamp};
use crate::out::Out;
use crate::say;
use crate::table::{Table, left, right, state as state_cell, words};

/// The most records of what was done to an endpoint that are shown.
const OPERATIONS_MAX: i64 = 50;

/// What stands in a status URL for the notice that is asked about.
const PLACE: &str = "{webhook_id}";

/// See where notices go, stop and try it, and add endpoints that the configuration does not have
#[derive(Debug, clap::Args)]
pub(crate) struct EndpointsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show all, or those in a state
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those in this state: enabled, disabled, removed; without it all that are not removed
        #[arg(long, value_parser = state)]
        state: Option<EndpointState>,
        /// How many
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show all that is known of one, and what was done to it
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its name
        #[arg(value_parser = EndpointName::parse)]
        name: EndpointName,
    },
    /// Add one; its secret is shown once
    Add {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its name, which no other has or had
        #[arg(value_parser = EndpointName::parse)]
        name: EndpointName,
        /// Where notices go
        #[arg(long, value_parser = TargetUrl::parse)]
        url: TargetUrl,
        /// Which notices: a kind, an area as `match.*`; may be said again; without it all
        #[arg(long = "event", value_name = "PATTERN", value_parser = EventPattern::parse)]
        events: Vec<EventPattern>,
        /// Of which source; may be said again; without it of all
        #[arg(long = "source", value_name = "NAME", value_parser = SourceName::parse)]
        sources: Vec<SourceName>,
        /// A subject's notices wait for each other
        #[arg(long)]
        ordered: bool,
        /// Where to ask whether a notice has arrived, with `{webhook_id}` in it
        #[arg(long, value_parser = TargetUrl::parse)]
        status_url: Option<TargetUrl>,
        /// A file with the studio's own secret, `whsec_…`; without it one is made
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        #[command(flatten)]
        author: AuthorArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Stop sending to one; what is for it waits
    Disable {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its name
        #[arg(value_parser = EndpointName::parse)]
        name: EndpointName,
        #[command(flatten)]
        author: AuthorArgs,
    },
    /// Send to one again, also where only its circuit breaker is open
    Enable {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its name
        #[arg(value_parser = EndpointName::parse)]
        name: EndpointName,
        #[command(flatten)]
        author: AuthorArgs,
    },
    /// Send one a notice that says nothing, by the way of every other
    Test {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its name
        #[arg(value_parser = EndpointName::parse)]
        name: EndpointName,
        #[command(flatten)]
        author: AuthorArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
}

fn state(text: &str) -> Result<EndpointState, String> {
    EndpointState::parse(text).ok_or_else(|| "there are enabled, disabled and removed".to_owned())
}

/// Shows or decides.
pub(crate) async fn run(args: EndpointsArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::List { database, state, limit } => {
            let store = database.connect().await?;
            let filter = EndpointFilter { state, after: None };
            let lines = dispatch::page_of_endpoints(&store.client().await?, &filter, limit.into()).await?;
            out.list(&lines, json, table);
        }
        Action::Show { database, name } => {
            let store = database.connect().await?;
            print_whole(&store.client().await?, &name, out).await?;
        }
        Action::Add {
            database,
            name,
            url,
            events,
            sources,
            ordered,
            status_url,
            secret_file,
            author,
            key,
        } => {
            let (store, settings) = database.open().await?;
            let spec = EndpointSpec { name, url, events, sources, ordered, status_url };
            check(&spec, settings.as_ref())?;
            let choice = secret_file.as_deref().map(given).transpose()?.unwrap_or(SecretChoice::New);
            let added = endpoints::add(&store, &spec, &[choice], &author.author()?, &key.key()?).await?;
            let secrets: Vec<&str> = added.made.iter().map(|made| made.secret.expose_secret()).collect();
            let json = || {
                let mut whole = json(&added.endpoint);
                set(&mut whole, "secrets", secrets.clone());
                set(&mut whole, "repeated", added.repeated);
                whole
            };
            let lines = || {
                std::iter::once(&text(&added.endpoint)[..])
                    .chain(secrets.clone())
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            out.thing(json, lines);
            if !secrets.is_empty() {
                say("this is its secret; nobody is shown it again");
            }
            if added.repeated {
                say("it was added before; nothing was done now");
            }
        }
        Action::Disable { database, name, author } => {
            let store = database.connect().await?;
            print_done(&endpoints::disable(&store, &name, &author.author()?, now()).await?, "disabled", out);
        }
        Action::Enable { database, name, author } => {
            let store = database.connect().await?;
            print_done(&endpoints::enable(&store, &name, &author.author()?).await?, "enabled", out);
        }
        Action::Test { database, name, author, key } => {
            let store = database.connect().await?;
            let tested = endpoints::test(&store, &name, &author.author()?, &key.key()?, now()).await?;
            let id = tested.webhook_id;
            out.thing(|| json!({ "webhook_id": id, "repeated": tested.repeated }), || id.to_string());
            let before = if tested.repeated { "it was asked for before; " } else { "" };
            say(&format!("{before}what comes of it: matchpurse deliveries list --webhook-id {id}"));
        }
    }
    Ok(Ending::Done)
}

/// What the API would refuse as well.
fn check(spec: &EndpointSpec, settings: Option<&Settings>) -> Result<()> {
    let private = settings.is_some_and(|settings| settings.api.endpoints_allow_private);
    for url in [Some(&spec.url), spec.status_url.as_ref()].into_iter().flatten() {
        if let Some(forbidden) = forbidden_host(url.expose()).filter(|_| !private) {
            bail!(
                "{url}: {forbidden}; an endpoint in a private network stands in the configuration, or is allowed \
                 there by `api.endpoints_allow_private`"
            );
        }
    }
    if let Some(url) = &spec.status_url {
        ensure!(url.expose().contains(PLACE), "the status URL must have `{PLACE}` in it");
    }
    let unknown = |source: &&SourceName| settings.is_some_and(|known| !known.sources.contains_key(*source));
    if let Some(source) = spec.sources.iter().find(unknown) {
        return Err(usage(format!("no source {source} is configured")));
    }
    Ok(())
}

fn given(file: &Path) -> Result<SecretChoice> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    SecretChoice::given(SecretString::from(text.trim()))
        .with_context(|| format!("{} holds no secret of Standard Webhooks", file.display()))
}

fn print_done(done: &Done, what: &str, out: Out) {
    out.thing(
        || {
            let mut whole = json(&done.endpoint);
            set(&mut whole, "changed", done.changed);
            whole
        },
        || text(&done.endpoint),
    );
    say(&format!("it {} {what}", if done.changed { "is" } else { "was already" }));
}

/// `enabled`, `disabled` or `removed`; why, and since when.
const fn standing(line: &EndpointLine) -> (&'static str, &'static str, Option<Timestamp>) {
    match line.endpoint.disabled {
        None => ("enabled", "", None),
        Some((Disabled::Gone, at)) => ("disabled", "it answered 410", Some(at)),
        Some((Disabled::Operator, at)) => ("disabled", "somebody stopped it", Some(at)),
        Some((Disabled::Removed, at)) => ("removed", "", Some(at)),
    }
}

/// `everything`, `reward.*, match.settled of main-game, in order`.
fn wanted(spec: &EndpointSpec) -> String {
    let mut wants: Vec<String> = spec.events.iter().map(ToString::to_string).collect();
    if wants.is_empty() {
        wants.push("everything".to_owned());
    }
    let of: Vec<&str> = spec.sources.iter().map(SourceName::as_str).collect();
    let of = if of.is_empty() { String::new() } else { format!(" of {}", of.join(", ")) };
    let ordered = if spec.ordered { ", in order" } else { "" };
    format!("{}{of}{ordered}", wants.join(", "))
}

fn table(lines: &[EndpointLine]) -> Table {
    let mut table = Table::new([
        left("name"),
        left("state"),
        words("url"),
        words("gets"),
        right("waiting"),
        right("given up"),
        right("failures"),
        words("since"),
    ]);
    for line in lines {
        let (state, why, at) = standing(line);
        let health = &line.endpoint.health;
        let since = at.map(|at| format!("{state} {} {why}", clock(at)).trim_end().to_owned());
        let paused = health.paused_until.map(|at| format!("paused until {}", clock(at)));
        let oldest = line.oldest_at.map(|at| format!("oldest waits since {}", clock(at)));
        let notes: Vec<String> = [since, paused, oldest].into_iter().flatten().collect();
        table.row([
            (&line.endpoint.spec.name).into(),
            state_cell(state),
            (&line.endpoint.spec.url).into(),
            wanted(&line.endpoint.spec).into(),
            counted(line.waiting).into(),
            counted(line.given_up).into(),
            health.failures.into(),
            notes.join("; ").into(),
        ]);
    }
    table
}

/// An endpoint for programs, without its secrets.
fn json(line: &EndpointLine) -> Value {
    let (spec, health) = (&line.endpoint.spec, &line.endpoint.health);
    let (state, why, at) = standing(line);
    json!({
        "name": spec.name.as_str(),
        "origin": line.endpoint.origin.as_str(),
        "state": state,
        "disabled_for": Some(why).filter(|why| !why.is_empty()),
        "disabled_at": at.map(stamp),
        "url": spec.url.shown(),
        "status_url": spec.status_url.as_ref().map(|url| url.shown()),
        "events": spec.events.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "sources": spec.sources.iter().map(SourceName::as_str).collect::<Vec<_>>(),
        "ordered": spec.ordered,
        "created_at": stamp(line.created_at),
        "health": {
            "failures": health.failures,
            "paused_until": health.paused_until.map(stamp),
            "sends_max": health.width,
            "waiting": line.waiting,
            "given_up": line.given_up,
            "oldest_waiting_at": line.oldest_at.map(stamp),
        },
    })
}

/// `name state url, what it wants`, and below it how it fares.
fn text(line: &EndpointLine) -> String {
    let EndpointLine { endpoint, waiting, given_up, oldest_at, .. } = line;
    let spec = &endpoint.spec;
    let (state, why, at) = standing(line);
    let since = at.map_or_else(String::new, |at| format!(" since {}", clock(at)));
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let oldest = oldest_at.map_or_else(String::new, |at| format!(", the oldest since {}", clock(at)));
    let failures = match endpoint.health.failures {
        0 => String::new(),
        failures => format!(", {failures} failures in a row"),
    };
    let paused =
        endpoint.health.paused_until.map_or_else(String::new, |at| format!(", paused until {}", clock(at)));
    format!(
        "{} {state}{since}{why}: {} gets {}\n    {} wait{oldest}, {} given up{failures}{paused}",
        spec.name,
        spec.url,
        wanted(spec),
        counted(*waiting),
        counted(*given_up)
    )
}

/// Deliveries are counted no further than so.
fn counted(count: i64) -> String {
    if count >= 10_000 { format!("{count} or more") } else { count.to_string() }
}

async fn print_whole(client: &Client, name: &EndpointName, out: Out) -> Result<()> {
    let line = dispatch::endpoint_line(client, name).await?;
    let line = line.ok_or_else(|| not_there("there is no such endpoint"))?;
    let (endpoint, made) = (&line.endpoint, clock(line.created_at));
    let secrets = match endpoint.origin {
        Origin::Configuration => Vec::new(),
        Origin::Api => dispatch::secret_lines(client, endpoint.id).await?,
    };
    let mut operations = dispatch::operations_on_endpoint(client, endpoint.id, OPERATIONS_MAX).await?;
    operations.reverse();
    if out.json() {
        let mut whole = json(&line);
        let secrets = secrets.iter();
        let secrets =
            secrets.map(|secret| json!({ "id": secret.id.to_string(), "added_at": stamp(secret.added_at) }));
        set(&mut whole, "secrets", secrets.collect::<Value>());
        set(&mut whole, "operations", operations.iter().map(operation_json).collect::<Value>());
        out.value(&whole);
        return Ok(());
    }
    out.line(text(&line));
    if let Some(url) = &endpoint.spec.status_url {
        out.line(format_args!("    asked at {url} whether a notice has arrived"));
    }
    match endpoint.origin {
        Origin::Configuration => {
            out.line(format_args!("    of the configuration, which has its secrets, since {made}"));
        }
        Origin::Api => out.line(format_args!("    made {made}")),
    }
    for secret in secrets {
        out.line(format_args!("    signed with secret {} since {}", secret.id, clock(secret.added_at)));
    }
    operations.iter().for_each(|operation| print_operation(operation, out));
    Ok(())
}

/// `when what by whom: why`, and what exactly.
pub(crate) fn print_operation(operation: &OperationLine, out: Out) {
    let OperationLine { kind, delivery_id, actor, reason, detail, at } = operation;
    let which = delivery_id.map_or_else(String::new, |id| format!(" {id}"));
    let bare = detail.as_object().is_none_or(serde_json::Map::is_empty);
    let exactly = if bare { String::new() } else { format!("\n      {detail}") };
    out.line(format_args!("  {} {kind}{which} by {actor}: {reason}{exactly}", clock(*at)));
}

/// The same for programs.
pub(crate) fn operation_json(operation: &OperationLine) -> Value {
    let OperationLine { kind, delivery_id, actor, reason, detail, at } = operation;
    json!({ "kind": kind, "delivery_id": delivery_id, "actor": actor, "reason": reason, "detail": detail,
            "at": stamp(*at) })
}
