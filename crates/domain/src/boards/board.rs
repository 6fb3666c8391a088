use std::collections::BTreeSet;
use std::fmt;

use crate::boards::SeasonKind;
use crate::event::COUNTER_NAMES;
use crate::ids::SourceName;
use crate::money::CurrencyCode;
use crate::stats::{Figure, Totals};

/// A board's name: 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoardName(String);

/// Why a text is no [`BoardName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no board's name: 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit")]
pub struct BoardNameError(pub String);

/// A board as it is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    /// Its name.
    pub name: BoardName,
    /// What is ranked.
    pub metric: Metric,
    /// Which end is the top.
    pub direction: Direction,
    /// How long its seasons are.
    pub season: SeasonKind,
    /// The game that it is of, if it is one game's.
    pub game: Option<String>,
    /// The sources whose matches count; none stands for all.
    pub sources: Option<BTreeSet<SourceName>>,
    /// The currency of a metric that is money.
    pub currency: Option<CurrencyCode>,
    /// How many matches of the season a player must have to be listed.
    pub min_matches: u32,
    /// Whether players whom a provider has banned are left out, and whoever is linked to one.
    pub exclude_banned: bool,
}

/// What a board ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// The sum of a counter, by its place in [`COUNTER_NAMES`].
    Counter(u8),
    /// Matches of which there are statistics.
    Matches,
    /// Of them won.
    Wins,
    /// Their share, in percent.
    WinPercent,
    /// Kills a death.
    Kd,
    /// Damage a round.
    Adr,
    /// Kills a round.
    Kr,
    /// Kills by headshots, in percent.
    HsPercent,
    /// The HLTV 1.0 rating.
    Rating,
    /// The skill rating after the season's last match.
    Skill,
    /// Matches that were played for a stake, or at least settled with winners or as a tie.
    Played,
    /// Of them won.
    Won,
    /// What the player staked in them.
    Stakes,
    /// What the player was paid.
    Winnings,
    /// What the player has more than before: paid and given back, less staked.
    Net,
}

/// Where a metric comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The lines of counted matches.
    Statistics,
    /// The seats of settled matches.
    Settlements,
    /// The skill ratings.
    Skill,
}

/// Which end of a board is its top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// The greatest score.
    #[default]
    Descending,
    /// The smallest.
    Ascending,
}

/// Why a player who has a score is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// An operator has taken the player off the board.
    Excluded,
    /// A provider has banned the player.
    Banned,
    /// The player has played too few matches in the season.
    TooFewMatches,
}

impl BoardName {
    /// Takes a text as a name.
    ///
    /// # Errors
    /// When it is none: it stands in URLs.
    pub fn parse(text: &str) -> Result<Self, BoardNameError> {
        // The same rule, for the same reason.
        SourceName::parse(text).map(|_| Self(text.to_owned())).map_err(|_| BoardNameError(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BoardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BoardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Metric {
    /// Those that are no counter.
    const OTHERS: [Self; 14] = [
        Self::Matches,
        Self::Wins,
        Self::WinPercent,
        Self::Kd,
        Self::Adr,
        Self::Kr,
        Self::HsPercent,
        Self::Rating,
        Self::Skill,
        Self::Played,
        Self::Won,
        Self::Stakes,
        Self::Winnings,
        Self::Net,
    ];

    /// All of them, the counters first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).zip(COUNTER_NAMES).map(|(place, _)| Self::Counter(place)).chain(Self::OTHERS)
    }

    /// The word for it in the configuration and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter(place) => COUNTER_NAMES.get(usize::from(place)).copied().unwrap_or("unknown"),
            Self::Matches => "matches",
            Self::Wins => "wins",
            Self::WinPercent => "win_percent",
            Self::Kd => "kd",
            Self::Adr => "adr",
            Self::Kr => "kr",
            Self::HsPercent => "hs_percent",
            Self::Rating => "rating",
            Self::Skill => "skill",
            Self::Played => "played",
            Self::Won => "won",
            Self::Stakes => "stakes",
            Self::Winnings => "winnings",
            Self::Net => "net",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|metric| metric.as_str() == text)
    }

    /// Where it comes from.
    pub const fn basis(self) -> Basis {
        match self {
            Self::Counter(_)
            | Self::Matches
            | Self::Wins
            | Self::WinPercent
            | Self::Kd
            | Self::Adr
            | Self::Kr
            | Self::HsPercent
            | Self::Rating => Basis::Statistics,
            Self::Skill => Basis::Skill,
            Self::Played | Self::Won | Self::Stakes | Self::Winnings | Self::Net => Basis::Settlements,
        }
    }

    /// How many decimal places a score of it has: a score is this metric times ten to that power. Money is in minor
    /// units.
    pub const fn places(self) -> u8 {
        match self {
            Self::WinPercent
            | Self::Kd
            | Self::Adr
            | Self::Kr
            | Self::HsPercent
            | Self::Rating
            | Self::Skill => 3,
            Self::Counter(_)
            | Self::Matches
            | Self::Wins
            | Self::Played
            | Self::Won
            | Self::Stakes
            | Self::Winnings
            | Self::Net => 0,
        }
    }

    /// The score that sums of statistics come to; none where there is nothing to divide by, or it is not made of these.
    pub fn of_totals(self, totals: &Totals) -> Option<i64> {
        match self {
            Self::Counter(place) => totals.counters.get(usize::from(place)).copied(),
            Self::Matches => Some(totals.matches),
            Self::Wins => Some(totals.wins),
            Self::WinPercent => Figure::WinPercent.milli(totals),
            Self::Kd => Figure::Kd.milli(totals),
            Self::Adr => Figure::Adr.milli(totals),
            Self::Kr => Figure::Kr.milli(totals),
            Self::HsPercent => Figure::HsPercent.milli(totals),
            Self::Rating => Figure::Rating.milli(totals),
            Self::Skill | Self::Played | Self::Won | Self::Stakes | Self::Winnings | Self::Net => None,
        }
    }

    /// True when it is an amount: amounts of two currencies are not compared.
    pub const fn is_money(self) -> bool {
        matches!(self, Self::Stakes | Self::Winnings | Self::Net)
    }
}

impl Basis {
    /// The word for it in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Statistics => "statistics",
            Self::Settlements => "settlements",
            Self::Skill => "skill",
        }
    }
}

impl Direction {
    /// The word for it in the configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Descending => "desc",
            Self::Ascending => "asc",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Descending, Self::Ascending].into_iter().find(|direction| direction.as_str() == text)
    }

    /// What places of scores are compared by: the smaller is the nearer to the top.
    pub const fn place(self, score: i64) -> i64 {
        match self {
            Self::Descending => score.saturating_neg(),
            Self::Ascending => score,
        }
    }
}

impl Unlisted {
    /// All of them, what weighs most first: of two reasons the first one is told.
    pub const ALL: [Self; 3] = [Self::Excluded, Self::Banned, Self::TooFewMatches];

    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::Banned => "banned",
            Self::TooFewMatches => "too_few_matches",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}
