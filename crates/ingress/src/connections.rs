//! How many connections one address may have, so that nobody by himself takes all that there are.

use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use matchpurse_service_kit::network::Network;
use matchpurse_settings::IngressSettings;
use rustix::net::{Shutdown, shutdown};

use crate::log_gate::LogGate;
use crate::metrics;

/// The open connections by address; one for the process.
pub(crate) struct Connections {
    per_address: u32,
    /// A proxy has those of everybody.
    trusted: Vec<Network>,
    open: Mutex<HashMap<IpAddr, u32>>,
    log: LogGate,
}

/// One of them, for as long as it is open.
pub(crate) struct Open {
    address: IpAddr,
    too_many: bool,
    connections: Arc<Connections>,
}

impl Connections {
    pub(crate) fn new(settings: &IngressSettings) -> Arc<Self> {
        Arc::new(Self {
            per_address: settings.connections_per_address_max,
            trusted: settings.trusted_proxies.clone(),
            open: Mutex::default(),
            log: LogGate::new(),
        })
    }

    /// Counts a connection in plain text that was accepted, and ends it at once when there are too many.
    pub(crate) fn opened(self: &Arc<Self>, connection: &dyn Any, data: &mut Extensions) {
        let stream = connection.downcast_ref::<TcpStream>();
        if let Some(open) = stream.and_then(|stream| self.open(stream)) {
            data.insert(open);
        }
    }

    /// Counts a connection that was accepted, and ends it at once when there are too many. `None` for those that are not
    /// counted.
    pub(crate) fn open(self: &Arc<Self>, stream: &TcpStream) -> Option<Open> {
        let address = stream.peer_addr().ok()?.ip().to_canonical();
        if self.trusted.iter().any(|network| network.contains(address)) {
            return None;
        }
        let count = {
            let mut open = self.lock();
            let count = open.entry(address).or_insert(0);
            *count = count.saturating_add(1);
            *count
        };
        let too_many = count > self.per_address;
        if too_many {
            metrics::connection_ended();
            if let Some(held_back) = self.log.pass() {
                tracing::warn!(remote = %address, held_back, "too many connections from one address");
            }
            // It fails when the other side has hung up by itself.
            shutdown(stream, Shutdown::Both).ok();
        }
        Some(Open { address, too_many, connections: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        // A panic elsewhere leaves a whole state behind: at worst one connection is not counted.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Whether it was ended, because its address has too many.
    pub(crate) fn is_too_many(&self) -> bool {
        self.too_many
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}
