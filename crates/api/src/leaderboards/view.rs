//! Boards and entries as they are shown.

use matchpurse_domain::boards::{Season, Unlisted};
use matchpurse_domain::money::format_major;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::boards::{BoardState, EntryLine, SeasonLine, ShownBoard};
use serde::Serialize;
use utoipa::ToSchema;

use crate::moment::Moment;
use crate::wire::Amount;

/// A board's definition, and where it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Leaderboard)]
pub(crate) struct BoardView {
    name: String,
    metric: &'static str,
    /// `desc`: the greatest score is the first.
    direction: &'static str,
    /// `all`, `year`, `quarter`, `month` or `week`.
    season: &'static str,
    /// None where it is no game's.
    game: Option<String>,
    /// Whose matches count; none stands for all.
    sources: Option<Vec<String>>,
    /// Of amounts only; scores are its minor units.
    currency: Option<String>,
    min_matches: u32,
    exclude_banned: bool,
    /// True while another definition is being made, or this one for the first time: then not everybody is on it.
    building: bool,
    complete: bool,
    /// Since when the skill ratings that it goes by are being made anew; it shows the ones before until they are.
    recomputing_since: Option<Moment>,
    /// When it left the configuration: it gets nothing more.
    removed_at: Option<Moment>,
    current_season: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seasons: Option<Vec<SeasonCount>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LeaderboardSeasonCount)]
pub(crate) struct SeasonCount {
    name: String,
    /// How many were listed when they were last counted.
    players: i64,
    counted_at: Option<Moment>,
}

/// A season with its limits.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaderboardSeason)]
pub(crate) struct SeasonView {
    name: String,
    /// None of the season that has no limits.
    since: Option<Moment>,
    /// The first moment after it.
    until: Option<Moment>,
}

/// A player on a board.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaderboardEntry)]
pub(crate) struct Entry {
    /// From 1; none of who is not listed.
    rank: Option<i64>,
    source: String,
    player_id: String,
    /// A decimal number; of an amount the minor units.
    score: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    matches: i64,
    /// When the last match ended that changed the score; of equal scores the earlier one is better.
    reached_at: Moment,
    /// `excluded`, `banned` or `too_few_matches`.
    #[serde(skip_serializing_if = "Option::is_none")]
    unlisted: Option<&'static str>,
}

/// How a rank was found.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaderboardRank)]
pub(crate) struct Rank {
    /// None of who is not listed.
    pub(crate) rank: Option<i64>,
    /// Among how many, as they were last counted; only beside an exact rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<i64>,
    /// `exact`: counted for this answer. `kept`: by the ranks of a moment ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Moment>,
}

/// A page of a board.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaderboardTop)]
pub(crate) struct Top {
    pub(crate) board: BoardView,
    pub(crate) season: SeasonView,
    pub(crate) items: Vec<Entry>,
    pub(crate) next: Option<String>,
}

/// A player's rank.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaderboardRanked)]
pub(crate) struct Ranked {
    pub(crate) board: BoardView,
    pub(crate) season: SeasonView,
    pub(crate) rank: Rank,
    pub(crate) entry: Entry,
}

/// The players around one.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaderboardAround)]
pub(crate) struct Around {
    board: BoardView,
    season: SeasonView,
    rank: Rank,
    /// In the board's order; the player is among them. None of who is not listed.
    items: Vec<Entry>,
}

/// What [`Around`] is made of; the nearest first.
pub(crate) struct Neighbours {
    pub(crate) rank: Rank,
    pub(crate) above: Vec<EntryLine>,
    pub(crate) below: Vec<EntryLine>,
}

impl BoardView {
    pub(crate) fn of(shown: &ShownBoard, now: Timestamp) -> Self {
        let board = &shown.stored.board;
        let sources = board.sources.as_ref();
        Self {
            name: board.name.as_str().to_owned(),
            metric: board.metric.as_str(),
            direction: board.direction.as_str(),
            season: board.season.as_str(),
            game: board.game.clone(),
            sources: sources.map(|all| all.iter().map(|source| source.as_str().to_owned()).collect()),
            currency: board.currency.as_ref().map(|currency| currency.as_str().to_owned()),
            min_matches: board.min_matches,
            exclude_banned: board.exclude_banned,
            building: shown.building,
            complete: shown.stored.state != BoardState::Building,
            recomputing_since: shown.recomputing_since.map(Moment),
            removed_at: shown.stored.removed_at.map(Moment),
            current_season: board.season.at(now).name,
            seasons: None,
        }
    }

    pub(crate) fn with_seasons(self, lines: Vec<SeasonLine>) -> Self {
        let count = |line: SeasonLine| SeasonCount {
            name: line.name,
            players: line.players,
            counted_at: line.counted_at.map(Moment),
        };
        Self { seasons: Some(lines.into_iter().map(count).collect()), ..self }
    }
}

impl SeasonView {
    pub(crate) fn of(season: Season) -> Self {
        let limited = season.since.micros() != i64::MIN;
        let limit = |at: Timestamp| limited.then_some(Moment(at));
        Self { name: season.name, since: limit(season.since), until: limit(season.until) }
    }
}

impl Entry {
    pub(crate) fn of(shown: &ShownBoard, line: &EntryLine, rank: Option<i64>) -> Self {
        let board = &shown.stored.board;
        Self {
            rank,
            source: line.source.as_str().to_owned(),
            player_id: line.player_id.as_str().to_owned(),
            score: format_major(line.score, board.metric.places()),
            amount: board.currency.as_ref().map(|currency| Amount::of(line.score, currency)),
            matches: line.matches,
            reached_at: line.place.reached_at.into(),
            unlisted: line.unlisted.map(Unlisted::as_str),
        }
    }
}

impl Rank {
    pub(crate) fn counted((rank, of): (i64, i64), now: Timestamp) -> Self {
        Self { rank: Some(rank), of: Some(of), how: Some("exact"), as_of: Some(Moment(now)) }
    }

    pub(crate) fn kept(rank: i64, as_of: Timestamp) -> Self {
        Self { rank: Some(rank), of: None, how: Some("kept"), as_of: Some(Moment(as_of)) }
    }

    pub(crate) const fn none() -> Self {
        Self { rank: None, of: None, how: None, as_of: None }
    }
}

impl Around {
    pub(crate) fn of(shown: &ShownBoard, season: Season, own: &EntryLine, neighbours: Neighbours) -> Self {
        let Neighbours { rank, above, below } = neighbours;
        let own_rank = rank.rank;
        let at = |offset: i64| own_rank.map(|rank| rank.saturating_add(offset));
        let better =
            (1..).zip(&above).map(|(n, line): (i64, _)| Entry::of(shown, line, at(n.saturating_neg())));
        let mut items: Vec<Entry> = better.collect();
        items.reverse();
        if own_rank.is_some() {
            items.push(Entry::of(shown, own, own_rank));
        }
        items.extend((1..).zip(&below).map(|(n, line)| Entry::of(shown, line, at(n))));
        Self {
            board: BoardView::of(shown, matchpurse_store::now()),
            season: SeasonView::of(season),
            rank,
            items,
        }
    }
}
