//! Which addresses a request may go to whose URL a stranger has given.
//!
//! The address is judged, never the name: a name is resolved once, by the `PublicOnly` resolver, and the connection
//! is made to just those addresses that passed.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// An address that must not be sent to, or a name that has no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not an address of the public internet")]
pub struct ForbiddenTarget(pub IpAddr);

/// True for an address of the public internet: not of this machine, of a private or shared network, of a single link,
/// of a group, reserved, or of IPv4 in one of its disguises.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    // What IANA's registry of special purpose calls not globally reachable, groups, and what is not assigned.
    let inside = |network: [u8; 4], bits: u32| {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        address.to_bits() & mask == Ipv4Addr::from(network).to_bits()
    };
    let special = [
        ([0, 0, 0, 0], 8),       // this network
        ([10, 0, 0, 0], 8),      // private
        ([100, 64, 0, 0], 10),   // behind a provider's address translation
        ([127, 0, 0, 0], 8),     // loopback
        ([169, 254, 0, 0], 16),  // link-local; the clouds' metadata servers are here
        ([172, 16, 0, 0], 12),   // private
        ([192, 0, 0, 0], 24),    // protocol assignments
        ([192, 0, 2, 0], 24),    // documentation
        ([192, 88, 99, 0], 24),  // relays of 6to4
        ([192, 168, 0, 0], 16),  // private
        ([198, 18, 0, 0], 15),   // benchmarks
        ([198, 51, 100, 0], 24), // documentation
        ([203, 0, 113, 0], 24),  // documentation
        ([224, 0, 0, 0], 4),     // groups
        ([240, 0, 0, 0], 4),     // reserved, and broadcast
    ];
    !special.into_iter().any(|(network, bits)| inside(network, bits))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    // Only 2000::/3 is assigned to the public internet: that leaves out loopback, unspecified, mapped and compatible
    // IPv4, translated IPv4 (64:ff9b::), ULA, link-local, site-local and groups.
    let assigned = first & 0xe000 == 0x2000;
    let teredo_or_protocol = first == 0x2001 && second < 0x0200;
    let documentation = (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    // 6to4 carries an IPv4 address, to which a relay would send.
    let carried = Ipv4Addr::from((u32::from(second) << 16) | u32::from(third));
    let six_to_four = first == 0x2002 && !is_public_v4(carried);
    assigned && !teredo_or_protocol && !documentation && !six_to_four
}

/// The address in a URL, or that of this machine by its name, that must not be sent to. So whoever gives such a URL
/// hears of it at once. Of any other name nobody knows what it will be resolved to, so that is judged at the connection.
pub fn forbidden_host(url: &str) -> Option<ForbiddenTarget> {
    let url = reqwest::Url::parse(url).ok()?;
    let name = url.host_str()?.trim_end_matches('.');
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(ForbiddenTarget(Ipv4Addr::LOCALHOST.into()));
    }
    literal(&url).filter(|address| !is_public(*address)).map(ForbiddenTarget)
}

/// The address in a URL's host, if it is one and not a name.
pub(crate) fn literal(url: &reqwest::Url) -> Option<IpAddr> {
    // The URL's parser has brought every spelling of an IPv4 address into its usual form by now.
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// The forbidden target among an error's causes.
pub(crate) fn forbidden(error: &(dyn StdError + 'static)) -> Option<ForbiddenTarget> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(forbidden) = error.downcast_ref::<ForbiddenTarget>() {
            return Some(*forbidden);
        }
        cause = error.source();
    }
    None
}

/// Resolves names as the system does, and keeps the addresses that are public.
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> =
                found.iter().copied().filter(|address| is_public(address.ip())).collect();
            if let ([], Some(address)) = (public.as_slice(), found.first()) {
                return Err(Box::from(ForbiddenTarget(address.ip())));
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for PublicOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicOnly")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_host_is_known_however_it_is_written() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1:8080/x",
            "http://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://localhost:9200",
            "http://LOCALHOST./",
            "http://a.localhost/",
        ] {
            assert!(forbidden_host(url).is_some(), "{url}");
        }
        for url in ["https://game.example/hook", "https://1.1.1.1/", "http://localhost.example/", "no url"] {
            assert_eq!(forbidden_host(url), None, "{url}");
        }
    }

    #[test]
    fn only_the_public_internet_is_public() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "2002:0808:0808::1",
        ];
        let not = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "4000::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in not {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
