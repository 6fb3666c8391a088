use std::collections::BTreeSet;

use matchpurse_domain::time::Timestamp;
use matchpurse_store::boards::{
    BoardState, built_to_in_tx, live_boards_in_tx, open_board_in_tx, results_by_key_in_tx, todo_in_tx,
};
use matchpurse_store::{Result, Tx};
use uuid::Uuid;

use super::touched;

/// Matches that one step goes through for a new board.
const BUILD_MAX: i64 = 500;

/// Goes on with the first board that is being built: through all matches by their keys, so that what comes meanwhile,
/// and is told to it as to every board, need not be looked for. When everything is entered, it is opened.
pub(super) async fn build(tx: &Tx<'_>, now: Timestamp) -> Result<bool> {
    let boards = live_boards_in_tx(tx).await?;
    let mut moved = false;
    for stored in boards.iter().filter(|stored| stored.state == BoardState::Building) {
        let to = stored.built_to.unwrap_or_default();
        if to == Uuid::max() {
            if open_board_in_tx(tx, stored, now).await? {
                tracing::info!(board = %stored.board.name, "a leaderboard is built");
                moved = true;
            }
            continue;
        }
        let results = results_by_key_in_tx(tx, to, BUILD_MAX).await?;
        let mut todo = BTreeSet::new();
        for result in &results {
            touched(&mut todo, result, [stored]);
        }
        todo_in_tx(tx, &todo).await?;
        let last = results.last().map_or_else(Uuid::max, |result| result.position.key);
        built_to_in_tx(tx, stored.id, last).await?;
        return Ok(true);
    }
    Ok(moved)
}
