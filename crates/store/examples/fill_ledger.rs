//! Fills an empty, migrated database with a valid ledger, for measurements:
//!
//! ```text
//! cargo run -p matchpurse-store --example fill_ledger -- postgres://user:password@host:port/name 1000000
//! ```

use anyhow::{Context as _, Result};
use matchpurse_testkit::fill_ledger;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: fill_ledger DATABASE_URL TRANSFERS";
    let (url, transfers) = args.next().zip(args.next()).context(usage)?;
    let transfers = transfers.parse().context(usage)?;
    let (mut client, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.context("failed to connect")?;
    // It ends with the client, whose calls report what went wrong.
    tokio::spawn(connection);
    let begun = std::time::Instant::now();
    fill_ledger(&mut client, transfers).await?;
    println!("{transfers} transfers in {} ms", begun.elapsed().as_millis());
    Ok(())
}
