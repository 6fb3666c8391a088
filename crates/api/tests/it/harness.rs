//! A whole API on free ports, over a database with three sources: `ours`, whose stakes the studio holds, `theirs`,
//! whose provider does, and nothing of `coins` yet.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use matchpurse_api::Application;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, archive};
use matchpurse_testkit::Database;
use matchpurse_worker_kit::Effects as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::conformance;
use crate::http::{Answer, Request};

/// The configuration of the tests, without its database.
pub(crate) const SETTINGS: &str = include_str!("../settings.toml");

/// The secrets of the tokens in `settings.toml`.
pub(crate) const ANN: &str = "ann-may-read-and-operate-0123456789";
pub(crate) const BOB: &str = "bob-may-read-and-operate-0123456789";
pub(crate) const READER: &str = "reader-may-only-read-01234567890123";
pub(crate) const WRITER: &str = "writer-may-only-operate-0123456789";

/// When events are applied that were received; the testkit's are received then.
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) database: Database,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<std::io::Result<()>>,
    store: Store,
    effects: MatchEscrow,
}

impl Api {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(SETTINGS).await
    }

    /// Starts with another configuration.
    pub(crate) async fn start_with(text: &str) -> Result<Self> {
        let database = Database::create().await?;
        let settings = Settings::parse_str(&on(&database.url(), text))?;
        let application = Application::build(&settings).await?;
        let (address, admin) = (application.address(), application.admin_address().unwrap());
        let stop = CancellationToken::new();
        let running = tokio::spawn(application.run_until_stopped(stop.clone()));
        let store = database.store().await?;
        Ok(Self { address, admin, database, stop, running, store, effects: MatchEscrow::new(&settings) })
    }

    /// Applies events as `match-escrow` does, and keeps them as `event-archive` does.
    pub(crate) async fn apply(&self, events: &[Event]) -> Result<()> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        self.effects.apply_in_tx(&tx, events, NOW).await?;
        archive::append_in_tx(&tx, events, NOW).await?;
        Ok(tx.commit().await?)
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer> {
        let answer = request.send(&self.address.to_string()).await?;
        conformance::check(request, &answer)?;
        Ok(answer)
    }

    /// Asks the admin port.
    pub(crate) async fn admin(&self, path: &str) -> Result<Answer> {
        Request::new("GET", path, b"").send(&self.admin.to_string()).await
    }

    /// Puts money on a player's account, as the studio's back-end does.
    pub(crate) async fn deposit(&self, player: &str, minor_units: i64) -> Result<()> {
        let path = format!("/v1/players/ours/{player}/deposits");
        let request = deposit(&path, &format!("deposit-{player}-{minor_units}"), minor_units);
        let answer = self.send(&request).await?;
        anyhow::ensure!(answer.status == 201, "{answer:?}");
        Ok(())
    }

    /// The number of the account that a player has in `ours`.
    pub(crate) async fn account(&self, player: &str) -> Result<String> {
        let answer = self.send(&request(ANN, "GET", &format!("/v1/players/ours/{player}"), "")).await?;
        let player: serde_json::Value = serde_json::from_str(&answer.body)?;
        Ok(player["balances"][0]["account"].as_str().context("no account")?.to_owned())
    }

    /// Ends it, and waits for that.
    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.running.await??)
    }
}

/// The configuration on a database.
pub(crate) fn on(database_url: &str, text: &str) -> String {
    format!("[database]\nurl = {database_url:?}\n{text}")
}

/// A request with a token.
pub(crate) fn request(secret: &str, method: &str, path: &str, body: &str) -> Request {
    let mut request = Request::new(method, path, body.as_bytes());
    request.headers.push(("authorization".to_owned(), format!("Bearer {secret}").into_bytes()));
    if !body.is_empty() {
        request.headers.push(("content-type".to_owned(), b"application/json".to_vec()));
    }
    request
}

/// A request that moves money, by ann.
pub(crate) fn deposit(path: &str, key: &str, minor_units: i64) -> Request {
    let body = format!(
        r#"{{"amount": {{"minor_units": {minor_units}, "currency": "USD"}}, "reason": "payment 17"}}"#
    );
    let mut request = request(ANN, "POST", path, &body);
    request.headers.push(("idempotency-key".to_owned(), key.as_bytes().to_vec()));
    request
}

/// Waits until the admin port shows this line among the metrics.
pub(crate) async fn shown(admin: &str, line: &str) -> Result<()> {
    while !Request::new("GET", "/metrics", b"").send(admin).await?.body.lines().any(|found| found == line) {
        tokio::task::yield_now().await;
    }
    Ok(())
}
