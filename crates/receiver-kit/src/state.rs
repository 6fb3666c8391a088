//! What the endpoint says that it has done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use matchpurse_domain::webhook::{SigningKey, TargetUrl};
use matchpurse_service_kit::http_client::HttpClient;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::answer::last_cause;
use crate::delivery::Delivery;

/// What stands in a URL for the id that is asked about.
pub(crate) const PLACE: &str = "{webhook_id}";

/// How long is waited between two questions.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How often the endpoint has acted on each id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Counts {
    /// Nobody said where to ask.
    NotAsked,
    /// It was asked, and nothing could be learned.
    Unreadable(String),
    /// It said so. What it does not name it has not acted on.
    Known(BTreeMap<String, u64>),
}

/// What the status URL, which the dispatcher asks as well, says of one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    Received(bool),
    Unreadable(String),
}

/// What a status URL answers.
#[derive(Deserialize)]
struct Status {
    received: bool,
}

/// What a state URL answers.
#[derive(Deserialize)]
struct State {
    received: BTreeMap<String, u64>,
}

/// Asks until the endpoint has acted on every one of `expected`, or `patience` is over: it may work after it has
/// answered. `all` are the ids to ask about, where each has a URL of its own.
pub(crate) async fn ask(
    client: &HttpClient,
    url: &TargetUrl,
    all: &BTreeSet<String>,
    expected: &BTreeSet<String>,
    patience: Duration,
) -> Counts {
    let until = Instant::now() + patience;
    loop {
        let counts = read(client, url, all).await;
        let done = match &counts {
            Counts::Known(counts) => expected.iter().all(|id| counts.get(id).is_some_and(|count| *count > 0)),
            Counts::NotAsked | Counts::Unreadable(_) => true,
        };
        if done || Instant::now() + AGAIN_AFTER > until {
            return counts;
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// What the status URL says of `id`; `url` has a place for it.
pub(crate) async fn claim(
    client: &HttpClient,
    url: &TargetUrl,
    key: &SigningKey,
    id: &str,
    at_s: i64,
) -> Claim {
    let question = Delivery::signed(key, id.to_owned(), at_s, Bytes::new());
    let Some(request) = url.with(PLACE, id).and_then(|url| question.question(&url)) else {
        return Claim::Unreadable("there is no such URL".to_owned());
    };
    match client.send(request).await {
        Err(error) => Claim::Unreadable(last_cause(&error)),
        Ok(response) if response.status() == 200 => match serde_json::from_slice(response.body()) {
            Ok(Status { received }) => Claim::Received(received),
            Err(error) => Claim::Unreadable(format!("answered 200, and no {{\"received\": …}}: {error}")),
        },
        Ok(response) => Claim::Unreadable(format!("answered {}", response.status().as_u16())),
    }
}

impl Claim {
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Received(true) => "received",
            Self::Received(false) => "not received",
            Self::Unreadable(why) => why,
        }
    }
}

async fn read(client: &HttpClient, url: &TargetUrl, all: &BTreeSet<String>) -> Counts {
    let urls: Vec<TargetUrl> = if url.expose().contains(PLACE) {
        all.iter().filter_map(|id| url.with(PLACE, id)).collect()
    } else {
        vec![url.clone()]
    };
    let mut counts = BTreeMap::new();
    for url in urls {
        match read_one(client, &url).await {
            Ok(state) => counts.extend(state.received),
            Err(why) => return Counts::Unreadable(why),
        }
    }
    Counts::Known(counts)
}

async fn read_one(client: &HttpClient, url: &TargetUrl) -> Result<State, String> {
    let request = Request::get(url.expose()).body(Bytes::new()).map_err(|error| last_cause(&error))?;
    let response = client.send(request).await.map_err(|error| last_cause(&error))?;
    if response.status() != 200 {
        return Err(format!("it answered {}", response.status().as_u16()));
    }
    serde_json::from_slice(response.body())
        .map_err(|error| format!("it answered something else than {{\"received\": {{ID: COUNT}}}}: {error}"))
}
