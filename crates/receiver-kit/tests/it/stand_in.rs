//! An endpoint as a studio's could be: right, or wrong in exactly one way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit, Mac};
use matchpurse_domain::webhook::{SigningKey, TOLERANCE_S, VerifyError, verify};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// No packet is larger, and no read brings more.
const PACKET_BYTES: usize = 16 * 1024;

/// What the endpoint does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    // In checking.
    ChecksNothing,
    TakesSignaturesFromTheFirstOnly,
    SignsParsedJson,
    SignsSpacedJson,
    SignsSortedJson,
    TakesTheSecretAsText,
    ComparesMilliseconds,
    HasAnotherSecret,
    HasAnotherClock,
    IgnoresTime,
    FailsOverMissingHeaders,
    ActsBeforeItChecks,
    RefusesTheFirst,
    SignsNoBody,
    SignsAsAnotherScheme,
    // In what it takes.
    RefusesUnknownTypes,
    NeedsOrder,
    RefusesLargeBodies,
    ReadsOnePacket,
    // In doing it once.
    ForgetsIds,
    LooksBeforeItWrites,
    RefusesRepeats,
    LosesWork,
    ClaimsEverything,
    ClaimsNothing,
    HasNoStatus,
    // In answering at all.
    Redirects,
    IsGone,
    IsNotThere,
    Fails,
    LimitsTheRate,
    Hangs,
}

/// A running endpoint; it ends with the test.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    fault: Fault,
    requests: AtomicUsize,
    counts: Mutex<BTreeMap<String, u64>>,
    matches: Mutex<BTreeSet<String>>,
    /// Set while copies are sent at once.
    copies: AtomicBool,
    barrier: Barrier,
}

struct Received {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

type Reply = (u16, &'static str, String);

impl StandIn {
    pub(crate) async fn start(fault: Fault) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            fault,
            requests: AtomicUsize::new(0),
            counts: Mutex::default(),
            matches: Mutex::default(),
            copies: AtomicBool::new(false),
            barrier: Barrier::new(5),
        });
        let serving = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.converse(stream).await });
            }
        });
        Ok(Self { address, inner })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    pub(crate) fn state_url(&self) -> String {
        format!("http://{}/state", self.address)
    }

    pub(crate) fn status_url(&self) -> String {
        format!("http://{}/status/{{webhook_id}}", self.address)
    }

    /// From now on five copies come at once.
    pub(crate) fn copies_come(&self) {
        self.inner.copies.store(true, Ordering::SeqCst);
    }

    pub(crate) fn requests(&self) -> usize {
        self.inner.requests.load(Ordering::SeqCst)
    }
}

impl Inner {
    /// Answers the requests of a connection until it ends.
    async fn converse(&self, mut stream: TcpStream) -> Result<()> {
        let mut buffer = Vec::with_capacity(PACKET_BYTES);
        while let Some(received) = self.read(&mut stream, &mut buffer).await? {
            if self.fault == Fault::Hangs {
                // Reads until the other side has had enough.
                stream.read_to_end(&mut buffer).await?;
                return Ok(());
            }
            let (status, text, more) = self.answer(&received).await;
            let length = text.len();
            let date = if self.fault == Fault::HasAnotherClock {
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            } else {
                ""
            };
            let head =
                format!("HTTP/1.1 {status} Status\r\n{date}{more}Content-Length: {length}\r\n\r\n{text}");
            stream.write_all(head.as_bytes()).await?;
        }
        Ok(())
    }

    async fn read(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Received>> {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8(buffer[..head_end].to_vec())?;
        let mut lines = head.lines();
        let path = lines.next().and_then(|line| line.split(' ').nth(1)).context("no path")?.to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let length: usize = headers.get("content-length").map_or(Ok(0), |text| text.parse())?;
        let mut body = buffer.split_off(head_end + 4);
        // What one read brings, beyond what came with the head.
        if body.is_empty() && length > 0 {
            body = Vec::with_capacity(PACKET_BYTES);
            stream.read_buf(&mut body).await?;
        }
        let at_once = body.len();
        while body.len() < length {
            stream.read_buf(&mut body).await?;
        }
        let rest = body.split_off(length);
        *buffer = Vec::with_capacity(PACKET_BYTES);
        buffer.extend(rest);
        if self.fault == Fault::ReadsOnePacket {
            body.truncate(at_once);
        }
        Ok(Some(Received { path, headers, body }))
    }

    async fn answer(&self, received: &Received) -> Reply {
        let plain = |status, text| (status, text, String::new());
        if received.path.starts_with("/state") {
            let state = json!({ "received": *self.counts.lock().unwrap() }).to_string();
            return (200, Box::leak(state.into_boxed_str()), String::new());
        }
        if let Some(id) = received.path.strip_prefix("/status/") {
            let known = self.counts.lock().unwrap().contains_key(id);
            return match self.fault {
                Fault::ClaimsEverything => plain(200, r#"{"received": true}"#),
                Fault::ClaimsNothing => plain(200, r#"{"received": false}"#),
                Fault::HasNoStatus => plain(404, "<h1>Not Found</h1>"),
                _ if known => plain(200, r#"{"received": true}"#),
                _ => plain(200, r#"{"received": false}"#),
            };
        }
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Redirects => {
                return (308, "", "Location: https://game.example/hooks/?from=http\r\n".to_owned());
            }
            Fault::IsGone => return plain(410, ""),
            Fault::IsNotThere => return plain(404, "<h1>Not Found</h1>"),
            Fault::Fails => return plain(500, "Internal Server Error"),
            Fault::LimitsTheRate if number > 0 => return plain(429, ""),
            Fault::RefusesLargeBodies if received.body.len() > 100 * 1024 => return plain(413, ""),
            Fault::RefusesTheFirst if number == 0 => return plain(401, ""),
            _ => {}
        }
        let header = |name: &str| received.headers.get(name).cloned();
        let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
        if self.fault == Fault::ActsBeforeItChecks {
            self.act(id.clone().unwrap_or_default()).await;
        }
        let (Some(id), Some(at), Some(signatures)) = (id.clone(), at, header("webhook-signature")) else {
            return match self.fault {
                Fault::FailsOverMissingHeaders => plain(500, "Cannot read properties of undefined"),
                Fault::ChecksNothing => {
                    self.act(id.unwrap_or_default()).await;
                    plain(200, "")
                }
                _ => plain(400, "a header is missing"),
            };
        };
        if self.check(&id, &at, &signatures, &received.body).is_err() {
            return plain(401, "bad signature");
        }
        let Ok(notice) = serde_json::from_slice::<Value>(&received.body) else {
            return plain(400, "no JSON");
        };
        let kind = notice["type"].as_str().unwrap_or_default();
        let known = ["reward.", "match.", "player.", "offer."].iter().any(|area| kind.starts_with(area));
        if self.fault == Fault::RefusesUnknownTypes && !known {
            return plain(422, "unknown type");
        }
        let subject = notice["data"]["subject"].as_str().unwrap_or_default().to_owned();
        if kind == "match.held" {
            self.matches.lock().unwrap().insert(subject);
        } else if self.fault == Fault::NeedsOrder
            && kind.starts_with("match.")
            && !self.matches.lock().unwrap().contains(&subject)
        {
            return plain(409, "no such match");
        }
        if self.fault == Fault::RefusesRepeats && self.counts.lock().unwrap().contains_key(&id) {
            return plain(409, "duplicate");
        }
        if !matches!(self.fault, Fault::LosesWork | Fault::ActsBeforeItChecks) {
            self.act(id).await;
        }
        plain(204, "")
    }

    /// Checks as the fault lets it.
    fn check(&self, id: &str, at: &str, signatures: &str, body: &[u8]) -> Result<(), VerifyError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        let sent = at.parse::<i64>().unwrap_or_default();
        let key = SigningKey::parse(SECRET).unwrap();
        let of_bytes = |bytes: &[u8]| SigningKey::parse(&SigningKey::secret_of(bytes).unwrap()).unwrap();
        match self.fault {
            Fault::ChecksNothing => Ok(()),
            Fault::TakesSignaturesFromTheFirstOnly => {
                verify(&[key], id, at, signatures.split(' ').next().unwrap_or_default(), body, now)
            }
            Fault::SignsParsedJson => verify(&[key], id, at, signatures, &rewritten(body, false), now),
            Fault::SignsSpacedJson => verify(&[key], id, at, signatures, &rewritten(body, true), now),
            Fault::SignsSortedJson => {
                let parsed: BTreeMap<String, Value> = serde_json::from_slice(body).unwrap_or_default();
                verify(&[key], id, at, signatures, &serde_json::to_vec(&parsed).unwrap(), now)
            }
            Fault::TakesTheSecretAsText => {
                verify(&[of_bytes(SECRET.as_bytes())], id, at, signatures, body, now)
            }
            Fault::SignsAsAnotherScheme => {
                let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
                mac.update(body);
                let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
                if signatures == expected { Ok(()) } else { Err(VerifyError::Mismatch) }
            }
            Fault::HasAnotherSecret => verify(&[of_bytes(&[7; 32])], id, at, signatures, body, now),
            Fault::HasAnotherClock => verify(&[key], id, at, signatures, body, 784_111_777),
            Fault::ComparesMilliseconds => {
                let ahead = sent.abs_diff(now * 1_000) > TOLERANCE_S.unsigned_abs() * 1_000;
                if ahead { Err(VerifyError::Old) } else { verify(&[key], id, at, signatures, body, sent) }
            }
            Fault::IgnoresTime => verify(&[key], id, at, signatures, body, sent),
            Fault::SignsNoBody => verify(&[key], id, at, signatures, b"", now),
            _ => verify(&[key], id, at, signatures, body, now),
        }
    }

    /// Does the work, once for each id where the fault lets it.
    async fn act(&self, id: String) {
        let done = self.counts.lock().unwrap().contains_key(&id);
        if self.fault == Fault::LooksBeforeItWrites && self.copies.load(Ordering::SeqCst) {
            self.barrier.wait().await;
        }
        let again = matches!(self.fault, Fault::ForgetsIds | Fault::ChecksNothing);
        if !done || again {
            *self.counts.lock().unwrap().entry(id).or_default() += 1;
        }
    }
}

/// The JSON with a space behind each comma and colon outside of texts, or without any.
fn rewritten(body: &[u8], spaces: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut in_text, mut escaped) = (false, false);
    for byte in body {
        if in_text || !byte.is_ascii_whitespace() {
            bytes.push(*byte);
        }
        if spaces && !in_text && matches!(byte, b',' | b':') {
            bytes.push(b' ');
        }
        in_text ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
    }
    bytes
}
