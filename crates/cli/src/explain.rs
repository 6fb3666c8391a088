//! `matchpurse explain`: the whole story of one match, contest, offer or player.

use std::process::ExitCode;

use anyhow::Result;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::{format_major, known_exponent};
use matchpurse_store::story;

use crate::config::DatabaseArgs;
use crate::say;

/// What came in of one subject, what it moved, what the studio is told
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The source's name
    source: String,
    /// The provider's id of the match, contest, offer or player
    subject: String,
}

/// Prints the story; a subject that nobody knows is a failure.
pub(crate) async fn run(args: ExplainArgs) -> Result<ExitCode> {
    let source = SourceName::parse(&args.source)?;
    let store = args.database.connect().await?;
    let client = store.client().await?;
    let lines = story::of_subject(&client, &source, &args.subject).await?;
    if lines.is_empty() {
        say(&format!("nothing is known of {} in source {source}", args.subject));
        return Ok(ExitCode::FAILURE);
    }
    for found in story::of_match(&client, &source, &args.subject).await? {
        let [pot, paid, refunded, fee, held] = found.amounts.map(|amount| shown(amount, &found.currency));
        println!("{}: pot {pot}, paid {paid}, back {refunded}, fee {fee}, in escrow now {held}", found.state);
    }
    for line in lines {
        let amount = line.amount.map(|(amount, currency)| format!("{} ", shown(amount, &currency)));
        println!(
            "  {} {:8} {}{}",
            clock(line.at.seconds()),
            line.what,
            amount.unwrap_or_default(),
            line.detail
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// An amount as people write it; a coin whose decimal places only the configuration knows stays as it is.
fn shown(amount: i64, currency: &str) -> String {
    format!("{} {currency}", format_major(amount, known_exponent(currency).unwrap_or(0)))
}

/// The time of day, UTC.
fn clock(seconds: i64) -> String {
    let of_day = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}
