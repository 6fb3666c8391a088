//! Measures what strangers cost those who can sign: how long good deliveries take with nobody beside them, with a
//! slowloris (heads and bodies that never end) and with floods of bad signatures: one of a fixed rate, and one that is as fast
//! as it is answered.
//!
//! ```text
//! cargo run --release -p matchpurse-ingress --example strangers [SECONDS [PER_SECOND [FORGED_PER_SECOND [TURNS]]]]
//! ```
//!
//! Good deliveries are sent at fixed times whatever becomes of them, and their time counts from when they were due, so an
//! ingress that falls behind cannot hide it. The cases take turns, so that all meet the same machine, and each is compared with
//! nobody of its own turn: a pause of the machine is in one turn, and not in the median of all. Senders, strangers and ingress
//! share its processors, so the second flood measures its own cost too: on the internet that is somebody else's
//! processor. The broker is left out, because its time would only hide the difference.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use matchpurse_bus::{PublishError, Publisher};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_ingress::{Application, adapter_settings};
use matchpurse_providers::{KeyRole, Method, SignRequest};
use matchpurse_settings::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

const SOURCES: &str = include_str!("../tests/sources.toml");
const BODY: &[u8] = include_bytes!("../tests/bodies/game_created.json");
const SOURCE: &str = "duel";
const SECRET: &[u8] = b"the new one";
/// How much slower the good deliveries may get.
const MOST: f64 = 2.0;
/// Connections that send good deliveries.
const SENDERS: u32 = 16;
/// Connections of the slowloris, and its addresses.
const SLOW: u32 = 400;
const SLOW_ADDRESSES: u32 = 4;
/// Tasks that send bad signatures, each from an address of its own.
const FLOODERS: u8 = 4;

/// Who is beside the good deliveries.
#[derive(Clone, Copy)]
enum Beside {
    Nobody,
    Slowloris,
    /// So many bad signatures a second, at most; without it as many as are answered.
    Flood(Option<u32>),
}

/// A broker that confirms at once.
struct Confirms;

#[async_trait]
impl Publisher for Confirms {
    async fn publish(&self, _: Vec<Message>) -> Result<(), PublishError> {
        Ok(())
    }

    fn is_ready(&self) -> bool {
        true
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let seconds = arguments.next().transpose()?.unwrap_or(5);
    let per_second = arguments.next().transpose()?.unwrap_or(500);
    let forged_per_second = arguments.next().transpose()?.unwrap_or(2_000);
    let turns = arguments.next().transpose()?.unwrap_or(3);
    let target = Target::start().await?;
    println!("{turns} times {seconds} s of {per_second} good deliveries a second, and beside them");
    let cases = [
        (Beside::Nobody, "nobody".to_owned()),
        (Beside::Slowloris, "a slowloris".to_owned()),
        (Beside::Flood(Some(forged_per_second)), format!("{forged_per_second} forgeries a second")),
        (Beside::Flood(None), "forgeries without a pause".to_owned()),
    ];
    let mut found = cases.map(|(beside, name)| (beside, name, Found::default()));
    for _ in 0..turns {
        let mut alone = None;
        for (beside, _, found) in &mut found {
            let (times, requests) = target.measure(*beside, seconds, per_second).await?;
            let (_, p99) = percentiles(times.clone());
            found.ratios.push(p99 / *alone.get_or_insert(p99));
            found.times.extend(times);
            found.strange += requests;
        }
    }
    for (_, name, Found { times, mut ratios, strange }) in found {
        let (p50, p99) = percentiles(times);
        ratios.sort_unstable_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
        let beyond = ratios.iter().filter(|ratio| **ratio > MOST).count();
        println!(
            "{name:26} p50 {p50:6.2} ms  p99 {p99:6.2} ms  by turns, p99 by that with nobody: median {median:5.2}, more than \
             {MOST} in {beyond} of {turns}  strange requests {strange}"
        );
    }
    Ok(())
}

/// What the turns of one case gave.
#[derive(Default)]
struct Found {
    times: Vec<Duration>,
    /// Of each turn, its p99 by that of nobody in the same turn.
    ratios: Vec<f64>,
    strange: u64,
}

fn percentiles(mut all: Vec<Duration>) -> (f64, f64) {
    all.sort_unstable();
    let at = |percent: usize| {
        let place = (all.len() * percent / 100).min(all.len().saturating_sub(1));
        all.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    };
    (at(50), at(99))
}

/// An ingress, and what is sent to it.
struct Target {
    address: SocketAddr,
    good: Arc<[u8]>,
    forged: Arc<[u8]>,
}

impl Target {
    async fn start() -> Result<Self> {
        // The limits are those of the defaults, but slow clients are cut off soon enough to come again within a turn.
        let text = SOURCES.replace("request_timeout_ms = 60000", "request_timeout_ms = 2000");
        // One source will do; another one has a file whose name is relative to the crate's folder.
        let (text, _) =
            text.split_once("# A token that names the caller.").context("the sources have changed")?;
        let settings = Settings::parse_str(text)?;
        let application = Application::build(&settings, Arc::new(Confirms)).await?;
        let address = application.address();
        tokio::spawn(application.run_until_stopped(CancellationToken::new()));
        Ok(Self { address, good: signed(&settings, SECRET)?, forged: signed(&settings, b"not the secret")? })
    }

    /// The times of all good deliveries, and how many requests of strangers there were.
    async fn measure(&self, beside: Beside, seconds: u32, per_second: u32) -> Result<(Vec<Duration>, u64)> {
        let counted = Arc::new(AtomicU64::new(0));
        let strangers = self.strangers(beside, &counted)?;
        let mut senders = JoinSet::new();
        let begin = Instant::now() + Duration::from_millis(200);
        let pause = Duration::from_secs(1) / per_second;
        for sender in 0..SENDERS {
            let (request, address) = (Arc::clone(&self.good), self.address);
            senders.spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let mut took = Vec::new();
                let mut number = sender;
                while number < seconds * per_second {
                    let due = begin + pause * number;
                    sleep_until(due).await;
                    stream.write_all(&request).await?;
                    ensure!(answer(&mut stream).await?.starts_with(b"HTTP/1.1 200"), "not kept");
                    took.push(due.elapsed());
                    number += SENDERS;
                }
                Ok(took)
            });
        }
        let mut took = Vec::new();
        while let Some(times) = senders.join_next().await {
            took.extend(times??);
        }
        drop(strangers);
        Ok((took, counted.load(Ordering::Relaxed)))
    }

    fn strangers(&self, beside: Beside, counted: &Arc<AtomicU64>) -> Result<JoinSet<()>> {
        let mut strangers = JoinSet::new();
        let address = self.address;
        match beside {
            Beside::Nobody => {}
            Beside::Slowloris => {
                for number in 0..SLOW {
                    let (request, counted) = (Arc::clone(&self.good), Arc::clone(counted));
                    // Half of them stop within the head, half within the body.
                    let end = if number % 2 == 0 { 60 } else { request.len().saturating_sub(1) };
                    let own = 2 + u8::try_from(number % SLOW_ADDRESSES)?;
                    strangers.spawn(async move {
                        loop {
                            request_from(own, address, request.get(..end).unwrap_or_default()).await.ok();
                            counted.fetch_add(1, Ordering::Relaxed);
                            // Who is turned away at once would be back at once: that is the flood's part.
                            sleep(Duration::from_millis(100)).await;
                        }
                    });
                }
            }
            Beside::Flood(per_second) => {
                let pause = per_second
                    .and_then(|rate| Duration::from_secs(u64::from(FLOODERS)).checked_div(rate))
                    .unwrap_or_default();
                for number in 0..FLOODERS {
                    let (request, counted) = (Arc::clone(&self.forged), Arc::clone(counted));
                    strangers.spawn(async move {
                        let mut due = Instant::now();
                        loop {
                            sleep_until(due).await;
                            request_from(10 + number, address, &request).await.ok();
                            counted.fetch_add(1, Ordering::Relaxed);
                            // Who is not answered in time does not make up for it later: that would be another flood.
                            due = (due + pause).max(Instant::now());
                        }
                    });
                }
            }
        }
        Ok(strangers)
    }
}

/// A delivery signed with this key.
fn signed(settings: &Settings, key: &[u8]) -> Result<Arc<[u8]>> {
    let source = settings.sources.get(&SourceName::parse(SOURCE)?).context("no source")?;
    let adapter = matchpurse_providers::by_id(source.provider()).context("no adapter")?;
    let request = SignRequest {
        method: Method::Post,
        body: BODY,
        key,
        role: KeyRole::Webhook,
        now: Timestamp::from_seconds(1_800_000_000),
        settings: &adapter_settings(source),
    };
    let signed = adapter.sign(&request)?;
    let mut head = format!("POST /hooks/{SOURCE} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", BODY.len());
    for (name, value) in signed.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    Ok([head.as_bytes(), b"\r\n", BODY].concat().into())
}

/// Sends this from an address of its own, and reads until the server hangs up.
async fn request_from(own: u8, address: SocketAddr, bytes: &[u8]) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, own)), 0))?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(())
}

/// The next answer.
async fn answer(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        ensure!(stream.read_buf(&mut bytes).await? > 0, "closed");
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(Ok(0), str::parse)?;
        if bytes.len() >= end + 4 + length {
            return Ok(bytes);
        }
    }
}
