//! The figures of a series.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::faults::{Schedule, Target};
use crate::options::Options;
use crate::round::Outcome;
use crate::system::sources::now;

/// Violations that are shown of one round.
const SHOWN: usize = 20;

/// One round on the screen.
pub(crate) fn line(schedule: &Schedule, outcome: &Outcome) -> String {
    let mut line = format!(
        "round {}: {}: {} taken, {} tried again, answered within {}, ready after {}, through after {}",
        schedule.number,
        outcome.label,
        outcome.accepted,
        outcome.retried,
        seconds(outcome.slowest),
        outcome.ready.iter().map(|time| seconds(*time)).collect::<Vec<_>>().join(", "),
        seconds(outcome.drained),
    );
    if outcome.revived > 0 {
        line.push_str(&format!(", {} started again because not alive", outcome.revived));
    }
    for violation in outcome.violations.iter().take(SHOWN) {
        line.push_str("\n  VIOLATION ");
        line.push_str(violation);
    }
    let more = outcome.violations.len().saturating_sub(SHOWN);
    if more > 0 {
        line.push_str(&format!("\n  and {more} more"));
    }
    line
}

/// The table, as Markdown.
pub(crate) fn text(options: &Options, outcomes: &[Outcome], took: Duration) -> String {
    let mut rows: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        rows.entry(&outcome.label).or_default().push(outcome);
    }
    let mut text = String::from(
        "| fault | rounds | deliveries taken | ready again: median, max | all through: median, max | violations |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let all: Vec<&Outcome> = outcomes.iter().collect();
    for (label, of_it) in rows.into_iter().chain([("**all**", all)]) {
        let ready = of_it.iter().flat_map(|outcome| outcome.ready.iter().copied()).collect();
        let drained = of_it.iter().map(|outcome| outcome.drained).collect();
        let sum = |of: fn(&Outcome) -> usize| of_it.iter().map(|outcome| of(outcome)).sum::<usize>();
        text.push_str(&format!(
            "| {label} | {} | {} | {} | {} | {} |\n",
            of_it.len(),
            sum(|outcome| outcome.accepted),
            spread(ready),
            spread(drained),
            sum(|outcome| outcome.violations.len()),
        ));
    }
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    // Writing into a text does not fail.
    write!(
        text,
        "\nSeed {}, rounds {} to {}, {} lives a round at {} requests a second, {} min, {profile} build, matchpurse {}, {}.",
        options.seed,
        options.first,
        options.first + u32::try_from(outcomes.len()).unwrap_or(0).saturating_sub(1),
        options.lives,
        options.rate,
        took.as_secs() / 60,
        env!("CARGO_PKG_VERSION"),
        date(),
    )
    .unwrap_or_default();
    text.push_str(&promises(outcomes));
    text
}

/// What was promised of recovery, and what was seen.
fn promises(outcomes: &[Outcome]) -> String {
    let mut seen: BTreeMap<Target, Vec<Duration>> = BTreeMap::new();
    for outcome in outcomes {
        if let Some(target) = outcome.target {
            seen.entry(target).or_default().extend(&outcome.ready);
        }
    }
    let line = |(target, times): (Target, Vec<Duration>)| {
        let kept = times.iter().filter(|time| **time <= target.within).count();
        format!("\n* {}: {kept} of {} times; median, max: {}", target.words, times.len(), spread(times))
    };
    let lines: Vec<String> = seen.into_iter().map(line).collect();
    if lines.is_empty() { String::new() } else { format!("\n{}", lines.join("")) }
}

/// Puts a table between its marks in `docs/reliability.md`.
pub(crate) fn write(block: &str, table: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reliability.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let (begin, end) = (format!("<!-- chaos {block} -->\n"), format!("<!-- /chaos {block} -->"));
    let from =
        text.find(&begin).with_context(|| format!("{} has no line {begin}", path.display()))? + begin.len();
    let to = text.find(&end).with_context(|| format!("{} has no line {end}", path.display()))?;
    let text = format!("{}\n{table}\n\n{}", &text[..from], &text[to..]);
    Ok(std::fs::write(&path, text)?)
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(max)) => format!("{}, {}", seconds(*median), seconds(*max)),
        _ => "–".to_owned(),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The day, by the civil calendar.
fn date() -> String {
    let days = now().seconds().div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
