//! Worker: match-escrow.
