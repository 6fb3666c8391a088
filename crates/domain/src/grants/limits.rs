//! How much may be given in a window of time before somebody looks.
//!
//! A window is a day of one player or an hour of the whole source, in UTC and by the time of the event: when it
//! happened, else when it reached us. An event that comes again is counted in the same window, and a backlog that
//! arrives in a minute is counted over the hours in which it happened. What has been counted stays counted, also
//! when it is taken back later; what a person releases from review is not counted.

use std::collections::BTreeMap;

use super::grant::{Grant, Objection, ReviewReason};
use crate::ids::{PlayerId, SourceName};
use crate::money::CurrencyCode;
use crate::time::Timestamp;

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

/// The most that one window may hold; what is none is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cap {
    /// How many grants.
    pub count: Option<i64>,
    /// How much in all, in minor units of the source's currency.
    pub amount: Option<i64>,
}

/// The limits of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The currency of the amounts.
    pub currency: CurrencyCode,
    /// For one player on one day.
    pub player_day: Cap,
    /// For the source in one hour.
    pub source_hour: Cap,
}

/// A window of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// Of which source.
    pub source: SourceName,
    /// Of which player; none stands for all, and for an hour instead of a day.
    pub player: Option<PlayerId>,
    /// When it begins.
    pub starts_at: Timestamp,
}

/// What was given in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// How many grants.
    pub count: i64,
    /// How much, in minor units.
    pub amount: i64,
}

/// What was given in the windows that matter, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowance {
    /// By window; one that is not there is empty.
    pub counted: BTreeMap<Window, Counted>,
}

/// The windows in which a grant was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// The beginning of the player's day.
    pub player_day: Option<Timestamp>,
    /// The beginning of the source's hour.
    pub source_hour: Option<Timestamp>,
}

impl Cap {
    /// True when there is anything to count.
    pub const fn is_some(self) -> bool {
        self.count.is_some() || self.amount.is_some()
    }

    /// Why one more of `amount` does not fit, in words.
    fn objection(self, held: Counted, amount: Result<i64, &CurrencyCode>) -> Option<String> {
        let beyond = |held: i64, more: i64, most: i64| held.checked_add(more).is_none_or(|sum| sum > most);
        if let Some(most) = self.count.filter(|most| beyond(held.count, 1, *most)) {
            return Some(format!("{} given, of at most {most}", held.count));
        }
        match (self.amount, amount) {
            (None, _) => None,
            // Nobody can say what it is worth in the limit's currency.
            (Some(_), Err(currency)) => Some(format!("an amount of {currency}, which is not the limit's")),
            (Some(most), Ok(more)) => beyond(held.amount, more, most)
                .then(|| format!("{} minor units given and {more} more, of at most {most}", held.amount)),
        }
    }
}

impl Limits {
    /// The windows in which a grant for `player` at `at` would be counted: the player's day, the source's hour.
    pub fn windows(&self, source: &SourceName, player: &PlayerId, at: Timestamp) -> [Option<Window>; 2] {
        let window = |player, length| {
            let seconds = at.seconds();
            let starts_at = Timestamp::from_seconds(seconds.saturating_sub(seconds.rem_euclid(length)));
            Window { source: source.clone(), player, starts_at }
        };
        [
            self.player_day.is_some().then(|| window(Some(player.clone()), DAY_S)),
            self.source_hour.is_some().then(|| window(None, HOUR_S)),
        ]
    }
}

impl Allowance {
    /// Counts a grant, or says why it does not fit; then nothing is counted.
    ///
    /// # Errors
    /// The objection.
    pub fn take(
        &mut self,
        limits: &Limits,
        source: &SourceName,
        player: &PlayerId,
        grant: &Grant,
        at: Timestamp,
    ) -> Result<Taken, Objection> {
        let amount = match &grant.amount {
            None => Ok(0),
            Some(money) if money.currency == limits.currency => Ok(money.minor_units),
            Some(money) => Err(&money.currency),
        };
        let [day, hour] = limits.windows(source, player, at);
        let held = |window: &Window| self.counted.get(window).copied().unwrap_or_default();
        for (window, cap, reason) in [
            (&day, limits.player_day, ReviewReason::LimitPlayerDay),
            (&hour, limits.source_hour, ReviewReason::LimitSourceHour),
        ] {
            let beyond = window.as_ref().and_then(|window| cap.objection(held(window), amount));
            if let Some(detail) = beyond {
                return Err(Objection { reason, detail: Some(detail) });
            }
        }
        for window in [&day, &hour].into_iter().flatten() {
            let counted = self.counted.entry(window.clone()).or_default();
            counted.count = counted.count.saturating_add(1);
            counted.amount = counted.amount.saturating_add(amount.unwrap_or(0));
        }
        Ok(Taken {
            player_day: day.map(|window| window.starts_at),
            source_hour: hour.map(|window| window.starts_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::{GrantKind, GrantState};
    use crate::money::Money;

    fn code(text: &str) -> CurrencyCode {
        CurrencyCode::parse(text).unwrap()
    }

    fn points(minor_units: i64) -> Grant {
        Grant {
            kind: GrantKind::Points,
            state: GrantState::Granted,
            reason: None,
            detail: None,
            amount: Some(Money::new(minor_units, code("USD"))),
            value: None,
            payload: None,
        }
    }

    #[test]
    fn a_window_takes_as_much_as_it_may_and_not_a_bit_more() {
        let limits = Limits {
            currency: code("USD"),
            player_day: Cap { count: Some(2), amount: Some(100) },
            source_hour: Cap { count: None, amount: Some(150) },
        };
        let source = SourceName::parse("s").unwrap();
        let bare = Grant { amount: None, ..points(0) };
        let euros = Grant { amount: Some(Money::new(1, code("EUR"))), ..points(0) };
        let (day, hour) = (DAY_S, HOUR_S);
        let table: [(&str, i64, Grant, &str); 12] = [
            ("ann", 0, points(100), "counted"),
            ("ann", 0, points(1), "limit_player_day: 100 minor units given and 1 more, of at most 100"),
            ("ann", hour, bare.clone(), "counted"),
            ("ann", day - 1, bare.clone(), "limit_player_day: 2 given, of at most 2"),
            ("ann", day, bare.clone(), "counted"),
            ("bob", 1, points(50), "counted"),
            (
                "cat",
                hour - 1,
                points(1),
                "limit_source_hour: 150 minor units given and 1 more, of at most 150",
            ),
            ("cat", hour, points(100), "counted"),
            // What did not fit was counted nowhere.
            ("cat", hour, bare, "counted"),
            ("dan", -1, points(100), "counted"),
            (
                "dan",
                0,
                points(i64::MAX),
                "limit_player_day: 0 minor units given and 9223372036854775807 more, of at most 100",
            ),
            ("eve", day, euros, "limit_player_day: an amount of EUR, which is not the limit's"),
        ];
        let mut allowance = Allowance::default();
        for (player, at, grant, expected) in table {
            let taken = allowance.take(&limits, &source, &player.into(), &grant, Timestamp::from_seconds(at));
            let told = match taken {
                Ok(_) => "counted".to_owned(),
                Err(Objection { reason, detail }) => format!("{}: {}", reason.as_str(), detail.unwrap()),
            };
            assert_eq!(told, expected, "{player} at {at}");
        }
        let dan = Window { source, player: Some("dan".into()), starts_at: Timestamp::from_seconds(-day) };
        assert_eq!(allowance.counted[&dan], Counted { count: 1, amount: 100 });
    }
}
