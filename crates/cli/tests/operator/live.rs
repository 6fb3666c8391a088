//! One delivery after the other: sent, answered as documented, and seen as it comes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use matchpurse_domain::money::format_major;
use serde_json::Value;

use crate::ground::Played;

/// Ports that nobody else has.
pub(crate) const FREE_PORTS: &str =
    "[ingress]\nadmin_listen = \"127.0.0.1:0\"\n[api]\nadmin_listen = \"127.0.0.1:0\"\n";

const ADAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../providers/src");

/// A child that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// `matchpurse dev` on a database of its own; what it says of where everything is.
fn dev(played: &Played) -> Result<(Running, Value)> {
    let url = played.database.url();
    let mut child = played
        .command(&["dev", "--json", "--port", "0", "--api-port", "0", "--database-url", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().context("piped")?;
    let running = Running(child);
    let places = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next();
    Ok((running, places.context("dev ended")??))
}

/// `matchpurse listen`, once it listens; its lines come on the standard output.
fn listen(played: &Played, args: &[&str]) -> Result<Running> {
    let mut child = played
        .command(&[&["listen", "--json"], args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("piped")?);
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        ensure!(said.read_line(&mut line)? > 0, "listen ended");
    }
    // Somebody has to read what it says from here on.
    std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
    Ok(Running(child))
}

fn lines(mut listening: Running) -> Result<Vec<Value>> {
    let mut text = String::new();
    listening.0.stdout.take().context("piped")?.read_to_string(&mut text)?;
    ensure!(listening.0.wait()?.success(), "listen failed: {text}");
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

pub(crate) fn send(played: &Played, places: &Value, args: &[&str]) -> Result<Output> {
    let to = places["hooks"].as_str().unwrap().trim_end_matches("/hooks");
    played.run(&[&["send", "--json", "--to", to], args].concat())
}

/// A source of each provider as the adapters' own tests configure it, and the private keys.
fn sources() -> Result<(String, BTreeMap<String, PathBuf>)> {
    let (mut text, mut keys) = (String::new(), BTreeMap::new());
    for entry in std::fs::read_dir(ADAPTERS)? {
        let folder = entry?.path().join("fixtures");
        let Ok(source) = std::fs::read(folder.join("source.json")) else { continue };
        let source: Value = serde_json::from_slice(&source)?;
        let id = folder.parent().and_then(Path::file_name).and_then(|id| id.to_str()).context("a name")?;
        let exponent = source["exponent"].as_u64();
        let places = u8::try_from(exponent.unwrap_or(2))?;
        text.push_str(&format!("[sources.{id}]\nprovider = {id:?}\ncustody = \"provider\"\n"));
        text.push_str(&format!("currency = {}\n", source["currency"]));
        if exponent.is_some() {
            text.push_str(&format!("currency_exponent = {places}\n"));
        }
        if let Some(stake) = source["stake"].as_i64() {
            text.push_str(&format!("stake = {:?}\n", format_major(stake, places)));
        }
        for (role, pair) in source["keys"].as_object().context("a source has keys")? {
            let signs = pair["sign"].as_str().context("a key signs")?;
            let name = if role == "webhook" { "secrets".to_owned() } else { format!("keys.{role}") };
            match pair["verify"].as_str() {
                Some(file) => {
                    let file = folder.join(file.trim_start_matches('@'));
                    text.push_str(&format!("{name} = [{{ file = {:?} }}]\n", file.display().to_string()));
                    keys.insert(id.to_owned(), folder.join(signs.trim_start_matches('@')));
                }
                None => text.push_str(&format!("{name} = [{signs:?}]\n")),
            }
        }
        for (name, value) in source["options"].as_object().into_iter().flatten() {
            text.push_str(&format!("options.{name} = {value}\n"));
        }
    }
    Ok((text, keys))
}

/// The body of a built-in delivery.
pub(crate) fn documented_body(provider: &str, name: &str) -> Result<String> {
    let path = Path::new(ADAPTERS).join(provider).join("fixtures").join(format!("{name}.json"));
    Ok(std::fs::read_to_string(path)?)
}

/// What the adapter's golden file says of a delivery: the status of the answer.
fn documented(provider: &str, name: &str) -> Result<u64> {
    let path = Path::new(ADAPTERS).join(provider).join("golden").join(format!("{name}.json"));
    let golden: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    Ok(if golden["error"].is_null() { golden["reply"]["status"].as_u64().context("a status")? } else { 422 })
}

#[tokio::test]
async fn every_built_in_delivery_is_answered_as_documented() -> Result<()> {
    let (text, keys) = sources()?;
    let played = Played::nothing("send", &format!("{FREE_PORTS}{text}")).await?;
    let (_dev, places) = dev(&played)?;
    let listed = played.printed(&["send", "--list", "--json"], 0)?;
    let mut seen = 0;
    for line in listed.lines() {
        let fixture: Value = serde_json::from_str(line)?;
        let (provider, name) = (fixture["provider"].as_str().unwrap(), fixture["name"].as_str().unwrap());
        let key = keys.get(provider).map(|key| key.display().to_string());
        let mut args = vec![name, "--source", provider];
        if let Some(key) = &key {
            args.extend(["--sign-key", key]);
        }
        let output = send(&played, &places, &args)?;
        let sent: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let expected = documented(provider, name)?;
        assert_eq!(sent["answer"]["status"].as_u64(), Some(expected), "{provider} {name}: {sent:#}");
        let code = i32::from(!(200..300).contains(&expected));
        assert_eq!(output.status.code(), Some(code), "{provider} {name}");
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
    // A forgery is refused, whoever's it is, and that is what the flag wants.
    for (provider, name) in &first_of_each(&listed)? {
        let key = keys.get(provider).map(|key| key.display().to_string());
        let mut args = vec![name.as_str(), "--source", provider.as_str(), "--bad-signature"];
        if let Some(key) = &key {
            args.extend(["--sign-key", key]);
        }
        let output = send(&played, &places, &args)?;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// One delivery of each provider.
fn first_of_each(listed: &str) -> Result<BTreeMap<String, String>> {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for line in listed.lines() {
        let fixture: Value = serde_json::from_str(line)?;
        let text = |name: &str| fixture[name].as_str().unwrap_or_default().to_owned();
        first.entry(text("provider")).or_insert_with(|| text("name"));
    }
    Ok(first)
}

#[tokio::test]
async fn what_is_sent_is_seen_as_it_comes() -> Result<()> {
    let sources = format!("{FREE_PORTS}{}", include_str!("../../demo/sources.toml"));
    let played = Played::nothing("listen", &sources).await?;
    // The demo's own sources, whose private key the program has: without the configuration.
    let url = played.database.url();
    let (_dev, places) = dev(&played)?;
    let admin = places["ingress_admin"].as_str().unwrap().to_owned();
    let sent = |name: &str, source: &str, more: &[&str]| -> Result<()> {
        let args = [&[name, "--source", source], more].concat();
        let to = places["hooks"].as_str().unwrap().trim_end_matches("/hooks").to_owned();
        let output = Command::new(env!("CARGO_BIN_EXE_matchpurse"))
            .args([&["send", "--to", &to], &args[..]].concat())
            .env_remove("MATCHPURSE_CONFIG")
            .output()?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    };
    let all = listen(&played, &["--count", "4", "--rejected", "--admin", &admin])?;
    let games = listen(&played, &["--count", "1", "--source", "games"])?;
    let standing =
        listen(&played, &["--count", "1", "--payload", "player_standing", "--database-url", &url])?;
    let subject = listen(&played, &["--count", "1", "--subject", "no-such-subject"])?;

    sent("offer_removed", "offerwall", &[])?;
    sent("player_banned", "offerwall", &[])?;
    sent("RecreationalGameCreated", "games", &["--bad-signature"])?;
    sent("RecreationalGameCreated", "games", &[])?;

    let games = lines(games)?;
    assert_eq!(
        (games[0]["source"].as_str(), games[0]["payload"].as_str()),
        (Some("games"), Some("match_snapshot"))
    );
    assert!(games[0]["meaning"].as_str().unwrap().contains("match"), "{games:?}");
    assert_eq!(lines(standing)?[0]["payload"], "player_standing");
    let all = lines(all)?;
    let payloads: Vec<&str> = all.iter().filter_map(|line| line["payload"].as_str()).collect();
    assert_eq!(payloads.len(), 3, "{all:#?}");
    let refused: Vec<&Value> = all.iter().filter(|line| !line["rejected"].is_null()).collect();
    assert_eq!((refused.len(), refused[0]["rejected"].as_str()), (1, Some("signature_mismatch")));

    // What came before is shown to who asks for it; what is about something else is not.
    let before = played.command(&["listen", "--json", "--last", "2"]).stdout(Stdio::piped()).spawn()?;
    let mut before = Running(before);
    let mut first = BufReader::new(before.0.stdout.take().context("piped")?).lines();
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&first.next().context("two lines")??)?;
        assert!(line["id"].is_string(), "{line}");
    }
    drop(subject);
    Ok(())
}

#[tokio::test]
async fn it_goes_on_where_it_was_when_the_database_is_back() -> Result<()> {
    let played = Played::nothing("listen-away", include_str!("../../demo/sources.toml")).await?;
    let listening = listen(&played, &["--count", "2"])?;
    let kick = |n: usize| {
        let payload =
            matchpurse_domain::event::PlayerKicked { match_id: format!("m{n}"), player_id: "p".into() };
        let payload = matchpurse_domain::event::Payload::PlayerKicked(payload);
        let event = matchpurse_testkit::event("servers", true, payload);
        matchpurse_domain::event::Event { subject: format!("m{n}"), ..event }
    };
    crate::ground::deliver(&played, matchpurse_event_archive::EventArchive, &[kick(0)]).await?;
    played.database.cut_off().await?;
    played.database.restore().await?;
    crate::ground::deliver(&played, matchpurse_event_archive::EventArchive, &[kick(1)]).await?;
    // Both came at the same time by their own clock, so either may stand first.
    let mut subjects: Vec<String> =
        lines(listening)?.iter().map(|line| line["subject"].to_string()).collect();
    subjects.sort();
    assert_eq!(subjects, ["\"m0\"", "\"m1\""]);
    Ok(())
}
