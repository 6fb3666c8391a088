//! How long events took, as the workers' metrics count it: from when the ingress had the whole request until the
//! commit of what the event leads to. The answer is sent in between, so from the answer on it is less.

use std::collections::BTreeMap;

/// From an event's arrival at the ingress to the commit of its effects.
pub(crate) const AGE: &str = "matchpurse_worker_event_age_seconds_bucket";
/// Of a transaction, with the wait for a connection.
pub(crate) const TRANSACTION: &str = "matchpurse_worker_transaction_seconds_bucket";

/// A histogram of Prometheus: how many were not above a bound, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ages(Vec<(f64, f64)>);

impl Ages {
    /// Reads the histogram of this name out of a program's metrics; its labels' parts as one.
    pub(crate) fn read(metrics: &str, name: &str) -> Self {
        let mut ages = Self::default();
        for line in metrics.lines().filter(|line| line.starts_with(name)) {
            let bound = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
            let bound = bound.map(|bound| bound.parse().unwrap_or(f64::INFINITY));
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
            if let (Some(bound), Some(count)) = (bound, count) {
                ages.add(bound, count);
            }
        }
        ages
    }

    fn add(&mut self, bound: f64, count: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((bound, count)),
        }
        self.0.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    }

    /// What came since `before`. A program that was started anew begins at zero: pass nothing as `before` then.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let counted =
            |bound: f64| before.0.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, n)| *n);
        Self(self.0.iter().map(|(bound, count)| (*bound, (count - counted(*bound)).max(0.0))).collect())
    }

    /// Those of several programs as one.
    pub(crate) fn of_all<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for (bound, count) in all.into_iter().flat_map(|ages| &ages.0) {
            sum.add(*bound, *count);
        }
        sum
    }

    /// How many events there were.
    pub(crate) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The standard deviation of the logarithm, as if that were normal: from the median and what one of six is above.
    pub(crate) fn spread(&self) -> Option<f64> {
        let (median, high) = (self.quantile_ms(0.5)?, self.quantile_ms(0.841)?);
        (median > 0.0).then(|| (high / median).ln().max(0.0))
    }

    /// A quantile in milliseconds, as if the values in a bucket were evenly spread; none without an event.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let wanted = self.count() * quantile;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted && *count > 0.0 {
                let share = if count > &below { (wanted - below) / (count - below) } else { 1.0 };
                let high = if bound.is_finite() { *bound } else { low };
                return Some((low + (high - low) * share) * 1000.0);
            }
            (low, below) = (*bound, *count);
        }
        None
    }
}

/// In words, the quantiles of each program.
pub(crate) fn told(ages: &BTreeMap<&'static str, Ages>) -> String {
    let one = |(name, ages): (&&'static str, &Ages)| {
        let (p50, p99) = (ages.quantile_ms(0.5)?, ages.quantile_ms(0.99)?);
        Some(format!("{name} {p50:.1} and {p99:.1} ms"))
    };
    ages.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(half: u32) -> String {
        format!(
            "{AGE}{{worker=\"w\",le=\"0.01\"}} {half}\n{AGE}{{worker=\"w\",le=\"0.02\"}} 100\n\
             {AGE}{{worker=\"w\",le=\"+Inf\"}} 100\nother 1\n"
        )
    }

    #[test]
    fn buckets_of_several_workers_are_one_histogram() {
        let ages = Ages::of_all(&[Ages::read(&text(50), AGE), Ages::read(&text(100), AGE)]);
        assert_eq!(ages.0, [(0.01, 150.0), (0.02, 200.0), (f64::INFINITY, 200.0)]);
        assert_eq!(ages.quantile_ms(0.375), Some(5.0));
        assert!((ages.quantile_ms(0.875).unwrap() - 15.0).abs() < 1e-9);
        assert_eq!(Ages::default().quantile_ms(0.5), None);
    }

    #[test]
    fn what_was_before_does_not_count() {
        let since = Ages::read(&text(100), AGE).since(&Ages::read(&text(50), AGE));
        assert_eq!(since.count(), 0.0);
        assert_eq!(since.0.first(), Some(&(0.01, 50.0)));
        let since = Ages::read(&text(50), AGE).since(&Ages::default());
        assert_eq!(since.count(), 100.0);
        assert_eq!(Ages::read(&text(50), AGE).since(&Ages::read(&text(50), AGE)).quantile_ms(0.5), None);
    }
}
