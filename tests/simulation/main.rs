//! The deterministic simulation: ingress, broker and workers, one step at a time, with a crash possible at every step.
//!
//! The ingress's code is the real one, from the request to the answer, and so are the spool, its relay, the workers and
//! what they write; they write it into a real PostgreSQL. The broker is the model of `testkit`, which the conformance
//! suite of `crates/bus/tests` holds to what RabbitMQ does. Nothing waits for a clock and nothing happens beside the
//! step that is being performed, so a seed says everything: the traffic, what comes after what, which process dies at
//! which point of what it is doing, what the broker drops, refuses, forgets to say or hands out again.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`lab`] | the database, and the configuration of a seed |
//! | [`conditions`] | how bad the weather of a seed is |
//! | [`process`] | a process that can die at any of its points, and how what it does is driven from rest to rest |
//! | [`wrappers`] | the points: around spool, publisher, log of failures, effects |
//! | [`provider`] | who sends, and sends again whatever was not answered with 2xx |
//! | [`ingress`], [`worker`], [`relay`] | the processes |
//! | [`world`] | the scheduler: what is possible, what is done |
//! | [`invariants`] | what must hold when nothing is left to do |
//! | [`defects`] | defects that are planted, to show that they are found |
//!
//! `SIMULATION_SEED=n` plays one seed and prints its trace; `SIMULATION_SEEDS=n` plays so many from 0.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy lets tests do so, but takes the functions that they share for something else"
)]

mod conditions;
mod defects;
mod ingress;
mod invariants;
mod lab;
#[path = "../../crates/cli/src/observe.rs"]
mod observe;
mod process;
mod provider;
mod relay;
#[path = "../it/system/mod.rs"]
#[allow(dead_code, reason = "the system tests use all of it, the simulation only the sources")]
mod system;
mod trace;
mod worker;
mod world;
mod wrappers;

use anyhow::{Context as _, Result, ensure};

use defects::Defect;
use lab::Lab;
use world::World;

/// How many seeds a run plays that does not say otherwise, in each of two tests, which may run beside each other.
const SEEDS: u64 = 80;

/// How many seeds share a database. Each has sources of its own.
const SEEDS_A_LAB: u64 = 25;

/// How many seeds may pass until a planted defect is found.
const PATIENCE: u64 = 60;

/// What came of a seed.
struct Played {
    trace: String,
    /// What is broken; nothing, as it should be.
    broken: Option<String>,
}

async fn play(lab: &Lab, seed: u64, defect: Defect) -> Result<Played> {
    let mut world = World::new(lab, seed, defect).await.with_context(|| format!("seed {seed}"))?;
    let broken = match world.run().await {
        Err(broken) => Some(broken.to_string()),
        Ok(()) => {
            // The audit looks at every seed of the lab, and with the replay it takes as long as all the steps.
            let by_hand = number("SIMULATION_SEED").or(number("SIMULATION_SEEDS")).is_some();
            let thorough = by_hand || seed % 8 < 2;
            invariants::broken(lab, &world, thorough).await.with_context(|| format!("seed {seed}"))?
        }
    };
    Ok(Played { trace: world.trace(), broken })
}

/// Runs a test on a thread of its own runtime: one step at a time is all there is.
fn alone(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(test)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What must have happened when so many seeds were played: else they do not say much.
const OCCASIONS: [&str; 26] = [
    "dies before it publishes",
    "dies before it spools",
    "dies when it has spooled",
    "dies when it has claimed",
    "dies between publishing and forgetting",
    "dies when it has forgotten",
    "dies before it applies",
    "dies before it commits",
    "dies while it commits",
    "dies before it parks",
    "dies when it has parked",
    "dies when it has settled",
    "is killed",
    "loses a connection",
    "restarts",
    "raises an alarm",
    "is full",
    "nobody waits any more",
    "hangs up on",
    "is not heard",
    "fails with 57P01",
    "fails with 55P03",
    "fails with XX000",
    ": refused",
    "could not delay retries",
    "delivery_limit: from",
];

async fn all_hold(seeds: impl Iterator<Item = u64>) -> Result<()> {
    let seeds: Vec<u64> = seeds.collect();
    let mut missing = OCCASIONS.to_vec();
    for seeds in seeds.chunks(usize::try_from(SEEDS_A_LAB)?) {
        let lab = Lab::open().await?;
        for seed in seeds {
            let Played { trace, broken } = play(&lab, *seed, Defect::None).await?;
            missing.retain(|occasion| !trace.contains(occasion));
            if let Some(broken) = broken {
                panic!(
                    "{trace}\nseed {seed} breaks the promise:\n{broken}\nSIMULATION_SEED={seed} plays it again"
                );
            }
        }
    }
    // A few seeds that somebody has asked for need not have met everything.
    ensure!(seeds.len() < usize::try_from(SEEDS)? || missing.is_empty(), "it never happened: {missing:?}");
    Ok(())
}

#[test]
fn the_promise_holds_whatever_dies_at_whichever_step() -> Result<()> {
    alone(async {
        if let Some(seed) = number("SIMULATION_SEED") {
            let played = play(&Lab::open().await?, seed, Defect::None).await?;
            println!("{}", played.trace);
            ensure!(played.broken.is_none(), "{}", played.broken.unwrap_or_default());
            return Ok(());
        }
        all_hold((0..number("SIMULATION_SEEDS").unwrap_or(2 * SEEDS)).step_by(2)).await
    })
}

/// The other half of the seeds, for the other core.
#[test]
fn the_promise_holds_in_the_other_half_of_the_seeds() -> Result<()> {
    if number("SIMULATION_SEED").is_some() {
        return Ok(());
    }
    alone(all_hold((1..number("SIMULATION_SEEDS").unwrap_or(2 * SEEDS)).step_by(2)))
}

#[test]
fn a_seed_played_twice_takes_the_same_steps() -> Result<()> {
    alone(async {
        let (one, other) = (Lab::open().await?, Lab::open().await?);
        for seed in [3, 17, 40] {
            let first = play(&one, seed, Defect::None).await?.trace;
            let second = play(&other, seed, Defect::None).await?.trace;
            ensure!(first.lines().count() > 100, "seed {seed} is too short:\n{first}");
            let differs = first.lines().zip(second.lines()).position(|(first, second)| first != second);
            ensure!(first == second, "seed {seed} differs in line {differs:?}:\n{first}\n---\n{second}");
        }
        Ok(())
    })
}

/// A simulation that finds nothing when something is wrong would be worth nothing.
fn is_found(defect: Defect, seen_as: &str) -> Result<()> {
    alone(async {
        let lab = Lab::open().await?;
        for seed in 0..PATIENCE {
            let Played { trace, broken } = play(&lab, seed, defect).await?;
            if let Some(broken) = broken {
                ensure!(broken.contains(seen_as), "seed {seed} finds something else:\n{trace}\n{broken}");
                return Ok(());
            }
        }
        anyhow::bail!("{defect:?} was not found in {PATIENCE} seeds")
    })
}

#[test]
fn a_worker_that_acknowledges_before_it_has_committed_is_found() -> Result<()> {
    is_found(Defect::AckBeforeCommit, "taken and")
}

#[test]
fn an_ingress_that_answers_before_the_broker_has_confirmed_is_found() -> Result<()> {
    is_found(Defect::AnswerBeforeConfirm, "taken and")
}

#[test]
fn a_relay_that_forgets_what_it_has_not_published_is_found() -> Result<()> {
    is_found(Defect::ForgetBeforeRelayed, "taken and")
}
