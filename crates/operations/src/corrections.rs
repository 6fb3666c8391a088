//! Corrections: the end of a match, set by a person.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::escrow::{AnomalyKind, Funds, Outcome, Verdict, correct};
use matchpurse_domain::event::{Event, MatchKind};
use matchpurse_domain::ids::{EventId, SourceName, derived_uuid};
use matchpurse_domain::source::Custody;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::corrections::{
    Correction, CorrectionState, Proposal, decide_in_tx, find, last_event_in_tx, propose_in_tx,
    resolve_anomalies_in_tx,
};
use matchpurse_store::escrow::{LoadedMatch, MatchKey, funds_in_tx, kinds_of, lock_in_tx};
use matchpurse_store::operations::{Operation, OperationKind, record_in_tx};
use matchpurse_store::{Client, Store, Tx, corrections};
use serde_json::json;

use crate::{End, Error, Result, write_in_tx};

/// What an end that a person sets answers; other anomalies of a match are of another matter.
const ANSWERED: &[AnomalyKind] = &[
    AnomalyKind::BuyInConflict,
    AnomalyKind::ParticipantVanished,
    AnomalyKind::HoldMissing,
    AnomalyKind::HoldFailed,
    AnomalyKind::WinnerUnknown,
    AnomalyKind::PayoutUnknown,
    AnomalyKind::PayoutUnauthenticated,
    AnomalyKind::OutcomeConflict,
    AnomalyKind::TerminalConflict,
    AnomalyKind::AmountOverflow,
    AnomalyKind::DeadlinePassed,
];

/// Which match, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The source.
    pub source: SourceName,
    /// The provider's id of the match.
    pub match_id: String,
    /// The match's kind; only needed where several have the id.
    pub kind: Option<MatchKind>,
    /// How it ended.
    pub end: End,
}

/// Who asks for a correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The same for a repeat, and for no other correction of the source.
    pub idempotency_key: String,
    /// How many persons it needs: 1, then it is applied at once, or 2.
    pub approvals: i16,
}

/// What a correction would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The match.
    pub key: MatchKey,
    /// The match as it would be, and what would move.
    pub outcome: Outcome,
}

/// A correction that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The correction, as it is now.
    pub correction: Correction,
    /// True when it had been asked for before and nothing was done now.
    pub repeated: bool,
}

/// What the correction would do now; nothing is written.
///
/// # Errors
/// [`Error`].
pub async fn preview(store: &Store, request: &Request, now: Timestamp) -> Result<Preview> {
    let event = request.end.event(store).await?;
    let mut client = store.client().await?;
    let key = key_of(&client, &request.source, &request.match_id, request.kind).await?;
    let tx = client.begin().await?;
    let loaded = lock(&tx, &key).await?;
    let outcome = decide(&tx, &loaded, &request.end, event.as_ref(), now).await?;
    tx.rollback().await?;
    Ok(Preview { key, outcome })
}

/// Proposes a correction, and applies it when nobody else has to agree. A repeat with the same key returns what came
/// of the first.
///
/// # Errors
/// [`Error`]; one that the escrow would refuse is not kept either.
pub async fn propose(store: &Store, request: &Request, author: &Author, now: Timestamp) -> Result<Proposed> {
    let source = request.source.as_str();
    let id = EventId::from_uuid(derived_uuid("correction", &[source, &author.idempotency_key]));
    propose_as(store, id, request, author, now).await
}

/// As [`propose`], under an id that is known.
pub(crate) async fn propose_as(
    store: &Store,
    id: EventId,
    request: &Request,
    author: &Author,
    now: Timestamp,
) -> Result<Proposed> {
    let event = request.end.event(store).await?;
    let mut client = store.client().await?;
    let key = key_of(&client, &request.source, &request.match_id, request.kind).await?;
    let tx = client.begin().await?;
    let loaded = lock(&tx, &key).await?;
    let verdict = serde_json::to_value(&request.end).unwrap_or_default();
    if let Some(existing) = corrections::lock_in_tx(&tx, id).await? {
        let same = existing.key == key && existing.proposal.verdict == verdict;
        return if same {
            Ok(Proposed { correction: existing, repeated: true })
        } else {
            Err(Error::KeyReused)
        };
    }
    let outcome = decide(&tx, &loaded, &request.end, event.as_ref(), now).await?;
    let proposal = Proposal {
        id,
        match_no: loaded.match_no,
        generation: outcome.state.generation,
        verdict,
        reason: author.reason.clone(),
        seen: last_event_in_tx(&tx, loaded.match_no).await?,
        approvals: author.approvals,
        proposed_by: author.actor.clone(),
    };
    if !propose_in_tx(&tx, &proposal).await? {
        return Err(Error::AnotherOpen);
    }
    if author.approvals == 1 {
        apply(&tx, &key, loaded, outcome, &proposal, &author.actor, now).await?;
    }
    tx.commit().await?;
    let correction = find(&client, id).await?.ok_or(Error::NoCorrection)?;
    Ok(Proposed { correction, repeated: false })
}

/// Applies a proposal, by the word of a second person.
///
/// # Errors
/// [`Error`]; the proposal stays open, also when the match has changed meanwhile: it must be rejected then.
pub async fn approve(store: &Store, id: EventId, actor: &str, now: Timestamp) -> Result<Correction> {
    let mut client = store.client().await?;
    let Correction { key, proposal, .. } = find(&client, id).await?.ok_or(Error::NoCorrection)?;
    let end: End = serde_json::from_value(proposal.verdict)
        .map_err(|error| matchpurse_store::Error::Stored { what: "correction", source: error.into() })?;
    let event = end.event(store).await?;
    let tx = client.begin().await?;
    let loaded = lock(&tx, &key).await?;
    let correction = open(&tx, id).await?;
    // Who wrote his own name in another case is no second person.
    if correction.proposal.proposed_by.trim().to_lowercase() == actor.trim().to_lowercase() {
        return Err(Error::SamePerson(actor.to_owned()));
    }
    if correction.proposal.seen != last_event_in_tx(&tx, loaded.match_no).await? {
        return Err(Error::Outdated);
    }
    let outcome = decide(&tx, &loaded, &end, event.as_ref(), now).await?;
    apply(&tx, &key, loaded, outcome, &correction.proposal, actor, now).await?;
    tx.commit().await?;
    find(&client, id).await?.ok_or(Error::NoCorrection)
}

/// Decides against a proposal; its own author may do so too.
///
/// # Errors
/// [`Error`].
pub async fn reject(store: &Store, id: EventId, actor: &str, reason: &str) -> Result<Correction> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    open(&tx, id).await?;
    decide_in_tx(&tx, id, CorrectionState::Rejected, actor, Some(reason)).await?;
    tx.commit().await?;
    find(&client, id).await?.ok_or(Error::NoCorrection)
}

async fn open(tx: &Tx<'_>, id: EventId) -> Result<Correction> {
    let correction = corrections::lock_in_tx(tx, id).await?.ok_or(Error::NoCorrection)?;
    match correction.state {
        CorrectionState::Proposed => Ok(correction),
        decided => Err(Error::Decided(decided.as_str())),
    }
}

/// The one match of this id and, where that is said, kind.
///
/// # Errors
/// [`Error::NoMatch`], [`Error::SeveralMatches`], or the database.
pub async fn key_of(
    client: &Client,
    source: &SourceName,
    match_id: &str,
    kind: Option<MatchKind>,
) -> Result<MatchKey> {
    let mut kinds = kinds_of(client, source, match_id).await?;
    if let Some(kind) = kind {
        kinds.retain(|known| *known == kind);
    }
    match kinds[..] {
        [kind] => Ok(MatchKey { source: source.clone(), kind, match_id: match_id.to_owned() }),
        [] => Err(Error::NoMatch),
        _ => Err(Error::SeveralMatches(kinds)),
    }
}

async fn lock(tx: &Tx<'_>, key: &MatchKey) -> Result<LoadedMatch> {
    lock_in_tx(tx, std::slice::from_ref(key)).await?.remove(key).ok_or(Error::NoMatch)
}

async fn decide(
    tx: &Tx<'_>,
    loaded: &LoadedMatch,
    end: &End,
    event: Option<&Event>,
    now: Timestamp,
) -> Result<Outcome> {
    let state = loaded.state.clone().ok_or(Error::NoMatch)?;
    let verdict = end.verdict(event, &state)?;
    let mut funds = Funds::default();
    if state.custody == Custody::Studio {
        let named = match &verdict {
            Verdict::AsReported(snapshot) => snapshot.players().cloned().collect(),
            _ => BTreeSet::new(),
        };
        let players = state.seats.keys().cloned().chain(named);
        let players = players.map(|player| (state.source.clone(), state.currency.clone(), player)).collect();
        let mut found: BTreeMap<_, Funds> = funds_in_tx(tx, &players).await?;
        funds = found.remove(&(state.source.clone(), state.currency.clone())).unwrap_or_default();
    }
    correct(state, &verdict, &funds, now).map_err(Error::Refused)
}

async fn apply(
    tx: &Tx<'_>,
    key: &MatchKey,
    loaded: LoadedMatch,
    outcome: Outcome,
    proposal: &Proposal,
    actor: &str,
    now: Timestamp,
) -> Result<()> {
    // The match's guard asks for it before it lets the next generation in.
    decide_in_tx(tx, proposal.id, CorrectionState::Applied, actor, None).await?;
    let operation = Operation {
        id: proposal.id,
        kind: OperationKind::Correction,
        source: key.source.clone(),
        subject: key.match_id.clone(),
        match_no: Some(loaded.match_no),
        actor: proposal.proposed_by.clone(),
        approved_by: (proposal.approvals == 2).then(|| actor.to_owned()),
        reason: proposal.reason.clone(),
        amount: None,
        detail: json!({
            "match_kind": key.kind.as_str(),
            "generation": proposal.generation,
            "end": proposal.verdict,
        }),
    };
    record_in_tx(tx, &operation).await?;
    write_in_tx(tx, loaded, outcome, proposal.id, now).await?;
    let kinds: Vec<&str> = ANSWERED.iter().map(|kind| kind.as_str()).collect();
    resolve_anomalies_in_tx(tx, key, &kinds, proposal.id, actor).await?;
    Ok(())
}
