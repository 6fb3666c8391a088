//! The match escrow as a process of its own.

use std::process::ExitCode;

use matchpurse_contracts::topology::Queue;
use matchpurse_match_escrow::plan;

fn main() -> ExitCode {
    matchpurse_worker_kit::main(Queue::MatchEscrow, |settings| Ok(plan(settings)))
}
