//! `matchpurse endpoints`: where the studio's notices go, how that fares, and trying it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::webhook::{EndpointName, EventPattern, TargetUrl};
use matchpurse_operations::endpoints::{self, Done, SecretChoice};
use matchpurse_service_kit::target::forbidden_host;
use matchpurse_settings::Settings;
use matchpurse_store::dispatch::{
    self, Disabled, EndpointFilter, EndpointLine, EndpointSpec, EndpointState, OperationLine, Origin,
};
use matchpurse_store::{Client, ExposeSecret as _, SecretString, now};

use crate::config::DatabaseArgs;
use crate::rewards::{AuthorArgs, clock};
use crate::say;

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

#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// Makes a repeat of this command harmless; without it the command is another one each time
    #[arg(long)]
    key: Option<String>,
}

impl KeyArgs {
    /// The key, or one that nobody else has.
    pub(crate) fn key(self) -> Result<String> {
        let key = self.key.unwrap_or_else(|| format!("command line, {}", now().micros()));
        ensure!((1..=255).contains(&key.len()), "a key has 1 to 255 bytes");
        Ok(key)
    }
}

fn state(text: &str) -> Result<EndpointState, String> {
    EndpointState::parse(text).ok_or_else(|| "there are enabled, disabled and removed".to_owned())
}

/// Shows or decides.
pub(crate) async fn run(args: EndpointsArgs) -> Result<ExitCode> {
    match args.action {
        Action::List { database, state, limit } => {
            let store = database.connect().await?;
            let filter = EndpointFilter { state, after: None };
            let lines = dispatch::page_of_endpoints(&store.client().await?, &filter, limit.into()).await?;
            if lines.is_empty() {
                say("there are none");
            }
            for line in &lines {
                println!("{}", text(line));
            }
        }
        Action::Show { database, name } => {
            let store = database.connect().await?;
            print_whole(&store.client().await?, &name).await?;
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
            println!("{}", text(&added.endpoint));
            for made in &added.made {
                println!("{}", made.secret.expose_secret());
                say("this is its secret; nobody is shown it again");
            }
            if added.repeated {
                say("it was added before; nothing was done now");
            }
        }
        Action::Disable { database, name, author } => {
            let store = database.connect().await?;
            print_done(&endpoints::disable(&store, &name, &author.author()?, now()).await?, "disabled");
        }
        Action::Enable { database, name, author } => {
            let store = database.connect().await?;
            print_done(&endpoints::enable(&store, &name, &author.author()?).await?, "enabled");
        }
        Action::Test { database, name, author, key } => {
            let store = database.connect().await?;
            let tested = endpoints::test(&store, &name, &author.author()?, &key.key()?, now()).await?;
            println!("{}", tested.webhook_id);
            let before = if tested.repeated { "it was asked for before; " } else { "" };
            say(&format!(
                "{before}what comes of it: matchpurse deliveries list --webhook-id {}",
                tested.webhook_id
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
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
        bail!("no source {source} is configured");
    }
    Ok(())
}

fn given(file: &Path) -> Result<SecretChoice> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    SecretChoice::given(SecretString::from(text.trim()))
        .with_context(|| format!("{} holds no secret of Standard Webhooks", file.display()))
}

fn print_done(done: &Done, what: &str) {
    println!("{}", text(&done.endpoint));
    say(&format!("it {} {what}", if done.changed { "is" } else { "was already" }));
}

/// `name state url, what it wants`, and below it how it fares.
fn text(line: &EndpointLine) -> String {
    let EndpointLine { endpoint, waiting, given_up, oldest_at, .. } = line;
    let spec = &endpoint.spec;
    let state = match endpoint.disabled {
        None => "enabled".to_owned(),
        Some((Disabled::Gone, at)) => format!("disabled since {} (it answered 410)", clock(at)),
        Some((Disabled::Operator, at)) => format!("disabled since {}", clock(at)),
        Some((Disabled::Removed, at)) => format!("removed at {}", clock(at)),
    };
    let mut wants: Vec<String> = spec.events.iter().map(ToString::to_string).collect();
    if wants.is_empty() {
        wants.push("everything".to_owned());
    }
    let of: Vec<&str> = spec.sources.iter().map(SourceName::as_str).collect();
    let of = if of.is_empty() { String::new() } else { format!(" of {}", of.join(", ")) };
    let ordered = if spec.ordered { ", in order" } else { "" };
    let oldest = oldest_at.map_or_else(String::new, |at| format!(", the oldest since {}", clock(at)));
    let failures = match endpoint.health.failures {
        0 => String::new(),
        failures => format!(", {failures} failures in a row"),
    };
    let paused =
        endpoint.health.paused_until.map_or_else(String::new, |at| format!(", paused until {}", clock(at)));
    format!(
        "{} {state}: {} gets {}{of}{ordered}\n    {} wait{oldest}, {} given up{failures}{paused}",
        spec.name,
        spec.url,
        wants.join(", "),
        counted(*waiting),
        counted(*given_up)
    )
}

/// Deliveries are counted no further than so.
fn counted(count: i64) -> String {
    if count >= 10_000 { format!("{count} or more") } else { count.to_string() }
}

async fn print_whole(client: &Client, name: &EndpointName) -> Result<()> {
    let line = dispatch::endpoint_line(client, name).await?.context("there is no such endpoint")?;
    println!("{}", text(&line));
    let (endpoint, made) = (&line.endpoint, clock(line.created_at));
    if let Some(url) = &endpoint.spec.status_url {
        println!("    asked at {url} whether a notice has arrived");
    }
    match endpoint.origin {
        Origin::Configuration => println!("    of the configuration, which has its secrets, since {made}"),
        Origin::Api => {
            println!("    made {made}");
            for secret in dispatch::secret_lines(client, endpoint.id).await? {
                println!("    signed with secret {} since {}", secret.id, clock(secret.added_at));
            }
        }
    }
    let mut operations = dispatch::operations_on_endpoint(client, endpoint.id, OPERATIONS_MAX).await?;
    operations.reverse();
    operations.iter().for_each(print_operation);
    Ok(())
}

/// `when what by whom: why`, and what exactly.
pub(crate) fn print_operation(operation: &OperationLine) {
    let OperationLine { kind, delivery_id, actor, reason, detail, at } = operation;
    let which = delivery_id.map_or_else(String::new, |id| format!(" {id}"));
    let bare = detail.as_object().is_none_or(serde_json::Map::is_empty);
    let exactly = if bare { String::new() } else { format!("\n      {detail}") };
    println!("  {} {kind}{which} by {actor}: {reason}{exactly}", clock(*at));
}
