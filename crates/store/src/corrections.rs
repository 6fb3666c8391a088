//! Corrections on their way: proposed, then applied or rejected.

use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::escrow::MatchKey;
use crate::time::At;
use crate::{Client, Error, Result, Tx};

/// Where a correction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorrectionState {
    /// It waits for a second person.
    Proposed,
    /// The ledger has it.
    Applied,
    /// A person has decided against it.
    Rejected,
}

/// A correction to propose.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Its id.
    pub id: EventId,
    /// The match's number.
    pub match_no: i64,
    /// The generation that it makes.
    pub generation: i16,
    /// The end that it sets.
    pub verdict: Value,
    /// Why.
    pub reason: String,
    /// The match's last event; what the proposer looked at.
    pub seen: Uuid,
    /// How many persons it needs, 1 or 2.
    pub approvals: i16,
    /// Who proposes it.
    pub proposed_by: String,
}

/// A correction as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Correction {
    /// Its place among all.
    pub position: i64,
    /// What was proposed.
    pub proposal: Proposal,
    /// The match.
    pub key: MatchKey,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// Where it is.
    pub state: CorrectionState,
    /// Who decided, and when.
    pub decided: Option<(String, Timestamp)>,
    /// Why it was rejected.
    pub decision_reason: Option<String>,
}

impl CorrectionState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Proposed, Self::Applied, Self::Rejected];

    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Writes a proposal. False when the match has one that is open, or there is one of this id.
///
/// # Errors
/// [`crate::Error`].
pub async fn propose_in_tx(tx: &Tx<'_>, proposal: &Proposal) -> Result<bool> {
    let sql =
        "INSERT INTO correction (correction_id, match_no, generation, state, verdict, reason, seen_event_id,
                                       approvals, proposed_by)
               VALUES ($1, $2, $3, 'proposed', $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    let parameters: crate::client::Params<'_> = &[
        &proposal.id.uuid(),
        &proposal.match_no,
        &proposal.generation,
        &proposal.verdict,
        &proposal.reason,
        &proposal.seen,
        &proposal.approvals,
        &proposal.proposed_by,
    ];
    Ok(tx.execute(sql, parameters).await? == 1)
}

/// Ends a proposal.
///
/// # Errors
/// [`crate::Error`]; the table refuses that one person alone applies what needs two.
pub async fn decide_in_tx(
    tx: &Tx<'_>,
    id: EventId,
    state: CorrectionState,
    decided_by: &str,
    reason: Option<&str>,
) -> Result<bool> {
    let sql = "UPDATE correction SET state = $2, decided_by = $3, decided_at = now(), decision_reason = $4
                WHERE correction_id = $1 AND state = 'proposed'";
    Ok(tx.execute(sql, &[&id.uuid(), &state.as_str(), &decided_by, &reason]).await? == 1)
}

const SELECT: &str =
    "SELECT c.*, m.source, m.kind, m.match_id FROM correction c JOIN match m USING (match_no)";

/// One correction, locked. Lock its match first.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_in_tx(tx: &Tx<'_>, id: EventId) -> Result<Option<Correction>> {
    let sql = format!("{SELECT} WHERE c.correction_id = $1 FOR NO KEY UPDATE OF c");
    tx.query(&sql, &[&id.uuid()]).await?.first().map(read).transpose()
}

/// One correction.
///
/// # Errors
/// [`crate::Error`].
pub async fn find(client: &Client, id: EventId) -> Result<Option<Correction>> {
    let sql = format!("{SELECT} WHERE c.correction_id = $1");
    client.query_opt(&sql, &[&id.uuid()]).await?.as_ref().map(read).transpose()
}

/// Corrections, the newest first: those of one state, or all; before the position `before`, at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn list(
    client: &Client,
    state: Option<CorrectionState>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Correction>> {
    let sql = format!(
        "{SELECT} WHERE ($1::text IS NULL OR c.state = $1) AND c.position < $2 ORDER BY c.position DESC LIMIT $3"
    );
    let (before, limit) = (before.unwrap_or(i64::MAX), i64::from(limit));
    let rows = client.query(&sql, &[&state.map(CorrectionState::as_str), &before, &limit]).await?;
    rows.iter().map(read).collect()
}

/// The match's last event: what a proposer looks at, and what must not have changed when it is decided.
///
/// # Errors
/// [`crate::Error`].
pub async fn last_event_in_tx(tx: &Tx<'_>, match_no: i64) -> Result<Uuid> {
    let row = tx.query_one("SELECT last_event_id FROM match WHERE match_no = $1", &[&match_no]).await?;
    Ok(row.try_get(0)?)
}

/// Resolves the match's open anomalies of these kinds: the correction is a person's answer to them.
///
/// # Errors
/// [`crate::Error`].
pub async fn resolve_anomalies_in_tx(
    tx: &Tx<'_>,
    key: &MatchKey,
    kinds: &[&str],
    correction: EventId,
    resolved_by: &str,
) -> Result<u64> {
    let sql = "UPDATE anomaly SET resolved_at = now(), resolution = $5, resolved_by = $6
                WHERE id IN (SELECT id FROM anomaly
                              WHERE source = $1 AND subject = $2 AND detail ->> 'match_kind' = $3
                                AND kind = ANY($4) AND resolved_at IS NULL
                              ORDER BY id FOR NO KEY UPDATE)";
    let resolution = format!("correction {correction}");
    let parameters: crate::client::Params<'_> =
        &[&key.source.as_str(), &key.match_id, &key.kind.as_str(), &kinds, &resolution, &resolved_by];
    tx.execute(sql, parameters).await
}

fn read(row: &Row) -> Result<Correction> {
    let unreadable =
        |what| move || Error::Stored { what, source: "a value that this version does not know".into() };
    let decided_by: Option<String> = row.try_get("decided_by")?;
    let decided_at: Option<At> = row.try_get("decided_at")?;
    Ok(Correction {
        position: row.try_get("position")?,
        proposal: Proposal {
            id: EventId::from_uuid(row.try_get("correction_id")?),
            match_no: row.try_get("match_no")?,
            generation: row.try_get("generation")?,
            verdict: row.try_get("verdict")?,
            reason: row.try_get("reason")?,
            seen: row.try_get("seen_event_id")?,
            approvals: row.try_get("approvals")?,
            proposed_by: row.try_get("proposed_by")?,
        },
        key: MatchKey {
            source: SourceName::parse(row.try_get("source")?)
                .map_err(|_| unreadable("correction's source")())?,
            kind: MatchKind::parse(row.try_get("kind")?).ok_or_else(unreadable("kind of match"))?,
            match_id: row.try_get("match_id")?,
        },
        proposed_at: row.try_get::<_, At>("proposed_at")?.0,
        state: CorrectionState::parse(row.try_get("state")?).ok_or_else(unreadable("correction's state"))?,
        decided: decided_by.zip(decided_at.map(|At(at)| at)),
        decision_reason: row.try_get("decision_reason")?,
    })
}
