//! A series of rounds.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use tokio::sync::Mutex;

use crate::auditor;
use crate::faults::{Fault, Schedule};
use crate::options::Options;
use crate::rig::Rig;
use crate::round::{self, Outcome};
use crate::servers::Servers;
use crate::stand_in::StandIn;
use crate::table;

/// Plays all rounds and prints the table; whether everything held.
pub(crate) async fn run(options: &Options) -> Result<bool> {
    println!("seed {}: tests/chaos --seed {0} plays the same faults and the same traffic", options.seed);
    let wanted = if options.faults.is_empty() { Fault::ALL.to_vec() } else { options.faults.clone() };
    let servers = Servers::take(&wanted, options.previous.clone()).await?;
    let faults = without_those_that_lack(wanted, &servers);
    ensure!(!faults.is_empty(), "no fault is left");
    // What is done to a server is done to all who stand on it.
    let alone = faults.iter().any(|fault| fault.hits_a_server());
    let lanes = if alone { 1 } else { options.lanes.clamp(1, options.rounds.max(1)) };
    let series = Series {
        options,
        faults,
        servers: Mutex::new(servers),
        begun: Instant::now(),
        next: Cell::new(options.first),
        outcomes: RefCell::default(),
    };
    let played: Result<Vec<()>> = try_join_all((0..lanes).map(|_| series.lane())).await;
    let Series { servers, begun, outcomes, .. } = series;
    let outcomes = outcomes.into_inner();
    let told = table::text(options, &outcomes, begun.elapsed());
    println!("\n{told}");
    servers.into_inner().stop().await?;
    played?;
    let held = outcomes.iter().all(|outcome| outcome.violations.is_empty());
    if let (Some(block), true) = (&options.write, held) {
        table::write(block, &told)?;
    }
    Ok(held)
}

/// Those for which there is everything; of the others it is said why not.
fn without_those_that_lack(wanted: Vec<Fault>, servers: &Servers) -> Vec<Fault> {
    let mut allowed = Vec::new();
    for fault in wanted {
        match servers.lacks(fault) {
            Some(reason) => println!("left out: {fault}, because {reason}"),
            None => allowed.push(fault),
        }
    }
    allowed
}

/// What all lanes share: rounds that are played at the same time, each on a rig of its own.
struct Series<'o> {
    options: &'o Options,
    faults: Vec<Fault>,
    servers: Mutex<Servers>,
    begun: Instant,
    /// The number of the next round.
    next: Cell<u32>,
    outcomes: RefCell<Vec<Outcome>>,
}

impl Series<'_> {
    /// The next round that nobody has begun; none when all are, or the time is over.
    fn take_round(&self) -> Option<Schedule> {
        let number = self.next.get();
        let over = |minutes: u64| self.begun.elapsed() > Duration::from_secs(minutes.saturating_mul(60));
        if number >= self.options.first.saturating_add(self.options.rounds) {
            return None;
        }
        if self.options.minutes.is_some_and(over) {
            println!("the time is over before round {number}");
            return None;
        }
        self.next.set(number + 1);
        Some(Schedule::new(self.options.seed, number, &self.faults))
    }

    /// Plays one round after the other, until none is left.
    async fn lane(&self) -> Result<()> {
        let mut rig: Option<Rig> = None;
        let mut on_this_rig = 0;
        let mut next = self.take_round();
        while let Some(schedule) = next {
            let mut on = match rig.take() {
                Some(rig) => rig,
                None => {
                    let through_links = self.faults.iter().any(|fault| fault.breaks_a_link());
                    Rig::build(&*self.servers.lock().await, through_links).await?
                }
            };
            println!("round {} begins: {:?}", schedule.number, schedule.steps);
            let mut outcome = match round::run(&mut on, &self.servers, &schedule, self.options).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome {
                    label: schedule.label(),
                    violations: vec![format!("{error:#}")],
                    ..Outcome::default()
                },
            };
            next = self.take_round();
            on_this_rig += 1;
            if outcome.violations.is_empty() {
                if on_this_rig < self.options.fresh_every && next.is_some() {
                    rig = Some(on);
                } else {
                    on_this_rig = 0;
                    finish(on, &schedule, self.options, &mut outcome).await;
                }
            } else {
                on_this_rig = 0;
                println!("logs and journals are in {}", on.folder.keep().display());
                on.abandon().await?;
            }
            println!("{}", table::line(&schedule, &outcome));
            if !outcome.violations.is_empty() {
                let names: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
                let (seed, number) = (self.options.seed, schedule.number);
                println!("  again: --seed {seed} --first {number} --rounds 1 --faults {}", names.join(","));
            }
            self.outcomes.borrow_mut().push(outcome);
        }
        Ok(())
    }
}

/// Replays the last round, tries the auditor, and stops everything.
async fn finish(mut rig: Rig, schedule: &Schedule, options: &Options, outcome: &mut Outcome) {
    let replayed = round::replay(&mut rig, schedule, options).await;
    let tried = auditor::finds_what_is_wrong(&mut rig).await;
    let cut_off = "SELECT count(*) FROM delivery_attempt WHERE outcome IN ('abandoned', 'unknown')";
    let cut_off = rig.system.count(cut_off).await.unwrap_or_default();
    let repeated: usize = rig.stand_ins.iter().map(StandIn::repeated).sum();
    for part in [replayed, tried] {
        outcome.violations.extend(part.unwrap_or_else(|error| vec![format!("{error:#}")]));
    }
    if outcome.violations.is_empty() {
        println!(
            "round {} replayed: nothing changed. On this database {cut_off} sends were cut off in the middle, and \
             {repeated} notices came more than once",
            schedule.number
        );
        outcome.violations.extend(rig.stop().await.err().map(|error| format!("{error:#}")));
    } else {
        println!("logs and journals are in {}", rig.folder.keep().display());
        outcome.violations.extend(rig.abandon().await.err().map(|error| format!("{error:#}")));
    }
}
