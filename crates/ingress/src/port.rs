//! The port that providers reach: in plain text, behind somebody who ends TLS, or over TLS.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{AppConfig, Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::rt::net::TcpStream;
use actix_web::{App, Error, HttpServer, web};
use matchpurse_settings::IngressSettings;
use matchpurse_tls::Acceptor;
use rustix::net::listen;

use crate::admin::{self, IngressHealth};
use crate::connections::Connections;
use crate::hooks::Hooks;
use crate::over_tls::{Ended, Entrance};

/// How long an idle connection is kept. Longer than load balancers keep theirs (60 s is usual), so that it is
/// never us who closes a connection on which a delivery is just being sent.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long the other side may take to hang up when we have, and how many may wait to be accepted: over TLS what
/// [`HttpServer`] has by itself.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const BACKLOG: i32 = 1024;

/// What the server itself limits.
struct Limits {
    /// Of each of its threads, of which it starts as many as there are processors.
    connections_max: usize,
    /// For the head of a connection's first request.
    head: Duration,
    /// For requests in work to end, in seconds: all that it takes. Rounded up, so that what was promised is kept.
    shutdown_s: u64,
}

impl Limits {
    fn of(settings: &IngressSettings) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            connections_max: usize::try_from(settings.connections_max)
                .unwrap_or(usize::MAX)
                .div_ceil(threads),
            head: Duration::from_millis(settings.request_timeout_ms),
            shutdown_s: settings.drain_timeout_ms.div_ceil(1000),
        }
    }
}

/// Binds the port, and returns it with the server; over TLS when there is an acceptor.
///
/// # Errors
/// When it cannot be had.
pub(crate) fn open(
    settings: &IngressSettings,
    hooks: &Hooks,
    health: &Arc<IngressHealth>,
    acceptor: Option<Arc<Acceptor>>,
) -> io::Result<(SocketAddr, Server)> {
    let connections = Connections::new(settings);
    let limits = Limits::of(settings);
    let (own, health) = (hooks.clone(), web::Data::from(Arc::clone(health)));
    let app = move || app(&own, &health);
    match acceptor {
        None => {
            let server = HttpServer::new(app)
                .on_connect(move |connection, data| connections.opened(connection, data))
                .max_connections(limits.connections_max)
                .client_request_timeout(limits.head)
                .keep_alive(KEEP_ALIVE)
                .shutdown_timeout(limits.shutdown_s)
                .bind(&settings.listen)?
                .disable_signals();
            Ok((first(&server.addrs())?, server.run()))
        }
        Some(acceptor) => {
            let entrance = Entrance::new(settings, acceptor, connections, hooks.0.clone());
            over_tls(&settings.listen, &limits, &Arc::new(entrance), &app)
        }
    }
}

fn app(
    hooks: &Hooks,
    health: &web::Data<IngressHealth>,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>
    + use<>,
> {
    App::new()
        .app_data(health.clone())
        .route("/healthz", web::get().to(admin::public_healthz))
        .configure(|config| hooks.configure(config))
}

/// What [`HttpServer`] does, with the entrance before it: the same server, threads and limits.
fn over_tls<T>(
    address: &str,
    limits: &Limits,
    entrance: &Arc<Entrance>,
    app: &(impl Fn() -> App<T> + Send + Clone + 'static),
) -> io::Result<(SocketAddr, Server)>
where
    T: ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>
        + 'static,
{
    let mut server = Server::build()
        .max_concurrent_connections(limits.connections_max)
        .shutdown_timeout(limits.shutdown_s)
        .disable_signals();
    let (stopping, head) = (server.graceful_shutdown_signal(), limits.head);
    let mut bound = Vec::new();
    for listener in listeners(address)? {
        let own = listener.local_addr()?;
        bound.push(own);
        let (app, entrance, stopping) = (app.clone(), Arc::clone(entrance), stopping.clone());
        server = server.listen(format!("over TLS at {own}"), listener, move || {
            let (entrance, stopping) = (Arc::clone(&entrance), stopping.clone());
            let idle = stopping.clone();
            let http = HttpService::build()
                // Without it connections that are idle would keep the server from ending.
                .graceful_shutdown_signal(move || {
                    let stopping = idle.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(head)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .local_addr(own)
                .secure()
                // Only URLs that handlers generate would ask for more, and none does.
                .finish(map_config(app().into_factory(), |()| AppConfig::default()));
            fn_service(move |stream: TcpStream| {
                let (entrance, stopping) = (Arc::clone(&entrance), stopping.clone());
                async move {
                    tokio::select! {
                        admitted = entrance.admit(stream) => admitted,
                        () = stopping.notified() => Err(Ended),
                    }
                }
            })
            // What becomes of a connection has been said where it was known.
            .and_then(http.map_err(|_| Ended))
        })?;
    }
    Ok((first(&bound)?, server.run()))
}

/// Every address that a name stands for and that can be had, at least one.
fn listeners(address: &str) -> io::Result<Vec<TcpListener>> {
    let (mut found, mut failed) = (Vec::new(), None);
    for address in address.to_socket_addrs()? {
        // Listening again sets how many may wait; the library's own number is small.
        let bound = TcpListener::bind(address);
        match bound.and_then(|listener| Ok(listen(&listener, BACKLOG).map(|()| listener)?)) {
            Ok(listener) => found.push(listener),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// The address that was bound, with its real port.
pub(crate) fn first(addresses: &[SocketAddr]) -> io::Result<SocketAddr> {
    addresses.first().copied().ok_or_else(|| io::Error::other("no address was bound"))
}
