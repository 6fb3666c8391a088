//! Where the next page of a list begins: opaque texts, so that what they hold can change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use matchpurse_domain::time::Timestamp;

/// The first moment that PostgreSQL knows, in 4714 BC; the last one is beyond our numbers.
const EARLIEST_US: i64 = -210_866_803_200_000_000;

/// The point in time in a place. The database cannot even be asked about one that it does not know.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let time = Timestamp::from_micros(text.parse().ok()?);
    (time.micros() >= EARLIEST_US).then_some(time)
}

/// A list with pages. A cursor of one is no cursor of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Anomalies,
    Corrections,
    Leaderboards,
    /// Of any board.
    Exclusions,
    Events,
    Parked,
    Deliveries,
    Endpoints,
    Rewards,
    Matches,
    /// Of any source.
    Players,
    /// Of any match.
    Timeline,
    /// Of any player.
    PlayedMatches,
    /// Of any source.
    Offers,
    /// Of one account.
    Entries(i64),
    /// Of one board, as it is defined now.
    Leaderboard(i32),
}

impl List {
    fn prefix(self) -> String {
        match self {
            Self::Anomalies => "anomalies:".to_owned(),
            Self::Corrections => "corrections:".to_owned(),
            Self::Leaderboards => "leaderboards:".to_owned(),
            Self::Exclusions => "exclusions:".to_owned(),
            Self::Events => "events:".to_owned(),
            Self::Parked => "parked:".to_owned(),
            Self::Deliveries => "deliveries:".to_owned(),
            Self::Endpoints => "endpoints:".to_owned(),
            Self::Rewards => "rewards:".to_owned(),
            Self::Matches => "matches:".to_owned(),
            Self::Players => "players:".to_owned(),
            Self::Timeline => "timeline:".to_owned(),
            Self::PlayedMatches => "played-matches:".to_owned(),
            Self::Offers => "offers:".to_owned(),
            Self::Entries(account) => format!("entries:{account}:"),
            Self::Leaderboard(board) => format!("leaderboard:{board}:"),
        }
    }

    /// The text for a place in this list.
    pub(crate) fn cursor(self, place: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.prefix() + place)
    }

    /// The place that a text of [`List::cursor`] stands for.
    pub(crate) fn place(self, cursor: &str) -> Option<String> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        text.strip_prefix(&self.prefix()).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let cursor = List::Entries(7).cursor("1.2");
        assert_eq!(List::Entries(7).place(&cursor).as_deref(), Some("1.2"));
        for other in [List::Entries(77), List::Corrections] {
            assert_eq!(other.place(&cursor), None);
        }
        for bad in ["", "!", "AA", "1.2"] {
            assert_eq!(List::Entries(7).place(bad), None, "{bad}");
        }
    }
}
