//! Leaderboards: what is ranked, over which time, and who may stand on a board.
//!
//! A score is a whole number in fixed places, so that two scores are equal or not, whoever computes them. A board's
//! order is total: score, then who reached it earlier, then the player's key.

mod board;
mod season;
mod standings;
#[cfg(test)]
mod tests;

pub use board::{Basis, Board, BoardName, BoardNameError, Direction, Metric, Unlisted};
pub use season::{Season, SeasonKind};
pub use standings::{Standing, of_seats, of_teams};
