use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A studio's back-end: a real HTTP server on the loopback that behaves as it is told, does the work of each
/// `webhook-id` once, and remembers everything that it was sent.
///
/// `GET /received/{webhook-id}` always answers `{"received": …}`, by whether that work was done.
pub struct Studio {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `POST`.
    pub method: String,
    /// With its query.
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Byte by byte.
    pub body: Vec<u8>,
}

/// What the studio does with a request.
#[derive(Debug, Clone)]
pub struct Reply {
    works: bool,
    after: Duration,
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    Hang,
    Drop,
}

type Behaviour = Box<dyn Fn(&Request, usize) -> Reply + Send + Sync>;

/// What makes two requests the same work.
pub(crate) type Work = fn(&Request) -> String;

struct Shared {
    work: Work,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Seen>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    /// How many requests there were, those that were taken out among them.
    count: usize,
    /// How often each id has come.
    times: BTreeMap<String, usize>,
    work: Vec<String>,
    done: BTreeSet<String>,
    in_work: BTreeMap<String, usize>,
    at_once: usize,
    at_once_max: usize,
    overlapped: BTreeSet<String>,
}

impl Request {
    /// A header's value, by its name in lower case; empty when it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// What the notice is sent under.
    pub fn webhook_id(&self) -> &str {
        self.header("webhook-id")
    }
}

impl Reply {
    /// Does the work and says so.
    pub fn ok() -> Self {
        Self::status(204).working()
    }

    /// Answers so, without doing anything.
    pub fn status(status: u16) -> Self {
        Self::new(Then::Answer { status, headers: Vec::new(), body: Vec::new() })
    }

    /// Never answers, and keeps the connection.
    pub fn hang() -> Self {
        Self::new(Then::Hang)
    }

    /// Closes the connection without an answer.
    pub fn drop_connection() -> Self {
        Self::new(Then::Drop)
    }

    const fn new(then: Then) -> Self {
        Self { works: false, after: Duration::ZERO, then }
    }

    /// Takes so long for it.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// Does the work of this id, unless it was done before; whatever is answered then.
    #[must_use]
    pub fn working(mut self) -> Self {
        self.works = true;
        self
    }

    /// Answers with this header too.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Then::Answer { headers, .. } = &mut self.then {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Answers with this body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Then::Answer { body, .. } = &mut self.then {
            *body = bytes.into();
        }
        self
    }
}

impl Studio {
    /// A studio that does the work and answers 204, on a free port of the loopback.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        Self::start_for(|request| request.webhook_id().to_owned()).await
    }

    /// As [`Studio::start`], for requests that are told apart otherwise.
    pub(crate) async fn start_for(work: Work) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            work,
            behaviour: Mutex::new(Box::new(|_, _| Reply::ok())),
            seen: Mutex::default(),
            count: watch::channel(0).0,
        });
        let serving = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, serving: Mutex::new(Some(serving)) })
    }

    /// The URL of a path: `/hook`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Behaves so from now on. The number tells how often this `webhook-id` has come, from 1.
    pub fn behave(&self, behaviour: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) {
        *self.shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(behaviour);
    }

    /// Everything that was sent, questions about a notice's arrival apart.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.seen().requests.iter().filter(|request| request.method != "GET").cloned().collect()
    }

    /// The questions about a notice's arrival.
    pub fn questions(&self) -> Vec<Request> {
        self.shared.seen().requests.iter().filter(|request| request.method == "GET").cloned().collect()
    }

    /// Like [`Studio::requests`], but each is told only once, and forgotten: for tests that send very many.
    pub fn take_requests(&self) -> Vec<Request> {
        let mut requests = std::mem::take(&mut self.shared.seen().requests);
        requests.retain(|request| request.method != "GET");
        requests
    }

    /// The ids whose work was done, in that order; each stands here once, however often it came.
    pub fn work(&self) -> Vec<String> {
        self.shared.seen().work.clone()
    }

    /// The ids that came while the same id was being answered.
    pub fn overlapped(&self) -> Vec<String> {
        self.shared.seen().overlapped.iter().cloned().collect()
    }

    /// The most requests that were in work at once.
    pub fn at_once_max(&self) -> usize {
        self.shared.seen().at_once_max
    }

    /// Waits until so many requests have come in all.
    ///
    /// # Errors
    /// Never while this value lives.
    pub async fn received(&self, count: usize) -> Result<()> {
        self.shared.count.subscribe().wait_for(|seen| *seen >= count).await?;
        Ok(())
    }

    /// Goes away with all connections: who connects is refused.
    pub async fn take_down(&self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.abort();
            // The listener is closed when the task has ended.
            drop(serving.await);
        }
    }

    /// Is back at the same address.
    ///
    /// # Errors
    /// When somebody else has taken it.
    pub async fn bring_up(&self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await.context("the studio's port is taken")?;
        let serving = tokio::spawn(accept(listener, Arc::clone(&self.shared)));
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        Ok(())
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take() {
            serving.abort();
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a request and says what to do with it.
    fn take(&self, request: Request) -> Reply {
        let id = (self.work)(&request);
        let mut seen = self.seen();
        let reply = match request.path.strip_prefix("/received/") {
            Some(asked) => {
                Reply::status(200).body(format!("{{\"received\": {}}}", seen.done.contains(asked)))
            }
            None => {
                let times = seen.times.entry(id.clone()).or_default();
                *times += 1;
                let nth = *times;
                self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)(&request, nth)
            }
        };
        if reply.works && seen.done.insert(id.clone()) {
            seen.work.push(id);
        }
        seen.requests.push(request);
        seen.count += 1;
        let count = seen.count;
        drop(seen);
        self.count.send_replace(count);
        reply
    }
}

/// A request in work, until this is dropped.
struct InWork {
    shared: Arc<Shared>,
    id: String,
}

impl InWork {
    fn begin(shared: &Arc<Shared>, request: &Request) -> Option<Self> {
        if request.method == "GET" {
            return None;
        }
        let id = (shared.work)(request);
        let mut seen = shared.seen();
        let same = seen.in_work.entry(id.clone()).or_default();
        *same += 1;
        if *same > 1 {
            seen.overlapped.insert(id.clone());
        }
        seen.at_once += 1;
        seen.at_once_max = seen.at_once_max.max(seen.at_once);
        Some(Self { shared: Arc::clone(shared), id })
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        let mut seen = self.shared.seen();
        seen.at_once -= 1;
        if let Some(same) = seen.in_work.get_mut(&self.id) {
            *same -= 1;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let shared = Arc::clone(&shared);
                // A peer that goes away is its own business.
                connections.spawn(async move { serve(stream, &shared).await.unwrap_or_default() });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(request) = read(&mut stream, &mut bytes).await? {
        let in_work = InWork::begin(shared, &request);
        let reply = shared.take(request);
        if !reply.after.is_zero() {
            tokio::time::sleep(reply.after).await;
        }
        match reply.then {
            Then::Drop => return Ok(()),
            Then::Hang => {
                // Until the peer has enough of it.
                while stream.read_buf(&mut bytes).await? > 0 {}
                return Ok(());
            }
            Then::Answer { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} Studio\r\nContent-Length: {}\r\n", body.len());
                if status == 204 {
                    head = format!("HTTP/1.1 {status} Studio\r\n");
                }
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                // It has been worked on before the answer is on its way.
                drop(in_work);
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&body).await?;
            }
        }
    }
    Ok(())
}

/// The next request of a connection; none when it has ended.
async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let field = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.filter_map(field).collect();
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        if stream.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
    let rest = bytes.split_off(end + length);
    let body = bytes.split_off(end);
    *bytes = rest;
    Ok(Some(Request { method, path, headers, body }))
}
