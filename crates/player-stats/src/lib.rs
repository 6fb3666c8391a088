//! Worker: player-stats.
