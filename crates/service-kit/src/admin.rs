//! The admin port of a service: `GET /healthz`, `/readyz` and `/metrics`, and nothing else.
//!
//! Written on a socket rather than on a server crate: three paths without a body, one answer a connection.
//! What is difficult in HTTP/1.1 (bodies, keep-alive, pipelining, chunks) cannot occur, and the workers stay
//! free of a web framework; hyper would have brought three direct dependencies for less code than this.
//!
//! Bounds: a request head of 8 KiB, 5 s a connection, 32 connections at once; more wait in the backlog.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::health::Health;
use crate::metrics::Metrics;

/// No probe and no scraper sends a longer head.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// For a whole connection: the request's head, and the answer.
const CONNECTION_TIME_LIMIT: Duration = Duration::from_secs(5);
/// A probe and a scraper need one each.
const CONNECTIONS_MAX: usize = 32;
/// The pause after a failed accept: without file descriptors left it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}, the value of `{setting}`")]
pub struct ListenError {
    /// The address as it was given.
    pub address: String,
    /// The setting that gave it.
    pub setting: String,
    /// Why: it is taken, it is not of this machine, it is no address.
    pub source: io::Error,
}

/// An admin port that is bound and not yet served.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
}

/// Binds `address` (`host:port`; port 0 takes a free one); `setting` is the key to name in the error.
///
/// # Errors
/// When the address is none, or taken.
pub async fn listen(address: &str, setting: &str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError {
        address: address.to_owned(),
        setting: setting.to_owned(),
        source,
    })
}

impl AdminServer {
    /// Binds the admin port; see [`listen`].
    ///
    /// # Errors
    /// When the address is none, or taken.
    pub async fn bind(
        address: &str,
        setting: &str,
        health: Health,
        metrics: Metrics,
    ) -> Result<Self, ListenError> {
        let listener = listen(address, setting).await?;
        let address = listener.local_addr().map_err(|source| ListenError {
            address: address.to_owned(),
            setting: setting.to_owned(),
            source,
        })?;
        Ok(Self { listener, address, health, metrics })
    }

    /// The address that was bound, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is tripped, then finishes the connections that are open.
    pub async fn run(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let connections = TaskTracker::new();
        let accepting = async {
            loop {
                // The semaphore is never closed, so there is always a place after the wait.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let (health, metrics) = (self.health.clone(), self.metrics.clone());
                        connections.spawn(async move {
                            // A peer that is slow or gone is its own problem; there is nobody to tell.
                            drop(timeout(CONNECTION_TIME_LIMIT, serve(stream, &health, &metrics)).await);
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "cannot accept on the admin port"
                        );
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = accepting => {}
        }
        connections.close();
        connections.wait().await;
    }
}

struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

async fn serve(mut stream: TcpStream, health: &Health, metrics: &Metrics) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    let answer = loop {
        if head.windows(4).any(|four| four == b"\r\n\r\n") {
            break answer_to(&head, health, metrics);
        }
        if head.len() >= HEAD_BYTES_MAX {
            break plain("431 Request Header Fields Too Large", "the request's head is too large");
        }
        let mut limited = (&mut stream).take((HEAD_BYTES_MAX - head.len()) as u64);
        if limited.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let Answer { status, content_type, body } = answer;
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\n{allow}Connection: close\r\n\r\n"
    )
    .into_bytes();
    if !head.starts_with(b"HEAD ") {
        bytes.extend_from_slice(body.as_bytes());
    }
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

fn answer_to(head: &[u8], health: &Health, metrics: &Metrics) -> Answer {
    let line = head.split(|byte| *byte == b'\r').next().and_then(|line| std::str::from_utf8(line).ok());
    let mut parts = line.unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return plain("400 Bad Request", "not an HTTP/1.1 request");
    };
    let path = target.split('?').next().unwrap_or_default();
    if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return plain("404 Not Found", "there are /healthz, /readyz and /metrics");
    }
    if !matches!(method, "GET" | "HEAD") {
        return plain("405 Method Not Allowed", "only GET and HEAD");
    }
    if path == "/metrics" {
        return Answer { status: "200 OK", content_type: PROMETHEUS, body: metrics.render() };
    }
    let report = health.report();
    let good = if path == "/readyz" { report.ready } else { report.alive };
    match serde_json::to_string(&report) {
        Ok(body) => {
            let status = if good { "200 OK" } else { "503 Service Unavailable" };
            Answer { status, content_type: JSON, body }
        }
        Err(error) => plain("500 Internal Server Error", &error.to_string()),
    }
}

fn plain(status: &'static str, body: &str) -> Answer {
    Answer { status, content_type: TEXT, body: format!("{body}\n") }
}
