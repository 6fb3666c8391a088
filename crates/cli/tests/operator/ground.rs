//! A database, a configuration, and the command.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use matchpurse_bus::{Delivery, Disposition};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::source::SourcePolicy;
use matchpurse_settings::Settings;
use matchpurse_testkit::Database;
use matchpurse_worker_kit::{Effects, Worker, WorkerOptions};
use uuid::Uuid;

/// A play on a database of its own, with the configuration that the commands need.
pub(crate) struct Played {
    pub(crate) database: Database,
    pub(crate) folder: PathBuf,
    pub(crate) settings: Settings,
}

impl Drop for Played {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.folder).is_err() {
            eprintln!("{} stays", self.folder.display());
        }
    }
}

impl Played {
    /// A database on which nothing has happened, and sources; `name` is the test's.
    pub(crate) async fn nothing(name: &str, sources: &str) -> Result<Self> {
        let database = Database::create().await?;
        let folder = std::env::temp_dir().join(format!("matchpurse-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let text = format!("[database]\nurl = {:?}\n{sources}", database.url());
        std::fs::write(folder.join("matchpurse.toml"), &text)?;
        let settings = Settings::parse_str(&text)?;
        Ok(Self { database, folder, settings })
    }

    /// The demo's sources, of which so many lives have been played.
    pub(crate) async fn new(name: &str, lives: u32) -> Result<Self> {
        let played = Self::nothing(name, include_str!("../../demo/sources.toml")).await?;
        let lives = lives.to_string();
        let url = played.database.url();
        let demo =
            ["demo", "--exit", "--port", "0", "--api-port", "0", "--lives", &lives, "--database-url", &url];
        let output = played.run(&demo)?;
        assert!(output.status.success(), "{}", said(&output));
        Ok(played)
    }

    /// Runs the command with this configuration.
    pub(crate) fn run(&self, args: &[&str]) -> Result<Output> {
        self.command(args).output().context("matchpurse did not start")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_matchpurse"));
        command.args(args).env("MATCHPURSE_CONFIG", self.folder.join("matchpurse.toml"));
        command
    }

    /// Runs it and returns what it printed; it must end with this code.
    pub(crate) fn printed(&self, args: &[&str], code: i32) -> Result<String> {
        let output = self.run(args)?;
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    pub(crate) fn policies(&self) -> BTreeMap<SourceName, SourcePolicy> {
        let policy = |(name, source): (&SourceName, &matchpurse_settings::SourceSettings)| {
            (name.clone(), source.policy().clone())
        };
        self.settings.sources.iter().map(policy).collect()
    }

    /// A match's source and id.
    pub(crate) async fn a_match(&self, condition: &str) -> Result<(String, String)> {
        let sql = format!(
            "SELECT source, match_id FROM match WHERE {condition} AND kind IN ('recreational', 'platform') \
              ORDER BY match_key LIMIT 1"
        );
        let row = self.database.connection().await?.query_one(&sql, &[]).await?;
        Ok((row.get(0), row.get(1)))
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Has a worker apply events as it does when they come by the broker.
pub(crate) async fn deliver(played: &Played, effects: impl Effects, events: &[Event]) -> Result<()> {
    hand(played, effects, events, None).await
}

/// The same as a part of a replay, which is applied although the worker has seen it.
pub(crate) async fn deliver_again(played: &Played, effects: impl Effects, events: &[Event]) -> Result<()> {
    hand(played, effects, events, Some(Uuid::from_u128(1))).await
}

async fn hand(played: &Played, effects: impl Effects, events: &[Event], replay: Option<Uuid>) -> Result<()> {
    let delivery = |event: &Event| {
        let message = Message::new(event.clone(), None);
        Delivery {
            id: Some(message.id),
            body: message.body,
            routing_key: message.routing_key,
            traceparent: None,
            redelivered: false,
            replay,
        }
    };
    let worker = Worker::new(played.database.store().await?, effects, WorkerOptions::default());
    let outcome = worker.process_batch(&events.iter().map(delivery).collect::<Vec<_>>()).await;
    assert!(outcome.iter().all(|disposition| *disposition == Disposition::Ack), "{outcome:?}");
    Ok(())
}
