//! Whether a game's ratings are what its matches say, and if not, making them so.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::ids::SourceName;
use matchpurse_store::boards::{FeedKind, Position, RatingStep, game_snapshot, redo_in_tx, wait_alone_in_tx};
use matchpurse_store::{Result, Store};
use uuid::Uuid;

use super::{Boards, rate::rated};

/// How often it is tried to find a moment at which nothing is on its way.
const ATTEMPTS: u32 = 20;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// Matches that count, by their own tables.
    pub matches: u64,
    /// Of them those that say who is better, and were rated.
    pub rated: u64,
    /// Players with a rating.
    pub players: u64,
    /// Steps and ratings that are stored otherwise than the matches say, missing, or too many.
    pub different: u64,
    /// The first match in the order whose steps differ.
    pub first: Option<Position>,
    /// Matches that boards and ratings know otherwise than they are stored.
    pub outdated: Vec<(FeedKind, Uuid)>,
}

impl Compared {
    /// True when everything is as the matches say.
    pub fn is_right(&self) -> bool {
        self.different == 0 && self.outdated.is_empty()
    }
}

impl Boards {
    /// Rates all matches of a game anew, in memory and from the matches' own tables, and compares that with what is
    /// stored. None when matches came all the time, so that there was no moment to compare at.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn compare(&self, game: &str, sources: &BTreeSet<SourceName>) -> Result<Option<Compared>> {
        for _ in 0..ATTEMPTS {
            self.settle().await?;
            if let Some(compared) = compare(&self.store, game, sources).await? {
                return Ok(Some(compared));
            }
            // Another process may be the one who settles it.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(None)
    }

    /// Has made anew what was found to differ, and waits for it.
    ///
    /// # Errors
    /// When the database is away; what was done is done, and the rest follows.
    pub async fn repair(&self, game: &str, compared: &Compared) -> Result<()> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        wait_alone_in_tx(&tx).await?;
        // From the beginning: what a step took from the one before it is not to be trusted where one is wrong.
        let from = (compared.different > 0).then_some(Position::FIRST);
        redo_in_tx(&tx, game, from, &compared.outdated, (self.clock)()).await?;
        tx.commit().await?;
        drop(client);
        self.settle().await
    }
}

async fn compare(store: &Store, game: &str, sources: &BTreeSet<SourceName>) -> Result<Option<Compared>> {
    let mut client = store.client().await?;
    let Some(mut snapshot) = game_snapshot(&mut client, game, sources).await? else { return Ok(None) };
    let mut compared = Compared::default();
    let mut ratings = BTreeMap::new();
    while let Some(chunk) = snapshot.next().await? {
        let mut expected: Vec<RatingStep> = Vec::new();
        for result in &chunk.results {
            compared.matches += 1;
            if let Some(steps) = rated(result, &mut ratings) {
                compared.rated += 1;
                expected.extend(steps);
            }
        }
        let (expected, stored) = (by_key(expected), by_key(chunk.steps));
        let all: BTreeSet<_> = expected.keys().chain(stored.keys()).collect();
        for key in all.into_iter().filter(|key| expected.get(key) != stored.get(key)) {
            compared.different += 1;
            compared.first = compared.first.or(Some(key.0));
        }
        compared.outdated.extend(chunk.outdated);
    }
    compared.outdated.extend(snapshot.strays(sources).await?);
    compared.players = u64::try_from(ratings.len()).unwrap_or_default();
    let stored = snapshot.ratings().await?;
    let all: BTreeSet<_> = ratings.keys().chain(stored.keys()).collect();
    let wrong = all.into_iter().filter(|player| ratings.get(player) != stored.get(player)).count();
    compared.different += u64::try_from(wrong).unwrap_or_default();
    Ok(Some(compared))
}

fn by_key(steps: Vec<RatingStep>) -> BTreeMap<(Position, Uuid), RatingStep> {
    steps.into_iter().map(|step| ((step.position, step.player), step)).collect()
}
