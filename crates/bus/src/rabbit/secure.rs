//! AMQP over TLS, with the one TLS of this tree.
//!
//! lapin could do it itself, but its TLS brings a reader of PKCS #12 and some forty crates with it, and ends in an error that
//! says nothing about the certificate when the handshake is cut off by our patience. So the connection is made and shaken
//! hands on here, and lapin gets it ready. For that it wants a runtime whose connections are such ones: tokio in all, but
//! for their type.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::{DummyIO, Task};
use async_rs::{Runtime, Tokio};
use futures_util::Stream;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use matchpurse_tls::{ClientStream, Connector};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// What lapin reads from and writes to.
type Secured = Compat<ClientStream<TcpStream>>;

/// Connects, shakes hands, and lets lapin begin. The caller limits the time.
pub(super) async fn connect(
    uri: &AMQPUri,
    tls: &Connector,
    properties: ConnectionProperties,
) -> lapin::Result<Connection> {
    let host = uri.authority.host.as_str();
    let stream = TcpStream::connect((host, uri.authority.port)).await?;
    // Confirms and acknowledgements are small and waited for.
    stream.set_nodelay(true)?;
    let stream = Mutex::new(Some(tls.connect(host, stream).await?.compat()));
    let given = async move |_: AMQPUri, _: Runtime<OverTls>| {
        let stream = stream.lock().ok().and_then(|mut stream| stream.take());
        // A connection is never repaired, so lapin asks once.
        let stream = stream.ok_or_else(|| io::Error::other("a connection over TLS is made once"))?;
        Ok(AsyncTcpStream::Plain(stream))
    };
    let runtime = Runtime::new(OverTls { tokio: Tokio::current() });
    Connection::connector(uri.clone(), runtime, given, properties).await
}

/// Tokio, with other connections.
#[derive(Clone, Debug)]
struct OverTls {
    tokio: Tokio,
}

impl RuntimeKit for OverTls {}

impl Executor for OverTls {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, f: F) -> T {
        self.tokio.block_on(f)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, f: F) -> Task<Self::Task<T>> {
        self.tokio.spawn(f)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> Task<Self::Task<T>> {
        self.tokio.spawn_blocking(f)
    }
}

impl Reactor for OverTls {
    type TcpStream = Secured;
    type Sleep = <Tokio as Reactor>::Sleep;

    // lapin registers no sockets of others; the bound that would let tokio do it cannot be named outside of that crate.
    #[expect(refining_impl_trait, reason = "private: nobody can come to depend on it")]
    fn register<H: io::Read + io::Write + Send + 'static>(&self, _: H) -> io::Result<DummyIO> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, dur: Duration) -> Self::Sleep {
        self.tokio.sleep(dur)
    }

    fn interval(&self, dur: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(dur)
    }

    // An address alone is no name to check a certificate by.
    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
