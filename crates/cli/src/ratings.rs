//! `matchpurse ratings`: whether skill ratings are what the matches say.

use anyhow::{Context as _, Result, bail};
use matchpurse_player_stats::boards::{Boards, Compared};
use matchpurse_store::now;
use serde_json::{Value, json};

use crate::config::DatabaseArgs;
use crate::exit::{Ending, usage};
use crate::moment::{clock, stamp};
use crate::out::Out;
use crate::progress::waiting;
use crate::say;

/// See whether skill ratings are what the matches say
#[derive(Debug, clap::Args)]
pub(crate) struct RatingsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Rate all matches of a game anew, and say whether anything differed; what did is put right
    Rebuild {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The game, as the configuration has it; a source without one is a game by itself
        #[arg(long)]
        game: String,
        /// Only compare
        #[arg(long)]
        dry_run: bool,
    },
}

/// Compares, and puts right what differs.
pub(crate) async fn run(args: RatingsArgs, out: Out) -> Result<Ending> {
    let Action::Rebuild { database, game, dry_run } = args.action;
    let (store, settings) = database.open().await?;
    let settings = settings
        .ok_or_else(|| usage("the configuration says whose matches are the game's: give --config"))?;
    let games = settings.games();
    let Some(sources) = games.get(&game) else {
        let known: Vec<&str> = games.keys().map(String::as_str).collect();
        return Err(usage(format!("no source has the game {game:?}; there are {}", known.join(", "))));
    };
    let boards = Boards::new(store, &settings, now);
    let at_rest = "matches come all the time, or player-stats has not brought the game in yet; try again";
    let compared = waiting("rating all matches", boards.compare(&game, sources)).await?.context(at_rest)?;
    if out.json() {
        out.value(&as_json(&compared));
    }
    say(&format!(
        "{} matches count, {} of them say who is better, and {} players have a rating",
        compared.matches, compared.rated, compared.players
    ));
    if compared.is_right() {
        say("nothing differs");
        return Ok(Ending::Done);
    }
    say(&differences(&compared));
    if dry_run {
        return Ok(Ending::Found);
    }
    waiting("rating all matches anew", boards.repair(&game, &compared)).await?;
    let again = boards.compare(&game, sources).await?.context(at_rest)?;
    if !again.is_right() {
        bail!("after everything was made anew, {}", differences(&again));
    }
    say("everything was made anew, and nothing differs any more");
    Ok(Ending::Done)
}

/// What was found before anything was made anew.
fn as_json(compared: &Compared) -> Value {
    json!({
        "right": compared.is_right(),
        "matches": compared.matches,
        "rated": compared.rated,
        "players": compared.players,
        "different": compared.different,
        "outdated": compared.outdated.len(),
        "first_at": compared.first.map(|first| stamp(first.at)),
    })
}

fn differences(compared: &Compared) -> String {
    let first = compared.first.map_or_else(String::new, |first| {
        format!(", the first of them of the match {} that ended at {}", first.key, clock(first.at))
    });
    format!(
        "{} steps and ratings differ{first}; {} matches are known otherwise than they are stored",
        compared.different,
        compared.outdated.len()
    )
}
