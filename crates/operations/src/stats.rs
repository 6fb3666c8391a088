//! Which numbers of a match's statistics stand, where a provider told two ends of it.
//!
//! The first end counts, and another one is an anomaly; here a person answers it. Either the end that an archived event
//! tells takes the place of the first: the lines are replaced, and the totals of whoever is in one of the two change
//! by the difference. Or the first one is kept, and only the question is closed. Money is not touched: no match on a
//! game server holds any.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::event::{Event, MatchStatsSnapshot, Payload};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::stats::{self, MatchStats, Refusal};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::operations::{Operation, OperationKind, find_in_tx, record_in_tx};
use matchpurse_store::outbox::Notice;
use matchpurse_store::stats::{
    HistoryLine, StatsChange, StatsKey, add_history_in_tx, add_totals_in_tx, forget_empty_totals_in_tx,
    lines_in_tx, lock_in_tx, resolve_anomalies_in_tx, save_in_tx,
};
use matchpurse_store::{Store, Tx, outbox, players};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::funds::operation_id;

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing was corrected; nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has told numbers of such a match.
    #[error("there are no statistics of this match")]
    NoMatch,
    /// The archive has no such event, or it tells no numbers of this match.
    #[error("event {0} is no archived snapshot of this match")]
    NoSnapshot(EventId),
    /// It is no correction.
    #[error("the match's numbers cannot be replaced by this event's")]
    Refused(#[source] Refusal),
    /// There is nothing to keep the first end against.
    #[error("no contradiction of this match's statistics waits for an answer")]
    NoQuestion,
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database; see [`matchpurse_store::Error::is_transient`] for whether to try again.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

/// Which numbers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Those of this archived event.
    Event(EventId),
    /// Those that count now.
    Keep,
}

/// Who decides, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The same for a repeat, and for no other operation of the source.
    pub idempotency_key: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The operation that was recorded.
    pub operation: EventId,
    /// True when it had been done before and nothing was done now.
    pub repeated: bool,
}

/// Decides which numbers of a match stand, once a key.
///
/// # Errors
/// [`Error`].
pub async fn correct(
    store: &Store,
    key: &StatsKey,
    choice: Choice,
    author: &Author,
    now: Timestamp,
) -> Result<Done> {
    let operation = operation_id(&key.source, &author.idempotency_key);
    correct_as(store, operation, key, choice, author, now).await
}

/// As [`correct`], as an operation whose id is known.
pub(crate) async fn correct_as(
    store: &Store,
    operation: EventId,
    key: &StatsKey,
    choice: Choice,
    author: &Author,
    now: Timestamp,
) -> Result<Done> {
    let event = match choice {
        Choice::Event(id) => store.archived(id).await?.map(|archived| archived.event),
        Choice::Keep => None,
    };
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let first = lock_in_tx(&tx, key).await?;
    if let Some((earlier, _)) = find_in_tx(&tx, operation).await? {
        let asked = asked(choice);
        let same = (earlier.kind, earlier.subject.as_str())
            == (OperationKind::StatsCorrection, &key.match_id)
            && asked.iter().all(|(name, value)| earlier.detail.get(name) == Some(value));
        return if same { Ok(Done { operation, repeated: true }) } else { Err(Error::KeyReused) };
    }
    let first = first.ok_or(Error::NoMatch)?;
    match choice {
        Choice::Event(id) => {
            let told = event.as_ref().and_then(|event| Some((event, snapshot_of(event, key)?)));
            let told = told.ok_or(Error::NoSnapshot(id))?;
            replace(&tx, key, &first, told, &(operation, author), now).await?;
        }
        Choice::Keep => record(&tx, key, choice, &first, None, &(operation, author)).await?,
    }
    let answered = resolve_anomalies_in_tx(&tx, key, operation, &author.actor).await?;
    if answered == 0 && choice == Choice::Keep {
        return Err(Error::NoQuestion);
    }
    tx.commit().await?;
    Ok(Done { operation, repeated: false })
}

/// The event's snapshot, if it is one of this match.
fn snapshot_of<'e>(event: &'e Event, key: &StatsKey) -> Option<&'e MatchStatsSnapshot> {
    let Payload::MatchStatsSnapshot(snapshot) = &event.payload else { return None };
    ((&event.source, &snapshot.match_id) == (&key.source, &key.match_id)).then_some(snapshot)
}

/// What was asked for, as the operation's detail has it.
fn asked(choice: Choice) -> [(&'static str, Value); 2] {
    match choice {
        Choice::Event(id) => [("action", json!("replace")), ("event_id", json!(id.uuid()))],
        Choice::Keep => [("action", json!("keep")), ("event_id", Value::Null)],
    }
}

async fn record(
    tx: &Tx<'_>,
    key: &StatsKey,
    choice: Choice,
    before: &MatchStats,
    after: Option<&MatchStats>,
    (id, author): &(EventId, &Author),
) -> Result<()> {
    let mut detail: serde_json::Map<String, Value> =
        asked(choice).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    detail.insert("before".to_owned(), said(before));
    detail.insert("after".to_owned(), after.map_or(Value::Null, said));
    let operation = Operation {
        id: *id,
        kind: OperationKind::StatsCorrection,
        source: key.source.clone(),
        subject: key.match_id.clone(),
        match_no: None,
        actor: author.actor.clone(),
        approved_by: None,
        reason: author.reason.clone(),
        amount: None,
        detail: Value::Object(detail),
    };
    record_in_tx(tx, &operation).await?;
    Ok(())
}

/// Puts the end that the event tells in the place of the first one.
async fn replace(
    tx: &Tx<'_>,
    key: &StatsKey,
    first: &MatchStats,
    (event, snapshot): (&Event, &MatchStatsSnapshot),
    by: &(EventId, &Author),
    now: Timestamp,
) -> Result<()> {
    let lines = lines_in_tx(tx, key).await?;
    let before = lines.iter().map(|line| (&line.player_id, line.side, &line.counters));
    let at = event.occurred_at.unwrap_or(event.received_at);
    let outcome = stats::correct(first, before, snapshot, at).map_err(Error::Refused)?;
    record(tx, key, Choice::Event(event.id), first, Some(&outcome.state), by).await?;
    let touched: Vec<Uuid> = outcome.totals.keys().map(|player| player.key(&key.source)).collect();
    players::remember_in_tx(tx, &named(&key.source, snapshot)).await?;
    let notice = corrected(key, &outcome.state, by.0, now);
    let change = StatsChange {
        state: outcome.state,
        lines: outcome.lines,
        roster_changed: true,
        event_id: event.id,
        corrected_by: Some(by.0),
    };
    save_in_tx(tx, &BTreeMap::from([(key.clone(), change)])).await?;
    let history: Vec<_> = snapshot.history.iter().map(|entry| HistoryLine { key, entry }).collect();
    add_history_in_tx(tx, &history).await?;
    let totals = outcome.totals.into_iter().map(|(player, gain)| ((key.source.clone(), player), gain));
    add_totals_in_tx(tx, &totals.collect()).await?;
    forget_empty_totals_in_tx(tx, &touched).await?;
    Ok(outbox::append_in_tx(tx, &[notice]).await?)
}

/// Everybody whom a snapshot names.
fn named(source: &SourceName, snapshot: &MatchStatsSnapshot) -> Vec<(SourceName, PlayerId)> {
    let listed = snapshot.players.iter().map(|player| &player.player_id);
    let told_of = snapshot.history.iter().filter_map(|entry| entry.player_id.as_ref());
    let players: BTreeSet<&PlayerId> = listed.chain(told_of).collect();
    players.into_iter().map(|player| (source.clone(), player.clone())).collect()
}

fn said(state: &MatchStats) -> Value {
    json!({
        "rounds_played": state.rounds_played,
        "team1_score": state.team1.score,
        "team2_score": state.team2.score,
        "result": state.winner.map(|winner| winner.as_str()),
        "canceled": state.canceled,
        "cancel_reason": state.cancel_reason,
    })
}

/// The studio is told of each correction.
fn corrected(key: &StatsKey, state: &MatchStats, operation: EventId, now: Timestamp) -> Notice {
    let team = |team: &matchpurse_domain::event::TeamScore| json!({ "name": team.name, "score": team.score });
    Notice {
        source: key.source.clone(),
        kind: "match.stats_corrected",
        subject: key.match_id.clone(),
        discriminator: operation.to_string(),
        payload: json!({
            "match_id": key.match_id,
            "map": state.map,
            "rounds_played": state.rounds_played,
            "team1": team(&state.team1),
            "team2": team(&state.team2),
            "result": state.winner.map(|winner| winner.as_str()),
            "canceled": state.canceled,
        }),
        occurred_at: now,
        cause: None,
    }
}
