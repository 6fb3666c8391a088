use std::fmt;

use super::{GENESIS, Row};

/// Where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainBreak {
    /// Rows are missing.
    Missing {
        /// The number of the first of them.
        first: i64,
        /// The number of the last of them.
        last: i64,
    },
    /// The row with this number is not what it was.
    Changed {
        /// The number.
        seq: i64,
    },
    /// The row with this number holds an event that was archived under another one.
    Moved {
        /// The number.
        seq: i64,
        /// The number under which its event was archived.
        was: i64,
    },
    /// A row stands behind one that comes after it.
    Reordered {
        /// Its number.
        seq: i64,
        /// The number of the row before it.
        behind: i64,
    },
    /// The row with this number is one whose body was erased, and has another one now.
    Restored {
        /// The number.
        seq: i64,
    },
    /// What is recorded of a day that has left the archive does not follow the row before it.
    Record {
        /// The day, `YYYY-MM-DD`.
        day: String,
        /// The number of the day's first row.
        seq: i64,
    },
    /// The last row is not the one that the chain's end names.
    Head {
        /// The number that the end names; 0 where there is no end.
        seq: i64,
    },
}

impl fmt::Display for ChainBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { first, last } if first == last => write!(f, "row {first} is missing"),
            Self::Missing { first, last } => write!(f, "rows {first} to {last} are missing"),
            Self::Changed { seq } => write!(f, "row {seq} has been changed"),
            Self::Moved { seq, was } => write!(f, "row {seq} holds the event that was archived as row {was}"),
            Self::Reordered { seq, behind } => write!(f, "row {seq} stands behind row {behind}"),
            Self::Restored { seq } => write!(f, "row {seq} was erased, and its body is there again"),
            Self::Record { day, seq } => write!(
                f,
                "what is recorded of {day}, which left the archive with row {seq} as its first, does not \
                 follow the row before"
            ),
            Self::Head { seq: 0 } => f.write_str("there are rows, but the chain has no end"),
            Self::Head { seq } => write!(f, "the last row is not row {seq}, which the chain's end names"),
        }
    }
}

/// A walk along one chain: what the next row must follow.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    last: i64,
    /// The last row's hash as it is stored.
    before: Vec<u8>,
    /// The last row's hash as it should be, where the stored one is another: if the next row follows this one, only
    /// the hash was changed and the next row is as it was.
    should_be: Option<[u8; 32]>,
}

impl Chain {
    /// Before the first row.
    pub(super) fn genesis() -> Self {
        Self::behind(0, GENESIS.to_vec())
    }

    /// Behind a row that is known.
    pub(super) fn behind(last: i64, hash: Vec<u8>) -> Self {
        Self { last, before: hash, should_be: None }
    }

    /// The number of the last row; 0 before the first one.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// The last row's hash as it is stored.
    pub(super) fn hash(&self) -> &[u8] {
        &self.before
    }

    /// Goes to the next row, whose stored hash is `stored`. Behind a place where the chain does not hold it goes on
    /// from the hash that is there. `sealed` is what an erasure has recorded of a row whose body it took.
    pub(super) fn step(&mut self, row: &Row<'_>, stored: &[u8], sealed: Option<&[u8]>) -> Option<ChainBreak> {
        let (seq, expected) = (row.seq, self.last.saturating_add(1));
        if seq < expected {
            return Some(ChainBreak::Reordered { seq, behind: self.last });
        }
        let (broken, should_be) = if seq > expected {
            (Some(ChainBreak::Missing { first: expected, last: seq.saturating_sub(1) }), None)
        } else {
            self.compare(row, stored, sealed)
        };
        (self.last, self.should_be) = (seq, should_be);
        self.before.clear();
        self.before.extend_from_slice(stored);
        broken
    }

    /// Whether the next row's hash is what it must be, and if not, what it must be.
    fn compare(
        &self,
        row: &Row<'_>,
        stored: &[u8],
        sealed: Option<&[u8]>,
    ) -> (Option<ChainBreak>, Option<[u8; 32]>) {
        // What is left of an erased row cannot lead to the hash that it had, which the row behind it still proves.
        if sealed.is_some_and(|seal| row.hash(stored).as_slice() == seal) {
            return (None, None);
        }
        let hash = row.hash(&self.before);
        if hash.as_slice() == stored {
            return (sealed.map(|_| ChainBreak::Restored { seq: row.seq }), None);
        }
        if self.should_be.is_some_and(|before| row.hash(&before).as_slice() == stored) {
            return (None, None);
        }
        (Some(ChainBreak::Changed { seq: row.seq }), Some(hash))
    }

    /// Goes over the rows `first` to `last`, of which only the hashes before and of the last are known.
    pub(super) fn skip(
        &mut self,
        day: &str,
        (first, last): (i64, i64),
        before: &[u8],
        hash: Vec<u8>,
    ) -> Option<ChainBreak> {
        let expected = self.last.saturating_add(1);
        let broken = if first > expected {
            Some(ChainBreak::Missing { first: expected, last: first.saturating_sub(1) })
        } else if first < expected || before != self.before {
            Some(ChainBreak::Record { day: day.to_owned(), seq: first })
        } else {
            None
        };
        *self = Self::behind(last, hash);
        broken
    }
}
