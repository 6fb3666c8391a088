//! The console's pages about rewards, players, boards, offers, endpoints and sources, as a browser gets them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{ANN, Api, READER, SETTINGS, deposit};
use crate::http::{Answer, Request};
use crate::world::World;

/// Somebody who is logged in.
pub(crate) struct Browser {
    pub(crate) address: String,
    pub(crate) cookie: String,
}

impl Browser {
    pub(crate) async fn log_in(api: &Api, token: &str) -> Result<Self> {
        let mut browser = Self { address: api.address.to_string(), cookie: String::new() };
        let answer = browser.post("/console/login", &[("token", token)]).await?;
        let cookie = answer.header("set-cookie").context("no cookie")?;
        browser.cookie = cookie.split(';').next().context("an empty cookie")?.to_owned();
        Ok(browser)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        let mut request = Request::new("GET", path, b"");
        request.headers.push(("cookie".to_owned(), self.cookie.clone().into_bytes()));
        request.send(&self.address).await
    }

    /// A page that must be there.
    pub(crate) async fn page(&self, path: &str) -> Result<String> {
        let answer = self.get(path).await?;
        anyhow::ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let encoded = |text: &str| -> String {
            let each =
                text.chars().map(|c| if plain(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) });
            each.collect()
        };
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mut request = Request::new("POST", path, body.join("&").as_bytes());
        for (name, value) in [
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
            ("cookie", &self.cookie),
        ] {
            request.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        }
        request.send(&self.address).await
    }

    /// Sends a form of a page with its own hidden fields, and returns the page that follows.
    pub(crate) async fn act(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Result<String> {
        let shown = self.page(page).await?;
        let form = shown.split("<form").find(|form| form.contains(&format!("action=\"{action}\"")));
        let form = form.with_context(|| format!("no form {action} on {page}"))?;
        let mut all = hidden(form);
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.post(action, &all).await?;
        anyhow::ensure!(answer.status == 303, "{action}: {} {}", answer.status, answer.body);
        // What was done is said once, on the page that follows.
        let said =
            answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap_or_default();
        let after = Self { address: self.address.clone(), cookie: format!("{}; {said}", self.cookie) };
        after.page(answer.header("location").context("no address")?).await
    }
}

/// The hidden fields of a form.
pub(crate) fn hidden(form: &str) -> Vec<(String, String)> {
    let form = form.split("</form>").next().unwrap_or_default();
    let value = |input: &str, name: &str| -> Option<String> {
        Some(input.split_once(&format!("{name}=\""))?.1.split('"').next()?.to_owned())
    };
    form.split("<input")
        .filter(|input| input.contains("type=\"hidden\""))
        .filter_map(|input| Some((value(input, "name")?, value(input, "value")?)))
        .collect()
}

#[tokio::test]
async fn every_page_shows_what_there_is() -> Result<()> {
    let world = World::new().await?;
    let ann = Browser::log_in(&world.backend.api, ANN).await?;
    let (held, granted) =
        (format!("/console/rewards/{}", world.held), format!("/console/rewards/{}", world.granted));
    for (path, expected) in [
        (
            "/console/rewards",
            &["needs review", "player-1", "contest-3", "1.50 <span class=\"currency\">USD"][..],
        ),
        ("/console/rewards?state=needs_review", &["contest-3", "All rewards"]),
        ("/console/rewards?source=main-game&player=player-2", &["No reward is like that"]),
        (&held, &["Give it", "2 given, of at most 2", "limit player day"]),
        (&granted, &["Take it back", "reward.granted", "game"]),
        ("/console/players?q=player-1", &["player-1", "main-game"]),
        ("/console/players?source=main-game&q=play", &["player-1", "player-2"]),
        ("/console/players?source=main-game&q=zoe", &["Nobody is called that"]),
        (
            "/console/players/main-game/player-1",
            &["108.00 <span class=\"currency\">USD", "Held in matches", "match-1", "Skill", "Last rewards"],
        ),
        ("/console/leaderboards", &["weekly-net", "net in USD"]),
        (
            "/console/leaderboards/weekly-net?season=2026-W39",
            &["player-1", "8.00 <span class=\"currency\">USD"],
        ),
        ("/console/offers?source=main-game", &["offer-1", "offer-2", "removed"]),
        ("/console/offers/main-game/offer-1", &["May a player see it?", "&#34;payout&#34;:1.10"]),
        ("/console/offers/main-game/offer-1?player=player-1", &["may see it: active"]),
        ("/console/offers/main-game/offer-2?player=player-1", &["may not see it: removed"]),
        ("/console/endpoints", &["game", "reward.*"]),
        ("/console/endpoints/game", &["Send a test", "reward.granted", "attempt"]),
        ("/console/sources", &["main-game", "/hooks/main-game", "USD"]),
        (
            "/console/sources/main-game",
            &["/hooks/main-game", "match snapshot", "the studio", "2 decimal places"],
        ),
    ] {
        let page = ann.page(path).await?;
        for text in expected {
            assert!(page.contains(text), "{path} lacks {text:?}:\n{page}");
        }
    }
    for (path, name) in [
        ("/console/rewards/8c5e1f2a-7d3b-8e4f-9a6b-0c1d2e3f4a5b", "No such reward"),
        ("/console/players/main-game/zoe", "No such player"),
        ("/console/leaderboards/none", "No such leaderboard"),
        ("/console/offers/main-game/none", "No such offer"),
        ("/console/endpoints/none", "No such endpoint"),
        ("/console/sources/none", "No such source"),
    ] {
        let answer = ann.get(path).await?;
        assert!(answer.status == 404 && answer.body.contains(name), "{path}: {answer:?}");
    }
    world.backend.api.stop().await
}

#[tokio::test]
async fn where_there_is_nothing_a_page_says_what_to_do_next() -> Result<()> {
    let api = Api::start().await?;
    let ann = Browser::log_in(&api, ANN).await?;
    for (path, next) in [
        ("/console/rewards", "/console/sources"),
        ("/console/players", "choose a source"),
        ("/console/players?source=ours", "/console/sources"),
        ("/console/leaderboards", "[leaderboards.weekly-net]"),
        ("/console/offers", "/console/sources"),
        ("/console/endpoints", "matchpurse verify-endpoint"),
        ("/console/sources", "never: set it up"),
        ("/console/sources/ours", "Nothing has come yet"),
    ] {
        let page = ann.page(path).await?;
        assert!(page.contains(next), "{path} does not say {next:?}:\n{page}");
    }
    api.stop().await
}

/// An ingress's port for operators, with one refused delivery in its log.
async fn ingress(remote: &str, ago_ms: i64) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let log = serde_json::json!({ "total": 1, "last": [{
        "at_unix_ms": i64::try_from(at)? - ago_ms, "source": "ours", "reason": "signature_mismatch", "remote": remote,
    }]});
    let body = log.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            // Its request is one packet, and what it says does not matter.
            let _asked = connection.read(&mut [0; 4096]).await;
            let _told = connection.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    Ok(address)
}

#[tokio::test]
async fn what_every_ingress_refused_is_on_the_pages_the_newest_first() -> Result<()> {
    let (old, new) = (ingress("192.0.2.1", 60_000).await?, ingress("192.0.2.2", 1_000).await?);
    // The third one is away.
    let text = format!("[api]\ningress_addresses = [{old:?}, {new:?}, \"127.0.0.1:1\"]\n");
    let api = Api::start_with(&SETTINGS.replace("[api]\n", &text)).await?;
    let ann = Browser::log_in(&api, ANN).await?;
    for path in ["/console/sources/ours", "/console/flow?verdict=refused"] {
        let page = ann.page(path).await?;
        let places = (page.find("192.0.2.2"), page.find("192.0.2.1"));
        assert!(matches!(places, (Some(new), Some(old)) if new < old), "{path}: {places:?}\n{page}");
    }
    api.stop().await
}

#[tokio::test]
async fn who_may_only_read_is_shown_nothing_to_do_and_does_nothing() -> Result<()> {
    let world = World::new().await?;
    let reader = Browser::log_in(&world.backend.api, READER).await?;
    let held = format!("/console/rewards/{}", world.held);
    for path in [&*held, "/console/endpoints/game", "/console/players/main-game/player-1"] {
        let page = reader.page(path).await?;
        let forms = page.split("<form").skip(1).filter(|form| form.contains("method=\"post\""));
        let others: Vec<&str> = forms.filter(|form| !form.contains("/console/logout")).collect();
        assert!(others.is_empty(), "{path}: {others:?}");
    }
    let answer = reader.post(&format!("{held}/release"), &[("reason", "because")]).await?;
    assert_eq!(answer.status, 403, "{answer:?}");
    // Nor does somebody who may, without the session's own field.
    let ann = Browser::log_in(&world.backend.api, ANN).await?;
    for fields in [&[("reason", "because")][..], &[("reason", "because"), ("csrf", "made-up")]] {
        let answer = ann.post(&format!("{held}/release"), fields).await?;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert!(ann.page(&held).await?.contains("Give it"), "nothing was done");
    world.backend.api.stop().await
}

#[tokio::test]
async fn people_decide_who_is_on_a_board() -> Result<()> {
    let world = World::new().await?;
    let ann = Browser::log_in(&world.backend.api, ANN).await?;
    let board = "/console/leaderboards/weekly-net";
    let (off, back) = (format!("{board}/exclude"), format!("{board}/readmit"));
    let player = [("source", "main-game"), ("player", "player-1"), ("reason", "two accounts")];

    let page = ann.act(board, &off, &player).await?;
    assert!(page.contains("player-1 is taken off") && page.contains("two accounts"), "{page}");
    assert!(page.contains("Let player-1 back"), "{page}");
    let page = ann.act(board, &off, &player).await?;
    assert!(page.contains("nothing changed"), "{page}");
    // The form has whom it is about.
    let page = ann.act(board, &back, &[("reason", "it was his brother")]).await?;
    assert!(page.contains("player-1 is let back") && !page.contains("two accounts"), "{page}");

    // What cannot be is said, and nothing is done.
    let reason = ("reason", "because");
    let csrf =
        hidden(ann.page(board).await?.split("<form").find(|form| form.contains(&off)).unwrap_or_default());
    let csrf = csrf.iter().find(|(name, _)| name == "csrf").context("no field csrf")?.1.clone();
    for (fields, status) in [
        ([("source", "main-game"), ("player", "nobody"), reason], 404),
        ([("source", "main-game"), ("player", "player-1"), ("reason", " ")], 422),
    ] {
        let fields = [&[("csrf", csrf.as_str())][..], &fields].concat();
        let answer = ann.post(&off, &fields).await?;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let reader = Browser::log_in(&world.backend.api, READER).await?;
    assert!(!reader.page(board).await?.contains("Take the player off"));
    world.backend.api.stop().await
}

#[tokio::test]
async fn people_decide_about_rewards() -> Result<()> {
    let world = World::new().await?;
    let ann = Browser::log_in(&world.backend.api, ANN).await?;
    let held = format!("/console/rewards/{}", world.held);
    let page = ann.act(&held, &format!("{held}/release"), &[("reason", "the limit was too low")]).await?;
    assert!(page.contains("The reward is given") && page.contains("the limit was too low"), "{page}");
    assert!(!page.contains("Give it</button>"), "{page}");
    let page = ann.act(&held, &format!("{held}/reverse"), &[("reason", "<b>no</b>")]).await?;
    assert!(page.contains("is taken back") && page.contains("&#60;b&#62;no"), "{page}");
    // A form that is sent twice is done once.
    let csrf = csrf(&ann.page("/console/endpoints/game").await?)?;
    let answer = ann.post(&format!("{held}/release"), &[("csrf", &csrf), ("reason", "again")]).await?;
    assert_eq!(answer.status, 303, "{answer:?}");
    let page = ann.page(&held).await?;
    assert!(page.contains("reversed") && !page.contains("again"), "{page}");
    // A decision without a reason is none.
    let answer = ann.post(&format!("{held}/reverse"), &[("csrf", &csrf), ("reason", " ")]).await?;
    assert_eq!(answer.status, 422, "{answer:?}");
    world.backend.api.stop().await
}

/// The session's own field, as every form of a page has it.
fn csrf(page: &str) -> Result<String> {
    let found = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    Ok(found.context("no form")?.to_owned())
}

#[tokio::test]
async fn an_endpoint_is_tried_stopped_and_goes_on() -> Result<()> {
    let world = World::new().await?;
    let ann = Browser::log_in(&world.backend.api, ANN).await?;
    let own = "/console/endpoints/game";
    let page = ann.act(own, &format!("{own}/test"), &[("reason", "a new release")]).await?;
    assert!(page.contains("A test is on its way") && page.contains("a new release"), "{page}");
    world.backend.dispatcher().await?.settle().await?;
    let page = ann.page(own).await?;
    assert!(page.contains("<code>endpoint.test</code>"), "{page}");
    let page = ann.act(own, &format!("{own}/disable"), &[("reason", "it is moved")]).await?;
    assert!(page.contains("disabled by an operator") && page.contains("it is moved"), "{page}");
    assert!(!page.contains("Send a test"), "{page}");
    let page = ann.act(own, &format!("{own}/enable"), &[("reason", "it is there")]).await?;
    assert!(page.contains("The endpoint is enabled") && page.contains("Send a test"), "{page}");
    world.backend.api.stop().await
}

#[tokio::test]
async fn nothing_that_a_provider_says_becomes_markup() -> Result<()> {
    let api = Api::start().await?;
    let ann = Browser::log_in(&api, ANN).await?;
    let hostile = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'%26";
    let deposited = api.send(&deposit(&format!("/v1/players/ours/{hostile}/deposits"), "d1", 500)).await?;
    assert_eq!(deposited.status, 201, "{deposited:?}");
    for path in [
        format!("/console/players/ours/{hostile}"),
        "/console/players?source=ours".to_owned(),
        format!("/console/players?source=ours&q={hostile}"),
        format!("/console/rewards?source=ours&player={hostile}"),
    ] {
        let page = ann.page(&path).await?;
        assert!(!page.contains("<script>alert"), "{path}:\n{page}");
    }
    let shown = ann.page(&format!("/console/players/ours/{hostile}")).await?;
    assert!(shown.contains("&#60;script&#62;alert(1)"), "{shown}");
    api.stop().await
}
