//! Figures and streaks as lines of text.

use matchpurse_domain::stats::{Figure, Form, Totals};
use serde_json::{Value, json};

/// `rating 1.794, kd 2.000, …`: what can be said of these sums.
pub(crate) fn figures(totals: &Totals) -> String {
    let known = Figure::ALL.into_iter().filter_map(|figure| {
        let milli = figure.milli(totals)?;
        let (sign, size) = (if milli < 0 { "-" } else { "" }, milli.unsigned_abs());
        Some(format!("{} {sign}{}.{:03}", figure.as_str(), size / 1000, size % 1000))
    });
    known.collect::<Vec<_>>().join(", ")
}

/// The same for programs: each figure in thousandths.
pub(crate) fn figures_json(totals: &Totals) -> Value {
    let known = Figure::ALL.into_iter();
    let known =
        known.filter_map(|figure| Some((format!("{}_milli", figure.as_str()), figure.milli(totals)?.into())));
    Value::Object(known.collect())
}

/// `3 matches: 2 won, 1 lost, 0 drawn`.
pub(crate) fn record(matches: i64, wins: i64, losses: i64, draws: i64) -> String {
    format!("{matches} matches: {wins} won, {losses} lost, {draws} drawn")
}

/// `streak: 2 win, best 4; last: win win loss`; none before the first match.
pub(crate) fn form(form: &Form) -> Option<String> {
    let (outcome, length) = form.current?;
    let last: Vec<&str> = form.last.iter().map(|outcome| outcome.as_str()).collect();
    Some(format!(
        "streak: {length} {}, most wins in a row {}, most losses {}; the latest first: {}",
        outcome.as_str(),
        form.best_wins,
        form.worst_losses,
        last.join(" ")
    ))
}

/// The same for programs; null before the first match.
pub(crate) fn form_json(form: &Form) -> Value {
    let Some((outcome, length)) = form.current else { return Value::Null };
    let last: Vec<&str> = form.last.iter().map(|outcome| outcome.as_str()).collect();
    json!({ "outcome": outcome.as_str(), "length": length, "most_wins": form.best_wins,
            "most_losses": form.worst_losses, "last": last })
}

#[cfg(test)]
mod tests {
    use matchpurse_domain::stats::MatchOutcome;

    use super::*;

    #[test]
    fn what_cannot_be_said_is_left_out() {
        let mut totals = Totals { matches: 1, rounds: 20, ..Totals::default() };
        (totals.counters[0], totals.counters[2]) = (5, 10);
        let shown = figures(&totals);
        assert!(shown.contains("kd 0.500, adr 0.000, kr 0.250"), "{shown}");
        assert!(!shown.contains("clutch_percent"), "{shown}");
    }

    #[test]
    fn a_form_is_one_line() {
        assert_eq!(form(&Form::default()), None);
        assert_eq!(
            form(&Form::of([MatchOutcome::Win, MatchOutcome::Win, MatchOutcome::Loss])).unwrap(),
            "streak: 1 loss, most wins in a row 2, most losses 1; the latest first: loss win win"
        );
    }
}
