//! The console's door, and its pages about deliveries, matches, what is parked and what contradicts itself.

use anyhow::{Context as _, Result};
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{MatchStatus, Payload};
use matchpurse_domain::ids::EventId;

use crate::console_studio::Browser;
use crate::events::snapshot;
use crate::harness::{ANN, Api, READER, SETTINGS, WRITER};
use crate::http::Request;
use crate::world::World;

/// What a provider may call a player, a match and a group.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// Every page whose address needs no name.
const LISTS: [&str; 12] = [
    "/console",
    "/console/",
    "/console/flow",
    "/console/flow?verdict=refused",
    "/console/matches",
    "/console/matches?q=nothing-has-this-id",
    "/console/parked",
    "/console/parked?state=resolved",
    "/console/parked/bulk",
    "/console/anomalies",
    "/console/anomalies?state=resolved",
    "/console/login",
];

/// What the policy forbids must not be in a page either: a browser would only hide the mistake.
fn is_clean(path: &str, page: &str) -> Result<()> {
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let name = tag.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
        anyhow::ensure!(name != "style", "{path} has a style element");
        anyhow::ensure!(name != "script" || tag.contains(" src=\"/console/assets/"), "{path}: <{tag}>");
        let attributes = tag.split('"').step_by(2);
        for attribute in attributes.flat_map(str::split_whitespace) {
            let handler = attribute.starts_with("on") && attribute.ends_with('=');
            anyhow::ensure!(!handler && !attribute.starts_with("style="), "{path}: <{tag}>");
        }
        for foreign in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
            anyhow::ensure!(!tag.contains(foreign), "{path}: <{tag}>");
        }
    }
    Ok(())
}

#[tokio::test]
async fn nobody_is_let_in_without_a_token_that_may_read() -> Result<()> {
    let api = Api::start().await?;
    let stranger = Browser { address: api.address.to_string(), cookie: String::new() };
    let sent_away = stranger.get("/console/matches?kind=tournament").await?;
    assert_eq!(sent_away.status, 303);
    let login = sent_away.header("location").context("no address")?;
    assert_eq!(login, "/console/login?next=%2Fconsole%2Fmatches%3Fkind%3Dtournament");
    let page = stranger.page(login).await?;
    assert!(page.contains("value=\"/console/matches?kind=tournament\""), "{page}");
    for (token, said) in [
        ("no-token-of-anybody", "no token has this secret"),
        (WRITER, "does not have the scope"),
        ("", "no token has this secret"),
    ] {
        let answer = stranger.post("/console/login", &[("token", token)]).await?;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{token}");
        assert!(answer.body.contains(said), "{}", answer.body);
    }
    // A part of a page that htmx asks for becomes no login in the middle of a page.
    let mut part = Request::new("GET", "/console", b"");
    part.headers.push(("hx-request".to_owned(), b"true".to_vec()));
    let answer = part.send(&api.address.to_string()).await?;
    assert_eq!(answer.status, 401);
    assert!(answer.header("hx-redirect").is_some_and(|to| to.starts_with("/console/login")));
    // Who is in is sent where they wanted to go.
    let answer = stranger.post("/console/login", &[("token", ANN), ("next", "/console/parked")]).await?;
    let cookie = answer.header("set-cookie").context("no cookie")?.to_owned();
    for part in ["; Path=/console;", "; HttpOnly;", "; SameSite=Strict", "; Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(ANN));
    let kept = answer.header("location").context("no address")?;
    let ann = Browser { cookie: cookie.split(';').next().unwrap().to_owned(), ..stranger };
    assert_eq!(ann.get(kept).await?.header("location"), Some("/console/parked"));
    let elsewhere = ann.get("/console/login?next=https://evil.example/").await?;
    assert_eq!(elsewhere.header("location"), Some("/console"));
    // A browser that keeps no cookie is told so.
    let nobody = Browser { address: api.address.to_string(), cookie: String::new() };
    assert!(nobody.page(kept).await?.contains("has kept no cookie"));
    let out = ann.post("/console/logout", &[]).await?;
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")));
    api.stop().await
}

#[tokio::test]
async fn guesses_are_slowed_down_and_a_right_token_is_not() -> Result<()> {
    let api = Api::start().await?;
    let guesser = Browser { address: api.address.to_string(), cookie: String::new() };
    let mut statuses = Vec::new();
    for guess in 0..12 {
        let token = format!("guess-{guess}");
        statuses.push(guesser.post("/console/login", &[("token", &token)]).await?.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 10, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(guesser.post("/console/login", &[("token", ANN)]).await?.status, 303);
    api.stop().await
}

#[tokio::test]
async fn pages_say_what_a_browser_may_do_and_keep_to_it() -> Result<()> {
    let world = World::new().await?;
    let api = &world.backend.api;
    let ann = Browser::log_in(api, ANN).await?;
    let mut paths: Vec<String> = LISTS.map(str::to_owned).to_vec();
    paths.extend([
        "/console/matches/main-game/match-1".to_owned(),
        "/console/anomalies/1".to_owned(),
        "/console/parked/1".to_owned(),
        format!("/console/events/{}", world.event),
        "/console/nothing-is-here".to_owned(),
        "/console/parked/77".to_owned(),
    ]);
    for path in &paths {
        let answer = ann.get(path).await?;
        let policy = answer.header("content-security-policy").context("no policy")?;
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        is_clean(path, &answer.body)?;
    }
    let page = ann.page("/console").await?;
    for asset in page.split('"').filter(|part| part.starts_with("/console/assets/")) {
        let answer = ann.get(asset).await?;
        assert_eq!(answer.status, 200, "{asset}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    assert_eq!(ann.get("/console/assets/0000000000000000/console.css").await?.status, 404);
    for (path, status, said) in [
        ("/console/nothing-is-here", 404, "There is no such page"),
        ("/console/parked/77", 404, "There is no parked delivery"),
        ("/console/matches?status=gone", 400, "The query cannot be understood"),
    ] {
        let answer = ann.get(path).await?;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.to_lowercase().contains(&said.to_lowercase()), "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_changed_by_another_sites_form_or_by_who_may_only_look() -> Result<()> {
    let world = World::new().await?;
    let api = &world.backend.api;
    let (ann, reader) = (Browser::log_in(api, ANN).await?, Browser::log_in(api, READER).await?);
    let discard = [("reason", "it is a stranger's")];
    // Without the session's own field, and with that of another session.
    let foreign = ann.post("/console/parked/1/discard", &discard).await?;
    assert_eq!(foreign.status, 403, "{}", foreign.body);
    let page = Browser::log_in(api, ANN).await?.page("/console/parked/1").await?;
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).context("no field")?.split('"').next().unwrap();
    let stolen = ann.post("/console/parked/1/discard", &[("csrf", csrf), discard[0]]).await?;
    assert_eq!(stolen.status, 403);
    // From another site, even with everything right.
    let page = ann.page("/console/parked/1").await?;
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).context("no field")?.split('"').next().unwrap();
    let body = format!("csrf={csrf}&reason=x");
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("x", "y")] {
        let mut request = Request::new("POST", "/console/parked/1/discard", body.as_bytes());
        for (name, value) in
            [("content-type", "application/x-www-form-urlencoded"), ("cookie", &ann.cookie), (name, value)]
        {
            request.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        }
        assert_eq!(request.send(&ann.address).await?.status, 403, "{name}");
    }
    // Who may only look sees no button, and is refused.
    for path in ["/console/parked/1", "/console/anomalies/1", "/console/parked/bulk"] {
        let page = reader.page(path).await?;
        let content = page.split("<main").nth(1).context("no content")?;
        assert!(!content.contains("method=\"post\""), "{path}");
        assert!(ann.page(path).await?.split("<main").nth(1).unwrap().contains("method=\"post\""), "{path}");
    }
    let csrf = reader.page("/console").await?;
    assert!(!csrf.contains("name=\"csrf\""));
    let refused = reader.post("/console/parked/1/discard", &discard).await?;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("scope `operate`"), "{}", refused.body);
    let open = "SELECT count(*)::text FROM parked WHERE resolved_at IS NULL";
    assert_eq!(api.database.texts(open).await?, ["2"], "nothing was done");
    Ok(())
}

#[tokio::test]
async fn what_a_provider_writes_is_text() -> Result<()> {
    let api = Api::start().await?;
    let mut event = snapshot("theirs", MatchStatus::Closed, Some("g1"));
    let mut other = snapshot("theirs", MatchStatus::Closed, Some("g2"));
    for event in [&mut event, &mut other] {
        let Payload::MatchSnapshot(snapshot) = &mut event.payload else { unreachable!() };
        snapshot.match_id = HOSTILE.to_owned();
        snapshot.provider_status = HOSTILE.to_owned();
        for group in &mut snapshot.groups {
            for player in &mut group.players {
                player.player_id = format!("{HOSTILE}{}", player.player_id.as_str()).as_str().into();
            }
        }
        event.subject = HOSTILE.to_owned();
        event.provider_type = HOSTILE.to_owned();
        event.raw = HOSTILE.as_bytes().to_vec().into();
    }
    let id = event.id;
    api.apply(&[event.clone()]).await?;
    api.apply(&[other]).await?;
    let sql = "INSERT INTO parked (event_id, queue, kind, reason, body, routing_key, source, event_type, subject)
               VALUES ($1, 'matchpurse.match-escrow', 'technical', $3, $2, 'match_snapshot.any.theirs', 'theirs', $3, $3)";
    let body = Message::new(event, None).body;
    api.database.connection().await?.execute(sql, &[&id.uuid(), &&body[..], &HOSTILE]).await?;
    let ann = Browser::log_in(&api, ANN).await?;
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        "/console/flow".to_owned(),
        "/console/matches".to_owned(),
        format!("/console/matches/theirs/{encoded}"),
        format!("/console/matches?q={encoded}"),
        format!("/console/events/{id}"),
        "/console/parked".to_owned(),
        "/console/parked/1".to_owned(),
        "/console/parked/bulk".to_owned(),
        "/console/anomalies".to_owned(),
        "/console/anomalies/1".to_owned(),
        format!("/console/anomalies?subject={encoded}"),
    ] {
        let answer = ann.get(&path).await?;
        assert!(answer.status == 200 || answer.status == 303, "{path}: {}", answer.body);
        assert!(
            !answer.body.contains("<script>") && !answer.body.contains("<img"),
            "{path}: {}",
            answer.body
        );
        is_clean(&path, &answer.body)?;
        if answer.status == 200 {
            assert!(answer.body.contains("&#60;script&#62;"), "{path} does not show it");
        }
    }
    api.stop().await
}

#[tokio::test]
async fn an_empty_database_says_what_to_do_next() -> Result<()> {
    let api = Api::start_with(SETTINGS).await?;
    let ann = Browser::log_in(&api, ANN).await?;
    for (path, said) in [
        ("/console", "Point a provider&#39;s webhook at"),
        ("/console/flow", "Deliveries show here as they come"),
        ("/console/matches", "A match shows here as soon as"),
        ("/console/parked", "Nothing is parked"),
        ("/console/anomalies", "Nothing contradicts itself"),
        ("/console/matches?q=x", "Nothing has this id"),
        ("/console/parked/bulk", "None fits"),
    ] {
        let page = ann.page(path).await?;
        assert!(page.contains(said) || page.contains(&said.replace("&#39;", "'")), "{path}: {page}");
    }
    api.stop().await
}

#[tokio::test]
async fn a_match_is_told_on_one_page_and_its_statement_adds_up() -> Result<()> {
    let world = World::new().await?;
    let ann = Browser::log_in(&world.backend.api, ANN).await?;
    let list = ann.page("/console/matches").await?;
    assert!(list.contains("href=\"/console/matches/main-game/match-1\""), "{list}");
    let found = ann.get("/console/matches?q=match-2").await?;
    assert_eq!(found.header("location"), Some("/console/matches/main-game/match-2"));
    let page = ann.page("/console/matches/main-game/match-1").await?;
    for part in ["adds up", "player-1", "Side g1", "href=\"/console/anomalies/1\"", "hold", "payout", "fee"] {
        assert!(page.contains(part), "{part} is missing: {page}");
    }
    let event = page.split("href=\"/console/events/").nth(1).context("no event")?;
    let event = event.split('"').next().unwrap();
    let shown = ann.page(&format!("/console/events/{event}")).await?;
    assert!(
        shown.contains("match_snapshot") && shown.contains("href=\"/console/matches/main-game/match-1\"")
    );
    Ok(())
}

#[tokio::test]
async fn an_anomaly_shows_both_sides_and_is_decided_with_a_reason() -> Result<()> {
    let world = World::new().await?;
    let ann = Browser::log_in(&world.backend.api, ANN).await?;
    let page = ann.page("/console/anomalies/1").await?;
    for part in ["What stands", "What was told", "adds up", "waits for you"] {
        assert!(page.contains(part), "{part} is missing: {page}");
    }
    let after = ann
        .act("/console/anomalies/1", "/console/anomalies/1/resolve", &[("reason", "they took it back")])
        .await?;
    for part in ["Anomaly 1 is decided.", "they took it back", "decided by ann"] {
        assert!(after.contains(part), "{part} is missing: {after}");
    }
    assert!(!after.contains("/resolve"));
    let decided = world.backend.api.database.texts("SELECT resolved_by FROM anomaly WHERE id = 1").await?;
    assert_eq!(decided, ["ann"]);
    Ok(())
}

/// Parks messages of the escrow's, as the worker does that could not apply them.
async fn park(api: &Api, numbers: std::ops::Range<u8>) -> Result<()> {
    let sql = "INSERT INTO parked (event_id, queue, kind, reason, body, routing_key, source, event_type, subject)
               VALUES ($1, 'matchpurse.match-escrow', 'technical', 'it broke', $2, 'match_snapshot.any.theirs',
                       'theirs', 'Told', 'm1')";
    let connection = api.database.connection().await?;
    for number in numbers {
        let mut event = snapshot("theirs", MatchStatus::Closed, Some("g1"));
        event.id = EventId::from_uuid(uuid::Uuid::from_bytes([number; 16]));
        event.raw = br#"{"told": "once"}"#.to_vec().into();
        let body = Message::new(event.clone(), None).body;
        connection.execute(sql, &[&event.id.uuid(), &&body[..]]).await?;
    }
    Ok(())
}

/// Sends a step of a bulk action with these fields.
async fn step(browser: &Browser, fields: &[(String, String)]) -> Result<String> {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let answer = browser.post("/console/parked/bulk/step", &fields).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.body)
}

#[tokio::test]
async fn a_parked_delivery_is_rehearsed_and_then_replayed() -> Result<()> {
    let api = Api::start().await?;
    park(&api, 1..2).await?;
    let ann = Browser::log_in(&api, ANN).await?;
    let page = ann.page("/console/parked/1").await?;
    for part in ["it broke", "What a replay would do", "match_snapshot", "match-escrow", "&#34;told&#34;"] {
        assert!(page.contains(part), "{part} is missing: {page}");
    }
    assert_eq!(api.database.texts("SELECT position::text FROM spool").await?, Vec::<String>::new());
    let after = ann.act("/console/parked/1", "/console/parked/1/replay", &[("reason", "1.4.2 can")]).await?;
    assert!(
        after.contains("Parked delivery 1 is handed on.") && after.contains("replayed by ann"),
        "{after}"
    );
    assert_eq!(
        api.database.texts("SELECT destination FROM spool_destination").await?,
        ["matchpurse.match-escrow"]
    );
    let history = ann.page("/console/parked?state=resolved").await?;
    assert!(history.contains("replayed by ann"), "{history}");
    // It is over: no form, and a form of before changes nothing.
    assert!(!ann.page("/console/parked/1").await?.contains("/replay"));
    api.stop().await
}

#[tokio::test]
async fn many_are_discarded_piece_by_piece_and_what_comes_meanwhile_is_not() -> Result<()> {
    let api = Api::start().await?;
    park(&api, 1..31).await?;
    let ann = Browser::log_in(&api, ANN).await?;
    let begin = ann.page("/console/parked/bulk?kind=technical").await?;
    assert!(begin.contains("30 parked deliveries"), "{begin}");
    let fields = |page: &str| crate::console_studio::hidden(page.rsplit("/bulk/step").next().unwrap());
    let mut all = fields(&begin);
    all.extend([
        ("reason".to_owned(), "a stranger's".to_owned()),
        ("action".to_owned(), "discard".to_owned()),
    ]);
    let progress = step(&ann, &all).await?;
    assert!(progress.contains("25 of 30 looked at") && !progress.contains("looked at, done"), "{progress}");
    let open = "SELECT count(*)::text FROM parked WHERE resolved_at IS NULL";
    assert_eq!(api.database.texts(open).await?, ["5"]);
    park(&api, 31..32).await?;
    let end = step(&ann, &fields(&progress)).await?;
    assert!(end.contains("30 of 30 looked at, done"), "{end}");
    assert_eq!(api.database.texts(open).await?, ["1"], "what came meanwhile waits");
    let by = "SELECT DISTINCT resolved_by FROM parked WHERE resolved_at IS NOT NULL";
    assert_eq!(api.database.texts(by).await?, ["ann"]);
    api.stop().await
}
