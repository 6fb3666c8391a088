//! The worker `offer-removal` as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    matchpurse_worker_kit::main(
        matchpurse_contracts::topology::Queue::OfferRemoval,
        matchpurse_offer_removal::plan,
    )
}
