//! A TCP proxy that a test can break: between a service and its broker or database.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Bytes flow.
    Open,
    /// Connections stay open, but nothing flows: a half-open connection, a stopped process.
    Paused,
    /// Connections are closed, and new ones as soon as they are made.
    Cut,
}

/// A proxy on a free port of 127.0.0.1. Dropping it ends every connection through it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
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
        let (mode, watched) = watch::channel(Mode::Open);
        let accepted = Arc::new(AtomicU64::new(0));
        let listener = tokio::spawn(accept(listener, target.to_owned(), watched, accepted.clone()));
        Ok(Self { address, mode, accepted, listener })
    }

    /// Where to connect to instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made through it, or tried while it was cut.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Closes every connection, and new ones as soon as they are made.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Lets nothing through, but keeps connections open and accepts new ones.
    pub fn pause(&self) {
        self.mode.send_replace(Mode::Paused);
    }

    /// Lets everything through again. Connections that were cut stay closed.
    pub fn restore(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.mode.send_replace(Mode::Cut);
        self.listener.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    mode: watch::Receiver<Mode>,
    accepted: Arc<AtomicU64>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(client, target.clone(), mode.clone()));
    }
}

async fn serve(client: TcpStream, target: String, mut mode: watch::Receiver<Mode>) {
    // A paused target accepts too, in its kernel; so does the proxy, without connecting on.
    if mode.wait_for(|mode| *mode != Mode::Paused).await.map_or(true, |mode| *mode == Mode::Cut) {
        return;
    }
    let Ok(server) = TcpStream::connect(&target).await else { return };
    // Small frames must not wait for each other: the proxy is to be invisible while it is open.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, mode.clone()) => {}
        () = copy(from_server, to_client, mode) => {}
    }
}

/// Copies until an end closes or the proxy is cut; dropping both halves then closes the connection.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = *mode.borrow_and_update();
        let read = tokio::select! {
            changed = mode.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut buffer), if now == Mode::Open => read,
        };
        let Ok(count @ 1..) = read else { return };
        let Some(bytes) = buffer.get(..count) else { return };
        // What was read while open may still be written after a cut: a network does that too.
        if now == Mode::Cut || to.write_all(bytes).await.is_err() {
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

        proxy.cut();
        assert!(say(&mut stream, b"ping").await.is_err());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(say(&mut refused, b"ping").await.is_err());

        proxy.restore();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"pong").await.unwrap(), *b"pong");
        assert_eq!(proxy.accepted(), 3);
    }

    #[tokio::test]
    async fn what_waits_while_paused_arrives_after_restore() {
        let proxy = FaultProxy::start(&echo().await.to_string()).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"ping").await.unwrap(), *b"ping");

        proxy.pause();
        stream.write_all(b"late").await.unwrap();
        let mut answer = [0; 4];
        let heard =
            tokio::time::timeout(std::time::Duration::from_millis(100), stream.read_exact(&mut answer));
        assert!(heard.await.is_err(), "nothing may come through while paused");

        proxy.restore();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"late");
    }
}
