//! What should have come and has not: sources that are silent against their habit, and matches of which a part is
//! missing. Everything is read from what the workers have written anyway, by indexes and up to a bound, so it can be
//! asked every minute.

use matchpurse_domain::rhythm::{self, Silence};
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;

use crate::heard::heard;
use crate::time::At;
use crate::{Client, Result};

/// Of so many matches of each sort is looked whether something is missing: of those that have not ended the oldest, of
/// the others the latest.
pub const LOOKED_AT_MAX: i64 = 10_000;
/// Of each sort at most so many are shown.
pub const SHOWN_MAX: i64 = 500;

/// A source, and how long it has said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    /// Its name.
    pub source: String,
    /// When its last delivery came; none while it was never heard.
    pub last: Option<Timestamp>,
    /// How usual that is.
    pub silence: Silence,
}

impl Quiet {
    /// What is to be said of it, in a word: `usual`, `silent`, `too_new` or `never_heard`.
    pub const fn state(&self) -> &'static str {
        match (self.last, self.silence) {
            (None, _) => "never_heard",
            (_, Silence::TooNew) => "too_new",
            (_, silence) if silence.is_alarming() => "silent",
            _ => "usual",
        }
    }
}

/// What a match is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// One with players and stakes.
    Match,
    /// The statistics of one on a game server.
    Statistics,
}

impl About {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Match, Self::Statistics];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Statistics => "statistics",
        }
    }
}

/// What is missing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// It has begun, and nothing has come for long.
    NoNews,
    /// Its end is all that was ever told of it, though its source tells of others before.
    EndWithoutStart,
    /// It is over, and no round of it was ever played.
    EndWithoutRounds,
}

impl Gap {
    /// All.
    pub const ALL: [Self; 3] = [Self::NoNews, Self::EndWithoutStart, Self::EndWithoutRounds];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoNews => "no_news",
            Self::EndWithoutStart => "end_without_start",
            Self::EndWithoutRounds => "end_without_rounds",
        }
    }
}

/// A match of which something is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its source.
    pub source: String,
    /// What it is to us.
    pub about: About,
    /// What is missing.
    pub gap: Gap,
    /// The provider's id of it.
    pub match_id: String,
    /// Since when: the last news, or when the end was told.
    pub since: Timestamp,
}

/// All that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gaps {
    /// The sources that were asked for, by name.
    pub sources: Vec<Quiet>,
    /// Their matches of which something is missing, the longest missing first.
    pub missing: Vec<Missing>,
    /// There are more than are shown.
    pub more: bool,
}

/// Matches that hold money and of which nothing has come for a day, or for half of the time that they have, if that is
/// shorter. About whom a person was asked already is left out: that stands in an anomaly.
const MATCH_NO_NEWS: &str =
    "SELECT m.source, m.match_id, m.updated_at
       FROM (SELECT match_no, due_at FROM match_deadline WHERE asked_at IS NULL ORDER BY due_at LIMIT $3) AS open
       JOIN match m USING (match_no)
      WHERE m.source = ANY ($1)
        AND m.updated_at < $2::timestamptz - least(interval '1 day', (open.due_at - m.created_at) / 2)
      ORDER BY m.updated_at LIMIT $4";

/// Matches on game servers of which nothing has come for three hours: one that is played has a round every few minutes.
const STATISTICS_NO_NEWS: &str = "SELECT source, match_id, updated_at
       FROM (SELECT source, match_id, updated_at FROM stats_match
              WHERE ended_at IS NULL AND created_at > $2::timestamptz - interval '30 days'
                AND created_at < $2::timestamptz - interval '3 hours'
              ORDER BY created_at LIMIT $3) AS open
      WHERE source = ANY ($1) AND updated_at < $2::timestamptz - interval '3 hours'
      ORDER BY updated_at LIMIT $4";

/// Matches of the last three days of which the end alone was told. A provider may tell of nothing else, so a source
/// counts where at most a quarter of its ends came alone; and what overtook the start has ten minutes until that comes.
const MATCH_END_ALONE: &str = "WITH looked AS (
       SELECT source, kind, match_id, created_at,
              settlement IN ('payout', 'tie') AS ended, first_event_id = last_event_id AS alone
         FROM match
        WHERE created_at > $2::timestamptz - interval '3 days'
          AND created_at < $2::timestamptz - interval '10 minutes'
        ORDER BY created_at DESC LIMIT $3),
     habit AS (
       SELECT source, kind FROM looked WHERE ended GROUP BY source, kind
       HAVING count(*) FILTER (WHERE alone) * 4 <= count(*))
     SELECT source, match_id, created_at FROM looked JOIN habit USING (source, kind)
      WHERE ended AND alone AND source = ANY ($1)
      ORDER BY created_at DESC LIMIT $4";

/// The same of those on game servers.
const STATISTICS_END_ALONE: &str = "WITH looked AS (
       SELECT source, match_id, created_at, first_event_id = last_event_id AS alone
         FROM stats_match
        WHERE created_at > $2::timestamptz - interval '3 days'
          AND created_at < $2::timestamptz - interval '10 minutes' AND counted AND rounds_played > 0
        ORDER BY created_at DESC LIMIT $3),
     habit AS (
       SELECT source FROM looked GROUP BY source HAVING count(*) FILTER (WHERE alone) * 4 <= count(*))
     SELECT source, match_id, created_at FROM looked JOIN habit USING (source)
      WHERE alone AND source = ANY ($1)
      ORDER BY created_at DESC LIMIT $4";

/// Matches on game servers, of the last three days, that are over and had no round.
const STATISTICS_NO_ROUNDS: &str =
    "SELECT source, match_id, since
       FROM (SELECT source, match_id, coalesce(ended_at, created_at) AS since, counted AND rounds_played = 0 AS empty
               FROM stats_match WHERE created_at > $2::timestamptz - interval '3 days'
              ORDER BY created_at DESC LIMIT $3) AS looked
      WHERE empty AND source = ANY ($1)
      ORDER BY since DESC LIMIT $4";

/// What is missing of these sources.
///
/// # Errors
/// [`crate::Error`].
pub async fn gaps(client: &Client, sources: &[&str], now: Timestamp) -> Result<Gaps> {
    let mut heard = heard(client, sources).await?;
    let quiet = |source: &&str| match heard.remove(*source) {
        Some(heard) => Quiet {
            source: (*source).to_owned(),
            last: Some(heard.last),
            silence: rhythm::silence(&heard, now),
        },
        None => Quiet { source: (*source).to_owned(), last: None, silence: Silence::TooNew },
    };
    let mut gaps = Gaps { sources: sources.iter().map(quiet).collect(), missing: Vec::new(), more: false };
    gaps.sources.sort_by(|one, other| one.source.cmp(&other.source));
    for (about, gap, sql) in [
        (About::Match, Gap::NoNews, MATCH_NO_NEWS),
        (About::Match, Gap::EndWithoutStart, MATCH_END_ALONE),
        (About::Statistics, Gap::NoNews, STATISTICS_NO_NEWS),
        (About::Statistics, Gap::EndWithoutStart, STATISTICS_END_ALONE),
        (About::Statistics, Gap::EndWithoutRounds, STATISTICS_NO_ROUNDS),
    ] {
        let limit = SHOWN_MAX.saturating_add(1);
        let rows = client.query(sql, &[&sources, &At(now), &LOOKED_AT_MAX, &limit]).await?;
        let shown = usize::try_from(SHOWN_MAX).unwrap_or(usize::MAX);
        gaps.more |= rows.len() > shown;
        for row in rows.iter().take(shown) {
            gaps.missing.push(missing(row, about, gap)?);
        }
    }
    gaps.missing.sort_by(|one, other| (one.since, &one.match_id).cmp(&(other.since, &other.match_id)));
    Ok(gaps)
}

fn missing(row: &Row, about: About, gap: Gap) -> Result<Missing> {
    let At(since) = row.try_get(2)?;
    Ok(Missing { source: row.try_get(0)?, about, gap, match_id: row.try_get(1)?, since })
}
