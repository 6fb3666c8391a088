//! `matchpurse gaps`: what should have come and has not.

use anyhow::Result;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::rhythm::Silence;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::gaps::{Gaps, Missing, Quiet, gaps};
use matchpurse_store::now;
use serde_json::{Value, json};

use crate::config::DatabaseArgs;
use crate::exit::Ending;
use crate::moment::{clock, stamp};
use crate::out::Out;
use crate::say;
use crate::table::{Table, left, or_dash, right, state, words};

/// See what should have come and has not: silent sources, matches of which a part is missing
///
/// A source is silent when its own rhythm of the last four weeks makes so long a silence improbable: one of a million.
/// Without a configuration all sources of the database are looked at, also those that are not there any more.
/// Ends with 1 where anything is missing.
#[derive(Debug, clap::Args)]
pub(crate) struct GapsArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only this source
    #[arg(long)]
    source: Option<String>,
}

/// Shows it.
pub(crate) async fn run(args: GapsArgs, out: Out) -> Result<Ending> {
    let (store, settings) = args.database.open().await?;
    let sources: Vec<String> = match (args.source, settings) {
        (Some(source), _) => vec![SourceName::parse(&source)?.as_str().to_owned()],
        (None, Some(settings)) => settings.sources.keys().map(|name| name.as_str().to_owned()).collect(),
        (None, None) => store.archived_sources().await?,
    };
    let names: Vec<&str> = sources.iter().map(String::as_str).collect();
    let at = now();
    let found = gaps(&store.client().await?, &names, at).await?;
    if out.json() {
        out.value(&outline(&found, at));
    } else {
        sources_table(&found.sources).print(out);
        if found.missing.is_empty() {
            say("of no match anything is missing");
        } else {
            out.line("");
            missing_table(&found.missing).print(out);
        }
        if found.more {
            say("there are more: of each sort, 500 are shown");
        }
    }
    let silent = found.sources.iter().any(|quiet| quiet.silence.is_alarming());
    Ok(if silent || !found.missing.is_empty() { Ending::Found } else { Ending::Done })
}

/// What would have come, and of how many silences one is as long.
const fn measured(silence: Silence) -> (Option<i64>, Option<u64>) {
    match silence {
        Silence::TooNew => (None, None),
        Silence::Measured { expected, one_in } => (Some(expected), Some(one_in)),
    }
}

fn sources_table(sources: &[Quiet]) -> Table {
    let mut table = Table::new([
        left("source"),
        left("rhythm"),
        left("last delivery"),
        right("expected since"),
        right("one in"),
    ]);
    for quiet in sources {
        let (expected, one_in) = measured(quiet.silence);
        table.row([
            (&quiet.source).into(),
            state(quiet.state()),
            or_dash(quiet.last.map(clock)),
            or_dash(expected),
            or_dash(one_in),
        ]);
    }
    table
}

fn missing_table(missing: &[Missing]) -> Table {
    let mut table =
        Table::new([left("source"), words("match"), left("about"), left("missing"), left("since")]);
    for one in missing {
        table.row([
            (&one.source).into(),
            (&one.match_id).into(),
            one.about.as_str().into(),
            one.gap.as_str().into(),
            clock(one.since).into(),
        ]);
    }
    table
}

/// As the API has it.
fn outline(found: &Gaps, at: Timestamp) -> Value {
    let age = |since: Timestamp| at.seconds().saturating_sub(since.seconds()).max(0);
    let source = |quiet: &Quiet| {
        let (expected, one_in) = measured(quiet.silence);
        json!({
            "source": quiet.source,
            "state": quiet.state(),
            "last_at": quiet.last.map(stamp),
            "silent_s": quiet.last.map(age),
            "expected": expected,
            "one_in": one_in,
        })
    };
    let missing = |one: &Missing| {
        json!({
            "source": one.source,
            "match_id": one.match_id,
            "about": one.about.as_str(),
            "gap": one.gap.as_str(),
            "since": stamp(one.since),
            "age_s": age(one.since),
        })
    };
    json!({
        "at": stamp(at),
        "sources": found.sources.iter().map(source).collect::<Value>(),
        "missing": found.missing.iter().map(missing).collect::<Value>(),
        "more": found.more,
    })
}
