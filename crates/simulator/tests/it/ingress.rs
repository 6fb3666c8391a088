//! An ingress of a few lines on the loopback, in front of the model of a deployment; it can be told to fail.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::play::{Dice, Effects};
use matchpurse_providers::{Delivery, Headers, Method};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::model::World;
use crate::sources::Source;

/// How it fails: for each request one of these, by dice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Answered with 503 and nothing done, in percent.
    pub(crate) unavailable: u32,
    /// Done, and the connection cut before the answer, in percent.
    pub(crate) cut: u32,
    /// After so many requests everything is answered with 503.
    pub(crate) broken_after: Option<u64>,
}

pub(crate) const NONE: Faults = Faults { unavailable: 0, cut: 0, broken_after: None };

pub(crate) struct Ingress {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    world: World,
    sources: Vec<Source>,
    dice: Dice,
    faults: Faults,
    requests: u64,
}

enum Answer {
    Cut,
    Status(u16, Bytes),
}

impl Ingress {
    pub(crate) async fn start(sources: Vec<Source>, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = World::new(true);
        let state = State { world, sources, dice: Dice::new(1), faults, requests: 0 };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state.lock().unwrap().faults = faults;
    }

    pub(crate) fn effects(&self) -> Effects {
        self.state.lock().unwrap().world.effects()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state.lock().unwrap().requests
    }
}

impl Drop for Ingress {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, request by request; whoever closes it ends it.
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    while let Some((source, delivery)) = read_request(&mut stream).await {
        let answer = state.lock().unwrap().answer(&source, &delivery);
        let Answer::Status(status, body) = answer else { return };
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{}\r\n",
            body.len(),
            if status == 503 { "retry-after: 0\r\n" } else { "" }
        );
        let answer = [head.as_bytes(), &body].concat();
        if stream.get_mut().write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<(String, Delivery)> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    let method = Method::parse(words.next()?).unwrap();
    let source = words.next()?.strip_prefix("/hooks/").unwrap().to_owned();
    let mut headers = Headers::default();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name == "content-length" {
            length = value.parse().unwrap();
        }
        headers.add(name, value);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((source, Delivery { method, headers, body: body.into() }))
}

impl State {
    fn answer(&mut self, source: &str, delivery: &Delivery) -> Answer {
        self.requests += 1;
        let broken = self.faults.broken_after.is_some_and(|after| self.requests > after);
        if broken || self.dice.chance(self.faults.unavailable) {
            return Answer::Status(503, Bytes::new());
        }
        let source = self.sources.iter().find(|known| known.name().as_str() == source).unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let now = Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap());
        let (status, body) = self.world.deliver(source, delivery, now);
        // A refusal is not cut off: how often it happened is compared.
        if status != 401 && self.dice.chance(self.faults.cut) {
            return Answer::Cut;
        }
        Answer::Status(status, body)
    }
}
