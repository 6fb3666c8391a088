//! The figures, on the screen and in `docs/performance.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::figures::Series;
use crate::options::Options;

const BEGIN: &str = "<!-- bench -->\n";
const END: &str = "<!-- /bench -->";

/// The table, as Markdown.
pub(crate) fn text(
    options: &Options,
    all: &[Series],
    notes: &[String],
    versions: &str,
    took: Duration,
) -> String {
    let mut text = String::from(
        "| scenario | who | rate | ratio | latency p50, p99 (at) | CPU s a thousand: program, broker, database | peak memory | errors | to reach |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
    );
    for series in all {
        text.push_str(&line(series, all));
    }
    for series in all.iter().filter(|series| series.is_wrong()) {
        for wrong in series.runs.iter().flat_map(|run| &run.wrong) {
            // Writing into a text does not fail.
            write!(text, "\n**{}, {}: {wrong}**\n", series.subject.scenario, series.subject.who)
                .unwrap_or_default();
        }
    }
    for note in notes {
        write!(text, "\n{note}\n").unwrap_or_default();
    }
    write!(
        text,
        "\nMedians of {} rounds of {} s each, in turns; {} cores, {versions}, fsync on, matchpurse {} (release); \
         measured in {} min. `{}`",
        options.rounds,
        options.seconds,
        std::thread::available_parallelism().map_or(0, usize::from),
        env!("CARGO_PKG_VERSION"),
        took.as_secs().div_ceil(60),
        command(options),
    )
    .unwrap_or_default();
    text
}

/// What gives this table again.
fn command(options: &Options) -> String {
    let mut command = "cargo run --release -p matchpurse-bench --".to_owned();
    if !options.scenario.is_empty() {
        let names: Vec<&str> = options.scenario.iter().map(|scenario| scenario.name()).collect();
        write!(command, " --scenario {}", names.join(",")).unwrap_or_default();
    }
    let (seconds, rounds) = (options.seconds, options.rounds);
    write!(command, " --seconds {seconds} --rounds {rounds}").unwrap_or_default();
    write!(command, " --rate {} --together-seconds {}", options.rate, options.together_seconds)
        .unwrap_or_default();
    let (backlog, rate, growth) = (options.backlog, options.backlog_rate, options.growth);
    write!(command, " --backlog {backlog} --backlog-rate {rate} --growth {growth}").unwrap_or_default();
    command
}

fn line(series: &Series, all: &[Series]) -> String {
    let unit = series.runs.first().map_or("", |run| run.unit);
    let rate = if series.is_wrong() {
        "0 (wrong)".to_owned()
    } else {
        format!("{} {unit}/s", thousands(series.rate()))
    };
    let reference = series.against.as_ref().and_then(|who| {
        all.iter()
            .find(|other| other.subject.scenario == series.subject.scenario && other.subject.who == *who)
    });
    let ratio = reference.filter(|reference| reference.rate() > 0.0);
    let ratio = ratio.map_or_else(|| "–".to_owned(), |other| format!("{:.2}", series.rate() / other.rate()));
    let latency = match (series.median(|run| run.p50_ms), series.median(|run| run.p99_ms)) {
        (Some(p50), Some(p99)) => {
            let offered = series.median(|run| run.offered).unwrap_or(0.0);
            format!("{}, {} ({}/s)", millis(p50), millis(p99), thousands(offered))
        }
        _ => "–".to_owned(),
    };
    let cpu = [
        series.median(|run| run.cpu_program),
        series.median(|run| run.cpu_broker),
        series.median(|run| run.cpu_database),
    ];
    let cpu = cpu.map(|seconds| seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.3}")));
    let peak =
        series.median(|run| run.peak_mib).map_or_else(|| "–".to_owned(), |mib| format!("{mib:.0} MiB"));
    let errors: u64 = series.runs.iter().map(|run| run.errors).sum();
    format!(
        "| {} | {} | {rate} | {ratio} | {latency} | {} | {peak} | {errors} | {} |\n",
        series.subject.scenario,
        series.subject.who,
        cpu.join(", "),
        series.target,
    )
}

fn millis(value: f64) -> String {
    if value >= 1000.0 { format!("{:.1} s", value / 1000.0) } else { format!("{value:.1} ms") }
}

/// A whole number with commas.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Every single run.
pub(crate) fn write_json(path: &Path, all: &[Series], notes: &[String]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let told = serde_json::to_string_pretty(&json!({ "series": all, "notes": notes }))?;
    std::fs::write(path, told).with_context(|| format!("{}", path.display()))
}

/// Puts the table between its marks in `docs/performance.md`.
pub(crate) fn write(table: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let (before, rest) =
        text.split_once(BEGIN).with_context(|| format!("{} has no line {BEGIN}", path.display()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{} has no line {END}", path.display()))?;
    Ok(std::fs::write(&path, format!("{before}{BEGIN}\n{table}\n\n{END}{after}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(millis(1_500.0), "1.5 s");
    }
}
