//! The configuration that the programs are measured with: the defaults, on the run's own database and virtual host.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use matchpurse_contracts::topology::Queue;
use matchpurse_reading::adapter_settings;
use matchpurse_settings::Settings;
use matchpurse_simulator::SimulatedSource;

use crate::programs::free_port;

/// The sources that are played.
pub(crate) const SOURCES: &str = include_str!("../sources.toml");
/// Programs beside the workers.
const OTHERS: [&str; 2] = ["ingress", "dispatcher"];

/// A configuration file, and the ports in it.
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) ingress: String,
    admin: BTreeMap<&'static str, String>,
}

impl Config {
    /// Writes one. `broker` are more lines of `[broker]`.
    pub(crate) fn write(folder: &Path, database: &str, amqp: &str, broker: &str) -> Result<Self> {
        let ingress = format!("127.0.0.1:{}", free_port()?);
        let mut admin = BTreeMap::new();
        let mut toml = format!(
            "[database]\nurl = {database:?}\n[broker]\nurl = {amqp:?}\n{broker}\n[telemetry]\nlog_format = \"human\"\n\
             log_filter = \"warn\"\n"
        );
        for name in Queue::ALL.into_iter().map(Queue::worker).chain(OTHERS) {
            let address = format!("127.0.0.1:{}", free_port()?);
            let section = if OTHERS.contains(&name) {
                name.to_owned()
            } else {
                format!("workers.{}", name.replace('-', "_"))
            };
            writeln!(toml, "[{section}]\nadmin_listen = {address:?}")?;
            if name == Queue::EventArchive.worker() && broker.contains("batch_max") {
                // It has one of its own, which would win.
                writeln!(toml, "{broker}")?;
            }
            if name == "ingress" {
                writeln!(toml, "listen = {ingress:?}\ndrain_delay_ms = 0")?;
            }
            admin.insert(name, address);
        }
        toml.push_str(SOURCES);
        let path = folder.join("matchpurse.toml");
        std::fs::write(&path, toml)?;
        Ok(Self { path, ingress, admin })
    }

    /// The operators' port of a program.
    pub(crate) fn admin(&self, name: &str) -> Result<&str> {
        self.admin.get(name).map(String::as_str).with_context(|| format!("no program {name}"))
    }
}

/// The sources of the configuration, as they are played.
pub(crate) fn sources() -> Result<Vec<SimulatedSource>> {
    let settings = settings()?;
    let simulated = settings.sources.values().map(|source| {
        let key = source.secrets().first().context("a source without a secret")?;
        let simulated = SimulatedSource::new(adapter_settings(source), key.expose().as_bytes().to_vec())?;
        Ok(match source.keys("postback").first() {
            Some(key) => simulated.with_postback_key(key.expose().as_bytes().to_vec()),
            None => simulated,
        })
    });
    simulated.collect()
}

/// The settings that tell of the sources alone.
pub(crate) fn settings() -> Result<Settings> {
    Ok(Settings::parse_str(&format!("[database]\nurl = \"postgres://nobody@127.0.0.1/none\"\n{SOURCES}"))?)
}
