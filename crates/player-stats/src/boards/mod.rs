//! Leaderboards and skill ratings, made beside the worker from what it and the match escrow have put into the feed.
//!
//! One process at a time does it, by an advisory lock of each transaction; another one goes on where it stopped. Every
//! step is small and leaves a state that is right as far as it goes, so nobody is blocked, and whoever is killed has
//! lost a step at most. A wake-up by the database is a hint; polling does without it.

mod build;
mod enter;
mod feed;
mod job;
pub mod metric;
mod rate;
mod rebuild;

use std::collections::BTreeSet;
use std::time::Duration;

use matchpurse_domain::boards::{Basis, Board};
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::boards::{
    BoardId, FeedKind, MatchResult, Pending, StoredBoard, alone_in_tx, bring_boards_in_tx, bring_games_in_tx,
    clear_replaced_in_tx, count_in_tx, fill_in_tx, pending, uncounted_in_tx, wait_alone_in_tx,
};
use matchpurse_store::{Result, Store};
use uuid::Uuid;

pub(crate) use job::run;
pub use rebuild::Compared;

/// Changes with anything that changes a score, so that boards are made anew.
const METHOD: &str = "boards 1";

/// Matches of one step that are older than the feed.
const FILL_MAX: i64 = 1000;

/// Entries of a replaced board that one step clears away.
const CLEAR_MAX: i64 = 5000;

/// What time it is; tests set it.
pub type Clock = fn() -> Timestamp;

/// Makes boards and ratings, step by step.
#[derive(Clone)]
pub struct Boards {
    store: Store,
    clock: Clock,
    ranks_players_min: i64,
    ranks_every: Duration,
}

/// A kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Matches that are older than the feed are put into it.
    Fill,
    /// What is in the feed becomes known to boards and ratings.
    Feed,
    /// A game's ratings go back, or forward.
    Rate,
    /// A board is built.
    Build,
    /// Entries are made anew.
    Enter,
    /// A season's players are counted.
    Count,
    /// What a replaced board has left is cleared away.
    Clear,
}

/// What a turn has done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Something; so there may be more.
    pub(crate) more: bool,
    /// Rows of the feed that it went through.
    pub(crate) fed: usize,
}

impl Step {
    /// All of them, in the order in which one makes work for the next.
    pub const ALL: [Self; 7] =
        [Self::Fill, Self::Feed, Self::Rate, Self::Build, Self::Enter, Self::Count, Self::Clear];

    /// All but [`Step::Feed`].
    pub(crate) const BUT_FEED: [Self; 6] =
        [Self::Fill, Self::Rate, Self::Build, Self::Enter, Self::Count, Self::Clear];

    const fn is_in(self, pending: &Pending) -> bool {
        match self {
            Self::Fill => pending.fill,
            Self::Feed => pending.feed,
            Self::Rate => pending.rate,
            Self::Build => pending.build,
            Self::Enter => pending.enter,
            Self::Count => pending.count,
            Self::Clear => pending.clear,
        }
    }
}

impl Boards {
    /// For the boards in the database; see [`Boards::bring`].
    pub fn new(store: Store, settings: &Settings, clock: Clock) -> Self {
        let workers = &settings.workers;
        Self {
            store,
            clock,
            ranks_players_min: i64::try_from(workers.ranks_players_min).unwrap_or(i64::MAX),
            ranks_every: Duration::from_millis(workers.ranks_every_ms),
        }
    }

    /// Brings the configuration's games and boards into the database. Of several processes with different ones the last
    /// to start decides; all of them work by what is in the database.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn bring(&self, settings: &Settings) -> Result<()> {
        let now = (self.clock)();
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        wait_alone_in_tx(&tx).await?;
        bring_games_in_tx(&tx, &settings.games(), matchpurse_skill::VERSION, now).await?;
        let method = format!("{METHOD}, {}", matchpurse_skill::VERSION);
        bring_boards_in_tx(&tx, settings.leaderboards.values(), &method, now).await?;
        tx.commit().await
    }

    /// One step of everything that there is to do. False when there is nothing left, or another process does it.
    ///
    /// # Errors
    /// When the database is away; what was done is done.
    pub async fn turn(&self) -> Result<bool> {
        Ok(self.turn_of(&Step::ALL).await?.more)
    }

    /// One step of each of these that there is something to do of.
    pub(crate) async fn turn_of(&self, steps: &[Step]) -> Result<Turn> {
        let pending = pending(&self.store.client().await?, self.counted_before()).await?;
        let mut turn = Turn::default();
        for step in steps.iter().filter(|step| step.is_in(&pending)) {
            let rows = self.advance(*step).await?;
            turn.more |= rows > 0;
            if *step == Step::Feed {
                turn.fed = rows;
            }
        }
        Ok(turn)
    }

    /// Turns until there is nothing left.
    ///
    /// # Errors
    /// As [`Boards::turn`].
    pub async fn settle(&self) -> Result<()> {
        while self.turn().await? {}
        Ok(())
    }

    /// One step, which is one transaction. False when there was nothing to do, or another process is at it.
    ///
    /// # Errors
    /// When the database is away; then nothing was done, or all of it.
    pub async fn step(&self, step: Step) -> Result<bool> {
        Ok(self.advance(step).await? > 0)
    }

    /// How many rows of the feed it went through; of the other kinds 1 for something and 0 for nothing.
    async fn advance(&self, step: Step) -> Result<usize> {
        let now = (self.clock)();
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        if !alone_in_tx(&tx).await? {
            return Ok(0);
        }
        let rows = match step {
            Step::Fill => fill_in_tx(&tx, FILL_MAX).await?.into(),
            Step::Feed => feed::consume(&tx, now).await?,
            Step::Rate => rate::rate(&tx, now).await?.into(),
            Step::Build => build::build(&tx, now).await?.into(),
            Step::Enter => enter::enter(&tx, now).await?.into(),
            Step::Count => match uncounted_in_tx(&tx, self.counted_before()).await? {
                Some((board, season)) => {
                    count_in_tx(&tx, board, &season, self.ranks_players_min, now).await?;
                    1
                }
                None => 0,
            },
            Step::Clear => clear_replaced_in_tx(&tx, CLEAR_MAX).await?.into(),
        };
        tx.commit().await?;
        Ok(rows)
    }

    fn counted_before(&self) -> Timestamp {
        let every = i64::try_from(self.ranks_every.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros((self.clock)().micros().saturating_sub(every))
    }
}

/// The entries that a match touches.
fn touched<'b>(
    todo: &mut BTreeSet<(BoardId, String, Uuid)>,
    result: &MatchResult,
    boards: impl IntoIterator<Item = &'b StoredBoard>,
) {
    for stored in boards.into_iter().filter(|stored| concerns(&stored.board, result)) {
        let season = stored.board.season.at(result.position.at).name;
        todo.extend(result.players.iter().map(|player| (stored.id, season.clone(), *player)));
    }
}

/// Whether a match counts for a board.
fn concerns(board: &Board, result: &MatchResult) -> bool {
    let of_kind = match board.metric.basis() {
        Basis::Statistics => result.kind == FeedKind::Stats,
        Basis::Settlements => result.kind == FeedKind::Match,
        Basis::Skill => result.standings.is_some(),
    };
    of_kind && board.sources.as_ref().is_none_or(|sources| sources.contains(&result.source))
}

/// Whether a board goes by the ratings of this game.
fn is_skill_of(stored: &StoredBoard, game: &str) -> bool {
    stored.board.metric.basis() == Basis::Skill && stored.board.game.as_deref() == Some(game)
}
