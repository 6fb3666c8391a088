//! The worker `player-stats` as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    matchpurse_worker_kit::main(
        matchpurse_contracts::topology::Queue::PlayerStats,
        matchpurse_player_stats::plan,
    )
}
