//! The kill harness: the real programs on real servers, under traffic, with faults at moments that follow from a
//! seed, and an auditor who knows only what the outside was told.
//!
//! | part | what it is |
//! | --- | --- |
//! | [`options`] | what `tests/chaos` understands |
//! | [`servers`] | PostgreSQL and RabbitMQ: given ones, or private ones that may be killed |
//! | [`faults`] | the schedule of a round: a pure function of the seed and the round's number |
//! | [`links`] | the connections between services and servers, each of which can be broken |
//! | [`rig`] | all programs on a database and a virtual host of their own |
//! | [`strike`] | how a blow is struck |
//! | [`broker`], [`disk`], [`clock`] | alarms and what somebody deletes; a disk that is full; a clock that jumps |
//! | [`stand_in`] | the studio: takes notices and writes down what it took |
//! | [`round`] | traffic, blows, waiting until everything is through |
//! | [`auditor`] | what must hold afterwards |
//! | [`table`] | the figures, on the screen and in `docs/reliability.md` |
//!
//! It is a test target without the usual harness: `tests/run` runs its short form as the test `kill_matrix_in_short`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy lets tests do so, but takes the functions that they share for something else"
)]

mod auditor;
mod broker;
mod clock;
mod disk;
mod faults;
mod links;
mod options;
mod rig;
mod round;
mod series;
mod servers;
mod stand_in;
mod strike;
#[path = "../it/system/mod.rs"]
#[allow(dead_code, reason = "the system tests use all of it, the harness a part")]
mod system;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use options::Options;

/// The name of the short form, for `tests/run`.
const SHORT: &str = "kill_matrix_in_short";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    // The words of test runners: what is there, and run one of it.
    if has("--list") {
        if !has("--ignored") {
            println!("{SHORT}: test");
        }
        return ExitCode::SUCCESS;
    }
    let options = if has("--exact") || has("--nocapture") || arguments.len() == 1 {
        Options::short()
    } else {
        Options::parse()
    };
    let held = tokio::select! {
        held = series::run(&options) => held,
        // What was being done is dropped, and all processes that were started end.
        ended = interrupted() => ended,
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tests/chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until somebody wants this to end.
async fn interrupted() -> Result<bool> {
    let mut terminations = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminations.recv() => bail!("terminated"),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    bail!("interrupted")
}
