use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const KEY: &str = include_str!("../../tests/keys/public.pem");
const NEXT_KEY: &str = include_str!("../../tests/keys/other_public.pem");

/// An endpoint whose answer can be changed; without one it closes the connection.
#[derive(Clone, Default)]
struct Endpoint(Arc<Mutex<Option<&'static str>>>, Arc<AtomicUsize>);

impl Endpoint {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, answer) = (listener.local_addr().unwrap(), Arc::clone(&self.0));
        let asked = Arc::clone(&self.1);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                asked.fetch_add(1, Ordering::SeqCst);
                let Some(body) = *answer.lock().unwrap() else { continue };
                // A whole answer is given as it is.
                if body.starts_with("HTTP/1.1") {
                    stream.write_all(body.as_bytes()).await.ok();
                    continue;
                }
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Who finds it too large does not read all of it.
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        address
    }

    fn answer(&self, body: Option<&'static str>) {
        *self.0.lock().unwrap() = body;
    }
}

async fn keyring(endpoint: &Endpoint, pause: Duration) -> Keyring {
    keyring_at(endpoint.start().await, pause)
}

fn keyring_at(address: SocketAddr, pause: Duration) -> Keyring {
    let adapter = matchpurse_providers::all()
        .iter()
        .find(|adapter| adapter.read_remote_keys(KEY.as_bytes()).is_ok())
        .expect("a provider whose keys are fetched");
    let options = HttpClientOptions { proxy_from_environment: false, ..client_options() };
    let client = HttpClient::new(&options).unwrap();
    let remote = RemoteKeys { url: format!("http://{address}/key") };
    Keyring::new(SourceName::parse("arena").unwrap(), Keys::default())
        .with_remote(*adapter, remote, client, pause)
}

fn texts(known: &Known) -> Vec<String> {
    known.keys.webhook.iter().map(|key| String::from_utf8_lossy(key).trim().to_owned()).collect()
}

#[tokio::test]
async fn a_key_that_changes_is_fetched_when_a_delivery_does_not_fit() {
    let endpoint = Endpoint::default();
    let keyring = keyring(&endpoint, Duration::ZERO).await;
    let none = keyring.known();
    assert!(none.keys.webhook.is_empty());
    assert!(keyring.newer_than(&none).await.is_none(), "the endpoint is away");

    endpoint.answer(Some(KEY));
    let first = keyring.newer_than(&none).await.expect("the first key");
    assert_eq!(texts(&first), [KEY.trim()]);
    assert!(keyring.newer_than(&first).await.is_none(), "the same key is no newer one");

    endpoint.answer(Some(NEXT_KEY));
    let second = keyring.newer_than(&first).await.expect("the second key");
    assert_eq!(texts(&second), [NEXT_KEY.trim()], "the old one is trusted no longer");
}

#[tokio::test]
async fn known_keys_stay_while_the_endpoint_is_away_or_answers_nonsense() {
    let endpoint = Endpoint::default();
    endpoint.answer(Some(KEY));
    let keyring = keyring(&endpoint, Duration::ZERO).await;
    let first = keyring.newer_than(&keyring.known()).await.expect("the key");
    for answer in [None, Some("nonsense"), Some("")] {
        endpoint.answer(answer);
        assert!(keyring.newer_than(&first).await.is_none(), "{answer:?}");
        assert_eq!(texts(&keyring.known()), [KEY.trim()], "{answer:?}");
    }
}

#[tokio::test]
async fn whoever_lags_behind_gets_what_others_have_fetched() {
    let endpoint = Endpoint::default();
    endpoint.answer(Some(KEY));
    let keyring = keyring(&endpoint, FETCH_PAUSE).await;
    let none = keyring.known();
    let (one, other) = tokio::join!(keyring.newer_than(&none), keyring.newer_than(&none));
    assert_eq!(texts(&one.expect("fetched")), texts(&other.expect("waited for it")));
    endpoint.answer(Some(NEXT_KEY));
    assert!(keyring.newer_than(&keyring.known()).await.is_none(), "not again so soon");
    assert!(keyring.newer_than(&none).await.is_some(), "without a fetch");
}

#[tokio::test]
async fn a_flood_of_keys_that_nobody_knows_is_one_fetch() {
    let endpoint = Endpoint::default();
    endpoint.answer(Some(KEY));
    let keyring = Arc::new(keyring(&endpoint, FETCH_PAUSE).await);
    let none = keyring.known();
    let mut forged = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (keyring, none) = (Arc::clone(&keyring), none.clone());
        forged.spawn(async move { keyring.newer_than(&none).await.is_some() });
    }
    assert!(forged.join_all().await.into_iter().all(|found| found));
    let known = keyring.known();
    for _ in 0..100 {
        assert!(keyring.newer_than(&known).await.is_none());
    }
    assert_eq!(endpoint.1.load(Ordering::SeqCst), 1);
}

/// A key is some hundred bytes, it comes from where the configuration says, and nobody waits for it for ever.
#[tokio::test]
async fn what_is_too_large_elsewhere_or_no_answer_is_no_key() {
    let endpoint = Endpoint::default();
    endpoint.answer(Some(KEY));
    let keyring = keyring(&endpoint, Duration::ZERO).await;
    let first = keyring.newer_than(&keyring.known()).await.expect("the key");
    let large: &'static str = format!("{NEXT_KEY}{}", "\n".repeat(KEY_BYTES_MAX)).leak();
    // Another endpoint would answer with another key, if anybody asked it.
    let other = Endpoint::default();
    other.answer(Some(NEXT_KEY));
    let there = other.start().await;
    let redirect: &'static str = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://{there}/key\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    .leak();
    let cut_off = "HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n-----BEGIN PUBLIC KEY-----";
    for answer in
        [large, redirect, cut_off, "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]
    {
        endpoint.answer(Some(answer));
        assert!(keyring.newer_than(&first).await.is_none(), "{answer:.60}");
        assert_eq!(texts(&keyring.known()), [KEY.trim()]);
    }
    assert_eq!(other.1.load(Ordering::SeqCst), 0);
}

/// A changed configuration is no reason to forget what can not be fetched just now.
#[tokio::test]
async fn a_successor_has_what_was_fetched_from_the_same_place() {
    let endpoint = Endpoint::default();
    endpoint.answer(Some(KEY));
    let address = endpoint.start().await;
    let old = keyring_at(address, FETCH_PAUSE);
    old.newer_than(&old.known()).await.expect("the key");
    endpoint.answer(None);

    let next = keyring_at(address, FETCH_PAUSE).taking_over(&old).await;
    assert_eq!(texts(&next.known()), [KEY.trim()]);
    assert!(next.newer_than(&next.known()).await.is_none());
    assert_eq!(endpoint.1.load(Ordering::SeqCst), 1, "the pause goes on, too");

    let elsewhere = keyring(&Endpoint::default(), FETCH_PAUSE).await.taking_over(&old).await;
    assert!(elsewhere.known().keys.webhook.is_empty(), "those are another realm's keys");
}
