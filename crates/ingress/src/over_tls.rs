//! A connection over TLS, from its being accepted to its first byte of HTTP.
//!
//! actix-web can shake hands by itself (its feature `rustls`), and then nobody hears of a connection before it has: a
//! handshake that never ends is neither counted nor one of its address's connections, and 256 of them for a thread stop
//! it from accepting anybody. So it is done here, where the limits are.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_http::Protocol;
use actix_web::rt::net::TcpStream;
use actix_web::web;
use matchpurse_settings::IngressSettings;
use matchpurse_tls::{Acceptor, Identity, ServerStream, TlsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::connections::{Connections, Open};
use crate::log_gate::LogGate;
use crate::metrics::{self, HandshakeFailure};
use crate::receive::Ingress;

/// What ALPN calls the one version of HTTP that is served.
const PROTOCOL: &str = "http/1.1";

/// What the settings want to be shown; `None` where somebody in front ends TLS.
///
/// # Errors
/// When it cannot be.
pub(crate) fn identity(settings: &IngressSettings) -> Result<Option<Identity>, TlsError> {
    let Some(tls) = &settings.tls else { return Ok(None) };
    Identity::from_pem(tls.certificate.expose(), tls.key.expose(), PROTOCOL).map(Some)
}

/// Where connections come in; one for the process.
pub(crate) struct Entrance {
    acceptor: Arc<Acceptor>,
    connections: Arc<Connections>,
    ingress: web::Data<Ingress>,
    /// For a handshake.
    limit: Duration,
    log: LogGate,
}

/// A connection that has shaken hands, and is counted for as long as it is open.
pub(crate) struct Secured {
    stream: ServerStream<TcpStream>,
    _open: Option<Open>,
}

/// A connection has ended before it was one of ours. What there was to say has been said.
#[derive(Debug)]
pub(crate) struct Ended;

impl Entrance {
    pub(crate) fn new(
        settings: &IngressSettings,
        acceptor: Arc<Acceptor>,
        connections: Arc<Connections>,
        ingress: web::Data<Ingress>,
    ) -> Self {
        let limit = Duration::from_millis(settings.request_timeout_ms);
        Self { acceptor, connections, ingress, limit, log: LogGate::new() }
    }

    /// Shakes hands, if the other side may come in at all.
    pub(crate) async fn admit(
        &self,
        stream: TcpStream,
    ) -> Result<(Secured, Protocol, Option<SocketAddr>), Ended> {
        // It has hung up already.
        let peer = stream.peer_addr().map_err(|_| Ended)?;
        let open = self.connections.open(&stream);
        if open.as_ref().is_some_and(Open::is_too_many) {
            return Err(Ended);
        }
        if self.ingress.turns_away(peer.ip(), Instant::now()) {
            metrics::handshake_failed(HandshakeFailure::RefusedTooOften);
            return Err(Ended);
        }
        // The last message of a handshake and the first answer would wait for each other's acknowledgement.
        stream.set_nodelay(true).ok();
        match timeout(self.limit, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Ok((Secured { stream, _open: open }, Protocol::Http1, Some(peer))),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.failed(HandshakeFailure::Failed, peer.ip());
                if let Some(held_back) = self.log.pass() {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(remote = %peer.ip(), error, held_back, "a TLS handshake failed");
                }
                Err(Ended)
            }
            Ok(Err(_)) => Err(self.failed(HandshakeFailure::HungUp, peer.ip())),
            Err(_) => Err(self.failed(HandshakeFailure::TooSlow, peer.ip())),
        }
    }

    /// Counts it, as a refusal of the stranger too: a handshake is the most that one can have done for nothing.
    fn failed(&self, why: HandshakeFailure, peer: IpAddr) -> Ended {
        metrics::handshake_failed(why);
        self.ingress.refused_at_the_entrance(peer, Instant::now());
        tracing::debug!(remote = %peer, reason = why.as_str(), "no TLS handshake");
        Ended
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
