//! The names of the reconciler's metrics.

/// Questions that were asked, by `source`, `kind` (`offers`, `match`, `players_matches`) and `outcome`.
pub const INQUIRIES: &str = "matchpurse_reconciler_inquiries_total";

/// Events that were published of answers, by `source`; repeats too.
pub const EVENTS: &str = "matchpurse_reconciler_events_total";

/// Seconds that the question of a source that is longest due has been so, by `source`.
pub const OVERDUE_SECONDS: &str = "matchpurse_reconciler_overdue_seconds";

/// Offers that were open when the list was read last, by `source` and whose `count` it is: `provider` or `held`.
pub const OFFERS: &str = "matchpurse_reconciler_offers";

/// 1 while a provider does not take the key or token that it is asked with, by `source`.
pub const KEY_REFUSED: &str = "matchpurse_reconciler_provider_key_refused";
