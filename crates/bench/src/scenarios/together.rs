//! All programs at a constant arrival, as a deployment would run: how long it takes from a request to the commits of
//! everything that it leads to.

use std::time::{Duration, Instant};

use anyhow::Result;
use matchpurse_contracts::topology::Queue;

use super::{Measured, per_thousand};
use crate::broker::Broker;
use crate::config::Config;
use crate::figures::Run;
use crate::http;
use crate::load::{Load, Pace, run as send};
use crate::options::Options;
use crate::programs::{Folder, Running, program};
use crate::requests::mixed;
use crate::servers::{Servers, connect, number};

const SCENARIO: &str = "together";
const AGE: &str = "matchpurse_worker_event_age_seconds_bucket";
/// Until the queues are empty after the last request.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is seen once a second.
#[derive(Default)]
struct Seen {
    backlog: Vec<u64>,
    /// The memory of all programs, in MiB.
    memory: Vec<f64>,
}

pub(super) async fn measure(options: &Options, servers: &Servers) -> Result<Measured> {
    let mut measured = Measured::default();
    // It is long: one round says as much as three short ones.
    let (folder, vhost, database) = (Folder::new()?, servers.vhost()?, servers.database().await?);
    matchpurse_bus::declare_topology(&vhost.amqp_url(), &matchpurse_bus::BusOptions::default()).await?;
    let config = Config::write(&folder.0, &database.service_url(), &vhost.amqp_url(), "")?;
    let workers: Vec<&str> = Queue::ALL.into_iter().map(Queue::worker).collect();
    let mut running = Vec::new();
    for name in workers.iter().copied().chain(["dispatcher", "ingress"]) {
        let mut command = program(&format!("matchpurse-{name}"))?;
        command.arg("--config").arg(&config.path);
        let mut started = Running::start(name, command, &folder.0)?;
        started.ready(config.admin(name)?, "/readyz").await?;
        running.push(started);
    }
    let broker = Broker::connect(&vhost.amqp_url()).await?;
    let seconds = usize::try_from(options.together_seconds)?;
    let requests = mixed(17, usize::try_from(options.rate)? * (seconds + 1))?;
    let before = (running.iter().map(Running::cpu_seconds).sum::<f64>(), servers.cpu_seconds());
    let load = Load {
        address: config.ingress.clone(),
        connections: 64,
        requests,
        from: 0,
        pace: Pace::Arriving(options.rate.into()),
        time: Duration::from_secs(options.together_seconds.into()),
    };
    let mut seen = Seen::default();
    let mut sending = tokio::spawn(send(load));
    let loaded = loop {
        tokio::select! {
            loaded = &mut sending => break loaded??,
            () = tokio::time::sleep(Duration::from_secs(1)) => look(&broker, &running, &mut seen).await?,
        }
    };
    let last = Instant::now();
    let client = connect(&database.url()).await?;
    let kept: std::collections::HashSet<_> = loaded.kept.iter().collect();
    let mut wrong = Vec::new();
    loop {
        let waiting = waiting(&broker).await?;
        let archived = number(&client, "SELECT count(*) FROM archive WHERE event_id = delivery_id").await?;
        if waiting == 0 && usize::try_from(archived)? >= kept.len() {
            break;
        }
        if last.elapsed() > PATIENCE {
            wrong.push(format!("{waiting} wait in queues, {archived} of {} are archived", kept.len()));
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let drained = last.elapsed().as_secs_f64();
    let after = (running.iter().map(Running::cpu_seconds).sum::<f64>(), servers.cpu_seconds());
    let mut buckets = Vec::new();
    for worker in &workers {
        let (_, metrics) = http::get(config.admin(worker)?, "/metrics").await?;
        add_buckets(&metrics, &mut buckets);
    }
    let archived = number(&client, "SELECT count(*) FROM archive WHERE event_id = delivery_id").await?;
    if usize::try_from(archived)? != kept.len() + loaded.unknown.len() && loaded.unknown.is_empty() {
        wrong.push(format!("{} deliveries were kept, {archived} are archived", kept.len()));
    }
    wrong.extend(audit(&config)?);
    let peaks: Vec<(String, f64)> =
        running.iter().map(|one| (one.name().to_owned(), one.memory_mib().0)).collect();
    for one in running.into_iter().rev() {
        one.stop().await?;
    }
    let answered = loaded.answered as f64;
    let mut run = Run {
        rate: loaded.rate,
        unit: "deliveries",
        p50_ms: quantile_ms(&buckets, 0.5),
        p99_ms: quantile_ms(&buckets, 0.99),
        offered: Some(options.rate.into()),
        cpu_program: per_thousand(after.0 - before.0, answered),
        cpu_broker: per_thousand(after.1.0 - before.1.0, answered),
        cpu_database: per_thousand(after.1.1 - before.1.1, answered),
        peak_mib: peaks.iter().map(|(_, mib)| *mib).reduce(f64::max),
        errors: loaded.errors(),
        wrong,
        ..Run::default()
    };
    let most = seen.backlog.iter().max().copied().unwrap_or(0);
    run.more.insert("answer_p99_ms".to_owned(), loaded.quantile_ms(0.99));
    run.more.insert("backlog_max".to_owned(), most as f64);
    run.more.insert("drained_after_s".to_owned(), drained);
    let note = format!(
        "Together: answers p50 {:.1} ms, p99 {:.1} ms; at most {most} events in queues, all through {drained:.1} s after \
         the last request; memory of all programs {}; the most of each: {}.",
        loaded.quantile_ms(0.5),
        loaded.quantile_ms(0.99),
        halves(&seen.memory),
        peaks.iter().map(|(name, mib)| format!("{name} {mib:.0} MiB")).collect::<Vec<_>>().join(", "),
    );
    measured.notes.push(note);
    let target = "p99 ≤ 100 ms, p50 ≤ 15 ms, ≤ 64 MiB a service";
    measured.take(SCENARIO, "request to commit", None, target, run);
    drop((client, broker));
    tokio::task::spawn_blocking(move || drop((database, vhost))).await?;
    Ok(measured)
}

async fn waiting(broker: &Broker) -> Result<u64> {
    let mut sum = 0;
    for queue in Queue::ALL {
        sum += broker.ready(queue.name()).await?;
    }
    Ok(sum)
}

async fn look(broker: &Broker, running: &[Running], seen: &mut Seen) -> Result<()> {
    seen.backlog.push(waiting(broker).await?);
    seen.memory.push(running.iter().map(|one| one.memory_mib().1).sum());
    Ok(())
}

/// What the standing checks of the ledger and the archive say.
fn audit(config: &Config) -> Result<Option<String>> {
    let output = program("matchpurse")?.args(["audit", "--config"]).arg(&config.path).output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((!output.status.success()).then(|| format!("matchpurse audit: {told}")))
}

/// How memory went: its mean in each half of the time.
fn halves(memory: &[f64]) -> String {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / (part.len().max(1) as f64);
    let (first, second) = memory.split_at(memory.len() / 2);
    format!("{:.0} MiB in the first half and {:.0} MiB in the second", mean(first), mean(second))
}

/// Adds the counts of a histogram of Prometheus: (bound in seconds, how many were not above it).
fn add_buckets(metrics: &str, buckets: &mut Vec<(f64, f64)>) {
    for line in metrics.lines().filter(|line| line.starts_with(AGE)) {
        let bound = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        let bound = bound.map(|bound| bound.parse().unwrap_or(f64::INFINITY));
        let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
        let (Some(bound), Some(count)) = (bound, count) else { continue };
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count,
            None => buckets.push((bound, count)),
        }
    }
    buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
}

/// A quantile in milliseconds, as if the values in a bucket were evenly spread.
fn quantile_ms(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let (_, all) = buckets.last()?;
    let wanted = all * quantile;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted {
            let share = if count > &below { (wanted - below) / (count - below) } else { 1.0 };
            let high = if bound.is_finite() { *bound } else { low };
            return Some((low + (high - low) * share) * 1000.0);
        }
        (low, below) = (*bound, *count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_several_workers_are_one_histogram() {
        let text = |half: u32| {
            format!(
                "{AGE}{{worker=\"w\",le=\"0.01\"}} {half}\n{AGE}{{worker=\"w\",le=\"0.02\"}} 100\n\
                 {AGE}{{worker=\"w\",le=\"+Inf\"}} 100\nother 1\n"
            )
        };
        let mut buckets = Vec::new();
        add_buckets(&text(50), &mut buckets);
        add_buckets(&text(100), &mut buckets);
        assert_eq!(buckets, [(0.01, 150.0), (0.02, 200.0), (f64::INFINITY, 200.0)]);
        assert_eq!(quantile_ms(&buckets, 0.375), Some(5.0));
        assert!((quantile_ms(&buckets, 0.875).unwrap() - 15.0).abs() < 1e-9);
        assert_eq!(quantile_ms(&[], 0.5), None);
    }
}
