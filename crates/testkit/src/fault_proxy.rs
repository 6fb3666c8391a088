//! A TCP proxy that a test can break: between a service and its broker or database.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Bytes flow.
    Open,
    /// Connections stay open, but nothing flows: a half-open connection, a stopped process.
    Paused,
    /// Bytes flow, but each piece arrives later by this much.
    Slow(Duration),
    /// Connections stay open, and what is sent is lost.
    Swallowing,
    /// Connections are closed, and new ones as soon as they are made.
    Cut,
}

/// What clients said that did not reach the server.
type Swallowed = Arc<Mutex<Vec<u8>>>;

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// How often it was cut: a connection from before the last cut ends, even if it never saw the cut itself.
    cuts: u64,
    /// How often it was abandoned: a connection from before the last time is silent for ever.
    abandoned: u64,
}

/// A proxy on a free port of 127.0.0.1. Dropping it ends every connection through it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    said: broadcast::Sender<Vec<u8>>,
    swallowed: Swallowed,
    accepted: Arc<AtomicU64>,
    listener: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy to `target`, `HOST:PORT`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(State { mode: Mode::Open, cuts: 0, abandoned: 0 });
        let accepted = Arc::new(AtomicU64::new(0));
        let said = broadcast::Sender::new(16);
        let served = Served {
            target: target.to_owned(),
            state: watched,
            said: said.clone(),
            swallowed: Swallowed::default(),
        };
        let swallowed = served.swallowed.clone();
        let listener = tokio::spawn(accept(listener, served, accepted.clone()));
        Ok(Self { address, state, said, swallowed, accepted, listener })
    }

    /// Where to connect to instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made through it, or tried while it was cut.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Loses what either side sends from now on, but keeps connections open.
    pub fn swallow(&self) {
        self.state.send_modify(|state| state.mode = Mode::Swallowing);
    }

    /// What clients have sent since [`FaultProxy::swallow`].
    pub fn swallowed(&self) -> Vec<u8> {
        self.swallowed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says something to every client in the server's place. Between two of the server's own messages only: the
    /// caller sees to it that the server is silent.
    pub fn say_to_clients(&self, bytes: &[u8]) {
        // Nobody may be connected.
        self.said.send(bytes.to_vec()).ok();
    }

    /// Closes every connection, and new ones as soon as they are made.
    pub fn cut(&self) {
        self.state.send_modify(|state| *state = State { mode: Mode::Cut, cuts: state.cuts + 1, ..*state });
    }

    /// Lets nothing through, but keeps connections open and accepts new ones.
    pub fn pause(&self) {
        self.state.send_modify(|state| state.mode = Mode::Paused);
    }

    /// Keeps the connections that are open, but nothing will ever flow through them: the other side is gone, and nobody
    /// says so. New ones work.
    pub fn abandon(&self) {
        self.state.send_modify(|state| state.abandoned += 1);
    }

    /// Delays everything that is sent, in both directions.
    pub fn slow(&self, delay: Duration) {
        self.state.send_modify(|state| state.mode = Mode::Slow(delay));
    }

    /// Lets everything through again. Connections that were cut stay closed.
    pub fn restore(&self) {
        self.state.send_modify(|state| state.mode = Mode::Open);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.cut();
        self.listener.abort();
    }
}

/// What every connection through the proxy shares.
#[derive(Clone)]
struct Served {
    target: String,
    state: watch::Receiver<State>,
    said: broadcast::Sender<Vec<u8>>,
    swallowed: Swallowed,
}

async fn accept(listener: TcpListener, served: Served, accepted: Arc<AtomicU64>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(client, served.clone()));
    }
}

async fn serve(client: TcpStream, served: Served) {
    let Served { target, mut state, said, swallowed } = served;
    // A paused target accepts too, in its kernel; so does the proxy, without connecting on.
    let begun = state.wait_for(|state| state.mode != Mode::Paused).await.map(|state| *state);
    let Ok(begun) = begun else { return };
    if begun.mode == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(&target).await else { return };
    // Small frames must not wait for each other: the proxy is to be invisible while it is open.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Only clients are told things, and only their words are kept.
    let (nothing_said, dropped) = (broadcast::Sender::new(1), Swallowed::default());
    tokio::select! {
        () = copy(from_client, to_server, state.clone(), begun, nothing_said.subscribe(), swallowed) => {}
        () = copy(from_server, to_client, state, begun, said.subscribe(), dropped) => {}
    }
}

/// Copies until an end closes or the proxy is cut; dropping both halves then closes the connection.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    begun: State,
    mut said: broadcast::Receiver<Vec<u8>>,
    swallowed: Swallowed,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = *state.borrow_and_update();
        if now.cuts != begun.cuts {
            return;
        }
        let silent = now.mode == Mode::Paused || now.abandoned != begun.abandoned;
        let bytes: &[u8] = tokio::select! {
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            Ok(words) = said.recv() => &words.clone(),
            read = from.read(&mut buffer), if !silent => {
                let Ok(count @ 1..) = read else { return };
                let bytes = buffer.get(..count).unwrap_or_default();
                if now.mode == Mode::Swallowing {
                    swallowed.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                    continue;
                }
                if let Mode::Slow(delay) = now.mode {
                    tokio::time::sleep(delay).await;
                }
                bytes
            }
        };
        // What was read while open may still be written after a cut: a network does that too.
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says back what it hears.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        address
    }

    async fn say(stream: &mut TcpStream, word: &[u8; 4]) -> io::Result<[u8; 4]> {
        stream.write_all(word).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn cut_ends_connections_and_restore_lets_new_ones_through() {
        let proxy = FaultProxy::start(&echo().await.to_string()).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"ping").await.unwrap(), *b"ping");

        let mut also = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut also, b"ping").await.unwrap(), *b"ping");
        proxy.cut();
        proxy.restore();
        assert!(say(&mut also, b"ping").await.is_err(), "however short, a cut is a cut");

        proxy.cut();
        assert!(say(&mut stream, b"ping").await.is_err());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(say(&mut refused, b"ping").await.is_err());

        proxy.restore();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"pong").await.unwrap(), *b"pong");
        assert_eq!(proxy.accepted(), 4);
    }

    #[tokio::test]
    async fn what_waits_while_paused_arrives_after_restore() {
        let proxy = FaultProxy::start(&echo().await.to_string()).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"ping").await.unwrap(), *b"ping");

        proxy.pause();
        stream.write_all(b"late").await.unwrap();
        let mut answer = [0; 4];
        let heard = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut answer));
        assert!(heard.await.is_err(), "nothing may come through while paused");

        proxy.restore();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"late");
    }

    #[tokio::test]
    async fn who_is_abandoned_hears_nothing_more_and_others_do() {
        let proxy = FaultProxy::start(&echo().await.to_string()).await.unwrap();
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut old, b"ping").await.unwrap(), *b"ping");
        proxy.abandon();
        let heard = tokio::time::timeout(Duration::from_millis(100), say(&mut old, b"lost"));
        assert!(heard.await.is_err(), "an abandoned connection must be silent, and stay open");
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut new, b"pong").await.unwrap(), *b"pong");
        proxy.cut();
        assert!(say(&mut old, b"gone").await.is_err());
    }

    #[tokio::test]
    async fn what_is_slowed_arrives_later() {
        let proxy = FaultProxy::start(&echo().await.to_string()).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.slow(Duration::from_millis(30));
        let begun = std::time::Instant::now();
        assert_eq!(say(&mut stream, b"ping").await.unwrap(), *b"ping");
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn a_client_hears_what_the_proxy_says() {
        let proxy = FaultProxy::start(&echo().await.to_string()).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"ping").await.unwrap(), *b"ping");
        proxy.say_to_clients(b"psst");
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, *b"psst");
        assert_eq!(say(&mut stream, b"pong").await.unwrap(), *b"pong");
    }

    #[tokio::test]
    async fn what_is_swallowed_does_not_arrive() {
        let proxy = FaultProxy::start(&echo().await.to_string()).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"ping").await.unwrap(), *b"ping");
        proxy.swallow();
        stream.write_all(b"lost").await.unwrap();
        while proxy.swallowed() != b"lost" {
            tokio::task::yield_now().await;
        }
        proxy.restore();
        assert_eq!(say(&mut stream, b"pong").await.unwrap(), *b"pong");
    }
}
