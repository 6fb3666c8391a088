//! The worker `match-escrow` as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    matchpurse_worker_kit::main(
        matchpurse_contracts::topology::Queue::MatchEscrow,
        matchpurse_match_escrow::plan,
    )
}
