//! Results: how a match went, told by the studio's back-end.
//!
//! The first that is accepted ends the match and stays its result for ever. The same again is answered with it, and
//! another one is refused; only a correction sets another end.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::escrow::{Funds, GroupResult, MatchResult, MatchState, decide};
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{EventId, PlayerId, SourceName, derived_uuid};
use matchpurse_domain::source::Custody;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::escrow::{LoadedMatch, MatchKey, funds_in_tx, lock_in_tx};
use matchpurse_store::match_results::{keep_in_tx, of_match_in_tx, report_in_tx};
use matchpurse_store::operations::{Operation, OperationKind, find_in_tx, record_in_tx};
use matchpurse_store::{Store, Tx};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::corrections::key_of;
use crate::{Error, Result, write_in_tx};

/// A result as it is written in a request and in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Every side of the match, once.
    pub groups: Vec<GroupScore>,
    /// Players with points of their own.
    #[serde(default)]
    pub players: Vec<PlayerScore>,
}

/// How a side did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupScore {
    /// The provider's id of the side.
    pub group_id: String,
    /// Its points; more are better.
    pub score: i64,
    /// It gave up or did not come.
    #[serde(default)]
    pub forfeit: bool,
}

/// The points of a player.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlayerScore {
    /// The provider's id of the player.
    pub player_id: String,
    /// The points.
    pub score: i64,
}

/// Which match, and how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The source.
    pub source: SourceName,
    /// The provider's id of the match.
    pub match_id: String,
    /// The match's kind; only needed where several have the id.
    pub kind: Option<MatchKind>,
    /// How it went.
    pub result: Told,
    /// Whether the match's provider takes results.
    pub report: bool,
}

/// Who tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: String,
    /// The same for a repeat, and for no other result of the source.
    pub idempotency_key: String,
}

/// A result that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The match.
    pub key: MatchKey,
    /// True when it had been accepted before and nothing was done now.
    pub repeated: bool,
}

/// What an operation says of a result: what was told, every player with side and points, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    match_kind: String,
    /// What was told.
    pub result: Told,
    /// Every player of the match.
    pub players: Vec<Standing>,
    /// Every side's place, from 1, in the order of `result`.
    pub places: Vec<u32>,
    /// When it was accepted, microseconds since 1970; what a rebuild does again at the same moment.
    at_us: i64,
}

/// A player of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The provider's id of the player.
    pub player_id: String,
    /// The provider's id of the side.
    pub group_id: String,
    /// The player's points, or the side's.
    pub score: i64,
}

impl Told {
    fn as_result(&self) -> Result<MatchResult> {
        let (mut groups, mut players) = (BTreeMap::new(), BTreeMap::new());
        for GroupScore { group_id, score, forfeit } in &self.groups {
            let group = GroupResult { score: *score, forfeit: *forfeit };
            if groups.insert(group_id.clone(), group).is_some() {
                return Err(Error::ScoredTwice { member: "groups", name: group_id.clone() });
            }
        }
        for PlayerScore { player_id, score } in &self.players {
            if players.insert(PlayerId::new(player_id.clone()), *score).is_some() {
                return Err(Error::ScoredTwice { member: "players", name: player_id.clone() });
            }
        }
        Ok(MatchResult { groups, players })
    }
}

impl Detail {
    /// Reads it; none where this version does not know what it says.
    pub fn read(detail: &Value) -> Option<Self> {
        Self::deserialize(detail).ok()
    }

    fn new(state: &MatchState, told: Told, result: &MatchResult, now: Timestamp) -> Self {
        let standing = |(player, seat): (&PlayerId, &matchpurse_domain::escrow::Seat)| {
            let score = result.score_of(player, &seat.group_id)?;
            let (player_id, group_id) = (player.as_str().to_owned(), seat.group_id.clone());
            Some(Standing { player_id, group_id, score })
        };
        // In the order of the sides, which both have.
        let places = result.places().into_values().collect();
        Self {
            match_kind: state.kind.as_str().to_owned(),
            players: state.seats.iter().filter_map(standing).collect(),
            result: told,
            places,
            at_us: now.micros(),
        }
    }
}

/// A result on its way to its match.
pub(crate) struct Telling<'t> {
    /// The operation's id, if it is accepted.
    pub(crate) id: EventId,
    pub(crate) key: &'t MatchKey,
    pub(crate) told: Told,
    /// Whether the match's provider takes results.
    pub(crate) report: bool,
    pub(crate) actor: &'t str,
}

/// Accepts a result and settles the match by it, or returns that it had been accepted before. A report that the provider
/// did not take is made once more then.
///
/// # Errors
/// [`Error`]; nothing is written then.
pub async fn accept(store: &Store, request: &Request, author: &Author, now: Timestamp) -> Result<Accepted> {
    let id = derived_uuid("match-result", &[request.source.as_str(), &author.idempotency_key]);
    let mut client = store.client().await?;
    let key = key_of(&client, &request.source, &request.match_id, request.kind).await?;
    let tx = client.begin().await?;
    let loaded = lock(&tx, &key).await?;
    let (told, report, actor) = (request.result.clone(), request.report, author.actor.as_str());
    let telling = Telling { id: EventId::from_uuid(id), key: &key, told, report, actor };
    let repeated = accept_in_tx(&tx, loaded, telling, now).await?;
    tx.commit().await?;
    Ok(Accepted { key, repeated })
}

/// As [`accept`], of a match that is locked. True when it had been accepted before.
pub(crate) async fn accept_in_tx(
    tx: &Tx<'_>,
    loaded: LoadedMatch,
    mut telling: Telling<'_>,
    now: Timestamp,
) -> Result<bool> {
    // In one order, so that it can be compared.
    telling.told.groups.sort_unstable();
    telling.told.players.sort_unstable();
    let match_no = loaded.match_no;
    let (known, repeated) = match repeat(tx, &telling, match_no).await? {
        Some(known) => (known, true),
        None => (decided(tx, loaded, &telling, now).await?, false),
    };
    if telling.report {
        report_in_tx(tx, match_no, known, &telling.key.source, now).await?;
    }
    Ok(repeated)
}

/// Accepts again what an operation says, in a rebuild. The provider was told outside, and is not told again.
pub(crate) async fn accept_again(store: &Store, operation: &Operation) -> Result<()> {
    let detail = Detail::read(&operation.detail).ok_or(Error::NoMatch)?;
    let kind = MatchKind::parse(&detail.match_kind).ok_or(Error::NoMatch)?;
    let key = MatchKey { source: operation.source.clone(), kind, match_id: operation.subject.clone() };
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    if find_in_tx(&tx, operation.id).await?.is_some() {
        return Ok(());
    }
    let loaded = lock(&tx, &key).await?;
    let (told, actor) = (detail.result, operation.actor.as_str());
    let telling = Telling { id: operation.id, key: &key, told, report: false, actor };
    decided(&tx, loaded, &telling, Timestamp::from_micros(detail.at_us)).await?;
    Ok(tx.commit().await?)
}

pub(crate) async fn lock(tx: &Tx<'_>, key: &MatchKey) -> Result<LoadedMatch> {
    lock_in_tx(tx, std::slice::from_ref(key)).await?.remove(key).ok_or(Error::NoMatch)
}

/// The operation of the same result, where it was accepted before, under this key or of this match; none where nothing was.
async fn repeat(tx: &Tx<'_>, telling: &Telling<'_>, match_no: i64) -> Result<Option<EventId>> {
    let says = |operation: &Operation| {
        operation.match_no == Some(match_no)
            && Detail::read(&operation.detail).is_some_and(|detail| detail.result == telling.told)
    };
    if let Some((operation, _)) = find_in_tx(tx, telling.id).await? {
        return if says(&operation) { Ok(Some(telling.id)) } else { Err(Error::KeyReused) };
    }
    match of_match_in_tx(tx, match_no).await? {
        None => Ok(None),
        Some((operation, _)) if says(&operation) => Ok(Some(operation.id)),
        Some(_) => Err(Error::OtherResult),
    }
}

/// Settles the match, and keeps the result as its own.
async fn decided(tx: &Tx<'_>, loaded: LoadedMatch, telling: &Telling<'_>, now: Timestamp) -> Result<EventId> {
    let Telling { id, key, told, actor, .. } = telling;
    let result = told.as_result()?;
    let state = loaded.state.clone().ok_or(Error::NoMatch)?;
    let funds = funds(tx, &state).await?;
    let outcome = decide(state, &result, &funds, now).map_err(Error::Refused)?;
    let detail = Detail::new(&outcome.state, told.clone(), &result, now);
    let operation = Operation {
        id: *id,
        kind: OperationKind::MatchResult,
        source: key.source.clone(),
        subject: key.match_id.clone(),
        match_no: Some(loaded.match_no),
        actor: (*actor).to_owned(),
        approved_by: None,
        reason: spoken(&detail),
        amount: None,
        detail: json!(detail),
    };
    // Another match may have taken the key at this moment.
    if !record_in_tx(tx, &operation).await? {
        return Err(Error::KeyReused);
    }
    keep_in_tx(tx, loaded.match_no, *id).await?;
    write_in_tx(tx, loaded, outcome, *id, now).await?;
    Ok(*id)
}

/// What the players have, where the studio holds the stakes.
async fn funds(tx: &Tx<'_>, state: &MatchState) -> Result<Funds> {
    if state.custody == Custody::Provider {
        return Ok(Funds::default());
    }
    let place = (state.source.clone(), state.currency.clone());
    let players: BTreeSet<_> =
        state.seats.keys().map(|player| (place.0.clone(), place.1.clone(), player.clone())).collect();
    let mut found: BTreeMap<_, Funds> = funds_in_tx(tx, &players).await?;
    Ok(found.remove(&place).unwrap_or_default())
}

/// The points of the sides in one line, for the match's story.
fn spoken(detail: &Detail) -> String {
    let group = |group: &GroupScore| {
        let forfeit = if group.forfeit { " (forfeit)" } else { "" };
        format!("{} {}{forfeit}", group.group_id, group.score)
    };
    let groups: Vec<String> = detail.result.groups.iter().map(group).collect();
    format!("the result is {}", groups.join(", "))
}
