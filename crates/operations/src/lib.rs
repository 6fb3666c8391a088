//! What people and the clock do to the ledger, to rewards and to their way to the studio, beside the providers' events.
//!
//! | what | who | recorded as |
//! | --- | --- | --- |
//! | [`funds`]: deposits and withdrawals, where the studio holds the stakes | the studio's back-end | `operation` |
//! | [`corrections`]: an end that a person sets, with the agreement of a second one if that is configured | an operator | `correction`, then `operation` |
//! | [`results`]: how a match went that its provider does not decide | the studio's back-end | `operation` |
//! | [`match_links`]: which match on a game server decides a match, and its result | the studio's back-end, the clock | `operation` |
//! | [`deadlines`]: a match that held money for too long | the clock | `operation` |
//! | [`links`]: which ids are one player's | the studio's back-end, an operator | `operation` |
//! | [`stats`]: which numbers of a match's statistics stand | an operator | `operation` |
//! | [`rewards`]: grants that are released from review, taken back, or told again | an operator | `operation` |
//! | [`endpoints`], [`deliveries`]: where notices go, and which are sent again | an operator | `dispatch_operation` |
//! | [`parked`]: deliveries that could not be applied are replayed or discarded | an operator | `parked` |
//! | [`replay`]: archived events are applied once more | an operator | `replay` |
//! | [`anomalies`]: what contradicts itself is left as it is | an operator | `anomaly` |
//! | [`erasures`]: a player's personal data is taken out of everything | an operator | `erasure` |
//!
//! Each is one transaction: what was done, by whom and why, is written with its transfers, and they name it as
//! their cause. Each has an idempotency key, so that it can be asked for again after a lost answer. What is decided
//! about a match is decided in `matchpurse_domain::escrow`, as for an event. [`rebuild`] does them once more.

pub mod anomalies;
pub mod corrections;
pub mod deadlines;
pub mod deliveries;
mod end;
pub mod endpoints;
pub mod erasures;
mod error;
pub mod funds;
pub mod links;
pub mod match_links;
pub mod parked;
pub mod rebuild;
pub mod replay;
pub mod results;
pub mod rewards;
pub mod stats;

pub use end::{End, Figure};
pub use error::{Error, Result};

use matchpurse_domain::escrow::Outcome;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::anomalies::open_in_tx;
use matchpurse_store::escrow::{LoadedMatch, MatchChange, save_in_tx, tell};
use matchpurse_store::{Tx, outbox};

/// Writes what became of a match, with what the studio is told.
async fn write_in_tx(
    tx: &Tx<'_>,
    loaded: LoadedMatch,
    outcome: Outcome,
    cause: EventId,
    now: Timestamp,
) -> Result<()> {
    let mut notices: Vec<_> = tell::notices(&outcome, now).collect();
    let found: Vec<_> = tell::anomalies(&outcome, cause).collect();
    let ended_at = loaded.ended_at.or(outcome.state.settlement.map(|_| now));
    let change = MatchChange {
        match_no: loaded.match_no,
        before: loaded.state,
        state: outcome.state,
        transfers: outcome.transfers.into_iter().map(|transfer| (transfer, cause, now)).collect(),
        last_event: cause,
        at: now,
        ended_at,
        ended_before: loaded.ended_at,
    };
    save_in_tx(tx, &[change]).await?;
    let opened = open_in_tx(tx, &found).await?;
    notices.extend(opened.into_iter().map(|anomaly| anomaly.notice_of(now)));
    Ok(outbox::append_in_tx(tx, &notices).await?)
}
