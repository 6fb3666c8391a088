//! The worker `event-archive`.

use std::process::ExitCode;

use matchpurse_contracts::topology::Queue;

fn main() -> ExitCode {
    matchpurse_worker_kit::main(Queue::EventArchive, |_| Ok(matchpurse_event_archive::plan()))
}
