//! What a worker does when its tables have grown, beside what it does when they are empty.

use std::time::Instant;

use anyhow::{Context as _, Result};
use matchpurse_testkit::{Database, fill_ledger};
use tokio_postgres::Client;

use super::drain::{self, ESCROW};
use super::{Measured, everything};
use crate::config::Config;
use crate::events::{self, Ends};
use crate::figures::{Run, Series};
use crate::options::Options;
use crate::programs::Folder;
use crate::say;
use crate::servers::{Servers, connect, number};

const SCENARIO: &str = "growth";
const EMPTY: &str = "match-escrow, empty tables";
/// The largest table of what fills them; its indexes are made afterwards, which is faster. Nothing that fills the others
/// looks anything up in it.
const FILLED: &str = "transfer";
/// What the matches of the backlogs must have come to. The source's name is the benchmarks' own.
const ENDED: &str = "SELECT count(*) FROM match WHERE source = 'games' AND settlement IS NOT NULL";
const PAID: &str =
    "SELECT count(*) FROM match WHERE source = 'games' AND settlement = 'payout' AND paid = 4500";
const TIED: &str =
    "SELECT count(*) FROM match WHERE source = 'games' AND settlement = 'tie' AND refunded = 5000";
const MOVED: &str = "SELECT count(*) FROM match m JOIN transfer USING (match_no)
                      WHERE source = 'games' AND settlement = 'payout'";

pub(super) async fn measure(options: &Options, servers: &Servers) -> Result<Measured> {
    let mut measured = Measured::default();
    let games = ESCROW.a_second * usize::try_from(options.seconds)?;
    let grown = Grown::make(servers, options.growth).await?;
    let name = format!("match-escrow, {} transfers", options.growth);
    for round in 0..usize::try_from(options.rounds)? {
        // Other matches each time: those of the round before are there.
        let backlog = events::escrow_of(round * games..(round + 1) * games)?;
        let empty = servers.database().await?;
        let run = drain::ours(servers, &empty, &ESCROW, &backlog).await?;
        tokio::task::spawn_blocking(move || drop(empty)).await?;
        measured.take(SCENARIO, EMPTY, None, "", run);
        let run = drain::ours(servers, &grown.database, &ESCROW, &backlog).await?;
        measured.take(SCENARIO, &name, Some(EMPTY), "≥ 0.9 × the rate on empty tables", run);
    }
    let begun = Instant::now();
    let wrong = grown.audit(games * usize::try_from(options.rounds)?).await?;
    say(&format!("  audited in {} s", begun.elapsed().as_secs()));
    if let Some(run) = last(&mut measured.series, &name) {
        run.wrong.extend(wrong);
    }
    measured.notes.push(grown.note(begun.elapsed().as_secs()));
    grown.drop().await?;
    Ok(measured)
}

fn last<'m>(series: &'m mut [Series], name: &str) -> Option<&'m mut Run> {
    series.iter_mut().find(|series| series.subject.who == name)?.runs.last_mut()
}

/// A database with a ledger that has been in use for long.
struct Grown {
    database: Database,
    client: Client,
    matches: i64,
    transfers: i64,
    megabytes: i64,
    filled_in_s: u64,
}

impl Grown {
    async fn make(servers: &Servers, transfers: u32) -> Result<Self> {
        let (begun, database) = (Instant::now(), servers.database().await?);
        let mut client = connect(&database.url()).await?;
        client.batch_execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'").await?;
        let statements = Indexes::of(&client).await?;
        client.batch_execute(&statements.drop).await.context("the indexes stay")?;
        fill_ledger(&mut client, transfers.into()).await?;
        say(&format!("  {transfers} transfers in {} s", begun.elapsed().as_secs()));
        for statement in &statements.make {
            client.batch_execute(statement).await.with_context(|| statement.clone())?;
        }
        client.batch_execute("ANALYZE").await?;
        servers.checkpoint().await?;
        let filled_in_s = begun.elapsed().as_secs();
        say(&format!("  with their indexes in {filled_in_s} s"));
        let matches = number(&client, "SELECT count(*) FROM match").await?;
        let megabytes = number(&client, "SELECT pg_database_size(current_database()) / 1048576").await?;
        Ok(Self { database, client, matches, transfers: transfers.into(), megabytes, filled_in_s })
    }

    /// What is not as it must be, in the backlogs' matches and in the whole ledger.
    async fn audit(&self, games: usize) -> Result<Vec<String>> {
        let Ends { all, won, tied } = events::escrow_ends(0..games);
        let mut wrong = Vec::new();
        for (sql, expected) in [(ENDED, all), (PAID, won), (TIED, tied), (MOVED, won * 16)] {
            let found = number(&self.client, sql).await?;
            if found != expected {
                wrong.push(format!("{sql}: {found} instead of {expected}"));
            }
        }
        let folder = Folder::new()?;
        let nowhere = "amqp://127.0.0.1:1/none";
        let config = Config::write(&folder.0, &self.database.service_url(), nowhere, "")?;
        wrong.extend(tokio::task::spawn_blocking(move || everything::audit(&config)).await??);
        Ok(wrong)
    }

    fn note(&self, audited_in_s: u64) -> String {
        format!(
            "Growth: {} transfers of {} matches were in the tables, {} MiB with their indexes, filled in {} s; the audit of \
             all of it afterwards took {audited_in_s} s.",
            self.transfers, self.matches, self.megabytes, self.filled_in_s
        )
    }

    async fn drop(self) -> Result<()> {
        let Self { database, client, .. } = self;
        drop(client);
        Ok(tokio::task::spawn_blocking(move || drop(database)).await?)
    }
}

/// The indexes of the largest table, as statements that drop them and make them again, with those that belong to a
/// constraint.
struct Indexes {
    drop: String,
    make: Vec<String>,
}

impl Indexes {
    async fn of(client: &Client) -> Result<Self> {
        let sql = "SELECT CASE WHEN c.oid IS NULL THEN format('DROP INDEX %s', i.indexrelid::regclass)
                               ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, c.conname) END,
                          CASE WHEN c.oid IS NULL THEN pg_get_indexdef(i.indexrelid)
                               ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', i.indrelid::regclass, c.conname,
                                           pg_get_constraintdef(c.oid)) END
                     FROM pg_index i
                     LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
                    WHERE i.indrelid = $1::text::regclass
                    ORDER BY i.indexrelid";
        let rows = client.query(sql, &[&FILLED]).await?;
        let column = |place: usize| rows.iter().map(move |row| row.try_get::<_, String>(place));
        let drop: Vec<String> = column(0).collect::<Result<_, _>>()?;
        Ok(Self { drop: drop.join("; "), make: column(1).collect::<Result<_, _>>()? })
    }
}
