//! Who asks, as far as that can be known before anything has verified.

use std::net::IpAddr;
use std::time::Instant;

use actix_web::http::ConnectionType;
use actix_web::{HttpRequest, HttpResponse};
use matchpurse_domain::ids::SourceName;
use matchpurse_service_kit::network::client_address;

use crate::receive::Ingress;
use crate::refusal::Refusal;

/// What proxies tell their peer's address by; it is read from trusted ones only.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// The peer's address, or the one that a trusted proxy tells.
    pub(crate) address: Option<IpAddr>,
    /// Whether something from there has verified lately.
    pub(crate) known: bool,
}

impl Ingress {
    pub(crate) fn caller(&self, request: &HttpRequest, now: Instant) -> Caller {
        let trusted = &self.trusted_proxies;
        let address = request.peer_addr().map(|peer| {
            if trusted.is_empty() {
                return peer.ip();
            }
            let lines: Vec<&[u8]> =
                request.headers().get_all(FORWARDED_FOR).map(|line| line.as_bytes()).collect();
            client_address(peer.ip(), trusted, lines.into_iter())
        });
        Caller { address, known: self.strangers.knows(address, now) }
    }

    /// The refusal of a stranger who has been refused too often.
    pub(crate) fn shuts_out(
        &self,
        caller: Caller,
        source: Option<&SourceName>,
        now: Instant,
    ) -> Option<Refusal> {
        if caller.known {
            return None;
        }
        let wait = self.strangers.wait(caller.address, source, now)?;
        // Whole seconds are all that the header has; rounded up, so that it is no invitation to be refused again.
        let wait_s = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        Some(Refusal::RefusedTooOften { wait_s })
    }

    /// Whether a connection from here ends before it has shaken hands: the stranger would be answered 429, and a handshake
    /// costs more than all that a refusal does. Of a proxy's connections nobody knows yet whose they are.
    pub(crate) fn turns_away(&self, peer: IpAddr, now: Instant) -> bool {
        self.is_a_strangers(peer, now) && self.strangers.wait(Some(peer), None, now).is_some()
    }

    /// Counts a handshake that failed as a refusal.
    pub(crate) fn refused_at_the_entrance(&self, peer: IpAddr, now: Instant) {
        if self.is_a_strangers(peer, now) {
            self.strangers.refused(Some(peer), None, now);
        }
    }

    fn is_a_strangers(&self, peer: IpAddr, now: Instant) -> bool {
        let proxy = self.trusted_proxies.iter().any(|network| network.contains(peer.to_canonical()));
        !proxy && !self.strangers.knows(Some(peer), now)
    }

    /// Remembers what became of a request, `None` for one that was kept, and says who sent it as it is known by now.
    pub(crate) fn learn(
        &self,
        caller: Caller,
        source: Option<&SourceName>,
        refusal: Option<&Refusal>,
        now: Instant,
    ) -> Caller {
        match refusal {
            None | Some(Refusal::Malformed(_) | Refusal::NoAnswer(_) | Refusal::Unavailable(_)) => {
                self.strangers.believed(caller.address, now);
                return Caller { known: true, ..caller };
            }
            Some(
                Refusal::UnknownPath
                | Refusal::UnknownSource
                | Refusal::MethodNotAllowed { .. }
                | Refusal::TooLarge { .. }
                | Refusal::TooSlow
                | Refusal::BrokenBody
                | Refusal::NotBelieved(_),
            ) if !caller.known => self.strangers.refused(caller.address, source, now),
            _ => {}
        }
        caller
    }
}

impl Caller {
    /// A stranger's connection ends with its refusal. The server gives the head of the first request on a connection a time
    /// limit and none of the later ones, so who could go on would hold it for ever.
    pub(crate) fn hang_up_on_a_stranger(self, mut refused: HttpResponse) -> HttpResponse {
        if !self.known {
            refused.head_mut().set_connection_type(ConnectionType::Close);
        }
        refused
    }
}
