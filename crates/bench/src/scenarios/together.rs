//! All programs at a constant arrival, as a deployment would run: how long it takes from the acceptance of an event to the
//! commits of everything that it leads to, and whether backlog and memory stay where they are.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::everything::Everything;
use super::{Measured, per_thousand};
use crate::ages::{Ages, TRANSACTION, told};
use crate::figures::Run;
use crate::load::{Load, Pace, WARM_UP, run as send};
use crate::options::Options;
use crate::requests::mixed;
use crate::say;
use crate::servers::{Servers, number};

const SCENARIO: &str = "together";
/// The points of a course in the table's notes.
const POINTS: usize = 10;
/// How often the person who waits is told how it goes, in seconds.
const TELL_EVERY: usize = 15;

/// What is seen once a second.
#[derive(Default)]
struct Course {
    /// Messages in all queues and in the workers' hands.
    backlog: Vec<f64>,
    /// The memory of each program, in MiB.
    memory: BTreeMap<String, Vec<f64>>,
}

pub(super) async fn measure(options: &Options, servers: &Servers) -> Result<Measured> {
    let mut measured = Measured::default();
    // It is long: one round says as much as three short ones.
    let seconds = f64::from(options.together_seconds) + WARM_UP.as_secs_f64();
    let wanted = (f64::from(options.rate) * seconds * 1.05).ceil();
    let requests = mixed(17, wanted as usize)?;
    // A delivery that is refused or comes again brings no event: more must arrive than the events that are wanted.
    let events: HashSet<_> = requests.iter().filter_map(|request| request.id).collect();
    let arriving = f64::from(options.rate) * requests.len() as f64 / events.len().max(1) as f64;
    drop(events);

    let mut all = Everything::start(servers).await?;
    let before = (all.cpu_seconds(), servers.cpu_seconds());
    let load = Load {
        address: all.config.ingress.clone(),
        connections: 64,
        requests,
        from: 0,
        pace: Pace::Arriving(arriving),
        time: Duration::from_secs(options.together_seconds.into()),
    };
    let mut course = Course::default();
    let mut sending = tokio::spawn(send(load));
    let loaded = loop {
        tokio::select! {
            loaded = &mut sending => break loaded??,
            () = tokio::time::sleep(Duration::from_secs(1)) => course.look(&mut all)?,
        }
    };
    let last = Instant::now();
    let kept: HashSet<_> = loaded.kept.iter().collect();
    let mut wrong = all.until_through(kept.len(), loaded.unknown.len()).await?;
    let drained = last.elapsed().as_secs_f64();
    let after = (all.cpu_seconds(), servers.cpu_seconds());
    let (ages, peaks) = (all.ages().await?, all.peaks_mib());
    let transactions = all.histograms(TRANSACTION).await?;
    let events = number(&all.client, "SELECT count(*) FROM archive").await? as f64;
    wrong.extend(all.audit()?);
    all.stop().await?;

    let every = Ages::of_all(ages.values());
    let mut run = Run {
        rate: events / seconds,
        unit: "events",
        p50_ms: every.quantile_ms(0.5),
        p99_ms: every.quantile_ms(0.99),
        offered: Some(options.rate.into()),
        cpu_program: per_thousand(after.0 - before.0, events),
        cpu_broker: per_thousand(after.1.0 - before.1.0, events),
        cpu_database: per_thousand(after.1.1 - before.1.1, events),
        peak_mib: peaks.values().copied().reduce(f64::max),
        errors: loaded.errors(),
        wrong,
        ..Run::default()
    };
    let most = course.backlog.iter().copied().fold(0.0, f64::max);
    run.more.insert("answer_p99_ms".to_owned(), loaded.quantile_ms(0.99));
    run.more.insert("backlog_max".to_owned(), most);
    run.more.insert("drained_after_s".to_owned(), drained);
    for (name, half) in ["first", "second"].into_iter().zip(halves(&course.backlog)) {
        run.more.insert(format!("backlog_{name}_half"), half);
    }
    for (name, half) in ["first", "second"].into_iter().zip(halves(&course.memory_of_all())) {
        run.more.insert(format!("memory_{name}_half_mib"), half);
    }
    for (name, ages) in &ages {
        run.more.insert(format!("share_{name}"), ages.count() / events.max(1.0));
    }
    for (name, transactions) in &transactions {
        run.more.extend(transactions.spread().map(|spread| (format!("spread_{name}"), spread)));
    }
    measured.notes.push(format!(
        "Together, {} s: from the acceptance to the commit p50 and p99 by worker: {}; from when a request was due to its \
         answer p50 {:.1} ms, p99 {:.1} ms. Messages in queues and in workers' hands: at most {most:.0}, by tenths of the time {}; all through \
         {drained:.1} s after the last request. Memory of all programs by tenths {} MiB; of each in the first and in the \
         second half, and its most: {}.",
        options.together_seconds,
        told(&ages),
        loaded.quantile_ms(0.5),
        loaded.quantile_ms(0.99),
        points(&course.backlog),
        points(&course.memory_of_all()),
        course.memory_told(&peaks),
    ));
    let target = "p99 ≤ 100 ms, p50 ≤ 15 ms, backlog and memory flat, ≤ 64 MiB a service";
    measured.take(SCENARIO, "accepted to committed", None, target, run);
    Ok(measured)
}

impl Course {
    fn look(&mut self, all: &mut Everything) -> Result<()> {
        all.check()?;
        let waiting = all.messages()?;
        self.backlog.push(waiting as f64);
        for (name, mib) in all.memory_mib() {
            self.memory.entry(name).or_default().push(mib);
        }
        if self.backlog.len().is_multiple_of(TELL_EVERY) {
            let memory = self.memory_of_all().last().copied().unwrap_or(0.0);
            say(&format!("  {} s: {waiting} messages in queues, {memory:.0} MiB", self.backlog.len()));
        }
        Ok(())
    }

    fn memory_of_all(&self) -> Vec<f64> {
        let at = |place| self.memory.values().filter_map(|course| course.get(place)).sum();
        (0..self.backlog.len()).map(at).collect()
    }

    fn memory_told(&self, peaks: &BTreeMap<String, f64>) -> String {
        let one = |(name, course): (&String, &Vec<f64>)| {
            let ([first, second], most) = (halves(course), peaks.get(name).copied().unwrap_or(0.0));
            format!("{name} {first:.0}, {second:.0}, {most:.0} MiB")
        };
        self.memory.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

fn mean(part: &[f64]) -> f64 {
    part.iter().sum::<f64>() / part.len().max(1) as f64
}

/// The means of both halves.
fn halves(course: &[f64]) -> [f64; 2] {
    let (first, second) = course.split_at(course.len() / 2);
    [mean(first), mean(second)]
}

/// A course in few numbers: the mean of each tenth.
fn points(course: &[f64]) -> String {
    let long = course.len().div_ceil(POINTS).max(1);
    course.chunks(long).map(|part| format!("{:.0}", mean(part))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_told_by_its_means() {
        let course: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(halves(&course), [4.5, 14.5]);
        assert_eq!(points(&course), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18");
        assert_eq!((points(&[]), halves(&[])), (String::new(), [0.0, 0.0]));
    }
}
