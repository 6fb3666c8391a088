//! The worker `reward-fulfillment` as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    matchpurse_worker_kit::main(
        matchpurse_contracts::topology::Queue::RewardFulfillment,
        matchpurse_reward_fulfillment::plan,
    )
}
