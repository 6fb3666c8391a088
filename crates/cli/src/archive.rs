//! `matchpurse archive`: see the archive's days, export them, and take old ones out.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use matchpurse_domain::ids::SourceName;
use matchpurse_store::Store;
use matchpurse_store::archive::{Exported, check_file};
use time::Date;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::config::DatabaseArgs;
use crate::say;
use crate::verify_archive::Progress;

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
pub(crate) async fn run(args: ArchiveArgs) -> Result<ExitCode> {
    match args.action {
        Action::List { database } => list(&database.connect().await?).await?,
        Action::Export { database, source, from, to, out } => {
            let source = source.map(|source| SourceName::parse(&source)).transpose()?;
            let store = database.connect().await?;
            let (source, from, to) =
                (source.as_ref().map(SourceName::as_str), from.as_deref(), to.as_deref());
            let rows = if out == Path::new("-") {
                export(&store, source, from, to, &mut BufWriter::new(stdout())).await?
            } else {
                let mut file = create(&out)?;
                let rows = export(&store, source, from, to, &mut file).await?;
                keep(file).with_context(|| format!("failed to write {}", out.display()))?;
                rows
            };
            say(&format!("{rows} events exported"));
        }
        Action::Detach { database, before, out, no_export: _, drop } => {
            let store = database.connect().await?;
            detach(&store, &before, out.as_deref(), drop).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store) -> Result<()> {
    for part in store.archive_parts().await? {
        let place = match (part.attached, part.bytes) {
            (true, _) => "in the archive",
            (false, Some(_)) => "a table of its own",
            (false, None) => "dropped",
        };
        let size = part.bytes.map_or_else(String::new, |bytes| format!(", {} MB", bytes >> 20));
        let about = if part.attached { "about " } else { "" };
        let file = part.exported_to.map_or_else(String::new, |file| format!(", exported to {file}"));
        println!("{}  {about}{} rows{size}, {place}{file}", part.day, part.rows);
    }
    Ok(())
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
    let mut progress = Progress::begin("export".to_owned());
    let mut each = |line: Exported| {
        serde_json::to_writer(&mut *out, &line).context("failed to write an event")?;
        out.write_all(b"\n").context("failed to write an event")?;
        progress.step();
        anyhow::Ok(())
    };
    let rows = store.export_archive(source, from, to, &mut each).await?;
    out.flush().context("failed to write the last events")?;
    progress.end();
    Ok(rows)
}

/// Takes the days before `before` out of the archive, one after the other, each only when its file is written and
/// verified.
async fn detach(store: &Store, before: &str, out: Option<&Path>, drop: bool) -> Result<()> {
    let days = store.archive_days_before(before).await?;
    if days.is_empty() {
        say("there is no such day in the archive");
    }
    for day in days {
        let file = match out {
            Some(folder) => Some(export_day(store, &day, folder).await?),
            None => None,
        };
        store.detach_archive_day(&day, file.as_deref()).await.with_context(|| {
            format!("{day} stays in the archive; where it was only busy, the same command may be given again")
        })?;
        let dropped = if drop && store.drop_archive_day(&day).await? { ", its table is dropped" } else { "" };
        let exported = file.map_or_else(String::new, |file| format!(", exported to {file}"));
        println!("{day} has left the archive{exported}{dropped}");
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
