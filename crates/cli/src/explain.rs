//! `matchpurse explain`: the whole story of one match, contest, offer or player.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use matchpurse_domain::ids::SourceName;
use matchpurse_store::{Store, StoreOptions, story};

use crate::config::{self, ConfigArgs};
use crate::say;

/// What came in of one subject, what it moved, what the studio is told
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The database, when it is not the configuration's: the URL that `demo` and `dev` print
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    database_url: Option<String>,
    /// The source's name
    source: String,
    /// The provider's id of the match, contest, offer or player
    subject: String,
}

/// Prints the story; a subject that nobody knows is a failure.
pub(crate) async fn run(args: ExplainArgs) -> Result<ExitCode> {
    let source = SourceName::parse(&args.source)?;
    let store = match args.database_url {
        Some(url) => Store::connect(&StoreOptions::new(url.into(), "matchpurse"))
            .await
            .context("the database cannot be reached")?,
        None => config::store(&args.config.load()?).await?,
    };
    let client = store.client().await?;
    let lines = story::of_subject(&client, &source, &args.subject).await?;
    if lines.is_empty() {
        say(&format!("nothing is known of {} in source {source}", args.subject));
        return Ok(ExitCode::FAILURE);
    }
    for line in story::of_match(&client, &source, &args.subject).await? {
        println!("{line}");
    }
    for line in lines {
        println!("  {} {:8} {}", clock(line.at.seconds()), line.what, line.detail);
    }
    Ok(ExitCode::SUCCESS)
}

/// The time of day, UTC.
fn clock(seconds: i64) -> String {
    let of_day = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}
