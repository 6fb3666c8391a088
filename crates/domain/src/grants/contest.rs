use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::grant::{Grant, Slot};
use crate::event;
use crate::ids::{PlayerId, SourceName, derived_uuid};

/// What names a contest for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContestKey {
    /// The source that it came by.
    pub source: SourceName,
    /// What it is; ids of different kinds do not meet.
    pub kind: ContestKind,
    /// The provider's id of it.
    pub contest_id: String,
}

/// What decides about rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContestKind {
    /// A free contest: rewards are reserved while it runs and given by its outcome.
    Contest,
    /// A match or tournament: its end names the rewards.
    Match,
    /// A conversion on an offerwall; its id is the conversion's id, so that one conversion pays once,
    /// whomever a repeat names.
    Postback,
    /// A wish to turn money into credit; its id is the intent's.
    Conversion,
}

/// A contest as far as rewards go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contest {
    /// How it was decided, once it was.
    pub decision: Option<Decision>,
    /// What was reserved or given.
    pub grants: BTreeMap<Slot, Grant>,
}

/// What the first end of a contest said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How it ended.
    pub ending: Ending,
    /// What the end said of each player, sorted by digest, without repeats.
    pub entries: Vec<Entry>,
}

/// How a contest ended, as far as rewards go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The outcome of a free contest came.
    Outcome,
    /// A match ended with winners.
    Closed,
    /// A match ended in a tie.
    ClosedTie,
    /// A match was called off, for whatever reason.
    Canceled,
    /// An offerwall credited a conversion.
    Credited,
    /// A wish for credit was answered.
    Answered,
    /// An offerwall took a conversion back of which nobody had heard yet: whatever it earned is not given.
    Reversed,
}

/// What an end says of one player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The player.
    pub player_id: PlayerId,
    /// Won, lost or tied, where the end says so.
    pub outcome: Option<event::Outcome>,
    /// The slot of the reward, if there is one.
    pub reward_ref: Option<String>,
    /// SHA-256 over all that the end says of the player: two entries are the same when this is.
    pub digest: [u8; 32],
}

impl ContestKey {
    /// The key by which tables name this contest: a UUIDv5 of it.
    pub fn uuid(&self) -> Uuid {
        derived_uuid("contest", &[self.source.as_str(), self.kind.as_str(), &self.contest_id])
    }
}

impl Decision {
    /// A decision over `entries` in any order.
    pub fn new(ending: Ending, mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.digest);
        entries.dedup_by(|a, b| a.digest == b.digest);
        Self { ending, entries }
    }

    /// SHA-256 over the ending and the sorted entries; it depends neither on their order nor on whose copy
    /// it was.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.ending.as_str().as_bytes());
        for entry in &self.entries {
            hash.update(entry.digest);
        }
        hash.finalize().into()
    }

    /// True when every entry of `other` stands in this one too.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let mine: BTreeSet<_> = self.entries.iter().map(|entry| entry.digest).collect();
        other.entries.iter().all(|entry| mine.contains(&entry.digest))
    }

    /// True when `self` says all that `old` said, and more only about players of whom `old` said nothing.
    pub(super) fn extends(&self, old: &Self) -> bool {
        let digests: BTreeSet<_> = old.entries.iter().map(|entry| entry.digest).collect();
        let players: BTreeSet<_> = old.entries.iter().map(|entry| &entry.player_id).collect();
        let mut added = self.entries.iter().filter(|entry| !digests.contains(&entry.digest));
        self.contains(old) && added.all(|entry| !players.contains(&entry.player_id))
    }
}

impl ContestKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Contest, Self::Match, Self::Postback, Self::Conversion];

    /// The word for it in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contest => "contest",
            Self::Match => "match",
            Self::Postback => "postback",
            Self::Conversion => "conversion",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Outcome,
        Self::Closed,
        Self::ClosedTie,
        Self::Canceled,
        Self::Credited,
        Self::Answered,
        Self::Reversed,
    ];

    /// The word for it in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Closed => "closed",
            Self::ClosedTie => "closed_tie",
            Self::Canceled => "canceled",
            Self::Credited => "credited",
            Self::Answered => "answered",
            Self::Reversed => "reversed",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.as_str() == text)
    }
}
