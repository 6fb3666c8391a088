//! Secrets are planted wherever there are any, everything is made to speak, and nothing of it may repeat them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::Stdio;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{Request, StatusCode};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_testkit::{Collector, Studio};
use serde_json::Value;

use crate::ground::Played;
use crate::live::{FREE_PORTS, Running, documented_body, send};

/// What is planted. `signing` is written in base64 where it is configured, and is a secret in either form.
const GAMES: &str = "planted-1-games-4b1c77d0f2";
const SERVERS: &str = "Bearer planted-2-servers-9c1b0a";
const OFFERS: &str = "planted-3-offerwall-webhook";
const POSTBACK: &str = "planted-4-offerwall-postback";
const TOKEN: &str = "planted-5-api-token-0123456789abcdef";
const CONSOLE: &str = "planted-6-console-secret-0123456789ab";
const SIGNING: &str = "planted-7-endpoint-signing-secret";
const SIGNING_BASE64: &str = "cGxhbnRlZC03LWVuZHBvaW50LXNpZ25pbmctc2VjcmV0";
const URL_TOKEN: &str = "planted-8-token-in-an-endpoint-url";
const PASSWORD: &str = "planted-9-database-password";
/// What a body brings along: the password of a game server.
const IN_A_BODY: &str = "planted-10-game-server-password";
const COLLECTOR: &str = "planted-11-collector-token";

const PLANTED: [&str; 12] = [
    GAMES,
    SERVERS,
    OFFERS,
    POSTBACK,
    TOKEN,
    CONSOLE,
    SIGNING,
    SIGNING_BASE64,
    URL_TOKEN,
    PASSWORD,
    IN_A_BODY,
    COLLECTOR,
];

/// The most pages of the console that are looked at.
const PAGES_MAX: usize = 300;

/// Everything that was said, by who said it.
#[derive(Default)]
struct Heard(BTreeMap<String, String>);

impl Heard {
    fn add(&mut self, who: &str, text: impl Into<String>) {
        self.0.entry(who.to_owned()).or_default().push_str(&text.into());
    }

    /// Who repeats what: in plain text, in hexadecimal as the database shows bytes, or escaped in JSON or a URL.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for (who, text) in &self.0 {
            for planted in PLANTED {
                // A scheme before it is no secret.
                let planted = planted.trim_start_matches("Bearer ");
                if let Some(at) = text.find(planted).or_else(|| text.find(&hex::encode(planted))) {
                    let from = (0..=at.saturating_sub(150)).rev().find(|from| text.is_char_boundary(*from));
                    let before = text.get(from.unwrap_or(0)..at).unwrap_or_default();
                    leaks.push(format!("{who} says {planted} behind …{before}"));
                }
            }
        }
        leaks
    }
}

fn configuration(database_url: &str, studio: &Studio, collector: &Collector) -> String {
    format!(
        r#"
[database]
url = "{database_url}"
[telemetry]
log_filter = "trace"
[telemetry.otlp]
endpoint = "{}"
headers.authorization = "Bearer {COLLECTOR}"
{FREE_PORTS}
console_secret = "{CONSOLE}"
[api.tokens.tester]
secret = "{TOKEN}"
scopes = ["read", "operate"]
[endpoints.game]
url = "{}"
secrets = ["whsec_{SIGNING_BASE64}"]
allow_private = true
[sources.games]
provider = "lucra"
currency = "USD"
custody = "provider"
secrets = ["{GAMES}"]
[sources.servers]
provider = "dathost"
currency = "USD"
custody = "provider"
secrets = ["{SERVERS}"]
[sources.offerwall]
provider = "adgem"
currency = "GEMS"
currency_exponent = 0
custody = "provider"
secrets = ["{OFFERS}"]
keys.postback = ["{POSTBACK}"]
"#,
        collector.url(),
        studio.url(&format!("/hook?token={URL_TOKEN}")),
    )
}

/// Reads all that comes, beside the test.
fn collect(mut from: impl std::io::Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

struct Browser {
    client: HttpClient,
    base: String,
    cookie: String,
}

impl Browser {
    async fn log_in(base: String) -> Result<Self> {
        let client = HttpClient::new(&HttpClientOptions {
            proxy_from_environment: false,
            response_bytes_max: 16 << 20,
            ..HttpClientOptions::default()
        })?;
        let request = Request::post(format!("{base}/console/login"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(Bytes::from(format!("token={TOKEN}")))?;
        let answer = client.send(request).await?;
        let cookies = answer.headers().get_all(SET_COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok()?.split(';').next());
        let cookie = cookies.collect::<Vec<_>>().join("; ");
        ensure!(
            answer.status() == StatusCode::SEE_OTHER && !cookie.is_empty(),
            "no login: {}",
            answer.status()
        );
        Ok(Self { client, base, cookie })
    }

    async fn get(&self, url: &str) -> Result<(StatusCode, String)> {
        let request = Request::get(url)
            .header(COOKIE, &self.cookie)
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Bytes::new())?;
        let answer = self.client.send(request).await?;
        let headers = format!("{:?}", answer.headers());
        Ok((answer.status(), format!("{headers}\n{}", String::from_utf8_lossy(answer.body()))))
    }

    /// Every page of the console that can be reached.
    async fn crawl(&self, heard: &mut Heard) -> Result<usize> {
        heard.add("the session's cookie", &self.cookie);
        let (mut todo, mut seen) = (vec!["/console".to_owned()], BTreeSet::new());
        while let Some(path) = todo.pop() {
            // The live flow is a stream, and assets are constants.
            if path.contains("/live") || path.contains("/assets/") || !seen.insert(path.clone()) {
                continue;
            }
            let (_, page) = self.get(&format!("{}{path}", self.base)).await?;
            for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let link =
                    link.split('#').next().unwrap_or_default().replace("&amp;", "&").replace("&#38;", "&");
                if link.starts_with("/console") && seen.len() + todo.len() < PAGES_MAX {
                    todo.push(link);
                }
            }
            heard.add("the console", page);
        }
        Ok(seen.len())
    }
}

#[tokio::test]
async fn planted_secrets_are_repeated_nowhere() -> Result<()> {
    let (studio, collector) = (Studio::start().await?, Collector::start().await?);
    let played = Played::nothing("redaction", "").await?;
    // A role with a password, as deployments have.
    let role = format!("redaction_{}", std::process::id());
    let admin = played.database.connection().await?;
    let sql = format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'");
    admin.batch_execute(&sql).await?;
    let url = played.database.url();
    let (_, place) = url.rsplit_once('@').context("a URL with a user")?;
    let url = format!("postgres://{role}:{PASSWORD}@{place}");
    std::fs::write(played.folder.join("matchpurse.toml"), configuration(&url, &studio, &collector))?;

    let mut heard = Heard::default();
    let mut child = played
        .command(&["dev", "--json", "--port", "0", "--api-port", "0"])
        .args(["--database-url", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let log = collect(child.stderr.take().context("piped")?);
    let mut stdout = child.stdout.take().context("piped")?;
    let mut running = Running(child);
    let places = serde_json::Deserializer::from_reader(&mut stdout).into_iter::<Value>().next();
    let places = places.context("dev ended")??;
    heard.add("what dev tells", places.to_string());

    let echoing = played.folder.join("echoing.json");
    let body = documented_body("dathost", "event_match_ended")?;
    let echo = body.replace("REDACT-ME", SERVERS);
    let echo = echo.replace("\"password\": null", &format!("\"password\": \"{IN_A_BODY}\""));
    ensure!(echo.contains(SERVERS) && echo.contains(IN_A_BODY), "the body repeats nothing");
    std::fs::write(&echoing, echo)?;
    for (what, source, more) in [
        ("RecreationalGameCreated", "games", &[][..]),
        ("RecreationalGameCreated", "games", &["--bad-signature"]),
        ("event_match_ended", "servers", &[]),
        ("event_match_ended", "servers", &["--bad-signature"]),
        (echoing.to_str().context("a path")?, "servers", &[]),
        ("offer_removed", "offerwall", &[]),
        ("player_banned", "offerwall", &["--bad-signature"]),
    ] {
        let output = send(&played, &places, &[&[what, "--source", source], more].concat())?;
        // Of a file it shows what is in it, to whoever gave it.
        if !what.ends_with(".json") {
            heard.add("send", String::from_utf8_lossy(&output.stdout));
        }
        heard.add("send", String::from_utf8_lossy(&output.stderr));
    }
    while admin.query_one("SELECT count(*) FROM archive", &[]).await?.get::<_, i64>(0) < 4 {
        tokio::task::yield_now().await;
    }
    studio.received(1).await?;

    let base = places["api"].as_str().context("the API")?.trim_end_matches("/v1").to_owned();
    let browser = Browser::log_in(base.clone()).await?;
    let pages = browser.crawl(&mut heard).await?;
    assert!(pages > 20, "{pages} pages");
    for path in ["endpoints", "endpoints/game", "events", "parked", "anomalies", "matches", "rewards"] {
        let (_, answer) = browser.get(&format!("{base}/v1/{path}")).await?;
        heard.add("the API", answer);
    }
    for service in ["ingress_admin", "workers_admin", "api_admin"] {
        let admin = places[service].as_str().context("an admin port")?;
        for path in ["metrics", "readyz", "rejected"] {
            heard.add("the admin ports", browser.get(&format!("{admin}/{path}")).await?.1);
        }
    }

    let mut commands: Vec<Vec<String>> = Vec::new();
    for line in [
        "check-config",
        "doctor",
        "doctor --json",
        "parked list",
        "endpoints list",
        "endpoints list --json",
        "deliveries list",
        "anomalies list",
        "archive list",
        "archive export --out -",
        "verify-archive",
        "audit",
    ] {
        commands.push(line.split(' ').map(str::to_owned).collect());
    }
    let row = loop {
        match admin.query_opt("SELECT source, match_id FROM match LIMIT 1", &[]).await? {
            Some(row) => break row,
            None => tokio::task::yield_now().await,
        }
    };
    let (source, id): (String, String) = (row.get(0), row.get(1));
    for more in [&[][..], &["--json"]] {
        let args = [&["explain", source.as_str(), id.as_str()][..], more].concat();
        commands.push(args.into_iter().map(str::to_owned).collect());
    }
    for command in &commands {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        let output = played.run(&args)?;
        assert_ne!(output.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        heard.add(&command.join(" "), String::from_utf8_lossy(&output.stdout));
        heard.add(&command.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    assert!(heard.0["check-config"].contains("[redacted]"), "{}", heard.0["check-config"]);
    assert!(
        heard.0["archive export --out -"].contains("authorization_header"),
        "the body that echoes is there"
    );

    // What is wrong with a configuration or a server is told without what it is.
    for (wrong, with) in [
        ("currency = \"USD\"", "curency = \"USD\""),
        (&*format!("secrets = [\"{GAMES}\"]"), &*format!("secrets = [{GAMES}]")),
        (&*format!("secrets = [\"{GAMES}\"]"), &*format!("secrets = \"{GAMES}\"")),
        (&*format!("whsec_{SIGNING_BASE64}"), SIGNING),
        (&*place.to_owned(), "127.0.0.1:1/nobody"),
    ] {
        let text = configuration(&url, &studio, &collector).replacen(wrong, with, 1);
        std::fs::write(played.folder.join("matchpurse.toml"), text)?;
        for command in ["check-config", "doctor", "migrate"] {
            let output = played.run(&[command])?;
            heard.add("complaints", String::from_utf8_lossy(&output.stdout));
            heard.add("complaints", String::from_utf8_lossy(&output.stderr));
        }
    }

    // Where an endpoint is, every dispatcher reads there: with the query, which whoever is shown it never sees.
    let tables = "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name)
                    FROM information_schema.tables
                   WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'endpoint'";
    for table in played.database.texts(tables).await? {
        for row in played.database.texts(&format!("SELECT t::text FROM {table} t")).await? {
            heard.add(&format!("the table {table}"), row);
        }
    }

    while !collector.spans()?.iter().any(|span| span.name == "notice") {
        tokio::task::yield_now().await;
    }
    for request in collector.requests() {
        heard.add("the spans", String::from_utf8_lossy(&request.body));
    }
    running.0.kill()?;
    running.0.wait()?;
    let log = log.join().ok().context("the log")?;
    assert!(log.contains("DEBUG"), "everything is logged: {log:.500}");
    heard.add("the log", log);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest)?;
    heard.add("what dev tells", rest);
    drop(admin);
    let admin = played.database.connection().await?;
    admin
        .batch_execute(&format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"
        ))
        .await?;
    assert_eq!(heard.leaks(), [""; 0]);
    Ok(())
}

/// The search finds what it is to find.
#[test]
fn a_leak_is_found_in_whatever_form() {
    for said in [format!("url={PASSWORD}"), hex::encode(SERVERS), format!("{{\"s\":\"{TOKEN}\"}}")] {
        let mut heard = Heard::default();
        heard.add("somebody", said.clone());
        assert_eq!(heard.leaks().len(), 1, "{said}");
    }
}
