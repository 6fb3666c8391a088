//! The services' own programs, all in this one: called by the name `matchpurse-ingress`, it is the ingress.
//!
//! Ten programs have nearly all of their code in common. The image for containers has it once, as this program, with a
//! link by the name of each other one (`deploy/Dockerfile`).

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use matchpurse_contracts::topology::Queue;
use matchpurse_worker_kit::main as worker;

/// The `main` of the service that this program was called by the name of: the last part of the path is its name.
pub(crate) fn called(path: &OsStr) -> Option<fn() -> ExitCode> {
    let main: fn() -> ExitCode = match Path::new(path).file_name()?.to_str()?.strip_prefix("matchpurse-")? {
        "ingress" => matchpurse_ingress::main,
        "api" => matchpurse_api::main,
        "dispatcher" => matchpurse_dispatcher::main,
        "reconciler" => matchpurse_reconciler::main,
        "match-escrow" => || worker(Queue::MatchEscrow, matchpurse_match_escrow::plan),
        "reward-fulfillment" => || worker(Queue::RewardFulfillment, matchpurse_reward_fulfillment::plan),
        "player-stats" => || worker(Queue::PlayerStats, matchpurse_player_stats::plan),
        "offer-removal" => || worker(Queue::OfferRemoval, matchpurse_offer_removal::plan),
        "event-archive" => || worker(Queue::EventArchive, |_| Ok(matchpurse_event_archive::plan())),
        _ => return None,
    };
    Some(main)
}
