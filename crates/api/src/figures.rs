//! Figures, sums and streaks, as players see them.

use matchpurse_domain::event::COUNTER_NAMES;
use matchpurse_domain::stats::{Figure, Form, MatchOutcome, Totals};
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The counters by name, in the order of the contract.
pub(crate) struct Counters<T>(pub(crate) [T; 22]);

/// The figures of these sums, by name: numbers with three decimal places, or null where there is nothing to divide by.
pub(crate) struct Figures {
    totals: Totals,
    /// Of one match nobody asks for the percentage of matches won.
    of_one_match: bool,
}

/// A number with three decimal places, given in thousandths. It never was a float.
struct Milli(i64);

/// How matches went one after the other.
#[derive(Serialize, ToSchema)]
#[schema(as = Form)]
pub(crate) struct FormView {
    /// What the last match was, and how many in a row; none before the first.
    streak: Option<Streak>,
    best_win_streak: u64,
    worst_losing_streak: u64,
    /// The latest first.
    last_ten: Vec<&'static str>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Streak {
    outcome: &'static str,
    length: u64,
}

impl Figures {
    pub(crate) const fn of(totals: Totals) -> Self {
        Self { totals, of_one_match: false }
    }

    pub(crate) const fn of_one_match(totals: Totals) -> Self {
        Self { totals, of_one_match: true }
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for figure in Figure::ALL {
            if !(self.of_one_match && figure == Figure::WinPercent) {
                map.serialize_entry(figure.as_str(), &figure.milli(&self.totals).map(Milli))?;
            }
        }
        map.end()
    }
}

impl<T: Serialize> Serialize for Counters<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(COUNTER_NAMES.iter().zip(&self.0))
    }
}

impl Serialize for Milli {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.text()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Milli {
    fn text(&self) -> String {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        format!("{sign}{}.{:03}", size / 1000, size % 1000)
    }
}

impl From<Form> for FormView {
    fn from(form: Form) -> Self {
        Self {
            streak: form.current.map(|(outcome, length)| Streak { outcome: outcome.as_str(), length }),
            best_win_streak: form.best_wins,
            worst_losing_streak: form.worst_losses,
            last_ten: form.last.iter().map(|outcome| MatchOutcome::as_str(*outcome)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_number_with_three_places() {
        for (milli, text) in
            [(0, "0.000"), (1794, "1.794"), (-5, "-0.005"), (100_000, "100.000"), (-1500, "-1.500")]
        {
            assert_eq!(serde_json::to_string(&Milli(milli)).unwrap(), text);
        }
        assert_eq!(Milli(i64::MIN).text(), "-9223372036854775.808");
    }

    #[test]
    fn what_cannot_be_said_is_null() {
        let figures = serde_json::to_value(Figures::of(Totals { matches: 1, ..Totals::default() })).unwrap();
        assert!(figures["rating"].is_null() && figures["kd"].is_null());
        assert_eq!(figures["win_percent"], 0.0);
        let figures = serde_json::to_value(Figures::of_one_match(Totals::default())).unwrap();
        assert_eq!(figures.get("win_percent"), None);
    }
}
