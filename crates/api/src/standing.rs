//! What stands in the database, as metrics: how far the workers are, what waits for a person or an endpoint, and what
//! the ledger holds, and what should have come and has not. Every API says the same, so a query takes the greatest.
//!
//! What is over is shown as 0, not as its last number: each label that was shown once is shown until the process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use matchpurse_domain::rhythm::Silence;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::dispatch::{Disabled, endpoint_lines};
use matchpurse_store::{Client, Store, chain, flow, gaps, now, standing};
use metrics::{Label, gauge};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::metrics as metric;

/// How often it is asked what waits.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often the ledger is added up, for which every account is read: not more often than this, and not before so many
/// times as long as it took.
const ADD_UP_EVERY: Duration = Duration::from_secs(60);
/// The same of what is missing, for which some ten thousand matches are looked at.
const LOOK_FOR_GAPS_EVERY: Duration = Duration::from_secs(60);
const REST: u32 = 20;

/// A gauge with its labels and its value.
type Reading = (&'static str, Vec<Label>, f64);

/// Gauges that were shown, by name and labels.
#[derive(Default)]
struct Shown(BTreeSet<(&'static str, Vec<Label>)>);

impl Shown {
    /// Shows these readings, and 0 for what `names` had before and have no longer.
    fn show(&mut self, names: &[&'static str], readings: Vec<Reading>) {
        let mut over: BTreeSet<_> = self.0.iter().filter(|(name, _)| names.contains(name)).cloned().collect();
        for (name, labels, value) in readings {
            gauge!(name, labels.iter()).set(value);
            let shown = (name, labels);
            over.remove(&shown);
            self.0.insert(shown);
        }
        for (name, labels) in over {
            gauge!(name, labels.iter()).set(0.0);
        }
    }
}

/// Reads and shows, until it is dropped. While the database is away, nothing changes but the age of what is shown.
pub(crate) async fn follow(store: Store, sources: Vec<String>) {
    let mut shown = Shown::default();
    let mut turn = interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut ledger_due, mut gaps_due) = (Instant::now(), Instant::now());
    loop {
        turn.tick().await;
        note(metric::STANDING_READ, look(&store, &mut shown).await);
        let begun = Instant::now();
        if begun >= gaps_due {
            note(metric::GAPS_READ, missing(&store, &sources, &mut shown).await);
            gaps_due = begun + LOOK_FOR_GAPS_EVERY.max(begun.elapsed().saturating_mul(REST));
        }
        let begun = Instant::now();
        if begun >= ledger_due {
            note(metric::LEDGER_READ, add_up(&store, &mut shown).await);
            ledger_due = begun + ADD_UP_EVERY.max(begun.elapsed().saturating_mul(REST));
        }
    }
}

/// When it was read, or in the log why not.
fn note(when: &'static str, outcome: matchpurse_store::Result<()>) {
    match outcome {
        Ok(()) => gauge!(when).set(seconds(now().micros())),
        Err(error) => {
            tracing::warn!(reason = chain(&error), "the standing could not be read; it is done again");
        }
    }
}

async fn look(store: &Store, shown: &mut Shown) -> matchpurse_store::Result<()> {
    let client = store.client().await?;
    let at = now();
    workers(&client, at, shown).await?;
    waiting(&client, at, shown).await?;
    endpoints(&client, at, shown).await
}

async fn workers(client: &Client, at: Timestamp, shown: &mut Shown) -> matchpurse_store::Result<()> {
    let mut readings = Vec::new();
    for lag in flow::lags(client).await? {
        let labels = vec![Label::new("worker", lag.queue.worker())];
        readings.push((metric::WORKER_OLDEST_SECONDS, labels.clone(), age(at, lag.oldest)));
        readings.push((
            metric::WORKER_WAITING,
            labels,
            float(i64::try_from(lag.waiting).unwrap_or(i64::MAX)),
        ));
    }
    shown.show(&[metric::WORKER_OLDEST_SECONDS, metric::WORKER_WAITING], readings);
    Ok(())
}

async fn waiting(client: &Client, at: Timestamp, shown: &mut Shown) -> matchpurse_store::Result<()> {
    let open = standing::open(client).await?;
    let mut readings = Vec::new();
    for (kind, count) in open.parked {
        readings.push((metric::PARKED, vec![Label::new("kind", kind)], float(count)));
    }
    for (source, kind, count) in open.anomalies {
        let labels = vec![Label::new("source", source), Label::new("kind", kind)];
        readings.push((metric::ANOMALIES, labels, float(count)));
    }
    for (source, state, count) in open.rewards {
        let labels = vec![Label::new("source", source), Label::new("state", state)];
        readings.push((metric::REWARDS_WAITING, labels, float(count)));
    }
    readings.push((metric::NOTICES_NEW, Vec::new(), float(open.notices)));
    readings.push((metric::NOTICES_NEW_SECONDS, Vec::new(), age(at, open.notices_since)));
    let names = [
        metric::PARKED,
        metric::ANOMALIES,
        metric::REWARDS_WAITING,
        metric::NOTICES_NEW,
        metric::NOTICES_NEW_SECONDS,
    ];
    shown.show(&names, readings);
    Ok(())
}

async fn endpoints(client: &Client, at: Timestamp, shown: &mut Shown) -> matchpurse_store::Result<()> {
    let mut readings = Vec::new();
    for line in endpoint_lines(client).await? {
        if matches!(line.endpoint.disabled, Some((Disabled::Removed, _))) {
            continue;
        }
        let labels = vec![Label::new("endpoint", line.endpoint.spec.name.as_str().to_owned())];
        readings.push((metric::OUTBOX_WAITING, labels.clone(), float(line.waiting)));
        readings.push((metric::OUTBOX_GIVEN_UP, labels.clone(), float(line.given_up)));
        readings.push((metric::OUTBOX_OLDEST_SECONDS, labels, age(at, line.oldest_at)));
    }
    let names = [metric::OUTBOX_WAITING, metric::OUTBOX_GIVEN_UP, metric::OUTBOX_OLDEST_SECONDS];
    shown.show(&names, readings);
    Ok(())
}

async fn missing(store: &Store, sources: &[String], shown: &mut Shown) -> matchpurse_store::Result<()> {
    let (client, at) = (store.client().await?, now());
    let names: Vec<&str> = sources.iter().map(String::as_str).collect();
    let found = gaps::gaps(&client, &names, at).await?;
    let mut readings = Vec::new();
    for quiet in found.sources {
        let labels = vec![Label::new("source", quiet.source)];
        if quiet.last.is_some() {
            readings.push((metric::SOURCE_SILENCE_SECONDS, labels.clone(), age(at, quiet.last)));
        }
        if quiet.silence != Silence::TooNew {
            readings.push((metric::SOURCE_SILENT, labels, float(quiet.silence.is_alarming().into())));
        }
    }
    let mut sorts: BTreeMap<Vec<Label>, (i64, Timestamp)> = BTreeMap::new();
    for one in found.missing {
        let labels = vec![
            Label::new("source", one.source),
            Label::new("about", one.about.as_str()),
            Label::new("gap", one.gap.as_str()),
        ];
        let (count, oldest) = sorts.entry(labels).or_insert((0, one.since));
        *count = count.saturating_add(1);
        *oldest = (*oldest).min(one.since);
    }
    for (labels, (count, oldest)) in sorts {
        readings.push((metric::GAPS, labels.clone(), float(count)));
        readings.push((metric::GAPS_OLDEST_SECONDS, labels, age(at, Some(oldest))));
    }
    let names =
        [metric::SOURCE_SILENT, metric::SOURCE_SILENCE_SECONDS, metric::GAPS, metric::GAPS_OLDEST_SECONDS];
    shown.show(&names, readings);
    Ok(())
}

async fn add_up(store: &Store, shown: &mut Shown) -> matchpurse_store::Result<()> {
    let client = store.client().await?;
    let mut readings = Vec::new();
    for held in standing::held(&client).await? {
        let labels = vec![Label::new("currency", held.currency)];
        readings.push((metric::ESCROW, labels.clone(), float(held.in_escrow)));
        readings.push((metric::LEDGER_IMBALANCE, labels, float(held.sum)));
    }
    shown.show(&[metric::ESCROW, metric::LEDGER_IMBALANCE], readings);
    Ok(())
}

/// Seconds since `then`; 0 where there is none.
fn age(at: Timestamp, then: Option<Timestamp>) -> f64 {
    then.map_or(0.0, |then| seconds(at.micros().saturating_sub(then.micros()).max(0)))
}

fn seconds(micros: i64) -> f64 {
    float(micros) / 1e6
}

/// What a gauge can show: exact up to 2^53, and nobody decides anything about money by it.
#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a picture of the number; beyond 2^53 it is near enough"
)]
fn float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "standing_test_gauge";

    fn of(kind: &'static str, value: f64) -> Reading {
        (NAME, vec![Label::new("kind", kind)], value)
    }

    #[test]
    fn what_is_over_is_shown_as_none() {
        let metrics = matchpurse_service_kit::metrics::install().unwrap();
        let mut shown = Shown::default();
        shown.show(&[NAME], vec![of("one", 3.0), of("two", 2.0)]);
        shown.show(&["standing_test_other"], Vec::new());
        assert!(metrics.render().contains("standing_test_gauge{kind=\"one\"} 3"), "{}", metrics.render());
        shown.show(&[NAME], vec![of("two", 5.0)]);
        let text = metrics.render();
        assert!(text.contains("standing_test_gauge{kind=\"one\"} 0"), "{text}");
        assert!(text.contains("standing_test_gauge{kind=\"two\"} 5"), "{text}");
    }

    #[test]
    fn nothing_that_waits_is_as_old_as_what_comes_from_the_future() {
        let at = Timestamp::from_seconds(100);
        assert_eq!(age(at, Some(Timestamp::from_micros(97_500_000))), 2.5);
        assert_eq!((age(at, None), age(at, Some(Timestamp::from_seconds(101)))), (0.0, 0.0));
    }
}
