//! Queues and servers: who comes first is served first.
//!
//! Nothing here knows of time but what it is told, and chance comes from a seed, so the same input gives the same output.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Numbers as by chance, the same for a seed: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Above 0, below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// With this mean, and no memory.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// With the mean 1; `spread` is the standard deviation of its logarithm.
    pub(crate) fn lognormal(&mut self, spread: f64) -> f64 {
        let (one, other) = (self.unit(), self.unit());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos();
        (spread * normal - spread * spread / 2.0).exp()
    }
}

/// Seconds, in an order that a heap can have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct At(pub(crate) f64);

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Several equal servers with one queue before them.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    /// When each is free again.
    free: BinaryHeap<Reverse<At>>,
    busy_s: f64,
    servers: usize,
}

impl Station {
    pub(crate) fn new(servers: usize) -> Self {
        let servers = servers.max(1);
        Self { free: (0..servers).map(|_| Reverse(At(0.0))).collect(), busy_s: 0.0, servers }
    }

    /// Takes a job that comes at `at` and needs `service` seconds; when it is done. Jobs must come in their order.
    pub(crate) fn serve(&mut self, at: f64, service: f64) -> f64 {
        let free = self.free.pop().map_or(0.0, |Reverse(At(free))| free);
        let done = at.max(free) + service;
        self.free.push(Reverse(At(done)));
        self.busy_s += service;
        done
    }

    /// Which share of the servers' time was used until `end`.
    pub(crate) fn utilisation(&self, end: f64) -> f64 {
        self.busy_s / (self.servers as f64 * end)
    }
}

/// Arrivals without memory, of which a part comes in bursts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrivals {
    /// The mean, in a second.
    pub(crate) rate: f64,
    /// In a burst so many times as many arrive.
    pub(crate) burst: f64,
    /// Bursts take this share of the time.
    pub(crate) share: f64,
    /// From one to the next, in seconds.
    pub(crate) every_s: f64,
}

impl Arrivals {
    /// Without bursts.
    #[cfg(test)]
    pub(crate) const fn plain(rate: f64) -> Self {
        Self { rate, burst: 1.0, share: 0.0, every_s: 1.0 }
    }

    /// The times, until `end`.
    pub(crate) fn times(&self, end: f64, chance: &mut Chance) -> Vec<f64> {
        // Outside of bursts so few arrive that the mean is as said.
        let calm = self.rate / (1.0 - self.share + self.share * self.burst);
        let (mut times, mut now) = (Vec::with_capacity((self.rate * end * 1.1) as usize), 0.0);
        let most = calm * self.burst.max(1.0);
        loop {
            // As if there were always as many as at most, and the others are left out.
            now += chance.exponential(1.0 / most);
            if now >= end {
                return times;
            }
            let bursts = (now / self.every_s).fract() < self.share;
            let rate = if bursts { calm * self.burst } else { calm };
            if chance.unit() * most < rate {
                times.push(now);
            }
        }
    }
}

/// What a stage did, seen by those who went through it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passed {
    /// When each came, and when it was done, in seconds.
    pub(crate) times: Vec<(f64, f64)>,
}

impl Passed {
    pub(crate) fn add(&mut self, came: f64, done: f64) {
        self.times.push((came, done));
    }

    /// Milliseconds at a quantile.
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        let took = self.times.iter().map(|(came, done)| done - came).collect();
        at_quantile(took, quantile) * 1000.0
    }

    /// How many are there when another one comes, at a quantile; the one that comes is none of them.
    pub(crate) fn length(&self, quantile: f64) -> f64 {
        let mut came: Vec<f64> = self.times.iter().map(|(came, _)| *came).collect();
        let mut done: Vec<f64> = self.times.iter().map(|(_, done)| *done).collect();
        came.sort_by(f64::total_cmp);
        done.sort_by(f64::total_cmp);
        let (mut lengths, mut gone) = (Vec::with_capacity(came.len()), 0);
        for (before, at) in came.iter().enumerate() {
            while done.get(gone).is_some_and(|done| done <= at) {
                gone += 1;
            }
            lengths.push(before.saturating_sub(gone) as f64);
        }
        at_quantile(lengths, quantile)
    }
}

fn at_quantile(mut all: Vec<f64>, quantile: f64) -> f64 {
    if all.is_empty() {
        return 0.0;
    }
    let place = ((all.len() - 1) as f64 * quantile).round() as usize;
    *all.select_nth_unstable_by(place, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean time in a station with so many servers, of jobs that need a second each in the mean.
    fn mean_time(load: f64, servers: usize, service: impl Fn(&mut Chance) -> f64) -> f64 {
        let (mut chance, mut station, mut passed) =
            (Chance::new(7), Station::new(servers), Passed::default());
        let arrivals = Arrivals::plain(load * servers as f64);
        for came in arrivals.times(400_000.0, &mut chance) {
            passed.add(came, station.serve(came, service(&mut chance)));
        }
        assert!((station.utilisation(400_000.0) - load).abs() < 0.02);
        passed.times.iter().map(|(came, done)| done - came).sum::<f64>() / passed.times.len() as f64
    }

    #[track_caller]
    fn is_near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.04, "{found} instead of {expected}");
    }

    #[test]
    fn a_queue_without_memory_is_as_long_as_the_formula_says() {
        // M/M/1: 1 / (mu - lambda)
        is_near(mean_time(0.5, 1, |chance| chance.exponential(1.0)), 2.0);
        is_near(mean_time(0.8, 1, |chance| chance.exponential(1.0)), 5.0);
    }

    #[test]
    fn a_queue_with_constant_service_is_half_as_long() {
        // M/D/1: 1 + rho / (2 (1 - rho))
        is_near(mean_time(0.5, 1, |_| 1.0), 1.5);
        is_near(mean_time(0.8, 1, |_| 1.0), 3.0);
    }

    #[test]
    fn several_servers_are_as_erlang_says() {
        // M/M/4 at 0.8: one waits with 0.5964 (Erlang C), then 1 / (4 - 3.2).
        is_near(mean_time(0.8, 4, |chance| chance.exponential(1.0)), 1.0 + 0.5964 / 0.8);
    }

    #[test]
    fn a_spread_of_services_waits_as_pollaczek_and_khinchine_say() {
        // M/G/1: 1 + rho (1 + cv²) / (2 (1 - rho)), with cv² = e^(spread²) - 1.
        let spread = 0.6_f64;
        let expected = 1.0 + 0.7 * (spread * spread).exp() / (2.0 * 0.3);
        is_near(mean_time(0.7, 1, |chance| chance.lognormal(spread)), expected);
    }

    #[test]
    fn bursts_do_not_change_the_mean() {
        let arrivals = Arrivals { rate: 1_000.0, burst: 3.0, share: 0.1, every_s: 2.0 };
        let times = arrivals.times(100.0, &mut Chance::new(3));
        is_near(times.len() as f64, 100_000.0);
        let in_bursts = times.iter().filter(|at| (*at / 2.0).fract() < 0.1).count();
        is_near(in_bursts as f64, 100_000.0 * 0.3 / 1.2);
    }

    #[test]
    fn lengths_are_what_somebody_who_comes_finds() {
        let passed = Passed { times: vec![(0.0, 4.0), (1.0, 5.0), (2.0, 6.0), (9.0, 9.5)] };
        assert_eq!((passed.length(0.0), passed.length(1.0)), (0.0, 2.0));
        assert_eq!(passed.latency_ms(0.5), 4_000.0);
        assert_eq!(Passed::default().latency_ms(0.5), 0.0);
    }
}
