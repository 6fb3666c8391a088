use std::net::SocketAddr;
use std::sync::Mutex;

use matchpurse_service_kit::http_client::HttpClientOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const KEY: &str = include_str!("../../tests/keys/public.pem");
const NEXT_KEY: &str = include_str!("../../tests/keys/other_public.pem");

/// An endpoint whose answer can be changed; without one it closes the connection.
#[derive(Clone, Default)]
struct Endpoint(Arc<Mutex<Option<&'static str>>>);

impl Endpoint {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, answer) = (listener.local_addr().unwrap(), Arc::clone(&self.0));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let Some(body) = *answer.lock().unwrap() else { continue };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    fn answer(&self, body: Option<&'static str>) {
        *self.0.lock().unwrap() = body;
    }
}

async fn keyring(endpoint: &Endpoint, pause: Duration) -> Keyring {
    let adapter = matchpurse_providers::all()
        .iter()
        .find(|adapter| adapter.read_remote_keys(KEY.as_bytes()).is_ok())
        .expect("a provider whose keys are fetched");
    let options = HttpClientOptions { proxy_from_environment: false, ..HttpClientOptions::default() };
    let client = HttpClient::new(&options).unwrap();
    let remote = RemoteKeys { url: format!("http://{}/key", endpoint.start().await) };
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
