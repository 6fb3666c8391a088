use crate::event::{OfferChange, OfferChanged};
use crate::time::Timestamp;

/// An offer as its events have it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Open to players or not.
    pub state: OfferState,
    /// When it was opened or removed; none while only descriptions of it have come.
    pub state_at: Option<Timestamp>,
    /// What the provider says of it.
    pub description: Description,
}

/// What a provider says of an offer, with the time of saying; the greater of two counts.
///
/// The order of the fields is the order of comparison: a description outweighs what little a removal says
/// (which has no time here), the later one the earlier one, and of two at one time the content decides, so
/// that the result does not depend on which came first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    /// When it was said; none where a removal said it.
    pub at: Option<Timestamp>,
    /// Everything that the provider said, as a JSON object.
    pub data: String,
    /// The studio's app at the provider.
    pub app_id: Option<String>,
    /// The campaign behind the offer.
    pub campaign_id: Option<String>,
}

/// Open to players or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfferState {
    /// Players may start it.
    Active,
    /// Nobody may start it; who has started may finish.
    Removed,
}

/// What is to be told of an offer. The last one that is told of its state always tells the state that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferNotice {
    /// It is new.
    Created,
    /// It is closed to new players.
    Removed,
    /// It was removed, and is open again.
    Restored,
    /// Something else is said of it; open or closed stayed as it was.
    Updated,
}

/// The offer after `event`, and what is to be told if anything changed. `known` is none when nothing has been
/// heard of the offer.
pub fn apply_offer(known: Option<&Offer>, event: &OfferChanged) -> (Offer, Option<OfferNotice>) {
    let to = match event.change {
        OfferChange::Removed => Some(OfferState::Removed),
        OfferChange::Created => Some(OfferState::Active),
        OfferChange::Updated => None,
    };
    let description = Description {
        at: (event.change != OfferChange::Removed).then_some(event.changed_at),
        data: event.data.clone(),
        app_id: event.app_id.clone(),
        campaign_id: event.campaign_id.clone(),
    };
    let Some(known) = known else {
        let state = to.unwrap_or(OfferState::Active);
        let state_at = to.map(|_| event.changed_at);
        let told = to.map_or(OfferNotice::Updated, |to| notice(None, to));
        return (Offer { state, state_at, description }, Some(told));
    };
    let mut offer = known.clone();
    offer.description = offer.description.max(description);
    // Said later, but the same: that is no news.
    let updated = (!offer.description.says_the_same(&known.description)).then_some(OfferNotice::Updated);
    // A removal is the greater one at the same time.
    let newer = to.filter(|to| (Some(event.changed_at), *to) > (known.state_at, known.state));
    let Some(to) = newer else {
        return (offer, updated);
    };
    offer.state = to;
    offer.state_at = Some(event.changed_at);
    // Of an offer that was only described no state has been told yet.
    let told = known.state_at.map(|_| known.state);
    (offer, if told == Some(to) { updated } else { Some(notice(told, to)) })
}

fn notice(from: Option<OfferState>, to: OfferState) -> OfferNotice {
    match (from, to) {
        (_, OfferState::Removed) => OfferNotice::Removed,
        (Some(OfferState::Removed), OfferState::Active) => OfferNotice::Restored,
        (_, OfferState::Active) => OfferNotice::Created,
    }
}

impl Description {
    fn says_the_same(&self, other: &Self) -> bool {
        (&self.data, &self.app_id, &self.campaign_id) == (&other.data, &other.app_id, &other.campaign_id)
    }
}

impl OfferState {
    /// The word for it in the database and in notices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Removed => "removed",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Removed].into_iter().find(|state| state.as_str() == text)
    }
}
