//! How much those may ask whom nothing vouches for, so that they do not stand in the way of the others.
//!
//! An address from which a delivery has verified lately is *known*: nothing here concerns it, whatever else comes from
//! there. A provider whose secret is wrong for a moment, or a proxy that brings everybody's requests under its own
//! address, is not shut out by that. Of the others refusals are counted, by address and by source, in buckets that fill at
//! a steady rate: while one is empty, the answer is 429 before a body is read. What verifies takes nothing out of them.
//!
//! Memory is bounded on both sides. Strangers can invent any number of addresses, so their buckets are forgotten in the
//! order in which they came; who is known cannot be pushed out by that, because only signatures bring in the known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use matchpurse_domain::ids::SourceName;
use matchpurse_settings::IngressSettings;

/// Buckets of addresses in each of the two generations; together some megabytes.
const BUCKETS_MAX: usize = 16_384;
/// Known addresses. Providers send from some tens.
const KNOWN_MAX: usize = 4_096;
/// How long an address stays known after what was last believed of it.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);

/// What an address is counted by: of IPv6 the network of a customer, who has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Origin(IpAddr);

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))))
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// How many refusals there may be over time, and at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    interval: Duration,
    depth: Duration,
}

impl Rate {
    /// None for a limit of 0: there is none.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self { interval, depth: interval.saturating_mul(burst.max(1)) })
    }

    /// After how long there is something in a bucket that is full at `full_at`; none when there is.
    fn wait(&self, full_at: Instant, now: Instant) -> Option<Duration> {
        let missing = full_at.saturating_duration_since(now);
        let wait = missing.saturating_sub(self.depth.saturating_sub(self.interval));
        (!wait.is_zero()).then_some(wait)
    }

    /// Takes one out. Nobody gets into debt: a flood that has ended is forgotten when one bucket has filled.
    fn take(&self, full_at: Instant, now: Instant) -> Instant {
        (full_at.max(now) + self.interval).min(now + self.depth)
    }
}

/// Buckets that are forgotten in the order in which they came, by half.
struct Buckets {
    young: HashMap<Origin, Instant>,
    old: HashMap<Origin, Instant>,
    most: usize,
}

impl Buckets {
    fn full_at(&self, origin: Origin) -> Option<Instant> {
        self.young.get(&origin).or_else(|| self.old.get(&origin)).copied()
    }

    fn put(&mut self, origin: Origin, full_at: Instant) {
        if self.young.len() >= self.most && !self.young.contains_key(&origin) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(origin, full_at);
    }
}

/// Everybody who has asked lately, as far as it is known.
pub(crate) struct Strangers {
    by_address: Option<Rate>,
    by_source: Option<Rate>,
    buckets: Mutex<Buckets>,
    sources: Mutex<HashMap<SourceName, Instant>>,
    known: Mutex<HashMap<Origin, Instant>>,
    known_max: usize,
}

impl Strangers {
    pub(crate) fn new(settings: &IngressSettings) -> Self {
        let by_source =
            Rate::new(settings.refusals_per_source_per_second, settings.refusals_per_source_burst);
        Self {
            by_address: Rate::new(
                settings.refusals_per_address_per_second,
                settings.refusals_per_address_burst,
            ),
            by_source,
            buckets: Mutex::new(Buckets { young: HashMap::new(), old: HashMap::new(), most: BUCKETS_MAX }),
            sources: Mutex::default(),
            known: Mutex::default(),
            known_max: KNOWN_MAX,
        }
    }

    /// Whether something that came from this address has verified lately.
    pub(crate) fn knows(&self, address: Option<IpAddr>, now: Instant) -> bool {
        let Some(address) = address else { return false };
        let last = lock(&self.known).get(&Origin::of(address)).copied();
        last.is_some_and(|last| now.saturating_duration_since(last) < KNOWN_FOR)
    }

    /// How long a stranger has to wait, if it has to. `source` is the one that it wants, where there is such a one.
    pub(crate) fn wait(
        &self,
        address: Option<IpAddr>,
        source: Option<&SourceName>,
        now: Instant,
    ) -> Option<Duration> {
        let by_address = || {
            let full_at = lock(&self.buckets).full_at(Origin::of(address?))?;
            self.by_address?.wait(full_at, now)
        };
        let by_source = || {
            let full_at = lock(&self.sources).get(source?).copied()?;
            self.by_source?.wait(full_at, now)
        };
        by_address().max(by_source())
    }

    /// Counts a refusal that is not ours.
    pub(crate) fn refused(&self, address: Option<IpAddr>, source: Option<&SourceName>, now: Instant) {
        if let (Some(rate), Some(address)) = (self.by_address, address) {
            let (mut buckets, origin) = (lock(&self.buckets), Origin::of(address));
            let full_at = buckets.full_at(origin).unwrap_or(now);
            buckets.put(origin, rate.take(full_at, now));
        }
        if let (Some(rate), Some(source)) = (self.by_source, source) {
            // Those of the configuration, so they are few.
            let mut sources = lock(&self.sources);
            let full_at = sources.get(source).copied().unwrap_or(now);
            sources.insert(source.clone(), rate.take(full_at, now));
        }
    }

    /// Something from this address has verified.
    pub(crate) fn believed(&self, address: Option<IpAddr>, now: Instant) {
        let Some(address) = address else { return };
        let mut known = lock(&self.known);
        let origin = Origin::of(address);
        if known.len() >= self.known_max && !known.contains_key(&origin) {
            known.retain(|_, last| now.saturating_duration_since(*last) < KNOWN_FOR);
            if known.len() >= self.known_max {
                return;
            }
        }
        known.insert(origin, now);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves a whole state behind: at worst one count is missing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strangers(buckets_max: usize, known_max: usize) -> Strangers {
        Strangers {
            by_address: Rate::new(10, 3),
            by_source: Rate::new(10, 5),
            buckets: Mutex::new(Buckets { young: HashMap::new(), old: HashMap::new(), most: buckets_max }),
            sources: Mutex::default(),
            known: Mutex::default(),
            known_max,
        }
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn refusals_empty_a_bucket_and_time_fills_it() {
        let (strangers, start) = (strangers(10, 10), Instant::now());
        let (ann, bob) = (address("203.0.113.1"), address("203.0.113.2"));
        let at = |ms: u64| start + Duration::from_millis(ms);
        for _ in 0..3 {
            assert_eq!(strangers.wait(ann, None, start), None);
            strangers.refused(ann, None, start);
        }
        assert_eq!(strangers.wait(ann, None, start), Some(Duration::from_millis(100)));
        assert_eq!(strangers.wait(bob, None, start), None, "each by itself");
        assert_eq!(strangers.wait(ann, None, at(100)), None);
        // A flood makes no debt: however many there were, one is there again after one interval.
        for _ in 0..1000 {
            strangers.refused(ann, None, at(100));
        }
        assert_eq!(strangers.wait(ann, None, at(100)), Some(Duration::from_millis(100)));
        assert_eq!(strangers.wait(ann, None, at(200)), None);
    }

    #[test]
    fn a_source_is_counted_over_all_addresses() {
        let (strangers, now) = (strangers(100, 10), Instant::now());
        let (duel, arena) = (SourceName::parse("duel").unwrap(), SourceName::parse("arena").unwrap());
        for n in 0..5 {
            strangers.refused(address(&format!("203.0.113.{n}")), Some(&duel), now);
        }
        let other = address("198.51.100.1");
        assert!(strangers.wait(other, Some(&duel), now).is_some());
        assert_eq!(strangers.wait(other, Some(&arena), now), None);
    }

    #[test]
    fn inventing_addresses_takes_no_more_memory_and_makes_nobody_unknown() {
        let (strangers, now) = (strangers(100, 2), Instant::now());
        let provider = address("192.0.2.1");
        strangers.believed(provider, now);
        for n in 0..10_000_u32 {
            strangers.refused(Some(IpAddr::V4(n.into())), None, now);
        }
        let buckets = lock(&strangers.buckets);
        assert!(buckets.young.len() <= 100 && buckets.old.len() <= 100);
        drop(buckets);
        assert!(strangers.knows(provider, now));
        // Those that verify are bounded too, and the oldest make room only when their time is over.
        strangers.believed(address("192.0.2.2"), now);
        strangers.believed(address("192.0.2.3"), now);
        assert!(!strangers.knows(address("192.0.2.3"), now));
        let later = now + KNOWN_FOR;
        assert!(!strangers.knows(provider, later));
        strangers.believed(address("192.0.2.3"), later);
        assert!(strangers.knows(address("192.0.2.3"), later));
    }

    #[test]
    fn of_ipv6_a_whole_network_is_one() {
        let (strangers, now) = (strangers(10, 10), Instant::now());
        for n in 1..=3 {
            strangers.refused(address(&format!("2001:db8:1:2::{n}")), None, now);
        }
        assert!(strangers.wait(address("2001:db8:1:2:ffff::9"), None, now).is_some());
        assert_eq!(strangers.wait(address("2001:db8:1:3::1"), None, now), None);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut strangers = strangers(10, 10);
        (strangers.by_address, strangers.by_source) = (None, None);
        let (ann, now) = (address("203.0.113.1"), Instant::now());
        for _ in 0..1000 {
            strangers.refused(ann, None, now);
        }
        assert_eq!(strangers.wait(ann, None, now), None);
        assert!(lock(&strangers.buckets).young.is_empty());
    }
}
