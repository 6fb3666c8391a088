//! Matches that another source's match decides.
//!
//! A back-end says which match on a game server stands for which match that somebody staked something in ([`link`]); when
//! that one has ended, its points are told as the result ([`follow`]). The match on the server may come in bodies that no
//! signature covers, so only sources that the configuration trusts with it decide anything.

use matchpurse_domain::escrow::{Refusal, takes_result};
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{EventId, SourceName, derived_uuid};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::escrow::MatchKey;
use matchpurse_store::links::new_id_in_tx;
use matchpurse_store::match_links::{Link, LinkState, end_in_tx, ended, find_in_tx, finish_in_tx, put_in_tx};
use matchpurse_store::operations::{Operation, OperationKind, record_in_tx};
use matchpurse_store::stats::StatsKey;
use matchpurse_store::{Store, chain};
use serde_json::json;

use crate::corrections::key_of;
use crate::results::{self, GroupScore, Telling, Told};
use crate::{Error, Result};

/// How many matches are decided before it is looked again.
const FOLLOWED_MAX: i64 = 100;

/// What stands for which match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The source of the match that is decided.
    pub source: SourceName,
    /// The provider's id of it.
    pub match_id: String,
    /// Its kind; only needed where several have the id.
    pub kind: Option<MatchKind>,
    /// The match that decides.
    pub decided_by: StatsKey,
    /// The side that its first team stands for, and the one of the second.
    pub teams: (String, String),
    /// Whether the provider of the match that is decided takes results.
    pub report: bool,
}

/// What following the links did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Followed {
    /// Matches that were decided.
    pub decided: u64,
    /// Links whose end was no result.
    pub failed: u64,
    /// Matches that could not be dealt with; they come again.
    pub errors: u64,
}

/// Links a match, or links it anew while nothing has been decided. Asked for again it changes nothing.
///
/// # Errors
/// [`Error`].
pub async fn link(store: &Store, request: &Request, actor: &str, now: Timestamp) -> Result<MatchKey> {
    let mut client = store.client().await?;
    let key = key_of(&client, &request.source, &request.match_id, request.kind).await?;
    let tx = client.begin().await?;
    let loaded = results::lock(&tx, &key).await?;
    let (team1, team2) = request.teams.clone();
    let known = find_in_tx(&tx, &key).await?;
    let same = |link: &Link| {
        (&link.decided_by, &link.team1, &link.team2) == (&request.decided_by, &team1, &team2)
            && link.state != LinkState::Failed
    };
    if known.as_ref().is_some_and(same) {
        return Ok(key);
    }
    let state = loaded.state.as_ref().ok_or(Error::NoMatch)?;
    takes_result(state).map_err(Error::Refused)?;
    let unknown = |team: &&String| !state.seats.values().any(|seat| seat.group_id == **team);
    if let Some(team) = [&team1, &team2].into_iter().find(unknown) {
        return Err(Error::Refused(Refusal::Unknown(team.clone())));
    }
    if team1 == team2 {
        return Err(Error::ScoredTwice { member: "groups", name: team1 });
    }
    let operation = Operation {
        id: new_id_in_tx(&tx).await?,
        kind: OperationKind::MatchLink,
        source: key.source.clone(),
        subject: key.match_id.clone(),
        match_no: Some(loaded.match_no),
        actor: actor.to_owned(),
        approved_by: None,
        reason: format!("{}/{} decides it", request.decided_by.source, request.decided_by.match_id),
        amount: None,
        detail: json!({
            "match_kind": key.kind.as_str(),
            "decided_by": { "source": request.decided_by.source.as_str(), "match_id": request.decided_by.match_id },
            "groups": { "team1": team1, "team2": team2 },
        }),
    };
    record_in_tx(&tx, &operation).await?;
    let link = Link {
        operation: operation.id,
        decided_by: request.decided_by.clone(),
        team1,
        team2,
        state: LinkState::Waiting,
        failure: None,
        at: now,
    };
    if !put_in_tx(&tx, &key, &link, request.report).await? {
        return Err(Error::OtherResult);
    }
    tx.commit().await?;
    Ok(key)
}

/// Decides the matches whose linked match of one of these sources has ended, each in a transaction of its own; any number
/// of processes may do so at once.
///
/// # Errors
/// When the list cannot be read; a match that fails is logged and counted.
pub async fn follow(store: &Store, trusted: &[&str], now: Timestamp) -> matchpurse_store::Result<Followed> {
    let mut followed = Followed::default();
    if trusted.is_empty() {
        return Ok(followed);
    }
    let due = ended(&store.client().await?, trusted, FOLLOWED_MAX).await?;
    for key in &due {
        match follow_one(store, key, now).await {
            Ok(Some(true)) => followed.decided += 1,
            Ok(Some(false)) => followed.failed += 1,
            // Somebody else was faster.
            Ok(None) => {}
            Err(error) => {
                followed.errors += 1;
                tracing::error!(source = %key.source, match_id = key.match_id, reason = chain(&error),
                    "a match whose linked match has ended could not be decided");
            }
        }
    }
    Ok(followed)
}

/// True when the match was decided, false when the end was no result, none when there was nothing to do.
async fn follow_one(store: &Store, key: &MatchKey, now: Timestamp) -> Result<Option<bool>> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let loaded = results::lock(&tx, key).await?;
    let Some(end) = end_in_tx(&tx, key).await? else { return Ok(None) };
    let StatsKey { source, match_id } = &end.link.decided_by;
    let why = match end.scores {
        None => "the linked match was called off, or has no points".to_owned(),
        Some((first, second)) => {
            let group =
                |(id, score): (&String, i64)| GroupScore { group_id: id.clone(), score, forfeit: false };
            let groups = [(&end.link.team1, first), (&end.link.team2, second)].map(group).to_vec();
            let told = Told { groups, players: Vec::new() };
            let id = derived_uuid("linked-result", &[&end.link.operation.to_string()]);
            let actor = format!("{source}/{match_id}");
            let id = EventId::from_uuid(id);
            let telling = Telling { id, key, told, report: end.report, actor: &actor };
            match results::accept_in_tx(&tx, loaded, telling, now).await {
                Ok(_) => {
                    finish_in_tx(&tx, end.link.operation, None).await?;
                    tx.commit().await?;
                    return Ok(Some(true));
                }
                Err(Error::Store(error)) => return Err(error.into()),
                Err(error) => chain(&error),
            }
        }
    };
    // What was begun of a result that is none is not written.
    tx.rollback().await?;
    let tx = client.begin().await?;
    finish_in_tx(&tx, end.link.operation, Some(&why)).await?;
    tx.commit().await?;
    tracing::warn!(source = %key.source, match_id = key.match_id, why, "a linked match has ended without a result");
    Ok(Some(false))
}
