use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::time::Timestamp;
use matchpurse_skill::{Rating, Side};
use matchpurse_store::boards::{
    BoardId, MatchResult, Position, Rated, RatingGame, RatingStep, StoredBoard, forget_game_in_tx,
    forget_ratings_in_tx, games_in_tx, live_boards_in_tx, ratings_in_tx, results_after_in_tx,
    save_game_in_tx, step_in_tx, take_back_in_tx, todo_in_tx,
};
use matchpurse_store::{Result, Tx};
use metrics::counter;
use uuid::Uuid;

use super::{is_skill_of, metric};

/// Matches that one step rates.
const RATE_MAX: i64 = 300;

/// Ratings that one step takes back, about.
const TAKE_BACK_MAX: i64 = 5000;

/// One step of every game that is not rated to its end: back, where it must be rated anew, else forward.
pub(super) async fn rate(tx: &Tx<'_>, now: Timestamp) -> Result<bool> {
    let boards = live_boards_in_tx(tx).await?;
    let mut more = false;
    for game in games_in_tx(tx).await? {
        more |= match game.redo {
            Some(_) => back(tx, game, &boards).await?,
            None if game.sources.is_empty() => {
                forget_game_in_tx(tx, &game.game).await?;
                true
            }
            None => forward(tx, game, &boards, now).await?,
        };
    }
    Ok(more)
}

/// Takes back the last matches.
async fn back(tx: &Tx<'_>, mut game: RatingGame, boards: &[StoredBoard]) -> Result<bool> {
    let Some(redo) = game.redo else { return Ok(false) };
    let (gone, place) = take_back_in_tx(tx, &game.game, redo, TAKE_BACK_MAX).await?;
    counter!(metric::TAKEN_BACK, "game" => game.game.clone())
        .increment(u64::try_from(gone.len()).unwrap_or_default());
    match place {
        Some(place) => game.rated = game.rated.min(place),
        None => {
            if redo == Position::FIRST {
                forget_ratings_in_tx(tx, &game.game).await?;
            }
            game.rated = game.rated.min(redo.before());
            game.redo = None;
        }
    }
    // Who does not play again in the season would otherwise keep what is not true any more.
    todo_in_tx(tx, &touched(&game.game, gone.into_iter(), boards)).await?;
    save_game_in_tx(tx, &game).await?;
    Ok(true)
}

/// Rates the next matches.
async fn forward(tx: &Tx<'_>, mut game: RatingGame, boards: &[StoredBoard], now: Timestamp) -> Result<bool> {
    let results = results_after_in_tx(tx, &game.sources, game.rated, RATE_MAX).await?;
    let Some(last) = results.last() else {
        let Some(since) = game.recomputing_since.take() else { return Ok(false) };
        let seconds = now.seconds().saturating_sub(since.seconds());
        tracing::debug!(game = game.game, seconds, "all matches of the game are rated");
        save_game_in_tx(tx, &game).await?;
        return Ok(true);
    };
    game.rated = last.position;
    let players: BTreeSet<Uuid> = results.iter().flat_map(|result| result.players.iter().copied()).collect();
    let players: Vec<Uuid> = players.into_iter().collect();
    let mut ratings = ratings_in_tx(tx, &game.game, &players).await?;
    let steps: Vec<RatingStep> =
        results.iter().flat_map(|result| rated(result, &mut ratings).unwrap_or_default()).collect();
    step_in_tx(tx, &game.game, &steps).await?;
    let moved = steps.iter().map(|step| (step.position.at, step.player));
    todo_in_tx(tx, &touched(&game.game, moved, boards)).await?;
    save_game_in_tx(tx, &game).await?;
    counter!(metric::RATED, "game" => game.game.clone())
        .increment(u64::try_from(results.len()).unwrap_or_default());
    Ok(true)
}

/// The entries of boards of skill that go by these players' ratings at these times.
fn touched(
    game: &str,
    moved: impl Iterator<Item = (Timestamp, Uuid)>,
    boards: &[StoredBoard],
) -> BTreeSet<(BoardId, String, Uuid)> {
    let boards: Vec<&StoredBoard> = boards.iter().filter(|stored| is_skill_of(stored, game)).collect();
    moved
        .flat_map(|(at, player)| {
            boards.iter().map(move |stored| (stored.id, stored.board.season.at(at).name, player))
        })
        .collect()
}

/// What a match does to the ratings of its players, which become those after it; who has none is new. None when the
/// match is beyond what can be rated, or does not say who is better.
pub(super) fn rated(result: &MatchResult, ratings: &mut BTreeMap<Uuid, Rated>) -> Option<Vec<RatingStep>> {
    let mut sides: BTreeMap<i16, (u16, Vec<Uuid>)> = BTreeMap::new();
    for (player, standing) in result.players.iter().zip(result.standings.iter().flatten()) {
        let place = u16::try_from(standing.place).ok()?;
        sides.entry(standing.side).or_insert((place, Vec::new())).1.push(*player);
    }
    let before = |player: &Uuid| ratings.get(player).copied().unwrap_or(NEW);
    let given: Vec<Side> = sides
        .values()
        .map(|(rank, players)| {
            let rating = |player| {
                let Rated { mean, uncertainty, .. } = before(player);
                Rating { mean, uncertainty }
            };
            Side { rank: *rank, players: players.iter().map(rating).collect() }
        })
        .collect();
    let after = matchpurse_skill::rate(&given)?;
    let mut steps = Vec::with_capacity(result.players.len());
    for ((_, players), after) in sides.values().zip(after) {
        for (player, Rating { mean, uncertainty }) in players.iter().zip(after) {
            let Rated { mean: mean_before, uncertainty: uncertainty_before, matches } = before(player);
            steps.push(RatingStep {
                position: result.position,
                player: *player,
                before: (mean_before, uncertainty_before),
                after: Rated { mean, uncertainty, matches: matches.saturating_add(1) },
            });
        }
    }
    steps.sort_unstable_by_key(|step| step.player);
    ratings.extend(steps.iter().map(|step| (step.player, step.after)));
    Some(steps)
}

/// Of who has not been rated.
const NEW: Rated = Rated { mean: Rating::NEW.mean, uncertainty: Rating::NEW.uncertainty, matches: 0 };
