//! How many requests a token may make: a bucket for each, which fills at a steady rate up to what may come at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use matchpurse_settings::ApiSettings;

use crate::auth::Actor;

/// The most actors that are counted each by itself. An issuer may know any number of people; those beyond that, in the
/// same short time, share one bucket, so that memory has a bound and nobody gets around the limit.
const ACTORS_MAX: usize = 10_000;

/// What everybody may do, and who has done how much.
pub(crate) struct Limiter {
    everybody: Option<Rate>,
    /// Of the tokens that have their own.
    own: BTreeMap<Actor, Option<Rate>>,
    /// When each actor's bucket is full again.
    full_at: Mutex<HashMap<Actor, Instant>>,
    actors_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    /// Between two requests, over longer times.
    interval: Duration,
    /// What an empty bucket takes to fill.
    depth: Duration,
}

impl Rate {
    /// None where there is no limit.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self { interval, depth: interval.saturating_mul(burst.max(1)) })
    }
}

impl Limiter {
    pub(crate) fn new(settings: &ApiSettings) -> Self {
        let (per_second, burst) = (settings.requests_per_second, settings.requests_burst);
        let own = settings
            .tokens
            .iter()
            .filter(|(_, token)| token.requests_per_second.is_some() || token.requests_burst.is_some());
        let own = own.map(|(name, token)| {
            let per_second = token.requests_per_second.unwrap_or(per_second);
            (Actor::new(name), Rate::new(per_second, token.requests_burst.unwrap_or(burst)))
        });
        Self {
            everybody: Rate::new(per_second, burst),
            own: own.collect(),
            full_at: Mutex::default(),
            actors_max: ACTORS_MAX,
        }
    }

    /// For everybody alike: so many at once, and one more after each interval.
    pub(crate) fn every(interval: Duration, burst: u32) -> Self {
        Self {
            everybody: Some(Rate { interval, depth: interval.saturating_mul(burst.max(1)) }),
            own: BTreeMap::new(),
            full_at: Mutex::default(),
            actors_max: ACTORS_MAX,
        }
    }

    /// Takes one request out of the actor's bucket, or says after how long there is one in it.
    pub(crate) fn take(&self, actor: &Actor, now: Instant) -> Result<(), Duration> {
        let own = self.own.get(actor).copied();
        let Some(rate) = own.unwrap_or(self.everybody) else { return Ok(()) };
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= self.actors_max && !full_at.contains_key(actor) {
            // A bucket that is full again says nothing.
            full_at.retain(|_, at| *at > now);
        }
        // Those with a rate of their own are as many as the configuration names. A bucket that they shared would count
        // by several rates, and what they took from it would be forgotten when there is room for their own.
        let shared = own.is_none() && full_at.len() >= self.actors_max && !full_at.contains_key(actor);
        let name = if shared { Actor::new("") } else { actor.clone() };
        let at = full_at.entry(name).or_insert(now);
        let then = (*at).max(now) + rate.interval;
        match then.saturating_duration_since(now).checked_sub(rate.depth) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *at = then;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_second: u32, burst: u32, actors_max: usize) -> Limiter {
        let everybody = Rate::new(per_second, burst);
        Limiter { everybody, own: BTreeMap::new(), full_at: Mutex::default(), actors_max }
    }

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let (limiter, ann, start) = (limiter(10, 3, 100), Actor::new("ann"), Instant::now());
        let at = |ms: u64| limiter.take(&ann, start + Duration::from_millis(ms));
        assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
        assert_eq!(at(0), Err(Duration::from_millis(100)));
        assert_eq!(at(60), Err(Duration::from_millis(40)), "a refusal costs nothing");
        assert_eq!((at(100), at(100)), (Ok(()), Err(Duration::from_millis(100))));
        // After a pause the whole burst is there, and no more than that.
        assert_eq!([at(9000), at(9000), at(9000)], [Ok(()); 3]);
        assert!(at(9000).is_err());
        let bob = limiter.take(&Actor::new("bob"), start);
        assert_eq!(bob, Ok(()), "each has a bucket of its own");
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let (limiter, now) = (limiter(0, 1, 100), Instant::now());
        assert!((0..1000).all(|_| limiter.take(&Actor::new("ann"), now).is_ok()));
        assert!(limiter.full_at.lock().unwrap().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_strangers_share_what_is_left() {
        let (limiter, now) = (limiter(1, 1, 3), Instant::now());
        let take = |name: &str, at: Instant| limiter.take(&Actor::new(name), at);
        for name in ["a", "b", "c", "d"] {
            assert_eq!(take(name, now), Ok(()), "{name}");
        }
        // d and e share one bucket; a, b and c do not notice.
        assert!(take("e", now).is_err() && take("d", now).is_err() && take("a", now).is_err());
        assert_eq!(limiter.full_at.lock().unwrap().len(), 4);
        // When theirs are full again they are forgotten.
        let later = now + Duration::from_secs(5);
        assert_eq!(take("f", later), Ok(()));
        assert_eq!(limiter.full_at.lock().unwrap().len(), 1);
    }

    #[test]
    fn who_has_a_rate_of_his_own_has_a_bucket_of_his_own_however_many_there_are() {
        let now = Instant::now();
        let mut limiter = limiter(1, 1, 2);
        limiter.own.insert(Actor::new("game"), Rate::new(10, 2));
        let take = |name: &str, at: Instant| limiter.take(&Actor::new(name), at);
        assert_eq!([take("a", now), take("b", now), take("stranger", now)], [Ok(()); 3]);
        // The strangers' bucket is empty; the game's is not, and what the game takes is not theirs.
        assert!(take("another stranger", now).is_err());
        assert_eq!([take("game", now), take("game", now)], [Ok(()); 2]);
        assert_eq!(take("game", now), Err(Duration::from_millis(100)));
        // A clean-up before it is full does not forget it: one request has come back meanwhile, and no second one.
        let later = now + Duration::from_millis(150);
        assert!(take("yet another stranger", later).is_err());
        assert_eq!(take("game", later), Ok(()));
        assert_eq!(take("game", later), Err(Duration::from_millis(50)));
    }
}
