//! Matches that hold money after their deadline.

use std::collections::BTreeMap;

use matchpurse_domain::escrow::expire;
use matchpurse_domain::ids::{EventId, SourceName, derived_uuid};
use matchpurse_domain::source::{OnDeadline, SourcePolicy};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::Store;
use matchpurse_store::escrow::{MatchKey, OVERDUE_MAX, Overdue, lock_in_tx, overdue};
use matchpurse_store::operations::{Operation, OperationKind, record_in_tx};
use serde_json::json;

use crate::{Result, write_in_tx};

/// Who the clock is in the records.
const ACTOR: &str = "deadline";

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Matches whose stakes went back.
    pub refunded: u64,
    /// Matches about which a person was asked.
    pub asked: u64,
    /// Matches that could not be dealt with; they come again.
    pub failed: u64,
    /// True when there may be more that are due now.
    pub more: bool,
}

/// Deals with the matches whose deadline has passed, of whose events `worker` has applied all that are archived, each in a transaction of its own; any number of processes may
/// do so at once. A source that is not configured any more has no rule, so a person is asked; and so it is where an
/// event of the match has been waiting to be applied for a day.
///
/// # Errors
/// When the list cannot be read; a match that fails is logged and counted.
pub async fn sweep(
    store: &Store,
    policies: &BTreeMap<SourceName, SourcePolicy>,
    worker: &str,
    now: Timestamp,
) -> matchpurse_store::Result<Swept> {
    let due = overdue(&store.client().await?, worker, now).await?;
    let mut swept = Swept::default();
    for Overdue { key, unapplied } in &due {
        let policy = policies.get(&key.source).filter(|_| !unapplied);
        let rule = policy.map_or(OnDeadline::Arbitrate, |policy| policy.on_deadline);
        match expire_one(store, key, rule, now).await {
            Ok(Some(true)) => swept.refunded += 1,
            Ok(Some(false)) => swept.asked += 1,
            // Somebody else was faster.
            Ok(None) => {}
            Err(error) => {
                swept.failed += 1;
                tracing::error!(source = %key.source, match_id = key.match_id, reason = matchpurse_store::chain(&error),
                    "a match after its deadline could not be dealt with");
            }
        }
    }
    swept.more = swept.failed == 0 && i64::try_from(due.len()) == Ok(OVERDUE_MAX);
    Ok(swept)
}

/// True when the stakes went back, false when a person was asked, none when there was nothing to do.
async fn expire_one(store: &Store, key: &MatchKey, rule: OnDeadline, now: Timestamp) -> Result<Option<bool>> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let Some(loaded) = lock_in_tx(&tx, std::slice::from_ref(key)).await?.remove(key) else { return Ok(None) };
    let Some(state) = loaded.state.clone().filter(|state| state.deadline.is_some_and(|due| due <= now))
    else {
        return Ok(None);
    };
    let outcome = expire(state, rule);
    if loaded.state.as_ref() == Some(&outcome.state) {
        return Ok(None);
    }
    let refunded = outcome.state.settlement.is_some();
    let (kind, generation) = (key.kind.as_str(), outcome.state.generation.to_string());
    let id = derived_uuid("deadline", &[key.source.as_str(), kind, &key.match_id, &generation]);
    let operation = Operation {
        id: EventId::from_uuid(id),
        kind: OperationKind::Deadline,
        source: key.source.clone(),
        subject: key.match_id.clone(),
        match_no: Some(loaded.match_no),
        actor: ACTOR.to_owned(),
        approved_by: None,
        reason: "the match held money until its deadline".to_owned(),
        amount: None,
        detail: json!({ "match_kind": kind, "outcome": if refunded { "refund" } else { "arbitration" } }),
    };
    record_in_tx(&tx, &operation).await?;
    write_in_tx(&tx, loaded, outcome, operation.id, now).await?;
    tx.commit().await?;
    Ok(Some(refunded))
}
