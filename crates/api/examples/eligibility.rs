//! Measures how many questions about offers one API process answers in a second, over HTTP on this machine, and beside it
//! what bounds it: the same statement by itself, and a server of the same kind that does nothing.
//!
//! ```text
//! cargo run --release -p matchpurse-api --example eligibility [SECONDS]
//! ```
//!
//! It brings up a PostgreSQL of its own with 20,000 offers, 100,000 players and 500,000 starts, and runs the API as a
//! process of its own. Every connection asks again as soon as it is answered, so the times are those of a service that is
//! as busy as it can be. Client, API and database share the machine.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result, bail, ensure};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_local_servers::Postgres;
use matchpurse_settings::ConfigFiles;
use matchpurse_store::offers::{self, Question};
use matchpurse_store::{Store, StoreOptions};
use matchpurse_testkit::{Database, Dice};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const OFFERS: usize = 20_000;
const PLAYERS: usize = 100_000;
const STARTS_PER_PLAYER: usize = 5;
/// One in so many is banned.
const BANNED: usize = 100;
const TOKEN: &str = "the-bench-asks-with-this-0123456789";
/// Different questions that are made before anything is measured.
const PREPARED: usize = 2_000;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("serve"), Some(config)) => {
            let mut files = ConfigFiles::new(Some(config.as_ref()), std::iter::empty());
            let settings = files.load()?;
            matchpurse_api::run(&settings, files).await
        }
        (Some("empty"), Some(answer)) => empty(answer).await,
        (seconds, None) => {
            let seconds = seconds.map(str::parse).transpose()?.unwrap_or(10);
            measure(Duration::from_secs(seconds)).await
        }
        _ => bail!("usage: eligibility [SECONDS]"),
    }
}

/// The floor: the same server, which reads the question and gives everybody the same answer.
async fn empty(answer: String) -> Result<()> {
    let answer: Arc<str> = answer.into();
    let server = HttpServer::new(move || {
        let answer = Arc::clone(&answer);
        let handler = move |_: web::Bytes| {
            let answer = answer.to_string();
            async move { HttpResponse::Ok().content_type("application/json").body(answer) }
        };
        App::new().default_service(web::route().to(handler))
    })
    .bind("127.0.0.1:0")?;
    let address = server.addrs().first().copied().context("no address")?;
    println!("{{\"message\":\"taking requests\",\"address\":\"{address}\"}}");
    Ok(server.run().await?)
}

async fn measure(time: Duration) -> Result<()> {
    let postgres = Postgres::start_temporary().await?;
    let database = Database::create_on(&postgres.url()).await?;
    fill(&database).await?;
    let config = std::env::temp_dir().join(format!("matchpurse-eligibility-{}.toml", std::process::id()));
    std::fs::write(&config, settings(&database))?;
    let (api, address) = child(&["serve", &config.to_string_lossy()]).await?;
    let starts = PLAYERS * STARTS_PER_PLAYER;
    println!("{OFFERS} offers, {PLAYERS} players, {starts} starts; {} s a line", time.as_secs());
    for (ids, questions_together) in [(20, 32), (500, 4)] {
        println!("\n{ids:3} ids a question      questions/s      p50 ms      p99 ms");
        let asked = questions(ids);
        let requests: Arc<Vec<Vec<u8>>> = Arc::new(asked.iter().map(request).collect::<Result<_>>()?);
        let example = once(address, requests.first().context("no question")?).await?;
        ensure!(example.contains("\"reason\""), "{example}");
        let (floor, floor_address) = child(&["empty", &example]).await?;
        // What is measured first meets a cold cache; so everything is warmed up.
        over_http(address, &requests, 64, time / 5).await?;
        let alone = over_http(address, &requests, 1, time).await?.print("one connection");
        let many = over_http(address, &requests, 64, time).await?.print("64 connections");
        let nothing = over_http(floor_address, &requests, 64, time).await?.print("empty handler, 64");
        let single = in_sql(&database, &asked, 1, 1, time).await?.print("SQL, one connection");
        let sql = in_sql(&database, &asked, 3, 1, time).await?.print("SQL, 3 connections");
        let together = in_sql(&database, &asked, 3, questions_together, time).await?;
        let together = together.print(&format!("SQL, 3, {questions_together} together"));
        println!("  one connection / SQL, one connection {:.2}", alone / single);
        println!("  64 connections / empty handler       {:.2}", many / nothing);
        println!(
            "  64 connections / SQL, 3 connections  {:.2}, asked together {:.2}",
            many / sql,
            many / together
        );
        stop(floor).await?;
    }
    stop(api).await?;
    std::fs::remove_file(&config)?;
    drop(database);
    Ok(postgres.stop().await?)
}

fn settings(database: &Database) -> String {
    format!(
        "[database]\nurl = {:?}\n[api]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"\"\n\
         [api.tokens.bench]\nsecret = \"{TOKEN}\"\nscopes = [\"read\"]\n\
         [telemetry]\nlog_format = \"json\"\n\
         [sources.wall]\nprovider = \"any\"\ncurrency = \"USD\"\ncustody = \"provider\"\n",
        database.service_url()
    )
}

fn offer_id(n: usize) -> String {
    (1_000_000_000_000_000_000 + n * 7_919).to_string()
}

fn player_id(n: usize) -> String {
    format!("player-{n}")
}

async fn fill(database: &Database) -> Result<()> {
    let client = database.connection().await?;
    let ids: Vec<String> = (0..OFFERS).map(offer_id).collect();
    client
        .execute(
            "INSERT INTO offer (source, offer_id, state, state_at, data, data_at, first_event_id, last_event_id)
             SELECT 'wall', id, CASE WHEN place % 5 < 2 THEN 'removed' ELSE 'active' END, now(),
                    format('{\"offerId\":\"%s\",\"text\":\"%s\"}', id, repeat('x', 600)), now(),
                    gen_random_uuid(), gen_random_uuid()
               FROM unnest($1::text[]) WITH ORDINALITY AS o (id, place)",
            &[&ids],
        )
        .await?;
    let wall = SourceName::parse("wall")?;
    let mut dice = Dice::new(1);
    let all: Vec<usize> = (0..PLAYERS).collect();
    for part in all.chunks(10_000) {
        let (mut keys, mut offers) = (Vec::new(), Vec::new());
        for player in part {
            let key = PlayerId::new(player_id(*player)).key(&wall).to_string();
            for _ in 0..STARTS_PER_PLAYER {
                keys.push(key.clone());
                offers.push(offer_id(dice.below(OFFERS)));
            }
        }
        let sql = "INSERT INTO offer_start (source, offer_id, player_key)
                   SELECT 'wall', id, key::uuid FROM unnest($1::text[], $2::text[]) AS s (id, key)
                   ON CONFLICT DO NOTHING";
        client.execute(sql, &[&offers, &keys]).await?;
    }
    let keys: Vec<String> =
        (0..PLAYERS / BANNED).map(|n| PlayerId::new(player_id(n * BANNED)).key(&wall).to_string()).collect();
    let sql = "INSERT INTO player_standing (player_key, source, standing, changed_at, last_event_id)
               SELECT key::uuid, 'wall', 'banned', now(), gen_random_uuid() FROM unnest($1::text[]) AS p (key)";
    client.execute(sql, &[&keys]).await?;
    Ok(client.batch_execute("VACUUM ANALYZE").await?)
}

/// Questions of random players about random offers.
fn questions(ids: usize) -> Vec<Question> {
    let mut dice = Dice::new(2);
    (0..PREPARED)
        .map(|_| Question {
            player: PlayerId::new(player_id(dice.below(PLAYERS))),
            offers: (0..ids).map(|_| offer_id(dice.below(OFFERS))).collect(),
        })
        .collect()
}

fn request(question: &Question) -> Result<Vec<u8>> {
    let body = serde_json::json!({"player": question.player.as_str(), "offer_ids": question.offers});
    let body = body.to_string();
    let mut request = Vec::new();
    write!(
        request,
        "POST /v1/offers/wall/eligible HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(request)
}

/// This program again, as a service of its own process; and where it listens.
async fn child(arguments: &[&str]) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (out, log) = (child.stdout.take().context("no output")?, child.stderr.take().context("no log")?);
    let (mut out, mut log) = (BufReader::new(out).lines(), BufReader::new(log).lines());
    let address = loop {
        let line = tokio::select! {
            Ok(Some(line)) = out.next_line() => line,
            Ok(Some(line)) = log.next_line() => line,
            else => bail!("it ended before it took requests"),
        };
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if line.get("message").is_some_and(|message| message == "taking requests") {
            let address = line.get("address").and_then(|address| address.as_str());
            break address.context("no address")?.parse()?;
        }
    };
    // Nobody reads the rest; the pipe must not fill up.
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    Ok((child, address))
}

async fn stop(mut child: Child) -> Result<()> {
    child.kill().await.context("failed to end a process of the measurement")
}

/// The answers of some time.
struct Answers {
    took: Vec<Duration>,
    time: Duration,
}

impl Answers {
    /// Prints a line, and returns the questions a second.
    fn print(mut self, name: &str) -> f64 {
        self.took.sort_unstable();
        let at = |percent: usize| {
            let place = (self.took.len() * percent / 100).min(self.took.len().saturating_sub(1));
            self.took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1_000.0)
        };
        let count = u32::try_from(self.took.len()).unwrap_or(u32::MAX);
        let rate = f64::from(count) / self.time.as_secs_f64();
        println!("  {name:22} {rate:10.0} {:11.2} {:11.2}", at(50), at(99));
        rate
    }
}

async fn over_http(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    time: Duration,
) -> Result<Answers> {
    let (began, mut asking) = (Instant::now(), Vec::new());
    for connection in 0..connections {
        let requests = Arc::clone(requests);
        asking.push(tokio::spawn(async move {
            let mut stream = connect(address).await?;
            let (mut took, mut buffer) = (Vec::new(), Vec::with_capacity(64 * 1024));
            let mine = requests.iter().cycle().skip(connection * 31);
            for request in mine.take_while(|_| began.elapsed() < time) {
                let asked = Instant::now();
                ask(&mut stream, request, &mut buffer).await?;
                took.push(asked.elapsed());
            }
            anyhow::Ok(took)
        }));
    }
    let mut took = Vec::new();
    for asking in asking {
        took.extend(asking.await??);
    }
    Ok(Answers { took, time: began.elapsed() })
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn once(address: SocketAddr, request: &[u8]) -> Result<String> {
    let mut buffer = Vec::new();
    let body = ask(&mut connect(address).await?, request, &mut buffer).await?;
    Ok(String::from_utf8(buffer.split_off(body))?)
}

/// Asks, reads the whole answer, and returns where its body begins.
async fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Result<usize> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        ensure!(stream.read_buf(buffer).await? > 0, "the connection was closed");
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(buffer.get(..end).unwrap_or_default())?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.context("no length")?.1.parse()?;
        while buffer.len() < end + 4 + length {
            ensure!(stream.read_buf(buffer).await? > 0, "the connection was closed");
        }
        return Ok(end + 4);
    }
}

/// The statement by itself: so many connections, and so many questions in each statement.
async fn in_sql(
    database: &Database,
    questions: &[Question],
    connections: usize,
    together: usize,
    time: Duration,
) -> Result<Answers> {
    let store = Store::connect(&StoreOptions::new(database.service_url().into(), "bench")).await?;
    let wall = SourceName::parse("wall")?;
    let (began, mut asking) = (Instant::now(), Vec::new());
    for connection in 0..connections {
        let (store, wall, questions) = (store.clone(), wall.clone(), questions.to_vec());
        asking.push(tokio::spawn(async move {
            let (client, mut took) = (store.client().await?, Vec::new());
            let mine = questions.chunks_exact(together).cycle().skip(connection * 7);
            for questions in mine.take_while(|_| began.elapsed() < time) {
                let asked = Instant::now();
                offers::eligible(&client, &wall, questions).await?;
                took.extend(std::iter::repeat_n(asked.elapsed(), together));
            }
            anyhow::Ok(took)
        }));
    }
    let mut took = Vec::new();
    for asking in asking {
        took.extend(asking.await??);
    }
    Ok(Answers { took, time: began.elapsed() })
}
