//! Public keys that are fetched from the provider.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use insta::assert_snapshot;
use matchpurse_providers::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{Ingress, OTHER_TOKEN_KEY, SOURCES, TOKEN_KEY, body};

/// Answers every request with the same bytes, and counts them.
struct Endpoint {
    address: SocketAddr,
    fetched: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn start(status: &'static str, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fetched = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&fetched);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { address, fetched }
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }

    /// An ingress that fetches the keys of the source `arena` here.
    async fn ingress(&self) -> Ingress {
        let configured = "secrets = [{ file = \"tests/keys/public.pem\" }]";
        let fetched = format!("options.public_key_url = \"http://{}/key\"", self.address);
        Ingress::start_with(&SOURCES.replace(configured, &fetched)).await
    }
}

#[tokio::test]
async fn a_key_that_is_fetched_verifies_from_the_first_delivery_on() {
    let endpoint = Endpoint::start("200 OK", include_str!("../keys/public.pem")).await;
    let ingress = endpoint.ingress().await;
    let good = ingress.signed_by(TOKEN_KEY, "arena", Method::Put, &body("match_put"));
    assert_eq!(ingress.send(&good).await.status, 200);
}

#[tokio::test]
async fn without_a_key_it_is_not_the_senders_fault() {
    let endpoint = Endpoint::start("500 Internal Server Error", "").await;
    let ingress = endpoint.ingress().await;
    let good = ingress.signed_by(TOKEN_KEY, "arena", Method::Put, &body("match_put"));
    assert_snapshot!(ingress.send(&good).await, @r#"
    503
    cache-control: no-store
    connection: close
    content-length: 191
    content-type: application/problem+json
    retry-after: 2

    {"type":"urn:matchpurse:problem:no-key","title":"Deliveries cannot be verified now","status":503,"detail":"the provider's public key could not be fetched yet; send it again","source":"arena"}
    "#);
    assert!(ingress.publisher.messages().is_empty());
    assert!(ingress.rejected.last().is_empty());
    let metrics = ingress.get_admin("/metrics").await.body;
    assert!(metrics.contains("verify_failures_total{source=\"arena\",reason=\"no_key\"}"), "{metrics}");
    // The other sources go on.
    let other = ingress.signed("duel", Method::Post, &body("game_created"));
    assert_eq!(ingress.send(&other).await.status, 200);
}

#[tokio::test]
async fn forged_tokens_cannot_make_us_fetch_without_end() {
    let endpoint = Endpoint::start("200 OK", include_str!("../keys/public.pem")).await;
    let ingress = endpoint.ingress().await;
    let forged = ingress.signed_by(OTHER_TOKEN_KEY, "arena", Method::Put, &body("match_put"));
    for _ in 0..20 {
        assert_eq!(ingress.send(&forged).await.status, 401);
    }
    assert_eq!(endpoint.fetched(), 1);
}
