use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::time::Timestamp;
use matchpurse_store::boards::{
    Fed, FeedKind, MatchResult, Position, RatingGame, eat_in_tx, fed_in_tx, games_in_tx, keep_in_tx,
    known_in_tx, live_boards_in_tx, save_game_in_tx, stored_in_tx, todo_in_tx, todo_of_players_in_tx,
};
use matchpurse_store::{Result, Tx};
use metrics::counter;
use uuid::Uuid;

use super::{metric, touched};

/// Rows of the feed that one step consumes.
pub(super) const FEED_MAX: u16 = 200;

/// Makes known what is in the feed: whose entries must be made anew, and from where on games must be rated anew. What
/// a match was before counts as well as what it is now: it may have got another time, or lost a player. How many rows
/// that were.
pub(super) async fn consume(tx: &Tx<'_>, now: Timestamp) -> Result<usize> {
    let fed = fed_in_tx(tx, FEED_MAX.into()).await?;
    if fed.is_empty() {
        return Ok(0);
    }
    let boards = live_boards_in_tx(tx).await?;
    let mut games = games_in_tx(tx).await?;
    let all: Vec<Uuid> = keys(&fed, FeedKind::Stats).chain(keys(&fed, FeedKind::Match)).collect();
    let known = known_in_tx(tx, &all).await?;
    let mut stored: BTreeMap<Uuid, MatchResult> = BTreeMap::new();
    for kind in [FeedKind::Stats, FeedKind::Match] {
        stored.extend(stored_in_tx(tx, kind, &keys(&fed, kind).collect::<Vec<_>>()).await?);
    }
    let mut todo = BTreeSet::new();
    let (mut keep, mut gone) = (Vec::new(), BTreeSet::new());
    for key in all.into_iter().collect::<BTreeSet<_>>() {
        let (before, after) = (known.get(&key), stored.get(&key));
        for result in before.into_iter().chain(after) {
            touched(&mut todo, result, &boards);
        }
        if before == after {
            continue;
        }
        match after {
            Some(after) => keep.push(after),
            None => _ = gone.insert(key),
        }
        for game in &mut games {
            redo_from(game, before, after, now);
        }
    }
    keep_in_tx(tx, &keep, &gone).await?;
    for game in games.iter().filter(|game| game.redo.is_some()) {
        save_game_in_tx(tx, game).await?;
    }
    todo_in_tx(tx, &todo).await?;
    todo_of_players_in_tx(tx, &keys(&fed, FeedKind::Player).collect::<Vec<_>>()).await?;
    eat_in_tx(tx, &fed).await?;
    counter!(metric::RESULTS).increment(u64::try_from(fed.len()).unwrap_or_default());
    Ok(fed.len())
}

fn keys(fed: &[Fed], kind: FeedKind) -> impl Iterator<Item = Uuid> {
    fed.iter().filter(move |fed| fed.kind == kind).map(|fed| fed.key)
}

/// Notes from where on a game must be rated anew, because a match came to be, changed, or is none any more.
fn redo_from(
    game: &mut RatingGame,
    before: Option<&MatchResult>,
    after: Option<&MatchResult>,
    now: Timestamp,
) {
    let in_game = |result: &&MatchResult| result.standings.is_some() && game.sources.contains(&result.source);
    let (before, after) = (before.filter(in_game), after.filter(in_game));
    if before == after {
        return;
    }
    // What comes after the last match that is rated has its turn anyway.
    let places = before.into_iter().chain(after).map(|result| result.position);
    let first: Option<Position> = places.filter(|place| *place <= game.rated).chain(game.redo).min();
    if let Some(first) = first {
        game.redo = Some(first);
        game.recomputing_since = game.recomputing_since.or(Some(now));
    }
}
