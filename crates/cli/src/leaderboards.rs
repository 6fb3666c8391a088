//! `matchpurse leaderboards`: what there are, who is on top, and a player's rank.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use matchpurse_domain::boards::{BoardName, Season, Unlisted};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::{format_major, known_exponent};
use matchpurse_store::boards::{
    BoardState, EntryLine, ShownBoard, Towards, boards, entry, exact_rank, find_board, listed, seasons,
};
use matchpurse_store::{Client, now};

use crate::config::DatabaseArgs;
use crate::moment::{printable, shown};
use crate::say;

/// See leaderboards, and a player's rank
#[derive(Debug, clap::Args)]
pub(crate) struct LeaderboardsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show all of them with their seasons
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Show the top of one
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Its name
        board: String,
        /// Which season, as 2026-11; by default the present one
        #[arg(long)]
        season: Option<String>,
        /// How many players
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show a player's exact rank
    Rank {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The board's name
        board: String,
        /// The player's source
        source: String,
        /// The player's id there
        player: String,
        /// Which season, as 2026-11; by default the present one
        #[arg(long)]
        season: Option<String>,
    },
}

/// Shows.
pub(crate) async fn run(args: LeaderboardsArgs) -> Result<ExitCode> {
    match args.action {
        Action::List { database } => {
            let store = database.connect().await?;
            let client = store.client().await?;
            let all = boards(&client).await?;
            if all.is_empty() {
                say("there are none: define them as [leaderboards.NAME], and start player-stats");
            }
            for board in &all {
                print_board(board);
                for season in seasons(&client, board.stored.id).await? {
                    println!("    {}: {} players", season.name, season.players);
                }
            }
        }
        Action::Show { database, board, season, limit } => {
            let store = database.connect().await?;
            let client = store.client().await?;
            let (board, season) = find(&client, &board, season.as_deref()).await?;
            print_board(&board);
            let lines = listed(&client, board.stored.id, &season.name, None, Towards::Bottom, limit).await?;
            if lines.is_empty() {
                say(&format!("nobody is listed in the season {}", season.name));
            }
            for (rank, line) in (1..).zip(&lines) {
                println!("{}", text(&board, line, Some(rank)));
            }
        }
        Action::Rank { database, board, source, player, season } => {
            let player = PlayerId::new(player).key(&SourceName::parse(&source)?);
            let store = database.connect().await?;
            let client = store.client().await?;
            let (board, season) = find(&client, &board, season.as_deref()).await?;
            let own = entry(&client, board.stored.id, &season.name, player).await?;
            let own = own.with_context(|| format!("the player is not on the board in {}", season.name))?;
            if let Some(reason) = own.unlisted {
                println!("{}", text(&board, &own, None));
                say(&format!("the player is not listed: {}", reason.as_str()));
                return Ok(ExitCode::SUCCESS);
            }
            let (rank, of) = exact_rank(&client, board.stored.id, &season.name, own.place).await?;
            println!("{}", text(&board, &own, Some(rank)));
            say(&format!("{rank} of {of} in {}, counted now", season.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(client: &Client, name: &str, season: Option<&str>) -> Result<(ShownBoard, Season)> {
    let board = find_board(client, &BoardName::parse(name)?).await?;
    let board = board.with_context(|| format!("there is no leaderboard {name}"))?;
    let kind = board.stored.board.season;
    let season = match season {
        None => kind.at(now()),
        Some(text) => kind.named(text).with_context(|| {
            format!("{text:?} is no season of this board; the present one is {:?}", kind.at(now()).name)
        })?,
    };
    Ok((board, season))
}

/// `best: rating, desc, by week, of shooter`, and below it what is not as usual.
fn print_board(shown_board: &ShownBoard) {
    let stored = &shown_board.stored;
    let board = &stored.board;
    let of = board.game.as_ref().map_or_else(String::new, |game| format!(", of {game}"));
    let (metric, direction, season) =
        (board.metric.as_str(), board.direction.as_str(), board.season.as_str());
    println!("{}: {metric}, {direction}, season {season}{of}", board.name);
    if shown_board.building {
        let which = if stored.state == BoardState::Building { "it" } else { "another definition" };
        println!("    {which} is being made; not everybody is on it");
    }
    if let Some(since) = shown_board.recomputing_since {
        println!("    ratings have been made anew since {}", shown(since));
    }
    if let Some(at) = stored.removed_at {
        println!("    left the configuration at {}; it gets nothing more", shown(at));
    }
}

/// `   3  12.500  servers/76561198…, 14 matches, reached 2026-11-22T10:00:00Z`
fn text(board: &ShownBoard, line: &EntryLine, rank: Option<i64>) -> String {
    let board = &board.stored.board;
    let rank = rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
    let score = match &board.currency {
        None => format_major(line.score, board.metric.places()),
        Some(currency) => {
            // Of a studio's own coin only the minor units are known here.
            let exponent = known_exponent(currency.as_str()).unwrap_or(0);
            format!("{} {currency}", format_major(line.score, exponent))
        }
    };
    let why = line.unlisted.map(Unlisted::as_str).map_or_else(String::new, |why| format!(", {why}"));
    format!(
        "{rank:>6}  {score:>12}  {}/{}, {} matches, reached {}{why}",
        line.source,
        printable(line.player_id.as_str()),
        line.matches,
        shown(line.place.reached_at)
    )
}
