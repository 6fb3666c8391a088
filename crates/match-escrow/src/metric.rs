//! The names of the match escrow's own metrics.

/// Matches that held money past their deadline, by what was done about them, `outcome`: `refunded`, `asked` a person, or
/// `failed` and done again.
pub const DEADLINES_PASSED: &str = "matchpurse_deadlines_passed_total";

/// Events that came after the end of their match.
pub const LATE_EVENTS: &str = "matchpurse_late_events_total";

/// Matches whose linked match has ended, by `outcome`: `decided`, `failed` where that end was no result, or `error` and done
/// again.
pub const LINKS_FOLLOWED: &str = "matchpurse_match_links_followed_total";
