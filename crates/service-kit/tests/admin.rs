//! The admin port, over real sockets.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use matchpurse_service_kit::admin::AdminServer;
use matchpurse_service_kit::health::Health;
use matchpurse_service_kit::metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A server that stops when this is dropped.
struct Running {
    address: SocketAddr,
    health: Health,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start() -> Result<Running> {
    let health = Health::new("worker");
    let server =
        AdminServer::bind("127.0.0.1:0", "workers.admin", health.clone(), metrics::install()?).await?;
    let (address, stop) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.run(stop.clone()));
    Ok(Running { address, health, stop, task })
}

impl Running {
    /// The answer to raw bytes, up to the end of the connection.
    async fn raw(&self, request: &[u8]) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Status line and body.
    async fn get(&self, path: &str) -> Result<(String, String)> {
        let answer = self.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
        Ok((head.lines().next().context("no status line")?.to_owned(), body.to_owned()))
    }
}

#[tokio::test]
async fn readiness_follows_the_checks() -> Result<()> {
    let server = start().await?;
    let broker = server.health.check("broker");
    let (status, body) = server.get("/readyz").await?;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    let report: serde_json::Value = serde_json::from_str(&body)?;
    assert_eq!(report["checks"][0]["reason"], "starting");
    assert_eq!(server.get("/healthz").await?.0, "HTTP/1.1 200 OK");
    broker.ready();
    assert_eq!(server.get("/readyz?verbose=1").await?.0, "HTTP/1.1 200 OK");
    Ok(())
}

#[tokio::test]
async fn metrics_are_scraped() -> Result<()> {
    let server = start().await?;
    ::metrics::counter!("admin_test_total").increment(3);
    let (status, body) = server.get("/metrics").await?;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("admin_test_total 3"), "{body}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_one_of_three_paths_is_refused() -> Result<()> {
    let server = start().await?;
    let first = |answer: String| answer.lines().next().unwrap_or_default().to_owned();
    assert_eq!(first(server.raw(b"GET / HTTP/1.1\r\n\r\n").await?), "HTTP/1.1 404 Not Found");
    let post = server.raw(b"POST /metrics HTTP/1.1\r\n\r\n").await?;
    assert!(post.contains("\r\nAllow: GET, HEAD\r\n"), "{post}");
    assert_eq!(first(post), "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(first(server.raw(b"\xff\xfe nonsense\r\n\r\n").await?), "HTTP/1.1 400 Bad Request");
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(8 * 1024 - 16));
    assert_eq!(long.len(), 8 * 1024);
    assert_eq!(first(server.raw(long.as_bytes()).await?), "HTTP/1.1 431 Request Header Fields Too Large");
    let head = server.raw(b"HEAD /healthz HTTP/1.1\r\n\r\n").await?;
    assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
    Ok(())
}

#[tokio::test]
async fn a_request_may_arrive_in_pieces() -> Result<()> {
    let server = start().await?;
    let mut stream = TcpStream::connect(server.address).await?;
    stream.set_nodelay(true)?;
    for piece in ["GE", "T /healthz HT", "TP/1.1\r", "\n\r", "\n"] {
        stream.write_all(piece.as_bytes()).await?;
        stream.flush().await?;
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_address_and_setting() -> Result<()> {
    let server = start().await?;
    let address = server.address.to_string();
    let again = AdminServer::bind(&address, "workers.admin", Health::new("other"), metrics::install()?).await;
    let message = format!("{:#}", anyhow::Error::from(again.unwrap_err()));
    assert!(
        message.starts_with(&format!("cannot listen on {address}, the value of `workers.admin`: ")),
        "{message}"
    );
    assert!(message.contains("in use"), "{message}");
    Ok(())
}

#[tokio::test]
async fn it_stops_and_frees_its_port() -> Result<()> {
    let server = start().await?;
    server.get("/healthz").await?;
    server.stop.cancel();
    server.task.await?;
    assert!(TcpStream::connect(server.address).await.is_err());
    Ok(())
}
