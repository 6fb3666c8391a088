use crate::event::{PlayerStanding, Standing};
use crate::time::Timestamp;

/// A player's standing as the events have it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerRecord {
    /// Banned or not.
    pub standing: Standing,
    /// Since when.
    pub changed_at: Timestamp,
    /// The provider's reason.
    pub reason: Option<String>,
}

/// What the studio is to be told of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandingNotice {
    /// Show no offers any more.
    Banned,
    /// As everybody again.
    Unbanned,
}

/// The player's record after `event`, and what the studio is to be told, if the standing changed. Who is not
/// `known` is in good standing.
pub fn apply_standing(
    known: Option<&PlayerRecord>,
    event: &PlayerStanding,
) -> (PlayerRecord, Option<StandingNotice>) {
    let new =
        PlayerRecord { standing: event.standing, changed_at: event.changed_at, reason: event.reason.clone() };
    let before = known.map_or(Standing::Good, |known| known.standing);
    match known {
        Some(known) if weight(known) >= weight(&new) => (known.clone(), None),
        _ => {
            let notice = match (before, new.standing) {
                (Standing::Good, Standing::Banned) => Some(StandingNotice::Banned),
                (Standing::Banned, Standing::Good) => Some(StandingNotice::Unbanned),
                (Standing::Good, Standing::Good) | (Standing::Banned, Standing::Banned) => None,
            };
            (new, notice)
        }
    }
}

/// Of two records the heavier one counts: the later, of two at one time a ban, of two alike the one whose
/// reason is greater, so that the result does not depend on which came first.
fn weight(record: &PlayerRecord) -> (Timestamp, bool, Option<&str>) {
    (record.changed_at, record.standing == Standing::Banned, record.reason.as_deref())
}
