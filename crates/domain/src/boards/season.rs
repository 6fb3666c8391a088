use crate::time::Timestamp;

/// How long a season of a board is. Seasons are periods of the calendar in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeasonKind {
    /// One season, without beginning and end.
    All,
    /// `2026`
    Year,
    /// `2026-Q4`
    Quarter,
    /// `2026-11`
    Month,
    /// `2026-W47`, by ISO 8601: weeks begin on Monday, and the first one of a year has its first Thursday.
    Week,
}

/// A season: its name, and from when until when it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Season {
    /// `all`, `2026`, `2026-Q4`, `2026-11` or `2026-W47`. Of one kind, later seasons have greater names.
    pub name: String,
    /// Its first moment.
    pub since: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// The season that never ends.
const ALL: &str = "all";

/// Names have years of four digits, and PostgreSQL's times these and more: from the year 1 on, and before 10000.
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;

impl SeasonKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::All, Self::Year, Self::Quarter, Self::Month, Self::Week];

    /// The word for it in the configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Year => "year",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Week => "week",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The season in which `at` is. What is before the year 1 or after the year 9999, which only a provider's mistake
    /// can be, is in the nearest one.
    #[expect(clippy::arithmetic_side_effects, reason = "days are of the years 1 to 9999")]
    pub fn at(self, at: Timestamp) -> Season {
        let day = at.seconds().div_euclid(86_400).clamp(FIRST_DAY, LAST_DAY);
        let (year, month, _) = civil(day);
        let quarter = (month - 1) / 3 + 1;
        let (name, first, next) = match self {
            Self::All => {
                let (since, until) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
                return Season { name: ALL.to_owned(), since, until };
            }
            Self::Year => (format!("{year:04}"), days(year, 1), days(year + 1, 1)),
            Self::Quarter => {
                let first = quarter * 3 - 2;
                (format!("{year:04}-Q{quarter}"), days(year, first), days(year, first + 3))
            }
            Self::Month => (format!("{year:04}-{month:02}"), days(year, month), days(year, month + 1)),
            Self::Week => {
                let (year, week, monday) = iso_week(day);
                (format!("{year:04}-W{week:02}"), monday, monday + 7)
            }
        };
        let moment = |day: i64| Timestamp::from_seconds(day * 86_400);
        Season { name, since: moment(first), until: moment(next) }
    }

    /// The season of this kind that has this name.
    pub fn named(self, name: &str) -> Option<Season> {
        if self == Self::All {
            return (name == ALL).then(|| self.at(Timestamp::default()));
        }
        // Every name begins with its year; a day in the middle of what follows is in no other season.
        let year: i64 = name.get(..4)?.parse().ok()?;
        let rest = name.get(4..)?;
        let number = |prefix: &str| rest.strip_prefix(prefix)?.parse::<i64>().ok().filter(|n| *n <= 53);
        let day = match self {
            Self::All | Self::Year => days(year, 1),
            Self::Quarter => days(year, number("-Q")?.saturating_mul(3)),
            Self::Month => days(year, number("-")?),
            // The fourth of January is in the first week, whatever day it is.
            Self::Week => {
                let weeks = number("-W")?.saturating_sub(1).saturating_mul(7);
                days(year, 1).saturating_add(3).saturating_add(weeks)
            }
        };
        let season = self.at(Timestamp::from_seconds(day.saturating_mul(86_400)));
        (season.name == name).then_some(season)
    }
}

/// The days from 1970-01-01 to the first of the month; months beyond 12 are those of the next year.
#[expect(clippy::arithmetic_side_effects, reason = "years have four digits, and months two")]
fn days(year: i64, month: i64) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    // Counted from March, so that a leap day is the last of its year; 400 years are always as long.
    let from_march = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (from_march.div_euclid(400), from_march.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day that is counted from 1970-01-01.
#[expect(clippy::arithmetic_side_effects, reason = "days are of the years 1 to 9999")]
fn civil(day: i64) -> (i64, i64, i64) {
    let from_march = day + 719_468;
    let (era, of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The ISO year and week of a day, and the Monday with which the week begins.
#[expect(clippy::arithmetic_side_effects, reason = "days are of the years 1 to 9999")]
fn iso_week(day: i64) -> (i64, i64, i64) {
    // 1970-01-01 was a Thursday.
    let monday = |day: i64| day - (day + 3).rem_euclid(7);
    let this = monday(day);
    // A week belongs to the year of its Thursday.
    let (year, ..) = civil(this + 3);
    let first = monday(days(year, 1) + 3);
    (year, (this - first) / 7 + 1, this)
}
