//! The stream of offers, as a game server holds it open.

use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_domain::event::{OfferChange, Standing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{ANN, Api, READER, WRITER, request};
use crate::offers::{apply, judged, said, settings};

/// Longer than anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of a stream.
pub(crate) struct Client {
    connection: TcpStream,
    /// What has been read and not been looked at, without the head and the chunks' sizes.
    text: String,
    /// How much of it has been looked at.
    at: usize,
    bytes: Vec<u8>,
    head: Option<String>,
    ended: bool,
    /// The place of the last event, with which it resumes.
    pub(crate) id: String,
}

impl Client {
    async fn open(api: &Api, token: &str, query: &str, last_event_id: Option<&str>) -> Result<Self> {
        Self::open_at(api, token, &format!("/v1/offers/theirs/stream{query}"), last_event_id).await
    }

    pub(crate) async fn open_at(
        api: &Api,
        token: &str,
        path: &str,
        last_event_id: Option<&str>,
    ) -> Result<Self> {
        let mut connection = TcpStream::connect(api.address).await?;
        let last = last_event_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let head = format!("GET {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n{last}\r\n");
        connection.write_all(head.as_bytes()).await?;
        let (text, bytes, id) = (String::new(), Vec::new(), String::new());
        Ok(Self { connection, text, at: 0, bytes, head: None, ended: false, id })
    }

    /// Reads some more. False at the end of the stream.
    async fn read(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let mut buffer = vec![0; 16 * 1024];
        let read = timeout(PATIENCE, self.connection.read(&mut buffer)).await.context("nothing came")??;
        self.bytes.extend(&buffer[..read]);
        if self.head.is_none() {
            let Some(at) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(read > 0);
            };
            self.head = Some(String::from_utf8(self.bytes.drain(..at + 4).collect())?);
        }
        // Chunks: a size in hexadecimal digits, and so many bytes.
        while let Some(end) = self.bytes.windows(2).position(|two| two == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.bytes[..end])?, 16)?;
            if self.bytes.len() < end + 2 + size + 2 {
                break;
            }
            self.ended |= size == 0;
            self.text.push_str(std::str::from_utf8(&self.bytes[end + 2..end + 2 + size])?);
            self.bytes.drain(..end + 2 + size + 2);
        }
        Ok(read > 0 && !self.ended)
    }

    /// The next event as `name data`; none at the end of the stream. Ids are kept, signs of life passed over.
    pub(crate) async fn next(&mut self) -> Result<Option<String>> {
        loop {
            while let Some(end) = self.text[self.at..].find("\n\n").map(|end| self.at + end) {
                let block = &self.text[self.at..end];
                self.at = end + 2;
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                if let Some(id) = field("id") {
                    self.id = id.to_owned();
                }
                if let Some(data) = field("data") {
                    return Ok(Some(format!("{} {data}", field("event").unwrap_or("-"))));
                }
            }
            self.text.drain(..self.at);
            self.at = 0;
            if !self.read().await? && !self.text.contains("\n\n") {
                return Ok(None);
            }
        }
    }

    /// The next event as `kind of subject: state`.
    async fn short(&mut self) -> Result<String> {
        let event = self.next().await?.context("the stream has ended")?;
        let (name, data) = event.split_once(' ').context("no data")?;
        let data: serde_json::Value = serde_json::from_str(data)?;
        let subject = data["offer_id"].as_str().or(data["player_id"].as_str()).unwrap_or("?");
        Ok(format!("{name} of {subject}: {}", data["state"].as_str().unwrap_or("?")))
    }

    /// Waits until the stream is open, and knows from where.
    pub(crate) async fn opened(&mut self) -> Result<()> {
        while !self.text.contains("id: ") {
            anyhow::ensure!(self.read().await?, "not opened: {:?} {:?}", self.head, self.text);
        }
        let id = self.text.lines().find_map(|line| line.strip_prefix("id: ")).context("no id")?;
        self.id = id.to_owned();
        Ok(())
    }

    fn status(&self) -> &str {
        self.head.as_deref().and_then(|head| head.split(' ').nth(1)).unwrap_or("none")
    }
}

async fn as_of(api: &Api) -> Result<String> {
    let answer = api.send(&request(READER, "GET", "/v1/offers/theirs", "")).await?;
    let answer: serde_json::Value = serde_json::from_str(&answer.body)?;
    Ok(answer["as_of"].as_str().context("no place")?.to_owned())
}

#[tokio::test]
async fn changes_are_told_as_they_come_and_resumed_from_any_of_them() -> Result<()> {
    use OfferChange::{Created, Removed, Updated};
    let api = Api::start_with(&settings("")).await?;
    let mut client = Client::open(&api, READER, "", None).await?;
    client.opened().await?;
    let head = client.head.clone().unwrap().to_ascii_lowercase();
    assert!(
        head.contains("content-type: text/event-stream") && head.contains("cache-control: no-store"),
        "{head}"
    );
    apply(&api, &[said("1", Created, 10)]).await?;
    assert_eq!(
        client.next().await?.unwrap(),
        r#"offer.created {"source":"theirs","offer_id":"1","state":"active","changed_at":"1970-01-01T00:00:10.000000Z"}"#
    );
    let after_first = client.id.clone();
    apply(&api, &[said("1", Updated, 11), said("1", Removed, 20), judged("ann", Standing::Banned, 5)])
        .await?;
    apply(&api, &[said("1", Created, 30), judged("ann", Standing::Good, 6), said("1", Removed, 20)]).await?;
    let rest = [
        "offer.updated of 1: active",
        "offer.removed of 1: removed",
        "player.banned of ann: banned",
        "offer.restored of 1: active",
        "player.unbanned of ann: good",
    ];
    for expected in rest {
        assert_eq!(client.short().await?, expected);
    }
    let end = client.id.clone();

    // By the header, by the query, and where both stand there by the header.
    for (query, header) in [
        (String::new(), Some(after_first.as_str())),
        (format!("?after={after_first}"), None),
        (format!("?after={end}"), Some(after_first.as_str())),
    ] {
        let mut other = Client::open(&api, READER, &query, header).await?;
        for expected in rest {
            assert_eq!(other.short().await?, expected);
        }
        assert_eq!(other.id, end);
    }
    // A place from which there is nothing yet; and what comes then, everybody gets.
    let mut other = Client::open(&api, READER, "", Some(&end)).await?;
    other.opened().await?;
    apply(&api, &[said("2", Created, 1)]).await?;
    assert_eq!(other.short().await?, "offer.created of 2: active");
    assert_eq!(client.short().await?, "offer.created of 2: active");
    api.stop().await
}

#[tokio::test]
async fn a_list_and_the_stream_from_its_place_miss_nothing() -> Result<()> {
    let api = Api::start_with(&settings("")).await?;
    apply(&api, &[said("in the list", OfferChange::Created, 10)]).await?;
    let as_of = as_of(&api).await?;
    apply(&api, &[said("after the list", OfferChange::Created, 10)]).await?;
    let mut client = Client::open(&api, READER, &format!("?after={as_of}"), None).await?;
    // What was on its way when the list was read may come again.
    let mut first = client.short().await?;
    if first == "offer.created of in the list: active" {
        first = client.short().await?;
    }
    assert_eq!(first, "offer.created of after the list: active");
    api.stop().await
}

#[tokio::test]
async fn what_commits_late_reaches_who_was_there_and_who_resumes() -> Result<()> {
    let api = Api::start_with(&settings("")).await?;
    let mut client = Client::open(&api, READER, "", None).await?;
    client.opened().await?;
    let from = client.id.clone();
    let (early, late) = (api.database.connection().await?, api.database.connection().await?);
    for (connection, subject) in [(&early, "early"), (&late, "late")] {
        connection.batch_execute("BEGIN").await?;
        connection
            .execute(
                "INSERT INTO offer_change (xid, source, kind, subject, state, changed_at)
                 SELECT pg_current_xact_id(), 'theirs', 'offer.created', $1, 'active', now()",
                &[&subject],
            )
            .await?;
        connection.batch_execute("SELECT pg_notify('matchpurse_offers', '')").await?;
    }
    late.batch_execute("COMMIT").await?;
    early.batch_execute("COMMIT").await?;
    let mut resumed = Client::open(&api, READER, "", Some(&from)).await?;
    for client in [&mut client, &mut resumed] {
        assert_eq!(client.short().await?, "offer.created of early: active");
        assert_eq!(client.short().await?, "offer.created of late: active");
    }
    api.stop().await
}

#[tokio::test]
async fn a_place_that_is_forgotten_is_answered_with_a_reset_and_then_goes_on() -> Result<()> {
    let api = Api::start_with(&settings("")).await?;
    let before = as_of(&api).await?;
    apply(&api, &[said("1", OfferChange::Created, 10)]).await?;
    // It is forgotten when no transaction before it runs any more, anywhere on the server.
    let store = api.database.store().await?;
    let later =
        matchpurse_domain::time::Timestamp::from_micros(matchpurse_store::now().micros() + 60_000_000);
    while matchpurse_store::offers::prune_changes(&mut store.client().await?, later, 10).await? == 0 {
        tokio::task::yield_now().await;
    }
    for lost in [before.as_str(), "1-0", "18446744073709551615-1"] {
        let mut client = Client::open(&api, READER, "", Some(lost)).await?;
        let event = client.next().await?.unwrap();
        assert!(event.starts_with("reset {"), "{event}");
        let resumed = client.id.clone();
        assert_ne!(resumed, lost);
        apply(&api, &[said(&format!("after {lost}"), OfferChange::Created, 10)]).await?;
        assert_eq!(client.short().await?, format!("offer.created of after {lost}: active"));
        let mut again = Client::open(&api, READER, "", Some(&resumed)).await?;
        assert_eq!(again.short().await?, format!("offer.created of after {lost}: active"));
    }
    api.stop().await
}

#[tokio::test]
async fn a_quiet_stream_gives_signs_of_life_and_its_place_goes_on() -> Result<()> {
    let api = Api::start_with(&settings("stream_heartbeat_ms = 50")).await?;
    let mut client = Client::open(&api, READER, "", None).await?;
    client.opened().await?;
    let first = client.id.clone();
    // The change of another source is nothing to tell here, and yet something that is past.
    let other = "INSERT INTO offer_change (xid, source, kind, subject, state, changed_at)
                 SELECT pg_current_xact_id(), 'ours', 'offer.created', 'x', 'active', now()";
    api.database.connection().await?.batch_execute(other).await?;
    let mut alive = 0;
    while alive < 3 || client.id == first {
        anyhow::ensure!(client.read().await?, "the stream has ended");
        alive = client.text.matches(": alive\n").count();
        client.id =
            client.text.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap_or(&first).to_owned();
    }
    assert!(!client.text.contains("event: "), "{}", client.text);
    api.stop().await
}

#[tokio::test]
async fn one_connection_listens_for_all_streams_and_none_where_there_is_none() -> Result<()> {
    let api = Api::start_with(&settings("stream_heartbeat_ms = 50")).await?;
    let listening = "SELECT pid::text FROM pg_stat_activity
                      WHERE datname = current_database() AND query = 'LISTEN matchpurse_offers'";
    assert_eq!(api.database.texts(listening).await?.len(), 0);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Client::open(&api, READER, "", None).await?;
        client.opened().await?;
        clients.push(client);
    }
    assert_eq!(api.database.texts(listening).await?.len(), 1);
    apply(&api, &[said("1", OfferChange::Created, 10)]).await?;
    for client in &mut clients {
        assert_eq!(client.short().await?, "offer.created of 1: active");
    }
    drop(clients);
    let gone = async {
        while !api.database.texts(listening).await?.is_empty() {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, gone).await.context("somebody still listens")??;
    api.stop().await
}

#[tokio::test]
async fn streams_are_counted_by_token_and_in_all() -> Result<()> {
    let api =
        Api::start_with(&settings("streams_max = 3\nstreams_per_token_max = 2\nstream_heartbeat_ms = 50"))
            .await?;
    let mut open = Vec::new();
    for (token, expected) in
        [(READER, "200"), (READER, "200"), (READER, "429"), (ANN, "200"), (ANN, "429"), (WRITER, "403")]
    {
        let mut client = Client::open(&api, token, "", None).await?;
        while client.head.is_none() {
            client.read().await.ok();
        }
        assert_eq!(client.status(), expected, "{:?}", client.head);
        if expected == "200" {
            client.opened().await?;
            open.push(client);
        }
    }
    let refused = api.send(&request(READER, "GET", "/v1/offers/theirs/stream", "")).await?;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("5")));
    assert!(refused.body.contains("this token has 2 streams open"), "{}", refused.body);
    // A place is free again when a client has gone.
    open.remove(0);
    let again = async {
        loop {
            let mut client = Client::open(&api, READER, "", None).await?;
            while client.head.is_none() {
                client.read().await.ok();
            }
            if client.status() == "200" {
                return anyhow::Ok(());
            }
        }
    };
    timeout(PATIENCE, again).await.context("no place became free")??;
    api.stop().await
}

#[tokio::test]
async fn what_is_no_place_or_no_source_is_refused() -> Result<()> {
    let api = Api::start_with(&settings("")).await?;
    for (path, status) in [
        ("/v1/offers/theirs/stream?after=yesterday", 400),
        ("/v1/offers/theirs/stream?before=1-0", 400),
        ("/v1/offers/nothing/stream", 404),
    ] {
        assert_eq!(api.send(&request(READER, "GET", path, "")).await?.status, status, "{path}");
    }
    let mut bad = request(READER, "GET", "/v1/offers/theirs/stream", "");
    bad.headers.push(("last-event-id".to_owned(), b"\xff".to_vec()));
    assert_eq!(api.send(&bad).await?.status, 400);
    let posted = api.send(&request(ANN, "POST", "/v1/offers/theirs/stream", "{}")).await?;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));
    api.stop().await
}

#[tokio::test]
async fn a_stream_ends_cleanly_with_the_service_and_is_resumed_at_the_next() -> Result<()> {
    let api = Api::start_with(&settings("")).await?;
    let mut client = Client::open(&api, READER, "", None).await?;
    client.opened().await?;
    apply(&api, &[said("1", OfferChange::Created, 10)]).await?;
    assert_eq!(client.short().await?, "offer.created of 1: active");
    let began = std::time::Instant::now();
    api.stop.cancel();
    assert_eq!(client.next().await?, None);
    assert!(client.ended, "by the last chunk, not by a broken connection");
    timeout(PATIENCE, api.running).await.context("it does not end")???;
    // The drain's limit is 25 s: the stream has not been waited for.
    assert!(began.elapsed() < Duration::from_secs(15));
    Ok(())
}

#[tokio::test]
async fn a_stream_lives_through_an_outage_of_the_database() -> Result<()> {
    let api = Api::start_with(&settings("stream_heartbeat_ms = 50")).await?;
    let mut client = Client::open(&api, READER, "", None).await?;
    client.opened().await?;
    apply(&api, &[said("1", OfferChange::Created, 10)]).await?;
    assert_eq!(client.short().await?, "offer.created of 1: active");
    api.database.cut_off().await?;
    client.read().await?;
    api.database.restore().await?;
    apply(&api, &[said("2", OfferChange::Created, 10)]).await?;
    assert_eq!(client.short().await?, "offer.created of 2: active");
    api.stop().await
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_resumes_without_a_gap() -> Result<()> {
    const CHANGES: usize = 60_000;
    let api = Api::start_with(&settings("stream_heartbeat_ms = 1000")).await?;
    let mut slow = Client::open(&api, READER, "", None).await?;
    slow.opened().await?;
    let mut quick = Client::open(&api, READER, "", None).await?;
    quick.opened().await?;
    let many = format!(
        "INSERT INTO offer_change (xid, source, kind, subject, state, changed_at)
         SELECT pg_current_xact_id(), 'theirs', 'offer.created', n::text, 'active', now()
           FROM generate_series(1, {CHANGES}) n;
         SELECT pg_notify('matchpurse_offers', '')"
    );
    api.database.connection().await?.batch_execute(&many).await?;
    // Whoever reads gets all of them in order, also when the changes come faster than he reads.
    for n in 1..=CHANGES {
        assert_eq!(quick.short().await?, format!("offer.created of {n}: active"));
    }
    // Who does not read loses his place among those who are told; the places are counted.
    let open = async {
        while api.admin("/metrics").await?.body.lines().any(|line| line == "matchpurse_api_offer_streams 2") {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, open).await.context("it was not cut off")??;
    let mut seen = 0;
    while let Some(event) = slow.next().await? {
        seen += 1;
        assert!(event.contains(&format!("\"offer_id\":\"{seen}\"")), "{event}");
    }
    assert!((1..CHANGES).contains(&seen), "{seen}");
    let mut resumed = Client::open(&api, READER, "", Some(&slow.id)).await?;
    for n in seen + 1..=CHANGES {
        assert_eq!(resumed.short().await?, format!("offer.created of {n}: active"));
    }
    api.stop().await
}
