use std::collections::BTreeMap;

use matchpurse_domain::escrow::{MatchState, Verdict};
use matchpurse_domain::event::{Event, MatchSnapshot, Payload};
use matchpurse_domain::ids::{EventId, PlayerId};
use matchpurse_store::Store;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Result};

/// The end that an operator sets, as it is written in a request and in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    // With braces, because serde takes any members beside the tag of a variant without: "refund these groups" would be
    // a refund of all.
    /// Every stake goes back.
    Refund {},
    /// A tie; the match's tie policy decides.
    Tie {},
    /// The players of these groups won and divide the prize.
    Winners {
        /// The provider's ids of the groups.
        groups: Vec<String>,
    },
    /// These players get these amounts; what is left of the pot is the fee.
    Payouts {
        /// Who gets what; whoever is not named gets nothing.
        payouts: Vec<Figure>,
    },
    /// As this archived event of the provider says.
    Event {
        /// The event's id.
        event_id: Uuid,
    },
}

/// What one player gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The provider's id of the player.
    pub player_id: String,
    /// Minor units of the match's currency.
    pub minor_units: i64,
}

impl End {
    /// The archived event that it names, if it names one.
    pub(crate) async fn event(&self, store: &Store) -> Result<Option<Event>> {
        let Self::Event { event_id } = self else { return Ok(None) };
        let id = EventId::from_uuid(*event_id);
        let archived = store.archived(id).await?.ok_or(Error::NoSnapshot(id))?;
        Ok(Some(archived.event))
    }

    /// What it means for a match; `event` is what [`End::event`] found.
    pub(crate) fn verdict(&self, event: Option<&Event>, state: &MatchState) -> Result<Verdict> {
        Ok(match self {
            Self::Refund {} => Verdict::Refund,
            Self::Tie {} => Verdict::Tie,
            Self::Winners { groups } => Verdict::Winners(groups.clone()),
            Self::Payouts { payouts } => {
                let mut figures = BTreeMap::new();
                for Figure { player_id, minor_units } in payouts {
                    if figures.insert(PlayerId::new(player_id.clone()), *minor_units).is_some() {
                        return Err(Error::NamedTwice(player_id.clone()));
                    }
                }
                Verdict::Figures(figures)
            }
            Self::Event { event_id } => {
                let snapshot = event.and_then(|event| snapshot_of(event, state));
                let snapshot = snapshot.ok_or(Error::NoSnapshot(EventId::from_uuid(*event_id)))?;
                if let Err(money) = snapshot.in_currency(&state.currency) {
                    return Err(Error::ForeignCurrency(money.currency.clone()));
                }
                Verdict::AsReported(Box::new(snapshot.clone()))
            }
        })
    }
}

/// The event's snapshot, if it is one of this match.
fn snapshot_of<'e>(event: &'e Event, state: &MatchState) -> Option<&'e MatchSnapshot> {
    let Payload::MatchSnapshot(snapshot) = &event.payload else { return None };
    let named = (&event.source, snapshot.kind, &snapshot.match_id);
    (named == (&state.source, state.kind, &state.match_id)).then_some(snapshot)
}
