//! The first page: how it is going, now and in the last half hour.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::time::Timestamp;
use matchpurse_service_kit::metrics;
use matchpurse_store::flow::{self, Arrivals, Lag, Waiting};
use matchpurse_store::now;

use super::components::duration;
use super::{Chart, Chip, Chrome, Money, Section, Tone, Visitor, When, count, html};
use crate::api::Api;
use crate::books::Sums;
use crate::failure::Result;
use crate::ingresses::Rejected;
use crate::moment::Moment;

/// What a chart shows: so many minutes.
const MINUTES: usize = 30;
const MINUTE_S: i64 = 60;
/// A worker that is so far behind needs a look, in microseconds.
const SLOW_US: i64 = 10_000_000;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    chrome: Chrome,
    accepted: String,
    rate: String,
    refused: Refused,
    /// None where the archive's worker is another process, which counts them.
    duplicates: Option<String>,
    workers: Vec<Worker>,
    oldest: Option<When>,
    waiting: Shown,
    /// None while it is added up for the first time.
    ledger: Option<Ledger>,
    arrivals: Chart,
    refusals: Option<Chart>,
    nothing_yet: bool,
}

/// What nobody vouched for, as far as the ingress still knows it.
struct Refused {
    known: bool,
    total: String,
    by_reason: Vec<(String, String)>,
}

struct Shown {
    spooled: String,
    spooled_since: Option<When>,
    parked: String,
    anomalies: String,
    needs_parked: bool,
    needs_anomalies: bool,
}

/// All accounts together.
struct Ledger {
    balanced: Chip,
    currencies: String,
    escrow: Vec<Money>,
    /// When it was added up, where that is not now.
    at: Option<When>,
}

struct Worker {
    name: &'static str,
    state: Chip,
    behind: String,
    typical: String,
}

struct Read {
    arrivals: Arrivals,
    lags: Vec<Lag>,
    waiting: Waiting,
    archived: bool,
}

/// `GET /console`
pub(super) async fn show(api: web::Data<Api>, visitor: Visitor) -> Result<HttpResponse> {
    let (store, at) = (api.store.clone(), now());
    // Whole minutes, so that a bar grows where it is and does not wander.
    let end = Timestamp::from_seconds(
        (at.seconds().div_euclid(MINUTE_S)).saturating_add(1).saturating_mul(MINUTE_S),
    );
    let (read, rejected, sums) = tokio::join!(
        api.run(async move {
            let client = store.client().await?;
            Ok(Read {
                arrivals: flow::arrivals(&client, end, MINUTE_S, MINUTES).await?,
                lags: flow::lags(&client).await?,
                waiting: flow::waiting(&client).await?,
                archived: !matchpurse_store::missed::heads(&client).await?.is_empty(),
            })
        }),
        api.ingress.rejected(),
        api.books.sums(&api),
    );
    let read = read?;
    let (accepted, last) = (read.arrivals.slots.iter().sum::<u64>(), read.arrivals.slots.first());
    html(&OverviewPage {
        chrome: visitor.chrome(Section::Overview),
        accepted: if read.arrivals.cut_off { format!("over {}", count(accepted)) } else { count(accepted) },
        rate: count(last.copied().unwrap_or(0)),
        refusals: rejected.as_ref().map(|all| refusals(all, end)),
        refused: Refused::of(rejected.as_deref()),
        duplicates: duplicates().map(count),
        oldest: read.lags.iter().filter_map(|lag| lag.oldest).min().map(When::new),
        workers: read.lags.iter().map(|lag| Worker::of(lag, at)).collect(),
        waiting: Shown::of(&read.waiting),
        ledger: sums.map(|sums| Ledger::of(&api, &sums)),
        arrivals: Chart::new("Events a minute", "events", &slots(&read.arrivals.slots, end)),
        nothing_yet: !read.archived,
    })
}

/// Counts, the latest first, as bars with their times.
fn slots(counts: &[u64], at: Timestamp) -> Vec<(String, u64)> {
    let bar = |(place, count): (i64, &u64)| {
        let began = at.plus_seconds(place.saturating_add(1).saturating_mul(MINUTE_S).saturating_neg());
        let text = Moment(began).text();
        (format!("{} UTC", text.get(11..16).unwrap_or_default()), *count)
    };
    let mut bars: Vec<(String, u64)> = (0..).zip(counts).map(bar).collect();
    bars.reverse();
    bars
}

fn refusals(all: &[Rejected], at: Timestamp) -> Chart {
    let mut counts = vec![0_u64; MINUTES];
    for rejected in all {
        let ago =
            at.micros().saturating_sub(rejected.at.micros()).div_euclid(MINUTE_S.saturating_mul(1_000_000));
        if let Some(slot) = usize::try_from(ago).ok().and_then(|slot| counts.get_mut(slot)) {
            *slot = slot.saturating_add(1);
        }
    }
    Chart::new("Refused a minute", "refused deliveries", &slots(&counts, at))
}

impl Refused {
    fn of(all: Option<&[Rejected]>) -> Self {
        let Some(all) = all else {
            return Self { known: false, total: String::new(), by_reason: Vec::new() };
        };
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for rejected in all {
            let number = reasons.entry(&rejected.reason).or_default();
            *number = number.saturating_add(1);
        }
        let mut reasons: Vec<(&str, u64)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        Self {
            known: true,
            total: count(u64::try_from(all.len()).unwrap_or(u64::MAX)),
            by_reason: reasons.into_iter().map(|(reason, n)| (reason.replace('_', " "), count(n))).collect(),
        }
    }
}

impl Shown {
    fn of(waiting: &Waiting) -> Self {
        Self {
            spooled: count(waiting.spooled),
            spooled_since: waiting.spooled_since.map(When::new),
            parked: count(waiting.parked),
            anomalies: count(waiting.anomalies),
            needs_parked: waiting.parked > 0,
            needs_anomalies: waiting.anomalies > 0,
        }
    }
}

impl Ledger {
    fn of(api: &Api, sums: &Sums) -> Self {
        let balanced = if sums.trial.iter().all(|(_, sum)| *sum == 0) {
            Chip::new(Tone::Good, "adds up to zero")
        } else {
            Chip::new(Tone::Bad, "does not add up")
        };
        let currencies: Vec<&str> = sums.trial.iter().map(|(currency, _)| currency.as_str()).collect();
        Self {
            balanced,
            currencies: currencies.join(", "),
            escrow: sums.held.iter().map(|(currency, sum)| Money::new(api, *sum, currency)).collect(),
            at: sums.is_old().then(|| When::new(sums.at)),
        }
    }
}

impl Worker {
    fn of(lag: &Lag, at: Timestamp) -> Self {
        let behind = lag.oldest.map(|oldest| at.micros().saturating_sub(oldest.micros()));
        let state = match behind {
            None => Chip::new(Tone::Good, "up to date"),
            Some(behind) if behind < SLOW_US => Chip::new(Tone::Busy, "at work"),
            Some(_) => Chip::new(Tone::Warn, "behind"),
        };
        let waiting = match behind {
            None => "nothing waits".to_owned(),
            Some(behind) => {
                let more = if lag.more { "over " } else { "" };
                format!("{more}{} wait, for up to {}", count(lag.waiting), duration(behind))
            }
        };
        Self {
            name: lag.queue.worker(),
            state,
            behind: waiting,
            typical: lag.typical_us.map_or_else(|| "–".to_owned(), duration),
        }
    }
}

/// Deliveries that were known already, counted by the archive's worker since it was started, where that is in this process.
fn duplicates() -> Option<u64> {
    let text = metrics::install().ok()?.render();
    of_archive(&text)
}

fn of_archive(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| {
        line.starts_with("matchpurse_worker_events_total{") && line.contains("worker=\"event-archive\"")
    });
    let there = lines.next()?;
    let duplicate = std::iter::once(there).chain(lines).find(|line| line.contains("outcome=\"duplicate\""));
    Some(duplicate.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_those_of_the_archive() {
        let line = |worker: &str, outcome: &str, n: u64| {
            format!("matchpurse_worker_events_total{{worker=\"{worker}\",outcome=\"{outcome}\"}} {n}\n")
        };
        let other = line("match-escrow", "duplicate", 9);
        assert_eq!(of_archive(&other), None);
        assert_eq!(of_archive(&(other.clone() + &line("event-archive", "applied", 7))), Some(0));
        let both = other + &line("event-archive", "applied", 7) + &line("event-archive", "duplicate", 3);
        assert_eq!(of_archive(&both), Some(3));
    }

    #[test]
    fn bars_go_from_the_oldest_to_the_latest() {
        let at = Timestamp::from_seconds(1_790_000_000);
        let bars = slots(&[3, 2, 1], at);
        assert_eq!(
            bars,
            [("14:10 UTC".to_owned(), 1), ("14:11 UTC".to_owned(), 2), ("14:12 UTC".to_owned(), 3)]
        );
    }
}
