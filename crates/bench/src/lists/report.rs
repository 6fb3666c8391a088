//! What was measured, as Markdown.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Measured, Results};
use crate::table::thousands;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// The tables.
pub(super) fn text(results: &Results, versions: &str) -> String {
    let mut text = String::new();
    let rows = results.rows.iter().map(|(table, rows)| format!("{} {table}", grouped(*rows)));
    // Writing to a string cannot fail.
    _ = writeln!(text, "{versions}. Rows: {}.\n", rows.collect::<Vec<_>>().join(", "));
    table(&mut text, "floor", &results.floors);
    table(&mut text, "list", &results.lists);
    match &results.pages {
        Some(pages) => table(&mut text, "first paint of the console's page", pages),
        None => text.push_str("The console's pages were not measured: there was no browser.\n"),
    }
    text.trim_end().to_owned()
}

fn table(text: &mut String, heading: &str, all: &[Measured]) {
    _ = writeln!(text, "| {heading} | median, ms | slowest, ms |\n| --- | ---: | ---: |");
    for measured in all {
        _ = writeln!(text, "| {} | {:.1} | {:.1} |", measured.name, measured.median(), measured.worst());
    }
    text.push('\n');
}

fn grouped(rows: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "there are fewer rows than a float can count")]
    thousands(rows as f64)
}

/// Puts it between the marks of a page.
pub(super) fn write(page: &Path, told: &str) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no line {END}"))?;
    Ok(std::fs::write(page, format!("{before}{BEGIN}\n{told}\n\n{END}{after}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_tables() {
        let of = |name: &str, times: &[f64]| Measured { name: name.to_owned(), times: times.to_vec() };
        let results = Results {
            rows: vec![("match".to_owned(), 12_345)],
            floors: vec![of("nothing", &[0.5])],
            lists: vec![of("all", &[3.0, 1.0, 2.0])],
            pages: None,
        };
        assert_eq!(
            text(&results, "PostgreSQL 1"),
            "PostgreSQL 1. Rows: 12,345 match.\n\n| floor | median, ms | slowest, ms |\n| --- | ---: | ---: |\n\
             | nothing | 0.5 | 0.5 |\n\n| list | median, ms | slowest, ms |\n| --- | ---: | ---: |\n| all | 2.0 | 3.0 |\n\n\
             The console's pages were not measured: there was no browser."
        );
    }
}
