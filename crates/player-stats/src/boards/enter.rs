use std::collections::BTreeMap;

use matchpurse_domain::boards::{Basis, Board, Unlisted};
use matchpurse_domain::time::Timestamp;
use matchpurse_skill::Rating;
use matchpurse_store::boards::{
    NewEntry, Sum, Tally, barred_in_tx, games_in_tx, live_boards_in_tx, take_todo_in_tx, tally_in_tx,
    write_in_tx,
};
use matchpurse_store::{Result, Tx};
use uuid::Uuid;

/// Entries that one step makes anew.
const ENTER_MAX: i64 = 500;

/// Makes entries anew, of the first board that has any to be made. A board of skill waits until its game is rated to
/// the end: nobody needs to see the ratings go back and forth.
pub(super) async fn enter(tx: &Tx<'_>, now: Timestamp) -> Result<bool> {
    let games = games_in_tx(tx).await?;
    let moving = |game: &str| {
        games.iter().any(|g| g.game == game && (g.redo.is_some() || g.recomputing_since.is_some()))
    };
    for stored in live_boards_in_tx(tx).await? {
        let board = &stored.board;
        if board.metric.basis() == Basis::Skill && board.game.as_deref().is_some_and(moving) {
            continue;
        }
        let seats = take_todo_in_tx(tx, stored.id, ENTER_MAX).await?;
        if seats.is_empty() {
            continue;
        }
        let tallies = tally_in_tx(tx, board, &seats).await?;
        let players: Vec<Uuid> = tallies.keys().map(|(_, player)| *player).collect();
        let barred = barred_in_tx(tx, board, &players).await?;
        let entries: BTreeMap<_, _> = seats
            .into_iter()
            .map(|seat| {
                let entry =
                    tallies.get(&seat).and_then(|tally| entry(board, tally, barred.get(&seat.1).copied()));
                (seat, entry)
            })
            .collect();
        write_in_tx(tx, &stored, &entries, now).await?;
        return Ok(true);
    }
    Ok(false)
}

/// The entry that these matches come to; none where there is nothing to divide by.
fn entry(board: &Board, tally: &Tally, barred: Option<Unlisted>) -> Option<NewEntry> {
    let score = match tally.sum {
        Sum::Totals(totals) => board.metric.of_totals(&totals)?,
        Sum::Whole(score) => score,
        Sum::Rating(mean, uncertainty) => milli(Rating { mean, uncertainty }.skill()),
    };
    let too_few = tally.matches < i64::from(board.min_matches);
    let unlisted = barred.or(too_few.then_some(Unlisted::TooFewMatches));
    Some(NewEntry { score, reached_at: tally.reached_at, matches: tally.matches, unlisted })
}

/// Millionths as thousandths, to the nearest; halves go up.
const fn milli(millionths: i64) -> i64 {
    millionths.saturating_add(500).div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::milli;

    #[test]
    fn millionths_are_rounded_to_the_nearest_thousandth() {
        for (millionths, expected) in [(0, 0), (499, 0), (500, 1), (-500, 0), (-501, -1), (1_234_567, 1235)] {
            assert_eq!(milli(millionths), expected);
        }
    }
}
