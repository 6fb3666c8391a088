//! `matchpurse migrate` and `matchpurse check-config`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use matchpurse_dispatcher::check_callbacks;
use matchpurse_ingress::check_sources;
use matchpurse_reconciler::check_inquiries;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_settings::{Settings, process_environment};
use matchpurse_store::{Migrations, Store, StoreOptions};
use matchpurse_wiring::store_options;
use serde_json::json;

use crate::exit::Ending;
use crate::out::Out;
use crate::progress::waiting;
use crate::say;

/// The heading of what says where everything is.
pub(crate) const WHERE: &str = "Where";

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; `MATCHPURSE_*` variables lie over it
    #[arg(long, value_name = "FILE", env = "MATCHPURSE_CONFIG", help_heading = WHERE)]
    pub(crate) config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Loads it.
    pub(crate) fn load(&self) -> Result<Settings> {
        Ok(Settings::load(self.config.as_deref(), process_environment())?)
    }
}

/// Which database a command looks at.
#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The database, when it is not the configuration's: the URL that `demo` and `dev` print
    #[arg(long, value_name = "URL", help_heading = WHERE)]
    database_url: Option<String>,
}

impl DatabaseArgs {
    /// Connects to it.
    pub(crate) async fn connect(self) -> Result<Store> {
        Ok(self.open().await?.0)
    }

    /// Connects to it, and loads the configuration where there is one.
    pub(crate) async fn open(self) -> Result<(Store, Option<Settings>)> {
        let Some(url) = self.database_url else {
            let settings = self.config.load()?;
            return Ok((store(&settings).await?, Some(settings)));
        };
        let options = StoreOptions::new(url.into(), "matchpurse");
        let store = Store::connect(&options).await.context("the database cannot be reached")?;
        let settings = self.config.config.is_some().then(|| self.config.load()).transpose()?;
        Ok((store, settings))
    }
}

/// The store of the settings.
async fn store(settings: &Settings) -> Result<Store> {
    Store::connect(&store_options(settings, "matchpurse"))
        .await
        .with_context(|| format!("the database cannot be reached: {}", settings.database.url.redacted()))
}

/// Brings the schema up to date and returns the names of what was applied.
pub(crate) async fn bring_up_to_date(settings: &Settings) -> Result<Vec<String>> {
    let url = &settings.database.url;
    let applied = Migrations::run(&url.expose().to_owned().into()).await;
    applied.with_context(|| format!("the database {} was not migrated", url.redacted()))
}

/// `matchpurse migrate`; nothing to do is success.
pub(crate) async fn migrate(args: ConfigArgs, out: Out) -> Result<Ending> {
    let applied = waiting("migrating", bring_up_to_date(&args.load()?)).await?;
    if out.json() {
        out.value(&json!({ "applied": applied }));
        return Ok(Ending::Done);
    }
    if applied.is_empty() {
        say("the schema is up to date");
    }
    for name in applied {
        say(&format!("applied {name}"));
    }
    Ok(Ending::Done)
}

/// Checks everything that can be checked without starting: keys, values, adapters' options, secrets, schemas.
pub(crate) fn check(args: &ConfigArgs, out: Out) -> Result<Ending> {
    let settings = args.load()?;
    check_sources(&settings)?;
    check_callbacks(&settings)?;
    check_inquiries(&settings)?;
    RewardFulfillment::new(&settings)?;
    if out.json() {
        out.value(&serde_json::to_value(&settings)?);
    } else {
        out.line(settings.render().trim_end());
    }
    for warning in settings.in_plain_text() {
        say(&format!("warning: {warning}"));
    }
    say(&format!("the configuration is good; {} source(s)", settings.sources.len()));
    Ok(Ending::Done)
}
