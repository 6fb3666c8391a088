use matchpurse_domain::grants::ContestKind;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::dispatch::AttemptOutcome;
use crate::time::At;
use crate::words::{optional_word, word};
use crate::{Client, Result};

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Other rewards of the player are still on their way.
    Held,
    /// Its next attempt is due at some time, or under way.
    Waiting,
    /// The provider knows.
    Told,
    /// The provider does not want it.
    Refused,
    /// It was tried often enough.
    GivenUp,
    /// All that was given has been taken back before the provider knew.
    Withdrawn,
}

/// A call as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLine {
    /// The source.
    pub source: String,
    /// What the rewards were given for.
    pub contest_kind: ContestKind,
    /// The provider's id of it.
    pub contest_id: String,
    /// The provider's id of the player.
    pub player_id: String,
    /// One of the grants that it is about.
    pub grant_id: Option<Uuid>,
    /// Where it is.
    pub state: CallState,
    /// When the last of the rewards was given.
    pub redeemed_at: Timestamp,
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

/// Which calls are wanted; none stands for any.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallFilter<'f> {
    /// Those in this state.
    pub state: Option<CallState>,
    /// Those of this source.
    pub source: Option<&'f str>,
}

impl CallState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Held, Self::Waiting, Self::Told, Self::Refused, Self::GivenUp, Self::Withdrawn];

    /// The word for it in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
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

const CALL: &str = "
    SELECT r.source, c.kind, c.contest_id, p.player_id, r.state, r.redeemed_at, r.attempts,
           CASE WHEN r.state = 'waiting' THEN r.next_attempt_at END AS next_attempt_at,
           r.last_at, r.last_outcome, r.last_status, r.last_detail,
           (SELECT g.grant_id FROM reward_grant g
             WHERE (g.contest_key, g.player_key) = (r.contest_key, r.player_key)
             ORDER BY g.state = 'fulfilled' DESC, g.grant_id LIMIT 1) AS grant_id
      FROM redemption_call r JOIN contest c USING (contest_key) JOIN player p USING (player_key)";

/// The call about what a grant's player won in its contest, if there is one.
///
/// # Errors
/// [`crate::Error`].
pub async fn of_grant(client: &Client, grant: Uuid) -> Result<Option<CallLine>> {
    let sql = format!(
        "{CALL} WHERE (r.contest_key, r.player_key)
                   = (SELECT contest_key, player_key FROM reward_grant WHERE grant_id = $1)"
    );
    client.query_opt(&sql, &[&grant]).await?.as_ref().map(read).transpose()
}

/// Up to `limit` calls, the newest first.
///
/// # Errors
/// [`crate::Error`].
pub async fn calls(client: &Client, filter: CallFilter<'_>, limit: u32) -> Result<Vec<CallLine>> {
    let state = filter.state.map(CallState::as_str);
    let sql = format!(
        "{CALL} WHERE ($1::text IS NULL OR r.state = $1) AND ($2::text IS NULL OR r.source = $2)
         ORDER BY r.created_at DESC, r.contest_key, r.player_key LIMIT $3"
    );
    client.query(&sql, &[&state, &filter.source, &i64::from(limit)]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<CallLine> {
    let time = |column: &str| Ok::<_, crate::Error>(row.try_get::<_, Option<At>>(column)?.map(|at| at.0));
    Ok(CallLine {
        source: row.try_get("source")?,
        contest_kind: word(row, "kind", ContestKind::parse)?,
        contest_id: row.try_get("contest_id")?,
        player_id: row.try_get("player_id")?,
        grant_id: row.try_get("grant_id")?,
        state: word(row, "state", CallState::parse)?,
        redeemed_at: row.try_get::<_, At>("redeemed_at")?.0,
        attempts: row.try_get("attempts")?,
        next_attempt_at: time("next_attempt_at")?,
        last: optional_word(row, "last_outcome", AttemptOutcome::parse)?.zip(time("last_at")?),
        last_status: row.try_get("last_status")?,
        last_detail: row.try_get("last_detail")?,
    })
}
