//! The database, and the configuration of a seed.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use matchpurse_settings::Settings;
use matchpurse_simulator::SimulatedSource;
use matchpurse_store::{Store, StoreOptions};
use matchpurse_testkit::Database;
use tokio_postgres::Client;

use crate::system::sources::Source;

/// A database for some seeds, whose sources have different names, and with them different worlds.
pub(crate) struct Lab {
    database: Database,
    /// The store of every process of a simulation. One connection, so that what a process that died had sent there is
    /// done, or rolled back, before anybody asks for anything else.
    pub(crate) store: Store,
    /// The owner's look at it.
    pub(crate) client: Client,
}

impl Lab {
    pub(crate) async fn open() -> Result<Self> {
        let database = Database::create().await?;
        let client = database.connection().await?;
        // PostgreSQL itself does not die here, so nobody has to wait for its disk.
        let sql = "DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
        client.batch_execute(sql).await?;
        let options = StoreOptions::for_worker(database.service_url().into(), "simulation");
        let store = Store::connect(&StoreOptions { pool_size: 1, ..options }).await?;
        Ok(Self { database, store, client })
    }

    /// The configuration of a seed with a source of every provider, and the same sources as they are played.
    pub(crate) fn configure(&self, seed: u64) -> Result<(Settings, Vec<SimulatedSource>)> {
        let mut toml = String::new();
        // The broker is the model; the settings want an address all the same. The model says what a time limit would.
        writeln!(toml, "[database]\nurl = {:?}", self.database.service_url())?;
        writeln!(toml, "[broker]\nurl = \"amqp://nobody@127.0.0.1:1/%2f\"\nconfirm_timeout_ms = 600000")?;
        let mut played = Vec::new();
        for provider in matchpurse_providers::all() {
            let source = Source::new(*provider, &format!("s{seed}-{}", provider.id()))?;
            toml.push_str(&source.toml()?);
            let key = |role: &str| source.keys.get(role).map(|keys| keys.sign.clone());
            let webhook = key("webhook").context("a source without a key")?;
            let simulated = SimulatedSource::new(source.settings.clone(), webhook)?;
            played.push(match key("postback") {
                Some(postback) => simulated.with_postback_key(postback),
                None => simulated,
            });
        }
        Ok((Settings::parse_str(&toml)?, played))
    }
}
