//! `matchpurse leaderboards`: what there are, who is on top, and a player's rank.

use anyhow::{Context as _, Result};
use matchpurse_domain::boards::{BoardName, Season, Unlisted};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::format_major;
use matchpurse_store::boards::{
    BoardState, EntryLine, ShownBoard, Towards, boards, entry, exact_rank, find_board, listed, seasons,
};
use matchpurse_store::{Client, now};
use serde_json::{Value, json};

use crate::config::DatabaseArgs;
use crate::exit::{Ending, not_there};
use crate::member::set;
use crate::moment::{clock, stamp};
use crate::money::Coins;
use crate::out::Out;
use crate::say;
use crate::table::{Table, left, or_dash, right, words};

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
pub(crate) async fn run(args: LeaderboardsArgs, out: Out) -> Result<Ending> {
    match args.action {
        Action::List { database } => {
            let store = database.connect().await?;
            let client = store.client().await?;
            let mut all = Vec::new();
            for board in boards(&client).await? {
                let seasons = seasons(&client, board.stored.id).await?;
                let seasons: Vec<(String, i64)> = seasons.into_iter().map(|s| (s.name, s.players)).collect();
                all.push((board, seasons));
            }
            if all.is_empty() && !out.json() {
                say("there are none: define them as [leaderboards.NAME], and start player-stats");
            } else {
                out.list(&all, |(board, seasons)| with_seasons(board, seasons), board_table);
            }
        }
        Action::Show { database, board, season, limit } => {
            let (store, settings) = database.open().await?;
            let client = store.client().await?;
            let (board, season) = find(&client, &board, season.as_deref()).await?;
            let lines = listed(&client, board.stored.id, &season.name, None, Towards::Bottom, limit).await?;
            let ranked: Vec<(Option<i64>, EntryLine)> = (1..).map(Some).zip(lines).collect();
            if !out.json() {
                out.line(heading(&board));
            }
            if ranked.is_empty() && !out.json() {
                say(&format!("nobody is listed in the season {}", season.name));
            } else {
                print_entries(&board, &ranked, Coins(settings.as_ref()), out);
            }
        }
        Action::Rank { database, board, source, player, season } => {
            let player = PlayerId::new(player).key(&SourceName::parse(&source)?);
            let (store, settings) = database.open().await?;
            let client = store.client().await?;
            let coins = Coins(settings.as_ref());
            let (board, season) = find(&client, &board, season.as_deref()).await?;
            let own = entry(&client, board.stored.id, &season.name, player).await?;
            let own =
                own.ok_or_else(|| not_there(format!("the player is not on the board in {}", season.name)))?;
            if let Some(reason) = own.unlisted {
                print_entries(&board, &[(None, own)], coins, out);
                say(&format!("the player is not listed: {}", reason.as_str()));
                return Ok(Ending::Done);
            }
            let (rank, of) = exact_rank(&client, board.stored.id, &season.name, own.place).await?;
            print_entries(&board, &[(Some(rank), own)], coins, out);
            say(&format!("{rank} of {of} in {}, counted now", season.name));
        }
    }
    Ok(Ending::Done)
}

async fn find(client: &Client, name: &str, season: Option<&str>) -> Result<(ShownBoard, Season)> {
    let board = find_board(client, &BoardName::parse(name)?).await?;
    let board = board.ok_or_else(|| not_there(format!("there is no leaderboard {name}")))?;
    let kind = board.stored.board.season;
    let season = match season {
        None => kind.at(now()),
        Some(text) => kind.named(text).with_context(|| {
            format!("{text:?} is no season of this board; the present one is {:?}", kind.at(now()).name)
        })?,
    };
    Ok((board, season))
}

/// What is not as usual about a board.
fn notes(shown_board: &ShownBoard) -> Vec<String> {
    let stored = &shown_board.stored;
    let building = shown_board.building.then(|| {
        let which = if stored.state == BoardState::Building { "it" } else { "another definition" };
        format!("{which} is being made; not everybody is on it")
    });
    let recomputing = shown_board.recomputing_since;
    let recomputing = recomputing.map(|at| format!("ratings have been made anew since {}", clock(at)));
    let removed = stored.removed_at;
    let removed = removed.map(|at| format!("left the configuration at {}; it gets nothing more", clock(at)));
    [building, recomputing, removed].into_iter().flatten().collect()
}

/// `best: rating, desc, by week, of shooter`, and below it what is not as usual.
fn heading(shown_board: &ShownBoard) -> String {
    let board = &shown_board.stored.board;
    let of = board.game.as_ref().map_or_else(String::new, |game| format!(", of {game}"));
    let (metric, direction, season) =
        (board.metric.as_str(), board.direction.as_str(), board.season.as_str());
    let mut lines = vec![format!("{}: {metric}, {direction}, season {season}{of}", board.name)];
    lines.extend(notes(shown_board).into_iter().map(|note| format!("    {note}")));
    lines.join("\n")
}

fn board_table(all: &[(ShownBoard, Vec<(String, i64)>)]) -> Table {
    let mut table = Table::new([
        left("board"),
        left("metric"),
        left("order"),
        left("season"),
        left("game"),
        words("players by season"),
        words("notes"),
    ]);
    for (shown_board, seasons) in all {
        let board = &shown_board.stored.board;
        let seasons: Vec<String> =
            seasons.iter().map(|(name, players)| format!("{name}: {players}")).collect();
        table.row([
            (&board.name).into(),
            board.metric.as_str().into(),
            board.direction.as_str().into(),
            board.season.as_str().into(),
            or_dash(board.game.as_ref()),
            seasons.join(", ").into(),
            notes(shown_board).join("; ").into(),
        ]);
    }
    table
}

fn board_json(shown_board: &ShownBoard) -> Value {
    let (stored, board) = (&shown_board.stored, &shown_board.stored.board);
    json!({
        "name": board.name.as_str(),
        "metric": board.metric.as_str(),
        "direction": board.direction.as_str(),
        "season": board.season.as_str(),
        "game": board.game,
        "building": shown_board.building,
        "recomputing_since": shown_board.recomputing_since.map(stamp),
        "removed_at": stored.removed_at.map(stamp),
    })
}

fn with_seasons(board: &ShownBoard, seasons: &[(String, i64)]) -> Value {
    let mut whole = board_json(board);
    let seasons = seasons.iter().map(|(name, players)| json!({ "name": name, "players": players }));
    set(&mut whole, "seasons", seasons.collect::<Value>());
    whole
}

/// A score with its unit.
fn score(board: &ShownBoard, line: &EntryLine, coins: Coins<'_>) -> String {
    let board = &board.stored.board;
    match &board.currency {
        None => format_major(line.score, board.metric.places()),
        Some(currency) => coins.shown(line.score, currency.as_str()),
    }
}

fn print_entries(board: &ShownBoard, ranked: &[(Option<i64>, EntryLine)], coins: Coins<'_>, out: Out) {
    let json = |(rank, line): &(Option<i64>, EntryLine)| {
        json!({
            "board": board.stored.board.name.as_str(),
            "rank": rank,
            "source": line.source.as_str(),
            "player": line.player_id.as_str(),
            "score": score(board, line, coins),
            "matches": line.matches,
            "reached_at": stamp(line.place.reached_at),
            "unlisted": line.unlisted.map(Unlisted::as_str),
        })
    };
    out.list(ranked, json, |ranked| {
        let mut table = Table::new([
            right("rank"),
            right("score"),
            words("player"),
            right("matches"),
            left("reached"),
            left("unlisted"),
        ]);
        for (rank, line) in ranked {
            table.row([
                or_dash(*rank),
                score(board, line, coins).into(),
                format!("{}/{}", line.source, line.player_id).into(),
                line.matches.into(),
                clock(line.place.reached_at).into(),
                line.unlisted.map_or("", Unlisted::as_str).into(),
            ]);
        }
        table
    });
}
