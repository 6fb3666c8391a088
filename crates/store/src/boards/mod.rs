//! Leaderboards and skill ratings.
//!
//! Workers only put the key of a match that counts, or counts differently, into the [feed](feed_in_tx), in the
//! transaction that makes it so. Everything else is done by one job at a time, step by step, each step a transaction
//! under [`alone_in_tx`]:
//!
//! | step | what it does |
//! | --- | --- |
//! | [`fill_in_tx`] | once: matches that are older than the feed are put into it |
//! | [`fed_in_tx`], [`stored_in_tx`], [`keep_in_tx`] | results are read from the matches as they are now; whose entries they touch goes onto the list of what to do ([`todo_in_tx`]), from where on a game must be rated anew is noted |
//! | [`take_back_in_tx`], [`step_in_tx`] | a game's ratings go back to that place, and forward again from there |
//! | [`take_todo_in_tx`], [`tally_in_tx`], [`write_in_tx`] | entries are made anew from all matches of their player and season |
//! | [`results_by_key_in_tx`], [`open_board_in_tx`], [`clear_replaced_in_tx`] | a board with a new definition is built beside the old one, and takes its place |
//! | [`uncounted_in_tx`], [`count_in_tx`] | players of seasons are counted, and ranks kept |
//!
//! Nothing here depends on the order in which matches came, and nothing is lost by whoever is killed between two steps.

mod definitions;
mod entries;
mod exclusions;
mod feed;
mod pending;
mod ranks;
mod ratings;
mod read;
mod results;
mod verify;

use crate::{Result, Tx};

pub use definitions::{
    BoardId, BoardState, StoredBoard, bring_boards_in_tx, built_to_in_tx, clear_replaced_in_tx,
    live_boards_in_tx, open_board_in_tx, results_by_key_in_tx,
};
pub use entries::{
    NewEntry, Seat, Sum, Tally, barred_in_tx, take_todo_in_tx, tally_in_tx, todo_in_tx,
    todo_of_players_in_tx, write_in_tx,
};
pub use exclusions::{
    Decision, ExclusionLine, ExclusionPlace, exclude_in_tx, exclusions, is_known, readmit_in_tx,
};
pub use feed::{
    Fed, FeedKind, RESULTS_CHANNEL, Waiting, eat_in_tx, fed_in_tx, feed_in_tx, fill_in_tx, listen, waiting,
};
pub use pending::{Pending, pending};
pub use ranks::{count_in_tx, uncounted_in_tx};
pub use ratings::{
    Rated, RatingGame, RatingStep, TakenBack, bring_games_in_tx, forget_game_in_tx, forget_ratings_in_tx,
    games_in_tx, ratings_in_tx, results_after_in_tx, save_game_in_tx, step_in_tx, take_back_in_tx,
};
pub use read::{
    EntryLine, Place, RatingLine, SeasonLine, ShownBoard, StepLine, Towards, boards, entry, exact_rank,
    find_board, kept_rank, listed, ratings_of, seasons,
};
pub use results::{MatchResult, Position, keep_in_tx, known_in_tx, stored_in_tx};
pub use verify::{Chunk, GameSnapshot, game_snapshot, redo_in_tx};

/// The advisory lock of whoever makes boards and ratings: the letters `mpboards`.
const LOCK: i64 = 0x6d70_626f_6172_6473;

/// Whether this transaction is the only one that makes boards and ratings; if not, it must do nothing.
///
/// # Errors
/// [`crate::Error`].
pub async fn alone_in_tx(tx: &Tx<'_>) -> Result<bool> {
    Ok(tx.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?.try_get(0)?)
}

/// The same, waiting until it is so.
///
/// # Errors
/// [`crate::Error`].
pub async fn wait_alone_in_tx(tx: &Tx<'_>) -> Result<()> {
    tx.query_one("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    Ok(())
}
