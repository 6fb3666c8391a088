//! A whole ingress on free ports, and deliveries signed as their providers sign.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_ingress::{Application, RejectedLog, adapter_settings};
use matchpurse_providers::{KeyRole, Method, SignRequest};
use matchpurse_settings::Settings;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http::{Answer, Connection, Request};
use crate::publisher::TestPublisher;

/// The configuration of the tests.
pub(crate) const SOURCES: &str = include_str!("../sources.toml");

/// The private half of the key in `sources.toml`.
pub(crate) const TOKEN_KEY: &[u8] = include_bytes!("../keys/private.pem");
/// Another one.
pub(crate) const OTHER_TOKEN_KEY: &[u8] = include_bytes!("../keys/other_private.pem");

/// A body of `tests/bodies`.
pub(crate) fn body(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/bodies/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub(crate) struct Ingress {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) publisher: Arc<TestPublisher>,
    pub(crate) rejected: Arc<RejectedLog>,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<std::io::Result<()>>,
    pub(crate) settings: Settings,
}

impl Ingress {
    pub(crate) async fn start() -> Self {
        Self::start_with(SOURCES).await
    }

    /// Starts with another configuration.
    pub(crate) async fn start_with(text: &str) -> Self {
        let settings = Settings::parse_str(text).unwrap();
        let publisher = Arc::new(TestPublisher::new());
        let application = Application::build(&settings, Arc::clone(&publisher) as _).await.unwrap();
        let (address, admin) = (application.address(), application.admin_address().unwrap());
        let (rejected, stop) = (application.rejected(), CancellationToken::new());
        let running = tokio::spawn(application.run_until_stopped(stop.clone()));
        Self { address, admin, publisher, rejected, stop, running, settings }
    }

    /// Trips the token and waits for the end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let mut connection = Connection::open(self.address).await;
        connection.write(&request.bytes()).await;
        connection.read().await.expect("an answer")
    }

    /// Sends what nobody holds on to meanwhile.
    pub(crate) async fn send_owned(&self, request: Request) -> Answer {
        self.send(&request).await
    }

    pub(crate) async fn get_admin(&self, path: &str) -> Answer {
        let mut connection = Connection::open(self.admin).await;
        connection.write(&Request::new("GET", path, b"").bytes()).await;
        connection.read().await.expect("an answer")
    }

    /// A delivery signed with the source's first secret.
    pub(crate) fn signed(&self, source: &str, method: Method, body: &[u8]) -> Request {
        let name = SourceName::parse(source).unwrap();
        let secret = self.settings.sources[&name].secrets()[0].expose();
        let key = if secret.starts_with("-----BEGIN") { TOKEN_KEY } else { secret.as_bytes() };
        self.signed_by(key, source, method, body)
    }

    /// A delivery signed with another key.
    pub(crate) fn signed_by(&self, key: &[u8], source: &str, method: Method, body: &[u8]) -> Request {
        self.signed_at(now(), key, source, method, body)
    }

    /// A delivery that was signed at another time.
    pub(crate) fn signed_at(
        &self,
        now: Timestamp,
        key: &[u8],
        source: &str,
        method: Method,
        body: &[u8],
    ) -> Request {
        let configured = &self.settings.sources[&SourceName::parse(source).unwrap()];
        let adapter = matchpurse_providers::by_id(configured.provider()).unwrap();
        let settings = adapter_settings(configured);
        let request = SignRequest { method, body, key, role: KeyRole::Webhook, now, settings: &settings };
        let signed = adapter.sign(&request).unwrap();
        let request = Request::new(method.as_str(), &format!("/hooks/{source}"), body);
        signed.headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}
