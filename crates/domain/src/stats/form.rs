//! How somebody's matches went one after the other.

use super::state::MatchOutcome;

/// How many of the last matches are shown.
const LAST: usize = 10;

/// Streaks, and the last matches. A draw ends a streak of wins or losses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form {
    /// What the last match was, and how many in a row were so; none before the first match.
    pub current: Option<(MatchOutcome, u64)>,
    /// The most wins in a row.
    pub best_wins: u64,
    /// The most losses in a row.
    pub worst_losses: u64,
    /// The last ten matches, the latest first.
    pub last: Vec<MatchOutcome>,
}

impl Form {
    /// The form after these matches, the oldest first.
    pub fn of(outcomes: impl IntoIterator<Item = MatchOutcome>) -> Self {
        let mut form = Self::default();
        for outcome in outcomes {
            let before = form.current.filter(|(kind, _)| *kind == outcome).map_or(0, |(_, length)| length);
            let length = before.saturating_add(1);
            form.current = Some((outcome, length));
            match outcome {
                MatchOutcome::Win => form.best_wins = form.best_wins.max(length),
                MatchOutcome::Loss => form.worst_losses = form.worst_losses.max(length),
                MatchOutcome::Draw => {}
            }
            form.last.insert(0, outcome);
            form.last.truncate(LAST);
        }
        form
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `W`, `L` and `D` as a form: current, best and worst streak, the last ten.
    fn told(outcomes: &str) -> String {
        let read = |letter| match letter {
            'W' => MatchOutcome::Win,
            'L' => MatchOutcome::Loss,
            _ => MatchOutcome::Draw,
        };
        let form = Form::of(outcomes.chars().map(read));
        let letter = |outcome: &MatchOutcome| outcome.as_str().chars().take(1).collect::<String>();
        let current = form.current.map(|(kind, length)| format!("{length}{}", letter(&kind)));
        let last: String = form.last.iter().map(letter).collect();
        format!("{} {} {} {last}", current.unwrap_or_default(), form.best_wins, form.worst_losses)
    }

    #[test]
    fn streaks_end_with_another_outcome_and_the_best_one_stays() {
        for (outcomes, expected) in [
            ("", " 0 0 "),
            ("W", "1w 1 0 w"),
            ("WWLW", "1w 2 1 wlww"),
            ("WWDW", "1w 2 0 wdww"),
            ("LLLWDD", "2d 1 3 ddwlll"),
            ("WWWLLLLLLLLL", "9l 3 9 lllllllllw"),
        ] {
            assert_eq!(told(outcomes), expected, "{outcomes}");
        }
    }
}
