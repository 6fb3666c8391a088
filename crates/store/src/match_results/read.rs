use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;

use crate::dispatch::AttemptOutcome;
use crate::escrow::MatchKey;
use crate::operations::{self, Operation};
use crate::time::At;
use crate::words::{optional_word, unknown};
use crate::{Client, Result};

/// A match's result, as it was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// What was told, and by whom.
    pub operation: Operation,
    /// When.
    pub at: Timestamp,
    /// How the provider is told of it; none where it is not told of results.
    pub report: Option<Report>,
}

/// Where a report to a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportState {
    /// Its next attempt is due at some time, or under way.
    Waiting,
    /// The provider has it, or had one before.
    Told,
    /// The provider does not want it.
    Refused,
    /// It was tried often enough.
    GivenUp,
    /// Somebody in it was erased before the provider knew.
    Withdrawn,
}

/// A report as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where it is.
    pub state: ReportState,
    /// How many attempts of its schedule it has had.
    pub attempts: i32,
    /// When it is made next, where it waits; while it is being made, when that would be given up as lost.
    pub next_attempt_at: Option<Timestamp>,
    /// What came of the last attempt, and when it began.
    pub last: Option<(AttemptOutcome, Timestamp)>,
    /// The status of its answer.
    pub last_status: Option<i32>,
    /// The same in words.
    pub last_detail: String,
}

impl ReportState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Told, Self::Refused, Self::GivenUp, Self::Withdrawn];

    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Told => "told",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// The result of a match, if one was told.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_match(client: &Client, key: &MatchKey) -> Result<Option<Decided>> {
    let sql = "SELECT d.operation_id, r.state, r.attempts,
                      CASE WHEN r.state = 'waiting' THEN r.next_attempt_at END AS next_attempt_at,
                      r.last_at, r.last_outcome, r.last_status, r.last_detail
                 FROM match m JOIN match_result d USING (match_no) LEFT JOIN result_report r USING (operation_id)
                WHERE m.match_key = $1";
    let Some(row) = client.query_opt(sql, &[&key.uuid()]).await? else { return Ok(None) };
    let id = EventId::from_uuid(row.try_get("operation_id")?);
    let found = operations::find(client, id).await?;
    let (operation, at) = found.ok_or_else(|| unknown("operation of a result"))?;
    Ok(Some(Decided { operation, at, report: report(&row)? }))
}

fn report(row: &Row) -> Result<Option<Report>> {
    let Some(state) = optional_word(row, "state", ReportState::parse)? else { return Ok(None) };
    let time = |column: &str| Ok::<_, crate::Error>(row.try_get::<_, Option<At>>(column)?.map(|at| at.0));
    Ok(Some(Report {
        state,
        attempts: row.try_get("attempts")?,
        next_attempt_at: time("next_attempt_at")?,
        last: optional_word(row, "last_outcome", AttemptOutcome::parse)?.zip(time("last_at")?),
        last_status: row.try_get("last_status")?,
        last_detail: row.try_get("last_detail")?,
    }))
}
