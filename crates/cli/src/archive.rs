//! `matchpurse archive`: see the archive's days, export them, and take old ones out.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use matchpurse_domain::ids::SourceName;
use matchpurse_store::Store;
use matchpurse_store::archive::{Exported, Part, check_file};
use serde_json::{Value, json};
use time::Date;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::config::DatabaseArgs;
use crate::exit::Ending;
use crate::out::Out;
use crate::progress::Progress;
use crate::say;
use crate::table::{Table, left, or_dash, right, words};

/// See the archive's days, export them, and take old ones out
#[derive(Debug, clap::Args)]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the days, with those that have left
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Write archived events as JSON Lines, one event a line
    Export {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those of this source
        #[arg(long)]
        source: Option<String>,
        /// From this day on, as in 2026-11-22; UTC
        #[arg(long, value_name = "DAY", value_parser = day)]
        from: Option<String>,
        /// Up to this day, and with it
        #[arg(long, value_name = "DAY", value_parser = day)]
        to: Option<String>,
        /// The file, which must not be there yet; `-` is the standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Take days out of the archive: each is exported, verified, and then a table of its own
    Detach {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Those before this day
        #[arg(long, value_name = "DAY", value_parser = day)]
        before: String,
        /// The folder for the files, one a day
        #[arg(long, value_name = "FOLDER", required_unless_present = "no_export")]
        out: Option<PathBuf>,
        /// Export nothing
        #[arg(long, conflicts_with = "out")]
        no_export: bool,
        /// Drop the tables; only their owner may
        #[arg(long, requires = "out")]
        drop: bool,
    },
}

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// Reads a day, and writes it as the archive does.
fn day(text: &str) -> Result<String, String> {
    let date = Date::parse(text, DAY).map_err(|_| "a day is written as in 2026-11-22".to_owned())?;
    date.format(DAY).map_err(|error| error.to_string())
}

/// Lists, exports or detaches.
pub(crate) async fn run(args: ArchiveArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::List { database } => {
            let parts = database.connect().await?.archive_parts().await?;
            out.list(&parts, part_json, table);
        }
        Action::Export { database, source, from, to, out: path } => {
            let source = source.map(|source| SourceName::parse(&source)).transpose()?;
            let store = database.connect().await?;
            let (source, from, to) =
                (source.as_ref().map(SourceName::as_str), from.as_deref(), to.as_deref());
            let rows = if path == Path::new("-") {
                export(&store, source, from, to, &mut BufWriter::new(stdout())).await?
            } else {
                let mut file = create(&path)?;
                let rows = export(&store, source, from, to, &mut file).await?;
                keep(file).with_context(|| format!("failed to write {}", path.display()))?;
                rows
            };
            say(&format!("{rows} events exported"));
        }
        Action::Detach { database, before, out: folder, no_export: _, drop } => {
            let store = database.connect().await?;
            detach(&store, &before, folder.as_deref(), drop, out).await?;
        }
    }
    Ok(Ending::Done)
}

const fn place(part: &Part) -> &'static str {
    match (part.attached, part.bytes) {
        (true, _) => "in the archive",
        (false, Some(_)) => "a table of its own",
        (false, None) => "dropped",
    }
}

/// The rows of days in the archive are the planner's guess, which is said.
fn table(parts: &[Part]) -> Table {
    let mut table =
        Table::new([left("day"), right("rows"), right("size"), left("where"), words("exported to")]);
    for part in parts {
        let about = if part.attached { "about " } else { "" };
        table.row([
            (&part.day).into(),
            format!("{about}{}", part.rows).into(),
            or_dash(part.bytes.map(|bytes| format!("{} MB", bytes >> 20))),
            place(part).into(),
            or_dash(part.exported_to.as_ref()),
        ]);
    }
    table
}

fn part_json(part: &Part) -> Value {
    json!({ "day": part.day, "rows": part.rows, "rows_are_estimated": part.attached, "bytes": part.bytes,
            "place": place(part), "exported_to": part.exported_to })
}

/// A new file; what is there already is somebody's proof.
fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create_new(path).with_context(|| format!("failed to create {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// Writes a file to the disk itself.
fn keep(file: BufWriter<File>) -> Result<()> {
    Ok(file.into_inner().map_err(|error| error.into_error())?.sync_all()?)
}

async fn export(
    store: &Store,
    source: Option<&str>,
    from: Option<&str>,
    to: Option<&str>,
    out: &mut (impl Write + Send),
) -> Result<u64> {
    let progress = Progress::begin("exporting events", None);
    let mut each = |line: Exported| {
        serde_json::to_writer(&mut *out, &line).context("failed to write an event")?;
        out.write_all(b"\n").context("failed to write an event")?;
        progress.step();
        anyhow::Ok(())
    };
    let rows = store.export_archive(source, from, to, &mut each).await?;
    out.flush().context("failed to write the last events")?;
    Ok(rows)
}

/// Takes the days before `before` out of the archive, one after the other, each only when its file is written and
/// verified.
async fn detach(store: &Store, before: &str, folder: Option<&Path>, drop: bool, out: Out) -> Result<()> {
    let days = store.archive_days_before(before).await?;
    if days.is_empty() {
        say("there is no such day in the archive");
    }
    for day in days {
        let file = match folder {
            Some(folder) => Some(export_day(store, &day, folder).await?),
            None => None,
        };
        store.detach_archive_day(&day, file.as_deref()).await.with_context(|| {
            format!("{day} stays in the archive; where it was only busy, the same command may be given again")
        })?;
        let dropped = drop && store.drop_archive_day(&day).await?;
        if out.json() {
            out.line(json!({ "day": day, "exported_to": file, "dropped": dropped }));
            continue;
        }
        let dropped = if dropped { ", its table is dropped" } else { "" };
        let exported = file.map_or_else(String::new, |file| format!(", exported to {file}"));
        out.line(format_args!("{day} has left the archive{exported}{dropped}"));
    }
    Ok(())
}

/// Writes a day's file, reads it again, and returns its name.
async fn export_day(store: &Store, day: &str, folder: &Path) -> Result<String> {
    let name = format!("archive-{day}.jsonl");
    let path = folder.join(&name);
    if path.exists() {
        // Of a command that came no further.
        say(&format!("{} is there already; it is verified and kept", path.display()));
    } else {
        let part = folder.join(format!("{name}.part"));
        let file = File::create(&part).with_context(|| format!("failed to create {}", part.display()))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        export(store, None, Some(day), Some(day), &mut file).await?;
        keep(file)?;
        std::fs::rename(&part, &path).with_context(|| format!("failed to name {}", path.display()))?;
    }
    let rows = verified(&path)?;
    let mut counted = 0_u64;
    let mut each = |_: Exported| {
        counted += 1;
        anyhow::Ok(())
    };
    store.export_archive(None, Some(day), Some(day), &mut each).await?;
    ensure!(rows == counted, "{} has {rows} events, but the day has {counted}", path.display());
    Ok(name)
}

/// How many events are in a file whose chains hold.
fn verified(path: &Path) -> Result<u64> {
    let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut problem = None;
    let reader = std::io::BufReader::with_capacity(1 << 20, file);
    let report = check_file(reader, &mut |_| {}, &mut |found| {
        problem.get_or_insert(found);
    })?;
    if let Some(problem) = problem {
        bail!("{}: {problem}; the day stays in the archive", path.display());
    }
    Ok(report.sources.values().map(|segment| segment.rows).sum())
}
