//! Bodies into our events: which one it is, by the root's `event`; the families have a file each.

mod free_to_play;
mod games;
mod others;
mod tournaments;

use std::collections::BTreeSet;

use matchpurse_domain::event::{
    Group, MatchStatus, Participant, Payload, Unrecognized, UnrecognizedKind,
};
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::money::{Currency, Money};
use serde::de::DeserializeOwned;

use super::conversion::FAILED;
use super::wire::{Head, Nested, NewPlayer};
use crate::json::{self, DecimalText, Id};
use crate::normalized::{NewEvent, NormalizeError, Normalized, Question};
use crate::settings::AdapterSettings;

/// The event whose documented sample lacks the field `event`.
const CONVERSION: &str = "C2CWithdrawal";

/// A body as its event. A conversion that cannot be read is an event too, though malformed: the provider
/// holds a player's money until it is answered, and what is an error here gets no answer that it knows.
pub(super) fn normalize(body: &[u8], settings: &AdapterSettings) -> Result<Normalized, NormalizeError> {
    read(body, settings).or_else(|error| match others::unreadable_conversion(body, &error) {
        Some(event) => Ok(Normalized {
            provider_type: CONVERSION.to_owned(),
            question: question(&event),
            events: vec![event],
            amount_rounded: false,
        }),
        None => Err(error),
    })
}

/// What must get one answer for ever: a conversion, by its intent. What was refused because it could not be read is
/// refused for ever too, should a later version of us read it.
fn question(event: &NewEvent) -> Option<Question> {
    let (id, answer) = match &event.payload {
        Payload::CreditConversion(wish) => (&wish.intent_id, wish.answer.as_str()),
        Payload::Unrecognized(unrecognized) if unrecognized.kind == NormalizeError::KIND => {
            (&event.subject, FAILED)
        }
        _ => return None,
    };
    // Without an intent there is nothing by which it could be asked again.
    (!id.is_empty()).then(|| Question { id: id.clone(), answer: answer.to_owned() })
}

fn read(body: &[u8], settings: &AdapterSettings) -> Result<Normalized, NormalizeError> {
    // The body is gone over twice: this pass skips every value but the few that tell the families apart.
    let head: Head = json::read(body)?;
    let currency = &settings.policy.currency;
    let mut delivery = Reading { body, nested: head.matchup.0, currency, rounded: false };
    let conversion = head.intent_id.0 && head.converted_amount.0;
    let name = match head.event.map(json::Text::into_string).unwrap_or_default() {
        none if none.is_empty() && conversion => CONVERSION.to_owned(),
        name => name,
    };
    let event = match name.as_str() {
        "RecreationalGameCreated"
        | "RecreationalGameJoined"
        | "RecreationalGameStarted"
        | "RecreationalGameCompleted"
        | "RecreationalGameCanceled" => games::snapshot(&mut delivery, &name),
        "FtpMatchupCreated" => free_to_play::created(&delivery),
        "FtpMatchupAccepted" => free_to_play::accepted(&delivery),
        "ContestUserOutcome" => free_to_play::outcome(&delivery),
        "TournamentCreated"
        | "TournamentEdited"
        | "TournamentUserJoined"
        | "TournamentCompleted"
        | "TournamentCanceled" => tournaments::snapshot(&mut delivery, &name),
        "TournamentComplianceLimitExceeded" => tournaments::limit_exceeded(&delivery),
        "RecreationalGameCompletionFailed" | "TournamentCompletionFailed" | "ScoreIngestionFailed" => {
            others::failure(&delivery)
        }
        "UserSignedUp" => others::signed_up(&delivery),
        "UserKYCVerified" => others::identified(&delivery),
        "FundsDeposited" => others::paid_in(&mut delivery),
        CONVERSION => others::conversion(&mut delivery, settings),
        _ => Ok(others::unknown(&delivery, &name)),
    }?;
    Ok(Normalized {
        provider_type: json::clip(&name),
        question: question(&event),
        events: vec![event],
        amount_rounded: delivery.rounded,
    })
}

/// A body that is being read.
struct Reading<'b> {
    body: &'b [u8],
    /// True when the game or tournament stands in `matchup` and not at the root.
    nested: bool,
    currency: &'b Currency,
    /// True when an amount so far was a hair off.
    rounded: bool,
}

/// Why a body makes no event of its own kind.
enum Problem {
    /// It cannot be read at all.
    Malformed(NormalizeError),
    /// It can be read, but not understood.
    Unclear(Unrecognized),
}

impl Reading<'_> {
    /// The game or tournament: `matchup` where that is an object, else the root. One page of the
    /// documentation shows the one, the provider's own sample program the other.
    fn matchup<T: DeserializeOwned>(&self) -> Result<T, NormalizeError> {
        if self.nested {
            json::read::<Nested<T>>(self.body).map(|outer| outer.matchup)
        } else {
            json::read(self.body)
        }
    }

    /// What stands at the root beside the game or matchup.
    fn new_player(&self) -> Result<NewPlayer, NormalizeError> {
        json::read(self.body)
    }

    /// A path below the game or tournament, from the root.
    fn path(&self, below: &str) -> String {
        if self.nested { format!("matchup.{below}") } else { below.to_owned() }
    }

    /// An amount of the game or tournament.
    fn money(&mut self, amount: &DecimalText, below: &str) -> Result<Money, NormalizeError> {
        self.money_of_text(amount.as_str(), below)
    }

    /// Like [`Self::money`], of a field that may be missing or null.
    fn optional_money(
        &mut self,
        amount: Option<&DecimalText>,
        below: &str,
    ) -> Result<Option<Money>, NormalizeError> {
        amount.map(|amount| self.money(amount, below)).transpose()
    }

    /// Like [`Self::money`], of a field that holds an amount only sometimes.
    fn money_of_text(&mut self, text: &str, below: &str) -> Result<Money, NormalizeError> {
        let mut rounded = self.rounded;
        let money = json::money(text, self.currency, &mut rounded, || self.path(below));
        self.rounded = rounded;
        money
    }
}

impl From<NormalizeError> for Problem {
    fn from(error: NormalizeError) -> Self {
        Self::Malformed(error)
    }
}

impl Problem {
    fn unclear(kind: UnrecognizedKind, reason: String) -> Self {
        Self::Unclear(Unrecognized { kind, reason })
    }
}

/// Puts a player whom an event names as new into the roster, when the list of groups does not have them yet:
/// it may still be empty then. The group is not known; a later list tells it.
fn add_new_player(groups: &mut Vec<Group>, player: Option<Id>) {
    let Some(player) = player.map(|id| PlayerId::new(id.into_string())) else { return };
    let listed = groups.iter().flat_map(|group| &group.players).any(|listed| listed.player_id == player);
    if !listed {
        let players = vec![Participant { player_id: player, reward: None }];
        groups.push(Group { group_id: String::new(), name: None, players });
    }
}

/// A roster that names a player twice does not say what the player staked, or on which side.
fn each_player_once(groups: &[Group]) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    let mut players = groups.iter().flat_map(|group| &group.players);
    match players.find(|player| !seen.insert(&player.player_id)) {
        None => Ok(()),
        Some(player) => {
            let reason = format!("player {:?} is listed twice", json::clip(player.player_id.as_str()));
            Err(Problem::unclear(UnrecognizedKind::Inconsistent, reason))
        }
    }
}

/// What is not understood is an event too, about the same subject.
fn event(subject: String, payload: Result<Payload, Problem>) -> Result<NewEvent, NormalizeError> {
    let payload = match payload {
        Ok(payload) => payload,
        Err(Problem::Unclear(unrecognized)) => Payload::Unrecognized(unrecognized),
        Err(Problem::Malformed(error)) => return Err(error),
    };
    Ok(NewEvent { subject, occurred_at: None, payload })
}

/// The statuses of a game. A status of this family that we have not heard of is a cancellation like the
/// others; the coarse words of the REST interface are none of these.
fn known_status(text: &str) -> Option<MatchStatus> {
    Some(match text {
        "OPEN" => MatchStatus::Open,
        "CONFIRMED" => MatchStatus::Confirmed,
        "LOCKED" => MatchStatus::Locked,
        "PENDING_OUTCOMES" => MatchStatus::PendingOutcomes,
        "DISPUTE" => MatchStatus::Dispute,
        "CLOSED" => MatchStatus::Closed,
        "CLOSED_TIE" => MatchStatus::ClosedTie,
        "CANCELED_BY_OWNER" => MatchStatus::CanceledByOwner,
        "CANCELED_NOT_ACCEPTED" => MatchStatus::CanceledNotAccepted,
        "CANCELED_THROUGH_API" => MatchStatus::CanceledThroughApi,
        "CANCELED_TIMEOUT" => MatchStatus::CanceledTimeout,
        other if other.starts_with("CANCELED_") => MatchStatus::CanceledOther,
        _ => return None,
    })
}
