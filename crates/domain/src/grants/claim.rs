use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::contest::{ContestKey, ContestKind, Decision, Ending, Entry};
use super::conversions::{of_conversion, of_postback};
use super::grant::{Grant, GrantState, Objection, ReviewReason, Slot};
use crate::event::{
    ContestOutcome, Event, MatchKind, MatchSnapshot, MatchStatus, Outcome, Payload, Reward, RewardKind,
};
use crate::ids::PlayerId;
use crate::money::Money;

/// The reference of a match's reward when the provider names none: a match gives a player one reward.
const UNNAMED_OF_MATCH: &str = "match";

/// What an event says about the rewards of one contest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which contest.
    pub contest: ContestKey,
    /// What it says.
    pub statement: Statement,
}

/// What is said about a contest's rewards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// These may be won.
    Promise(BTreeMap<Slot, Grant>),
    /// It ended so.
    End(Verdict),
    /// What it gave is taken back.
    Reversal(Reversal),
}

/// How a contest ended, and what that gives to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What is kept to recognize a repeat.
    pub decision: Decision,
    /// What is given.
    pub grants: BTreeMap<Slot, Grant>,
    /// The wish, where it is one for credit.
    pub wish: Option<ConversionWish>,
}

/// What an offerwall takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    /// What is kept when nobody has heard of the conversion yet.
    pub decision: Decision,
    /// Which grant.
    pub slot: Slot,
    /// The grant, taken back before it was given.
    pub tombstone: Grant,
}

/// A player's wish to turn money into credit, with our answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversionWish {
    /// The player.
    pub player_id: PlayerId,
    /// The money.
    pub amount: Money,
    /// What it is in the studio's credit, as the provider wrote it.
    pub converted_amount: String,
    /// What we answered.
    pub answer: String,
}

impl Claim {
    /// What `event` says about rewards; none when it says nothing, which is so for a reward on a match that
    /// has not ended: it is a promise of money, and the money has its own worker.
    pub fn of(event: &Event) -> Option<Self> {
        let (kind, id, statement) = match &event.payload {
            Payload::ContestOutcome(contest) => {
                (ContestKind::Contest, &contest.contest_id, Statement::End(of_contest(contest)))
            }
            Payload::MatchSnapshot(snapshot) if snapshot.kind == MatchKind::FreeToPlay => {
                (ContestKind::Contest, &snapshot.match_id, Statement::Promise(of_open(snapshot)?))
            }
            Payload::MatchSnapshot(snapshot) => {
                (ContestKind::Match, &snapshot.match_id, Statement::End(of_match(snapshot)?))
            }
            Payload::RewardPostback(postback) => {
                (ContestKind::Postback, &postback.conversion_id, of_postback(postback)?)
            }
            Payload::CreditConversion(wish) => {
                (ContestKind::Conversion, &wish.intent_id, Statement::End(of_conversion(wish)))
            }
            _ => return None,
        };
        let contest = ContestKey { source: event.source.clone(), kind, contest_id: id.clone() };
        let claim = Self { contest, statement };
        if event.provenance.body_authenticated { Some(claim) } else { claim.mistrusted() }
    }

    /// The same, with nothing given before somebody has looked at it, and nothing taken back.
    fn mistrusted(mut self) -> Option<Self> {
        let grants = match &mut self.statement {
            Statement::Promise(grants) => grants,
            Statement::End(verdict) => &mut verdict.grants,
            Statement::Reversal(_) => return None,
        };
        for grant in grants.values_mut().filter(|grant| grant.state != GrantState::Recorded) {
            *grant = grant.clone().held_for(Some(ReviewReason::Unauthenticated.into()));
        }
        Some(self)
    }

    /// Every player of whom it speaks, in no order, perhaps repeatedly.
    pub fn players(&self) -> impl Iterator<Item = &PlayerId> {
        let (promised, ended) = match &self.statement {
            Statement::Promise(grants) => (Some(grants), None),
            Statement::End(verdict) => (None, Some(&verdict.decision.entries)),
            Statement::Reversal(reversal) => (None, Some(&reversal.decision.entries)),
        };
        let promised = promised.into_iter().flatten().map(|(slot, _)| &slot.player_id);
        promised.chain(ended.into_iter().flatten().map(|entry| &entry.player_id))
    }
}

/// Every entry of a winner, or of one of those who tied, with a reward gives it, of whichever copy comes first:
/// the copies differ only in whom they are addressed to. Who has lost gets no reward by the provider's own
/// rules, so one that says otherwise waits for a person.
fn of_contest(contest: &ContestOutcome) -> Verdict {
    let entries = contest.outcomes.iter().map(|entry| {
        let given = entry.reward.as_ref().filter(|reward| is_a_reward(reward));
        let contradiction = (entry.outcome == Outcome::Loss).then_some(ReviewReason::NotAWinner);
        let given = given.map(|reward| {
            let (reward_ref, grant) = Grant::of_reward(reward, None);
            (reward, (reward_ref, grant.held_for(contradiction.map(Objection::from))))
        });
        said(&entry.player_id, Some(entry.outcome), given)
    });
    verdict(Ending::Outcome, entries)
}

/// What may be won in a free contest that runs. Its end comes as an outcome, never as a status.
fn of_open(snapshot: &MatchSnapshot) -> Option<BTreeMap<Slot, Grant>> {
    let mut promised = BTreeMap::new();
    for player in snapshot.groups.iter().flat_map(|group| &group.players) {
        if let Some(reward) = player.reward.as_ref().filter(|reward| is_a_reward(reward)) {
            let (reward_ref, grant) = Grant::of_reward(reward, None);
            let slot = Slot { player_id: player.player_id.clone(), reward_ref };
            promised.entry(slot).or_insert_with(|| grant.promised(GrantState::Reserved));
        }
    }
    (!snapshot.status.is_terminal() && !promised.is_empty()).then_some(promised)
}

/// What the end of a match or tournament gives. None while it runs, and when it is said to be closed with
/// neither a winner nor a reward: that is an end whose result is yet to come.
fn of_match(snapshot: &MatchSnapshot) -> Option<Verdict> {
    let may_reward = matches!(snapshot.kind, MatchKind::Recreational | MatchKind::Tournament);
    if !may_reward || !snapshot.status.is_terminal() {
        return None;
    }
    let ending = match snapshot.status {
        MatchStatus::Closed => Ending::Closed,
        MatchStatus::ClosedTie => Ending::ClosedTie,
        _ => return Some(verdict(Ending::Canceled, std::iter::empty())),
    };
    let winners = &snapshot.winner_group_ids;
    let entries: Vec<_> = (snapshot.groups.iter())
        .flat_map(|group| group.players.iter().map(move |player| (group, player)))
        .filter_map(|(group, player)| {
            let reward = player.reward.as_ref().filter(|reward| is_a_reward(reward))?;
            let outcome = match ending {
                Ending::Closed if winners.is_empty() => None,
                Ending::Closed if winners.contains(&group.group_id) => Some(Outcome::Win),
                Ending::Closed => Some(Outcome::Loss),
                _ => Some(Outcome::Tie),
            };
            let contradiction = (outcome == Some(Outcome::Loss)).then_some(ReviewReason::NotAWinner);
            let (reward_ref, grant) = Grant::of_reward(reward, Some(UNNAMED_OF_MATCH));
            let given = (reward, (reward_ref, grant.held_for(contradiction.map(Objection::from))));
            Some(said(&player.player_id, outcome, Some(given)))
        })
        .collect();
    let says_something = !entries.is_empty() || !winners.is_empty() || ending == Ending::ClosedTie;
    says_something.then(|| verdict(ending, entries.into_iter()))
}

/// Nothing in money is no reward: providers write `0.00` for those who lost.
fn is_a_reward(reward: &Reward) -> bool {
    reward.kind != RewardKind::Cash || reward.amount.as_ref().is_none_or(|amount| amount.minor_units > 0)
}

/// What an end says of one player, and what it gives.
fn said(
    player_id: &PlayerId,
    outcome: Option<Outcome>,
    given: Option<(&Reward, (String, Grant))>,
) -> (Entry, Option<Grant>) {
    let mut parts = vec![player_id.as_str(), outcome.map_or("", Outcome::as_str)];
    let (units, metadata);
    if let Some((reward, (reward_ref, _))) = &given {
        units = reward.amount.as_ref().map(|amount| amount.minor_units.to_string()).unwrap_or_default();
        let currency = reward.amount.as_ref().map_or("", |amount| amount.currency.as_str());
        let value = reward.value.as_deref().unwrap_or_default();
        parts.extend([reward.kind.as_str(), reward_ref, &units, currency, value]);
        // What a client sent along tells nothing about money that the provider pays.
        if reward.kind == RewardKind::Studio {
            metadata = written_one_way(reward.metadata.as_deref().unwrap_or_default());
            parts.push(&metadata);
        }
    }
    let digest = digest(&parts);
    let (reward_ref, grant) = given.map(|(_, (reward_ref, grant))| (reward_ref, grant)).unzip();
    (Entry { player_id: player_id.clone(), outcome, reward_ref, digest }, grant)
}

/// The same JSON with other spaces, or its fields in another order, is the same: a provider's API need not write it as its
/// webhook did.
fn written_one_way(metadata: &str) -> String {
    serde_json::from_str::<Value>(metadata).map_or_else(|_| metadata.to_owned(), |value| value.to_string())
}

/// A verdict over what was said of each player. Two different rewards in one slot cannot both be meant, so
/// that slot waits for review.
fn verdict(ending: Ending, said: impl Iterator<Item = (Entry, Option<Grant>)>) -> Verdict {
    let mut said: Vec<_> = said.collect();
    // By digest, so that nothing depends on the order in which the provider lists the players.
    said.sort_by_key(|(entry, _)| entry.digest);
    said.dedup_by(|a, b| a.0.digest == b.0.digest);
    let mut grants = BTreeMap::new();
    for (entry, grant) in &said {
        if let (Some(reward_ref), Some(grant)) = (&entry.reward_ref, grant) {
            let slot = Slot { player_id: entry.player_id.clone(), reward_ref: reward_ref.clone() };
            match grants.entry(slot) {
                MapEntry::Vacant(place) => {
                    place.insert(grant.clone());
                }
                MapEntry::Occupied(mut place) => {
                    let held = place.get().clone().held_for(Some(ReviewReason::AmbiguousReference.into()));
                    place.insert(held);
                }
            }
        }
    }
    let entries = said.into_iter().map(|(entry, _)| entry).collect();
    Verdict { decision: Decision::new(ending, entries), grants, wish: None }
}

/// A verdict about one player, whose key of the money is also the reward's reference.
pub(super) fn single(
    ending: Ending,
    player: &PlayerId,
    digest: [u8; 32],
    given: Option<(&String, Grant)>,
) -> Verdict {
    let (reward_ref, grant) = given.map(|(reward_ref, grant)| (reward_ref.clone(), grant)).unzip();
    verdict(
        ending,
        std::iter::once((Entry { player_id: player.clone(), outcome: None, reward_ref, digest }, grant)),
    )
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts collide.
pub(super) fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}
