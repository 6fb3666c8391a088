//! How long a board of 100,000 players takes to answer: its top, the players around one, and an exact rank.
//!
//! ```sh
//! tests/run cargo run -p matchpurse-player-stats --example leaderboard
//! ```
//!
//! It makes a database of its own on the server of `MATCHPURSE_TEST_DATABASE_URL`, fills it, asks each question for
//! 500 players chosen evenly over the board, one after the other on one connection, and prints how long the answers took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use matchpurse_domain::boards::{BoardName, SeasonKind};
use matchpurse_player_stats::boards::{Boards, Step};
use matchpurse_settings::Settings;
use matchpurse_store::boards::{Place, Towards, entry, exact_rank, find_board, kept_rank, listed};
use matchpurse_store::{Client, now};
use matchpurse_testkit::Database;
use uuid::Uuid;

const PLAYERS: i64 = 100_000;
const QUESTIONS: i64 = 500;

#[tokio::main]
async fn main() -> Result<()> {
    let database = Database::create().await?;
    let settings = Settings::parse_str(&format!(
        "[database]\nurl = {:?}\n[leaderboards.best]\nmetric = \"kills\"\nseason = \"month\"\n",
        database.service_url()
    ))?;
    let store = database.store().await?;
    let boards = Boards::new(store.clone(), &settings, now);
    boards.bring(&settings).await?;
    boards.settle().await?;
    let client = store.client().await?;
    let name = BoardName::parse("best")?;
    let board = find_board(&client, &name).await?.context("the board is not there")?.stored.id;
    let season = SeasonKind::Month.at(now()).name;

    let filled = Instant::now();
    let connection = database.connection().await?;
    let fill = format!(
        "INSERT INTO player (player_key, source, player_id)
           SELECT md5('p' || n)::uuid, 'servers', 'p' || n FROM generate_series(1, {PLAYERS}) n;
         INSERT INTO board_entry (board_id, season, player_key, score, place, reached_at, matches)
           SELECT {id}, '{season}', md5('p' || n)::uuid, score, -score, now() - n * interval '1 second', 1 + n % 200
             FROM (SELECT n, (abs(hashint4(n::int)) % 20000)::bigint AS score
                     FROM generate_series(1, {PLAYERS}) n) s;
         INSERT INTO board_season (board_id, season, changed_at) VALUES ({id}, '{season}', now());",
        id = board.0
    );
    connection.batch_execute(&fill).await?;
    // As autovacuum leaves them.
    for table in ["board_entry", "player"] {
        connection.batch_execute(&format!("VACUUM ANALYZE {table}")).await?;
    }
    println!("{PLAYERS} players filled in {:?}", filled.elapsed());
    let counted = Instant::now();
    boards.step(Step::Count).await?;
    println!("players counted and ranks kept in {:?}", counted.elapsed());

    let asked: Vec<Uuid> = connection
        .query(
            "SELECT player_key FROM (SELECT player_key, row_number() OVER (ORDER BY place, reached_at, player_key) r
                                       FROM board_entry) e WHERE r % $1 = 0 ORDER BY r",
            &[&(PLAYERS / QUESTIONS)],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let place = async |client: &Client, player: Uuid| {
        let own = entry(client, board, &season, player).await?.context("the player has no entry")?;
        anyhow::Ok(own.place)
    };
    measure("top 100", &asked, async |_| {
        let top = listed(&client, board, &season, None, Towards::Bottom, 100).await?;
        anyhow::ensure!(top.len() == 100);
        Ok(())
    })
    .await?;
    measure("around me, 10 on each side, with the kept rank", &asked, async |player| {
        let place: Place = place(&client, player).await?;
        let above = listed(&client, board, &season, Some(place), Towards::Top, 10).await?;
        let below = listed(&client, board, &season, Some(place), Towards::Bottom, 10).await?;
        let kept = kept_rank(&client, board, &season, place).await?;
        anyhow::ensure!(kept.is_some() && above.len() == 10 && below.len() <= 10);
        Ok(())
    })
    .await?;
    measure("exact rank, counted", &asked, async |player| {
        let place = place(&client, player).await?;
        let (rank, of) = exact_rank(&client, board, &season, place).await?;
        let kept = kept_rank(&client, board, &season, place).await?;
        anyhow::ensure!(of == PLAYERS && kept.map(|(rank, _)| rank) == Some(rank), "{rank} {kept:?}");
        Ok(())
    })
    .await
}

/// Asks for every player, and prints the best answer, which no other work got into the way of, the median, the 99th
/// percentile and the worst.
async fn measure(what: &str, players: &[Uuid], ask: impl AsyncFn(Uuid) -> Result<()>) -> Result<()> {
    // The first answers prepare statements and warm the cache.
    for player in players.iter().take(20) {
        ask(*player).await?;
    }
    let mut took: Vec<Duration> = Vec::with_capacity(players.len());
    for player in players {
        let asked = Instant::now();
        ask(*player).await?;
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len() - 1)).copied();
    let [best, p50, p99, worst] = [at(0), at(50), at(99), at(100)].map(Option::unwrap_or_default);
    println!("{what}: best {best:.2?}, p50 {p50:.2?}, p99 {p99:.2?}, worst {worst:.2?}");
    Ok(())
}
