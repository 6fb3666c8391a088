//! Metrics, their documentation, alerts, dashboards and runbooks name the same things.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What a histogram's or a summary's series end in.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// Every file below `folder` that ends in `.{ending}`.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|own| own == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The programs' sources without their tests: (path, text).
fn sources() -> Result<Vec<(PathBuf, String)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join("crates"))? {
        for path in files(&entry?.path().join("src"), "rs")? {
            let text = fs::read_to_string(&path)?;
            let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            all.push((path, text));
        }
    }
    Ok(all)
}

/// The metrics that are constants: of a module of metrics, or recorded by in their own file. Other things have such names,
/// too.
fn constants() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (path, text) in sources()? {
        let of_metrics = path.file_stem().is_some_and(|stem| stem == "metric" || stem == "metrics");
        // A declaration may be broken before its value.
        for declaration in text.split("const ").skip(1) {
            let declaration = declaration.split(';').next().unwrap_or_default();
            let Some((constant, value)) = declaration.split_once('=') else { continue };
            let Some((constant, "&str")) = constant.split_once(':').map(|(name, kind)| (name, kind.trim()))
            else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            let recorded = ["counter", "gauge", "histogram"]
                .iter()
                .any(|record| text.contains(&format!("{record}!({}", constant.trim())));
            if (of_metrics || recorded) && value.starts_with("matchpurse_") {
                names.insert(value.to_owned());
            }
        }
    }
    Ok(names)
}

/// What a name in the documentation's tables is: `counter`, `gauge`, `histogram`, `summary`; of others whose it is.
fn documented() -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for line in read("docs/metrics.md")?.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, ..] = cells[..] else { panic!("a row without a kind: {line}") };
        let before = all.insert(name.trim_matches('`').to_owned(), kind.to_owned());
        ensure!(before.is_none(), "{name} is documented twice");
    }
    Ok(all)
}

const fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The names of metrics in a query or a file of them: words with the prefix of somebody who has metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !is_of_a_name(c));
    let known = |word: &&str| {
        ["matchpurse_", "rabbitmq_"].iter().any(|prefix| word.starts_with(prefix)) && !word.contains(':')
    };
    words.filter(known).map(str::to_owned).collect()
}

/// Without comments, in which anything may stand.
fn without_comments(yaml: &str) -> String {
    yaml.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// Every query of a dashboard, with its panel's title.
fn queries(node: &Value, title: &str, found: &mut Vec<(String, String)>) {
    match node {
        Value::Object(fields) => {
            let title = fields.get("title").and_then(Value::as_str).unwrap_or(title);
            if let Some(query) = fields.get("expr").and_then(Value::as_str) {
                found.push((title.to_owned(), query.to_owned()));
            }
            fields.values().for_each(|field| queries(field, title, found));
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, title, found)),
        _ => {}
    }
}

/// Every query there is: (where, text).
fn all_queries() -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for path in files(&root().join("deploy/observability/dashboards"), "json")? {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let before = all.len();
        queries(&dashboard, "", &mut all);
        ensure!(all.len() > before, "{} has no query", path.display());
    }
    all.push(("alerts.yml".to_owned(), without_comments(&read("deploy/observability/alerts.yml")?)));
    for path in files(&root().join("deploy/kubernetes"), "yaml")? {
        let text = without_comments(&fs::read_to_string(&path)?);
        // Labels and kinds of operators' resources look like metrics, too.
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("query:")).collect();
        all.push((path.display().to_string(), lines.join("\n")));
    }
    Ok(all)
}

/// Each alert with its lines.
fn alerts() -> Result<BTreeMap<String, String>> {
    let text = without_comments(&read("deploy/observability/alerts.yml")?);
    let mut all = BTreeMap::new();
    for block in text.split("- alert: ").skip(1) {
        let (name, rest) = block.split_once('\n').context("an alert without anything")?;
        let before = all.insert(name.trim().to_owned(), rest.to_owned());
        ensure!(before.is_none(), "{name} is there twice");
    }
    Ok(all)
}

#[test]
fn every_metric_is_a_constant_and_documented_and_nothing_else_is() -> Result<()> {
    let (constants, documented) = (constants()?, documented()?);
    let ours: BTreeSet<String> =
        documented.keys().filter(|name| name.starts_with("matchpurse_")).cloned().collect();
    assert!(constants.len() > 60, "too few were found: {constants:?}");
    let missing: Vec<_> = constants.difference(&ours).collect();
    let made_up: Vec<_> = ours.difference(&constants).collect();
    assert!(missing.is_empty() && made_up.is_empty(), "not documented: {missing:?}; not there: {made_up:?}");
    for (path, text) in sources()? {
        for literal in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            assert!(!text.contains(literal), "{}: a metric without a constant", path.display());
        }
    }
    Ok(())
}

#[test]
fn every_query_asks_for_metrics_that_are_there() -> Result<()> {
    let documented = documented()?;
    let spread = |kind: &str| kind == "histogram" || kind == "summary";
    for (place, query) in all_queries()? {
        for name in metrics_in(&query) {
            let base = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
            let good = match (documented.get(&name), documented.get(base)) {
                (Some(kind), _) => !spread(kind) || query.contains("quantile"),
                (None, Some(kind)) => spread(kind) && (kind == "histogram" || !name.ends_with("_bucket")),
                (None, None) => false,
            };
            assert!(good, "{place}: there is no series {name}");
        }
    }
    Ok(())
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() -> Result<()> {
    let alerts = alerts()?;
    let runbooks: BTreeSet<String> = files(&root().join("docs/runbooks"), "md")?
        .iter()
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .filter(|name| name != "README")
        .collect();
    assert_eq!(alerts.keys().cloned().collect::<BTreeSet<_>>(), runbooks);
    let index = read("docs/runbooks/README.md")?;
    for (name, lines) in &alerts {
        assert!(lines.contains(&format!("runbook: docs/runbooks/{name}.md")), "{name} names no runbook");
        for needed in ["expr:", "for:", "severity:", "summary:"] {
            assert!(lines.contains(needed), "{name} has no `{needed}`");
        }
        assert!(index.contains(&format!("[{name}]({name}.md)")), "{name} is not in the index");
    }
    Ok(())
}

#[test]
fn every_runbook_says_the_four_things_by_commands_that_are_there() -> Result<()> {
    let manual = read("docs/cli.md")?;
    for path in files(&root().join("docs/runbooks"), "md")? {
        let name = path.display();
        let text = fs::read_to_string(&path)?;
        if path.file_stem().is_some_and(|stem| stem == "README") {
            continue;
        }
        for section in ["## What it means", "## What to look at", "## What to do", "## What not to do"] {
            assert!(text.contains(section), "{name} has no `{section}`");
        }
        for command in text.split("`matchpurse ").skip(1) {
            let command = command.split('`').next().unwrap_or_default();
            let words: Vec<&str> = command.split_whitespace().take_while(is_word).take(2).collect();
            // A command of one word may be followed by an argument that looks like a second one.
            let known = (1..=words.len()).any(|count| {
                let prefix = words.iter().take(count).copied().collect::<Vec<_>>().join(" ");
                manual.contains(&format!("`matchpurse {prefix}`"))
            });
            assert!(known, "{name}: docs/cli.md has no `matchpurse {command}`");
        }
    }
    Ok(())
}

fn is_word(text: &&str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !text.starts_with('-')
}

#[test]
fn the_words_of_a_query_are_found() {
    let query = "sum by (le) (rate(matchpurse_a_seconds_bucket{x=\"rabbit\"}[5m])) / job:matchpurse_b:sum + rabbitmq_c";
    let found: Vec<String> = metrics_in(query).into_iter().collect();
    assert_eq!(found, ["matchpurse_a_seconds_bucket", "rabbitmq_c"]);
}
