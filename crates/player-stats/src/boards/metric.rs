//! The names of the metrics of leaderboards and skill ratings.

/// Rows of the feed that boards and ratings have not got; more than ten thousand are not counted.
pub const RESULTS_WAITING: &str = "matchpurse_results_waiting";

/// Seconds for which the oldest of them has waited.
pub const RESULTS_AGE_SECONDS: &str = "matchpurse_results_age_seconds";

/// Entries of boards that must be made anew; more than ten thousand are not counted.
pub const ENTRIES_WAITING: &str = "matchpurse_board_entries_waiting";

/// Rows of the feed that boards and ratings have got.
pub const RESULTS: &str = "matchpurse_results_total";

/// Matches that were rated, by `game`; one that is rated anew counts again.
pub const RATED: &str = "matchpurse_matches_rated_total";

/// Ratings that were taken back, because an earlier match came or changed, by `game`.
pub const TAKEN_BACK: &str = "matchpurse_ratings_taken_back_total";

/// 1 while a game's matches are being rated anew; by `game`.
pub const RECOMPUTING: &str = "matchpurse_ratings_recomputing";
