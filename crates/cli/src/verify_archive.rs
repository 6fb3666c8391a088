//! `matchpurse verify-archive`: is every archived event as it was written, and in its place?

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use matchpurse_store::Store;
use matchpurse_store::archive::{Segment, check_file};
use matchpurse_store::erasure::seal_of;
use serde::Serialize;

use crate::config::DatabaseArgs;
use crate::exit::{Ending, not_there};
use crate::out::{Out, Paint};
use crate::progress::Progress;

/// The most problems of one chain that are listed in JSON; all are counted.
const LISTED_MAX: usize = 1_000;

/// Proves the archive's chains of hashes, or those of exported files
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArchiveArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only the chain of this source
    #[arg(long)]
    source: Option<String>,
    /// Begin with this row of the source's chain, which is taken to follow the one before it
    #[arg(long, value_name = "SEQ", default_value_t = 1, requires = "source",
          value_parser = clap::value_parser!(i64).range(1..))]
    from: i64,
    /// Verify these files of `archive export` instead, and whether the database knows their ends; `-` is the
    /// standard input
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["source", "from"])]
    file: Vec<PathBuf>,
    /// Verify files by themselves, without a database
    #[arg(long, requires = "file")]
    offline: bool,
}

/// What is known of one chain, or of a part of it in a file.
#[derive(Debug, Serialize)]
struct Verified {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    source: String,
    /// Rows that were read.
    rows: u64,
    /// Rows of days that have left the archive, over which the chain leads by their records.
    recorded: u64,
    first: i64,
    last: i64,
    /// The last row's hash.
    hash: String,
    problems: Problems,
}

#[derive(Debug, Default, Serialize)]
struct Problems {
    count: u64,
    listed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    verified: Vec<Verified>,
    problems: u64,
}

/// Verifies, prints what is wrong as it is found, and fails when something is.
pub(crate) async fn run(args: VerifyArchiveArgs, out: Out) -> Result<Ending> {
    let mut teller = Teller { out, problems: Problems::default() };
    let verified = if args.file.is_empty() {
        let store = args.database.connect().await?;
        chains(&store, args.source, args.from, &mut teller).await?
    } else {
        let store = if args.offline { None } else { Some(args.database.connect().await?) };
        files(store.as_ref(), &args.file, &mut teller).await?
    };
    let problems: u64 = verified.iter().map(|chain| chain.problems.count).sum();
    if out.json() {
        let report = Report { verified, problems };
        out.value(&serde_json::to_value(&report).context("failed to write the report")?);
    } else {
        let (rows, recorded) =
            verified.iter().fold((0, 0), |(rows, more), chain| (rows + chain.rows, more + chain.recorded));
        let recorded = if recorded == 0 { String::new() } else { format!(", {recorded} more by record") };
        let (verdict, paint) = if problems == 0 {
            ("as it was written", Paint::Good)
        } else {
            ("NOT as it was written", Paint::Bad)
        };
        let verdict = out.painted(Some(paint), verdict);
        out.line(format_args!(
            "{} chains, {rows} rows{recorded}, {problems} problems: {verdict}",
            verified.len()
        ));
    }
    Ok(Ending::of_check(problems == 0))
}

async fn chains(
    store: &Store,
    source: Option<String>,
    from: i64,
    teller: &mut Teller,
) -> Result<Vec<Verified>> {
    let known = store.archived_sources().await?;
    let sources = match source {
        Some(source) => {
            if !known.contains(&source) {
                return Err(not_there(format!("the archive has nothing of a source {source}")));
            }
            vec![source]
        }
        None => known,
    };
    let heads = matchpurse_store::missed::heads(&store.client().await?).await?;
    let mut verified = Vec::new();
    for source in sources {
        let last = heads.iter().find(|(known, _)| *known == source).map_or(0, |(_, seq)| *seq);
        let rows = u64::try_from(last.saturating_sub(from).saturating_add(1)).ok();
        let progress = Progress::begin(format!("source {source}"), rows);
        let mut walked = |_: u64| progress.step();
        let mut found = |broken| progress.aside(|| teller.found(&format!("source {source}"), &broken));
        let walk = store.walk_archive(&source, from, &mut walked, &mut found).await;
        let walk = walk.with_context(|| format!("failed to read the archive of {source}"))?;
        drop(progress);
        let chain = Verified {
            file: None,
            rows: walk.rows,
            recorded: walk.recorded,
            first: from,
            last: walk.last,
            hash: hex(&walk.hash),
            problems: teller.take(),
            source,
        };
        teller.told(&chain);
        verified.push(chain);
    }
    Ok(verified)
}

async fn files(store: Option<&Store>, files: &[PathBuf], teller: &mut Teller) -> Result<Vec<Verified>> {
    let mut verified = Vec::new();
    for path in files {
        let name = path.display().to_string();
        let progress = Progress::begin(name.clone(), None);
        let reader = open(path)?;
        // What no chain can be blamed for goes to the file's first chain; it is told by line in any case.
        let report = check_file(reader, &mut |_| progress.step(), &mut |problem| {
            progress.aside(|| teller.found(&name, &problem));
        });
        let report = report.with_context(|| format!("failed to read {name}"))?;
        drop(progress);
        if report.sources.is_empty() {
            teller.found(&name, &"there is no exported event in it");
            verified.push(Verified {
                file: Some(name.clone()),
                source: String::new(),
                rows: 0,
                recorded: 0,
                first: 0,
                last: 0,
                hash: String::new(),
                problems: teller.take(),
            });
        }
        for (source, segment) in report.sources {
            if let Some(store) = store {
                compare(store, &name, &source, &segment, teller).await?;
            }
            let chain = Verified {
                file: Some(name.clone()),
                rows: segment.rows,
                recorded: 0,
                first: segment.first,
                last: segment.last,
                hash: hex(&segment.hash),
                problems: teller.take(),
                source,
            };
            teller.told(&chain);
            verified.push(chain);
        }
    }
    Ok(verified)
}

/// Whether the database has the rows around a file's part of a chain with the same hashes.
async fn compare(
    store: &Store,
    file: &str,
    source: &str,
    segment: &Segment,
    teller: &mut Teller,
) -> Result<()> {
    for (seq, seal) in &segment.erased {
        if seal_of(&store.client().await?, source, *seq).await?.as_ref() != Some(seal) {
            let problem = format!("source {source}: the database knows of no such erasure of row {seq}");
            teller.found(file, &problem);
        }
    }
    let before = (segment.first - 1, &segment.before, "the row before the file's first");
    let last = (segment.last, &segment.hash, "the file's last row");
    for (seq, hash, what) in [before, last] {
        if seq == 0 {
            if hash.iter().any(|byte| *byte != 0) {
                teller.found(file, &format!("source {source}: row 1 follows a row that never was"));
            }
            continue;
        }
        match store.archived_hash(source, seq).await? {
            Some(known) if known == *hash => {}
            Some(_) => {
                let problem = format!("source {source}: {what}, {seq}, has another hash in the database");
                teller.found(file, &problem);
            }
            None => {
                let problem = format!("source {source}: the database knows nothing of {what}, {seq}");
                teller.found(file, &problem);
            }
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(stdin())));
    }
    let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tells what is found: at once for people, gathered for machines.
struct Teller {
    out: Out,
    problems: Problems,
}

impl Teller {
    fn found(&mut self, place: &str, problem: &dyn Display) {
        self.problems.count += 1;
        if self.out.json() {
            if self.problems.listed.len() < LISTED_MAX {
                self.problems.listed.push(problem.to_string());
            }
        } else {
            self.out.line(format_args!("{place}: {problem}"));
        }
    }

    fn told(&self, chain: &Verified) {
        if self.out.json() || chain.problems.count > 0 {
            return;
        }
        let Verified { file, source, first, last, hash, .. } = chain;
        let file = file.as_ref().map_or_else(String::new, |file| format!("{file}: "));
        let end = hash.get(..16).unwrap_or(hash);
        self.out
            .line(format_args!("{file}source {source}: rows {first} to {last} hold, and end with {end}…"));
    }

    fn take(&mut self) -> Problems {
        std::mem::take(&mut self.problems)
    }
}
